"""The command line: what is understood, what it prints, and the exit status of a script."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.config.command_line import FLAGS, Command, read_command, run_script
from modules.config.errors import ConfigError, DataError, OptionError, UserError
from modules.config.reader import read_config
from modules.config.schema import Config
from tests.making import write_config


@pytest.fixture
def ini() -> Path:
    return write_config(Path("config.ini"), "[settings]\nseed = 7\n[data]\nsource = csv\n\ntrain_csv = t.csv\n")


def never(command: Command) -> None:
    raise AssertionError("the job was started")


def run(job: Callable[[Command], None], *arguments: str, name: str = "train") -> int:
    return run_script(name, job, arguments)


@pytest.mark.usefixtures("ini")
def test_files_overrides_and_flags_stand_in_any_order() -> None:
    write_config(Path("b.ini"), "[settings]\nrun_name = b\n")
    command = read_command("train", ["settings.seed=9", "--quiet", "b.ini", "--resume", "old", "config.ini", "--check"])
    assert command is not None
    assert command.config_files == ("b.ini", "config.ini") and command.overrides == ("settings.seed=9",)
    assert (command.check, command.quiet, command.resume) == (True, True, "old")
    assert (command.config.settings.seed, command.config.settings.run_name, command.config.data.source) == (9, "b", "csv")


@pytest.mark.usefixtures("ini")
def test_without_a_file_config_ini_of_the_current_folder_is_used() -> None:
    command = read_command("train", [])
    assert command is not None and command.config_files == () and command.config.settings.seed == 7
    assert (command.check, command.quiet, command.resume) == (False, False, None)


@pytest.mark.parametrize("arguments", [["--resume", "runs/old"], ["--resume=runs/old"]])
def test_a_run_to_resume_needs_no_config(arguments: list[str]) -> None:
    command = read_command("train", arguments)
    assert command is not None and command.resume == "runs/old" and command.config == Config()


@pytest.mark.usefixtures("ini")
@pytest.mark.parametrize("arguments", [["--resume"], ["--resume="], ["--resume", "--quiet"], ["--resume", ""]])
def test_resume_wants_a_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(never, *arguments) == 2
    assert capsys.readouterr().err == "--resume: expected the name or the folder of a run behind it\n"


@pytest.mark.usefixtures("ini")
@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("train", "--chekc", "--chekc: unknown flag (did you mean --check?)"),
        ("train", "--zzz", "--zzz: unknown flag; there are --check, --resume, --print-config, --quiet"),
        ("train", "-v", "-v: unknown flag; there are --check, --resume, --print-config, --quiet"),
        ("train", "--check=1", "--check=1: unknown flag (did you mean --check?)"),
        ("inference", "--zzz", "--zzz: unknown flag; there are --print-config, --quiet"),
    ],
)
def test_an_unknown_flag_is_told_the_nearest_or_all(name: str, argument: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(never, argument, name=name) == 2
    assert capsys.readouterr() == ("", message + "\n")


@pytest.mark.usefixtures("ini")
@pytest.mark.parametrize("argument", ["--resume", "--resume=x", "--check"])
def test_a_flag_of_training_alone_is_unknown_to_inference(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(never, argument, name="inference") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"{argument}: unknown flag") and err.count("\n") == 1


@pytest.mark.parametrize("name", list(FLAGS))
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_flag_and_needs_no_config(name: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(never, flag, name=name) == 0
    out, err = capsys.readouterr()
    what = " data | model | lr | runs | report | export | bundle" if name == "look" else ""
    assert err == "" and out.startswith(f"usage: python {name}.py{what} [CONFIG.ini ...] [section.option=value ...]")
    for known, text in FLAGS[name].items():
        assert f"  {known:<15} {text}\n" in out


@pytest.mark.usefixtures("ini")
def test_look_takes_what_is_looked_at_first_and_a_run_where_one_is_taken_away() -> None:
    command = read_command("look", ["bundle", "runs/a", "settings.seed=9", "config.ini"])
    assert command is not None
    assert (command.look, command.runs, command.config_files, command.config.settings.seed) == ("bundle", ("runs/a",), ("config.ini",), 9)
    command = read_command("look", ["data", "--quiet"])
    assert command is not None and (command.look, command.runs, command.quiet) == ("data", (), True)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [([], "nothing"), (["modle"], "'modle' (did you mean model?)"), (["config.ini", "data"], "'config.ini'")],
)
def test_look_says_what_there_is_to_look_at(arguments: list[str], found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_command("look", arguments)
    assert str(caught.value) == f"look.py: expected one of data, model, lr, runs, report, export, bundle, got {found}"


@pytest.mark.usefixtures("ini")
def test_the_printed_config_reads_back_as_the_same_config(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["model.freeze=conv1, layer1", "data.image_size=48, 64", "augmentation.train=Flip(p=0.5)\nBlur()", "hyper_params.lr=3e-4"]
    assert run(never, "config.ini", *overrides, "--print-config") == 0
    out, err = capsys.readouterr()
    assert err == ""
    write_config(Path("printed.ini"), out)
    expected, _ = read_config(["config.ini"], overrides)
    assert read_config(["printed.ini"]) == (expected, [])
    assert expected.augmentation.train is not None and expected.model.freeze == ("conv1", "layer1")


@pytest.mark.usefixtures("ini")
def test_printing_a_config_that_was_printed_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(never, "--print-config")
    first = capsys.readouterr().out
    write_config(Path("printed.ini"), first)
    run(never, "printed.ini", "--print-config")
    assert capsys.readouterr().out == first


def test_a_missing_config_ini_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(never) == 2
    expected = "config.ini: no such file in the current folder; name an INI file, or go to the folder that has one\n"
    assert capsys.readouterr() == ("", expected)


def test_mistakes_are_a_line_each_on_stderr_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\nseeed = 7\ngpu = perhaps\n")
    assert run(never, "config.ini", "split.folds=0") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "config.ini:2 [settings] seeed: unknown option (did you mean seed?)",
        "config.ini:3 [settings] gpu: expected true or false, got 'perhaps'",
        "override split.folds: expected an integer >= 2 and <= 1000, got '0'",
    ]


def test_warnings_go_to_stderr_and_the_job_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[hyper_params]\nepoch = 10,\n")
    done: list[int] = []
    assert run(lambda command: done.append(command.config.hyper_params.epochs)) == 0
    assert done == [10]
    assert capsys.readouterr() == ("", "config.ini:2 [hyper_params] epoch: the comma after '10,' is dropped\n")


@pytest.mark.usefixtures("ini")
def test_a_mistake_that_a_job_finds_in_an_option_gets_the_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    def job(command: Command) -> None:
        raise UserError(
            OptionError("data", "train_csv", "no such file"),
            UserError(OptionError("model", "name", "no such model"), DataError("a.jpg: damaged", "b.jpg: damaged")),
            OptionError("settings", "gpu", "none there"),
        )

    assert run(job, "config.ini", "model.name=resnet") == 2
    assert capsys.readouterr().err.splitlines() == [
        "config.ini:6 [data] train_csv: no such file",
        "override model.name: no such model",
        "a.jpg: damaged",
        "b.jpg: damaged",
        "default [settings] gpu: none there",
    ]


@pytest.mark.usefixtures("ini")
def test_a_file_that_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda command: Path("nowhere/file").write_text("")) == 2  # type: ignore[arg-type]
    assert capsys.readouterr().err == "nowhere/file: No such file or directory\n"


@pytest.mark.usefixtures("ini")
def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def job(command: Command) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run(job) == 2
    assert capsys.readouterr().err == "No space left on device\n"


@pytest.mark.usefixtures("ini")
@pytest.mark.parametrize("error", [ValueError("ours"), OSError("ours"), AssertionError("ours")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    def job(command: Command) -> None:
        raise error

    with pytest.raises(type(error), match=r"^ours$"):
        run(job)


@pytest.mark.usefixtures("ini")
@pytest.mark.parametrize("status", [None, 0, 1, "bye"])
@pytest.mark.parametrize("leave", [sys.exit, exit])
def test_nobody_else_ends_the_script(leave: Callable[..., object], status: int | str | None, capsys: pytest.CaptureFixture[str]) -> None:
    def job(command: Command) -> None:
        leave(status)

    assert run(job) == 2
    line = job.__code__.co_firstlineno + 1
    assert capsys.readouterr().err == f"test_command_line.py:{line} calls sys.exit(), and there is no result; raise an error there\n"


@pytest.mark.usefixtures("ini")
def test_ctrl_c_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    def job(command: Command) -> None:
        raise KeyboardInterrupt

    assert run(job) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.usefixtures("ini")
def test_a_stopped_inference_is_not_told_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    def job(command: Command) -> None:
        raise KeyboardInterrupt

    assert run(job, name="inference") == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.usefixtures("ini")
def test_sigterm_ends_with_143_and_its_handler_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run(lambda command: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err.startswith("stopped")


@pytest.mark.usefixtures("ini")
def test_an_argument_that_is_no_file_says_how_an_override_is_written() -> None:
    with pytest.raises(ConfigError, match=r"^settings: no such INI file; an override is written section\.option=value$"):
        read_command("train", ["settings"])


def test_an_override_whose_value_ends_like_an_ini_is_an_override() -> None:
    Path("config.ini").write_text("[settings]\n", encoding="utf-8")
    command = read_command("train", ["settings.run_name=x.ini"])
    assert command is not None and command.config.settings.run_name == "x.ini"


def test_look_takes_the_names_of_several_runs_beside_files_and_overrides() -> None:
    Path("night.ini").write_text("[settings]\n")
    command = read_command("look", ["bundle", "one", "night.ini", "runs/two", "inference.tta=hflip"])
    assert command is not None
    assert (command.look, command.runs, command.config_files) == ("bundle", ("one", "runs/two"), ("night.ini",))
    assert command.overrides == ("inference.tta=hflip",)
