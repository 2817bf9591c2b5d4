"""Pickles that would run code when they are loaded: each makes a file, or would."""

from __future__ import annotations

import builtins
import code
import ctypes
import functools
import io
import marshal
import operator
import os
import pathlib
import pickle
import pty
import runpy
import shutil
import subprocess
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Call:
    """What pickle calls when it loads this."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced

    def __call__(self) -> None:
        """What is called must look as if it could be; it is never called, but what it is the pickle of."""


def by_calls(target: Path) -> dict[str, Any]:
    """Objects whose pickles call what Python has."""
    name = str(target)
    touch, python = f"touch {name}", f"open({name!r}, 'w').close()"
    script = target.with_suffix(".py")
    script.write_text(python, encoding="utf-8")
    inner = pickle.dumps(Call(os.system, touch))
    array = io.BytesIO()
    np.save(array, np.array([Call(os.system, touch)], dtype=object), allow_pickle=True)
    nested = target.with_suffix(".inner")
    torch.save({"a": Call(os.system, touch)}, nested)
    return {
        "os.system": Call(os.system, touch),
        "os.popen": Call(os.popen, touch),
        "os.mkdir": Call(os.mkdir, name),
        "os.open": Call(os.open, name, os.O_CREAT | os.O_WRONLY),
        "os.posix_spawn": Call(os.posix_spawn, "/bin/sh", ["sh", "-c", touch], {}),
        "pty.spawn": Call(pty.spawn, ["sh", "-c", touch]),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", name]),
        "subprocess.call": Call(subprocess.call, touch, 0, None, None, None, None, None, True, True),
        "subprocess.getoutput": Call(subprocess.getoutput, touch),
        "builtins.eval": Call(builtins.eval, python),
        "builtins.exec": Call(builtins.exec, python),
        "builtins.open": Call(builtins.open, name, "w"),
        "builtins.getattr": Call(Call(builtins.getattr, Call(builtins.__import__, "os"), "system"), touch),
        "pathlib.Path.touch": Call(pathlib.Path.touch, target),
        "io.FileIO": Call(io.FileIO, name, "w"),
        "shutil.copy": Call(shutil.copy, str(script), name),
        "runpy.run_path": Call(runpy.run_path, str(script)),
        "timeit.timeit": Call(timeit.timeit, python, "pass", timeit.default_timer, 1),
        "code.InteractiveInterpreter": Call(operator.methodcaller("runsource", python), Call(code.InteractiveInterpreter)),
        "functools.partial": Call(functools.partial(os.system, touch)),
        "functools.reduce": Call(functools.reduce, os.open, [name, os.O_CREAT]),
        "marshal.loads": Call(builtins.exec, Call(marshal.loads, marshal.dumps(compile(python, "<pickle>", "exec")))),
        "ctypes": Call(Call(operator.attrgetter("system"), Call(ctypes.CDLL, None)), touch.encode()),
        "map": Call(list, Call(map, os.system, [touch])),
        "pickle.loads": Call(pickle.loads, inner),
        "numpy.load": Call(functools.partial(np.load, allow_pickle=True), Call(io.BytesIO, array.getvalue())),
        "torch.load": Call(functools.partial(torch.load, weights_only=False), str(nested)),
    }


def by_opcodes(target: Path) -> dict[str, bytes]:
    """Pickles written by hand, with opcodes that Python itself writes no more."""
    touch = f"touch {target}".encode()
    short = b"\x8c" + bytes([len(touch)]) + touch if len(touch) < 256 else b"X" + len(touch).to_bytes(4, "little") + touch
    return {
        "INST": b"(S'" + touch + b"'\ninos\nsystem\n.".replace(b"inos", b"ios"),
        "OBJ": b"(cos\nsystem\n" + b"X" + len(touch).to_bytes(4, "little") + touch + b"o.",
        "GLOBAL": b"cposix\nsystem\n(" + b"X" + len(touch).to_bytes(4, "little") + touch + b"tR.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + short + b"\x85R.",
    }


def live(made: bytes, target: Path) -> bool:
    """Whether it does what it is for, where nothing hinders it. The file is gone again afterwards."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            pickle.loads(made)  # noqa: S301 - to show that the tests could fail
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for _ in range(100):
        if target.exists():
            target.rmdir() if target.is_dir() else target.unlink()
            return True
        time.sleep(0.02)
    return False


def all_pickles(target: Path) -> dict[str, bytes]:
    return {**{name: pickle.dumps(each) for name, each in by_calls(target).items()}, **by_opcodes(target)}
