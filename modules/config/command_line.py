"""What may stand behind `python train.py`, `inference.py`, `tune.py` and `look.py`, and how a script ends."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from modules.config.errors import ConfigError, OptionError, UserError, hint
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import Config

FLAGS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "--check": "read the config, the tables and every image header, run one batch, say what a full run would do",
        "--resume": "RUN: go on where that run stopped; alone it uses the config of that run",
        "--print-config": "the whole resolved config, each option with its default and a line of help",
        "--quiet": "the result and warnings only",
    },
    "inference": {
        "--print-config": "the whole resolved config, each option with its default and a line of help",
        "--quiet": "the result and warnings only",
    },
    "tune": {
        "--resume": "SEARCH: go on with that search; no trial is lost, and none is done twice",
        "--print-config": "the whole resolved config, each option with its default and a line of help",
        "--quiet": "the result and warnings only",
    },
    "look": {
        "--print-config": "the whole resolved config, each option with its default and a line of help",
        "--quiet": "the result and warnings only",
    },
}
SECONDS_FOR_MAIN = 3.0  # that the others wait for, before they tell of a mistake
LOOKS: Mapping[str, str] = {
    "data": "class counts, image sizes, folds, and a picture of augmented batches",
    "model": "a table of the model's layers: shapes, parameters, what trains, multiply-adds, memory",
    "lr": "the learning-rate range test: the loss at growing rates, a plot, and the rate that it suggests",
    "runs": "all runs beside each other: scores, submissions, CV against leaderboard, what to blend; and runs.html",
    "report": "[RUN ...] report.html of a finished run, made again; without RUN: of the latest",
    "export": "[RUN ...] the best models' bare weights, for timm or torchvision alone; without RUN: inference.run",
    "bundle": "[RUN ...] one zip with code, config and weights that runs inference.py elsewhere, without a network",
}
NAMING_RUNS = ("export", "bundle", "report")


@dataclass(frozen=True)
class Command:
    """A command line, read and its config checked as far as the INI alone can tell.

    `config_files` are those that were named; where none were, `config` comes from config.ini in the current folder.
    `look`: what look.py is asked for; `runs`: the runs that it names.
    """

    config: Config
    config_files: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    check: bool = False
    quiet: bool = False
    resume: str | None = None
    look: str | None = None
    runs: tuple[str, ...] = ()


class Stopped(BaseException):
    """A signal asked the script to end. What the last finished epoch left is on disk."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_status = 128 + signal_number


