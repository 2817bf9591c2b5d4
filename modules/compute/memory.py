"""How much memory there is for this process."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_memory() -> int:
    """Bytes that the machine can give without moving anything to the disk, or a container's limit where that is less.

    What the system holds of files counts as free.
    """
    return min([int(psutil.virtual_memory().available), *(limit for path in CONTAINER_LIMITS if (limit := _read(path)) is not None)])


def _read(path: Path) -> int | None:
    """None where there is no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
