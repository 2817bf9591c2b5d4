"""Files that are either the old one or the new one, never half of one; and sealed ones, whose damage is found out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

SEAL = b"\nfoldini sha256 "  # and 32 bytes; readers of zip archives (torch.load) and of .npy files pass over what is behind their content
CHUNK = 1 << 20  # bytes


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Gives `write` a temporary file beside `path`, flushes it to the disk, and renames it to `path`.

    The temporary name is fixed, so that what a kill leaves behind is overwritten, not collected; whoever may write one
    path from two processes holds a lock.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_sealed(path: Path, write: Callable[[Any], object]) -> None:
    """write_atomically, with a digest behind the content. `write` gets an object with `write` and `flush`. Raises OSError."""

    def write_and_seal(file: BinaryIO) -> None:
        sealing = _Sealing(file)
        try:
            write(sealing)
        except Exception:
            if sealing.fault is not None:  # torch.save ends its archive all the same, and fails at that
                raise sealing.fault from None
            raise
        file.write(SEAL + sealing.digest.digest())

    write_atomically(path, write_and_seal)


def is_whole(path: Path) -> bool:
    """Whether a sealed file is, to the bit, what was written. Raises OSError."""
    with open(path, "rb") as file:
        digest = sha256()
        left = os.fstat(file.fileno()).st_size - len(SEAL) - digest.digest_size
        while left > 0:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                return False  # it became shorter while it was read
            digest.update(chunk)
            left -= len(chunk)
        return file.read() == SEAL + digest.digest()


class _Sealing:
    """A file that is written to from its beginning to its end, and the digest of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = sha256()
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        self.file.flush()