def run_script(name: str, job: Callable[[Command], None], arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, does the job, and returns the exit status: 0, 2 for mistakes, 130 or 143 for signals.

    What code of one's own exits with is none of these: that is a mistake.

    Mistakes go to stderr, a line each. `--help` and `--print-config` answer here, before anything heavy is imported.
    """
    config: Config | None = None
    previous = _raise_on_sigterm()
    is_main = numbers_of_torchrun()[0] == 0
    try:
        with nullcontext() if is_main else _silence():
            command = read_command(name, sys.argv[1:] if arguments is None else arguments)
            if command is None:
                return 0
            _check_torchrun(name, command)
            config = command.config
            job(command)
        return 0
    except UserError as error:
        if is_main or _main_is_silent():
            for line in located(error, config):
                print(line, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno is None or (error.filename is None and error.strerror is None):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror}", file=sys.stderr)
        return 2
    except SystemExit as error:  # nothing of Foldini's does so; where code of one's own is called by name, this is told as its fault
        print(f"{_last_place(error)} calls sys.exit(), and there is no result; raise an error there", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Stopped) as error:
        if is_main:
            print("stopped", file=sys.stderr)
        return error.exit_status if isinstance(error, Stopped) else 130
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _last_place(error: BaseException) -> str:
    """FILE:LINE, the innermost that is in a file: exit() is a function of Python's own, and in none."""
    frame = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_file()][-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def numbers_of_torchrun() -> tuple[int, int]:
    """This process's number and how many there are, where torchrun started several; else 0 and 1."""
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"} <= os.environ.keys():  # other launchers set some of them
        return 0, 1
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return (rank, world) if world > 1 else (0, 1)


def _check_torchrun(name: str, command: Command) -> None:
    """Raises ConfigError for what one process does alone."""
    what = f"{name}.py" if name != "train" else "train.py --check" if command.check else None
    if what is not None and numbers_of_torchrun()[1] > 1:
        raise ConfigError(f"torchrun starts several processes to train; {what} is for one: python {what}")


@contextmanager
def _silence() -> Iterator[None]:
    """For all processes but the main one, which says the same."""
    with open(os.devnull, "w") as nobody, redirect_stdout(nobody), redirect_stderr(nobody):
        yield


def _main_is_silent() -> bool:
    """Whether the main process lives on, and so did not make this mistake: where it did, torchrun ends the others meanwhile."""
    try:
        time.sleep(SECONDS_FOR_MAIN)
    except Stopped:
        return False
    return True


def read_command(name: str, arguments: Sequence[str]) -> Command | None:
    """The Command of script `name`; None where the arguments only asked for a text, which is printed then.

    Raises ConfigError for an argument that is none of: a known flag, an INI file, `section.option=value`.
    """
    flags, files, overrides, resume = FLAGS[name], [], [], None
    seen: set[str] = set()
    rest = list(arguments)
    look = _look(rest) if name == "look" and not {"-h", "--help"}.intersection(rest) else None
    runs: list[str] = []
    while rest:
        argument = rest.pop(0)
        flag, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            print(_usage(name))
            return None
        if flag == "--resume" and flag in flags:
            resume = value if equals else (rest.pop(0) if rest else "")
            if not resume or resume.startswith("--"):
                raise ConfigError(f"--resume: expected the name or the folder of a {'search' if name == 'tune' else 'run'} behind it")
        elif argument in flags:
            seen.add(argument)
        elif argument.startswith("-"):
            there_are = f"; there are {', '.join(flags)}"
            raise ConfigError(f"{argument}: unknown flag{hint(argument, flags) or there_are}")
        elif re.match(r"\s*\w+\.\w+\s*=", argument) or ("=" in argument and not argument.endswith(".ini")):
            overrides.append(argument)
        elif look in NAMING_RUNS and not argument.endswith(".ini"):
            runs.append(argument)
        else:
            files.append(argument)
    config, warnings = _read(files, overrides, resume)
    if "--print-config" in seen:
        print(to_ini(config), end="")
        return None
    for warning in warnings:
        print(warning, file=sys.stderr)
    return Command(config, tuple(files), tuple(overrides), "--check" in seen, "--quiet" in seen, resume, look, tuple(runs))


def _look(rest: list[str]) -> str:
    """Takes what is looked at from the front of the arguments."""
    word = rest.pop(0) if rest else ""
    if word not in LOOKS:
        found = f"'{word}'{hint(word, LOOKS)}" if word else "nothing"
        raise ConfigError(f"look.py: expected one of {', '.join(LOOKS)}, got {found}")
    return word


def _read(files: Sequence[str], overrides: Sequence[str], resume: str | None) -> tuple[Config, list[str]]:
    if not files and not Path("config.ini").is_file():
        if resume:
            return read_config([], overrides)
        raise ConfigError("config.ini: no such file in the current folder; name an INI file, or go to the folder that has one")
    return read_config(files or ["config.ini"], overrides)


def _usage(name: str) -> str:
    what = f" {' | '.join(LOOKS)}" if name == "look" else ""
    lines = [f"usage: python {name}.py{what} [CONFIG.ini ...] [section.option=value ...] [flags]", ""]
    if what:
        lines += [*(f"  {word:<15} {text}" for word, text in LOOKS.items()), ""]
    lines += ["No CONFIG: config.ini in the current folder. Later files win, overrides win over files.", ""]
    lines += [f"  {flag:<15} {text}" for flag, text in FLAGS[name].items()]
    lines += [f"  {'--help':<15} this text", "", "docs/config.md lists every option."]
    return "\n".join(lines)


def located(error: UserError, config: Config | None) -> list[str]:
    """The error's lines, those of an option with the file and line that set it in `config`."""
    if isinstance(error, OptionError) and config is not None:
        section, option, message = error.args
        return [f"{config.locate(section, option)}: {message}"]
    return [line for part in error.args for line in (located(part, config) if isinstance(part, UserError) else [str(part)])]


def _raise_on_sigterm() -> signal._HANDLER | None:
    def stop(number: int, frame: types.FrameType | None) -> NoReturn:
        raise Stopped(number)

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        return None
