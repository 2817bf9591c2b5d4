"""A disk that fails at one step: what Python writes below a folder is counted, and at that step there is a fault."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTS = ("full", "broken", "read-only", "killed")
ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS}
CHANGES = {"mkdir": 1, "unlink": 1, "rmdir": 1, "replace": 2, "rename": 2, "link": 2}  # of os: how many paths each takes


class Disk:
    """steps: what was done, in order: `write runs/a/fold0/.best.pt.tmp`. Of one file's writes the 1st, 2nd, 4th, 8th and so on.

    at, fault: the step of that number fails. A full disk goes on refusing what needs room, one that is read-only refuses
    everything, one that is broken fails once, and a kill comes in the middle of a write.
    """

    def __init__(self, folder: Path, at: int | None = None, fault: str = "") -> None:
        self.folder = os.path.realpath(folder)
        self.at, self.fault = at, fault
        self.steps: list[str] = []
        self.failed = False
        self.real_open = builtins.open

    def install(self) -> None:
        """For good: in a process of its own."""
        builtins.open = io.open = self._open  # type: ignore[assignment]
        for name, paths in CHANGES.items():
            setattr(os, name, self._counted(name, getattr(os, name), paths))
        os.fsync = self._fsync  # type: ignore[assignment]

    def step(self, what: str, path: Any, half: Callable[[], object] = lambda: None) -> None:
        """Raises OSError, or ends the process, where that is due. half: does a part of the step first."""
        name = self._inside(path)
        if name is None:
            return
        due = len(self.steps) == self.at
        self.steps.append(f"{what} {name}")
        if due:
            self.failed = True
            half()
            if self.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        if due or (self.failed and (self.fault == "read-only" or (self.fault == "full" and what not in ("unlink", "rmdir", "fsync")))):
            raise OSError(ERRORS[self.fault], os.strerror(ERRORS[self.fault]), str(path))

    def _inside(self, path: Any) -> str | None:
        if isinstance(path, int):
            return None
        name = os.path.realpath(os.path.dirname(os.fspath(path)) or ".") + "/" + os.path.basename(os.fspath(path))
        return name.removeprefix(f"{self.folder}/") if name.startswith(f"{self.folder}/") else None

    def _open(self, file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if isinstance(file, int) or not set("wax+") & set(mode) or self._inside(file) is None:
            return self.real_open(file, mode, *more, **named)
        self.step("open", file)
        return Writing(self.real_open(file, mode, *more, **named), file, self)

    def _fsync(self, number: int) -> None:
        """The descriptor's file; nothing waits for the disk."""
        self.step("fsync", os.readlink(f"/proc/self/fd/{number}"))

    def _counted(self, name: str, real: Callable[..., Any], paths: int) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            if named.get("dir_fd") is None:
                self.step(name, given[paths - 1])
            return real(*given, **named)

        return counted


class Writing:
    """An open file whose writes are steps."""

    def __init__(self, file: Any, path: Any, disk: Disk) -> None:
        self.file, self.path, self.disk, self.writes = file, path, disk, 0

    def write(self, data: Any) -> Any:
        self.writes += 1
        if self.writes & (self.writes - 1) == 0:
            self.disk.step("write", self.path, lambda: self._write_half(data if isinstance(data, str) else bytes(data)))
        return self.file.write(data)

    def _write_half(self, data: str | bytes) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
