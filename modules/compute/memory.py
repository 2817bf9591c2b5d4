"""How much memory there is for this process, and what becomes of what it frees."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import psutil

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h
KEPT = 2**31 - 1  # bytes that are free at the end of the heap; the most that mallopt takes


def keep_freed_memory() -> bool:
    """Lets what arrays leave behind be used for the next ones, in place of going back to the system; false where that cannot be asked for.

    Else each step of training on a CPU gets its memory anew, and the system clears it, page by page: a tenth of a step's
    time where that was measured (docs/performance.md). The price is memory: where arrays are of very different sizes, pieces
    between them stay unused. GNU's C library only (mallopt(3)); others are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, KEPT))


def available_memory() -> int:
    """Bytes that the machine can give without moving anything to the disk, or a container's limit where that is less.

    What the system holds of files counts as free.
    """
    return min([int(psutil.virtual_memory().available), *(limit for path in CONTAINER_LIMITS if (limit := _read(path)) is not None)])


def peak_memory() -> int:
    """Bytes, the most that this process has held at any time."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes


def _read(path: Path) -> int | None:
    """None where there is no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
