"""A process of its own for what kills processes, or must not see this one: forked, so that torch is loaded, which takes others seconds."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

INSTALLED = tuple({*sysconfig.get_paths().values(), sys.base_prefix, os.path.realpath(sys.base_prefix)})


@dataclass(frozen=True)
class Done:
    """How it ended. returncode: the exit status, or the negative number of the signal that killed it."""

    returncode: int
    stdout: str
    stderr: str


def run_forked(script: Callable[[], int], seconds: float = 300) -> Done:
    """Calls `script`, which returns an exit status, in a new session, and waits. What it patches stays there.

    After `seconds` it is killed, with all processes that it started.
    """
    outputs = Path("forked.out"), Path("forked.err")
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    process = context.Process(target=_alone, args=(script, 0.9 * seconds, begun.set, *outputs))
    process.start()
    begun.wait(60)
    process.join(seconds)
    if process.is_alive():
        with suppress(ProcessLookupError):
            os.killpg(process.ident or 0, signal.SIGKILL)
        process.join()
    assert process.exitcode is not None
    return Done(process.exitcode, *(output.read_text(encoding="utf-8") for output in outputs))


def forget_what_is_not_installed() -> None:
    """Foldini and the tests' own code, and where they were found: as in a process that starts elsewhere."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and not file.startswith(INSTALLED) and name != __name__:
            del sys.modules[name]
    sys.path[:] = [place for place in sys.path if place.startswith(INSTALLED)]


def run_elsewhere(script: Path, arguments: Sequence[str], folder: Path) -> Done:
    """`python script arguments` in `folder`, without a network, and without this repository in sight."""

    def run() -> int:
        forget_what_is_not_installed()
        sys.path.insert(0, str(script.parent))
        sys.argv = [str(script), *arguments]
        os.chdir(folder)
        for thing, names in ((socket, ("getaddrinfo", "create_connection")), (socket.socket, ("connect", "connect_ex"))):
            for name in names:
                setattr(thing, name, _refuse)
        try:
            runpy.run_path(str(script), run_name="__main__")
            return 0
        finally:
            seen = {str(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
            strange = [file for file in seen if not file.startswith((str(script.parent), *INSTALLED, __file__))]
            assert not strange, strange

    return run_forked(run)


def _refuse(*arguments: object, **keywords: object) -> None:
    raise OSError("the network was asked")


def _alone(script: Callable[[], int], patience: float, say_begun: Callable[[], None], *outputs: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tqdm.set_lock(threading.RLock())  # the one it has is shared by all that are forked here: whoever is killed with it locks out the others
    for number, (name, output) in enumerate(zip(("stdout", "stderr"), outputs, strict=True), 1):
        with open(output, "wb") as file:
            os.dup2(file.fileno(), number)
        setattr(sys, name, open(number, "w", encoding="utf-8", buffering=1, closefd=False))  # noqa: SIM115 - not what pytest listens to
    if patience > 60:  # it is no kill that is meant to come
        faulthandler.dump_traceback_later(patience)
    say_begun()
    sys.exit(script())
