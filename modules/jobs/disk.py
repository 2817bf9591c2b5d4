"""Whether there is room in settings.cache_path, and how an amount of bytes is told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def why_not(size: int, limit: float, folder: str, part: str) -> str | None:
    """Why so many bytes are not to be added to that part of the cache in `folder`, as a phrase, or None. limit: in bytes."""
    free = shutil.disk_usage(_existing(folder, part)).free
    if size > limit:
        return f"{amount(size)} are more than the {amount(max(0, int(limit)))} that settings.cache_limit leaves"
    if not is_writable(folder, part):
        return f"settings.cache_path, {folder}, cannot be written to"
    return f"{amount(size)} are more than the {amount(free)} that are free in {folder}" if size > free else None


def is_writable(folder: str, part: str) -> bool:
    """Whether files can be made there, or the folder be made where it is not there yet."""
    existing = _existing(folder, part)
    return existing.is_dir() and os.access(existing, os.W_OK)


def amount(count: int) -> str:
    """Of bytes."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{max(1, round(count / 1e3))} kB"


def _existing(folder: str, part: str) -> Path:
    """Where that part is, or as much of the way there as there is already."""
    path = Path(folder, part).absolute()
    return next(each for each in (path, *path.parents) if each.exists())
