"""Rows of numbers on the disk, found by a digest of what they were made of: appended to, never changed, read in place.

What the numbers mean is not known here. A row is there only once it is complete: its numbers are flushed before the index
names it, and a checksum is compared when a process reads it for the first time.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from modules.compute.storage import is_whole, write_sealed
from modules.config.errors import DataError

Numbers = NDArray[Any]
Places = NDArray[np.int64]
KEY_BYTES = 16
NOT_THERE = -1


class RowStore:
    """A folder with `rows.bin`, (rows, numbers) of `dtype`, and `keys.npy`, a key and a checksum a row.

    Several processes may read while one appends: they hold the lock for that. Nothing here is a Python object a row, so
    that worker processes that are forked share all of its memory.
    """

    def __init__(self, path: Path, numbers: int, dtype: str) -> None:
        self.path = path
        self.numbers = numbers
        self.dtype = np.dtype(dtype)
        self.lock = FileLock(path / ".lock")
        self.index = _no_rows()
        self.sorted: tuple[Places, NDArray[np.void]] | None = None  # the rows in the order of their keys, and the keys
        self.rows: Numbers | None = None
        self.compared = np.empty(0, dtype=np.bool_)

    def __getstate__(self) -> tuple[Path, int, str]:
        """A process that is not forked maps the file again, instead of getting a copy."""
        return self.path, self.numbers, self.dtype.name

    def __setstate__(self, state: tuple[Path, int, str]) -> None:
        RowStore.__init__(self, *state)
        if self.path.is_dir():
            self.refresh()

    def refresh(self) -> None:
        """Takes in what other processes have added. Raises DataError where the folder is damaged."""
        path = self.path / "keys.npy"
        try:
            if path.is_file() and not is_whole(path):
                raise self._damaged("keys.npy is not what was written")
            index = np.load(path, allow_pickle=False) if path.is_file() else _no_rows()
        except DataError:
            raise
        except Exception as error:  # numpy reads a header as Python, and takes other files for archives: it may raise anything
            raise self._damaged(f"keys.npy cannot be read ({type(error).__name__})") from None
        if index.dtype != _no_rows().dtype or index.ndim != 1:
            raise self._damaged("keys.npy is of another layout")
        size = self.size_of(len(index))
        if len(index) and (not self._file.is_file() or self._file.stat().st_size < size):
            raise self._damaged(f"rows.bin is shorter than the {size:,} bytes that its index tells of")
        self.index = index
        self.sorted = None
        self.rows = np.asarray(np.memmap(self._file, self.dtype, "r", shape=(len(index), self.numbers))) if len(index) else None
        self.compared = np.zeros(len(index), dtype=np.bool_)

    def find(self, keys: Sequence[bytes]) -> Places:
        """(keys,) the rows that they are in; NOT_THERE for those that are in none."""
        wanted = np.frombuffer(b"".join(keys), dtype=self.index.dtype["key"])
        if not len(self.index):
            return np.full(len(wanted), NOT_THERE, dtype=np.int64)
        if self.sorted is None:
            order = np.argsort(self.index["key"], kind="stable")
            self.sorted = order, self.index["key"][order]
        order, there = self.sorted
        near = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        return np.asarray(np.where(there[near] == wanted, order[near], NOT_THERE), dtype=np.int64)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """The places in `keys` of those that are not there; of equal ones the first."""
        first: dict[bytes, int] = {}
        for number in np.flatnonzero(self.find(keys) == NOT_THERE).tolist():
            first.setdefault(keys[number], number)
        return list(first.values())

    def read(self, rows: Places) -> Numbers:
        """(rows, numbers), in memory. Raises DataError where they are not what was written."""
        assert self.rows is not None
        found = np.ascontiguousarray(self.rows[rows])
        for place in np.flatnonzero(~self.compared[rows]).tolist():
            self._compare(int(rows[place]), found[place])
        return found

    def read_one(self, row: int) -> Numbers:
        """(numbers,) of one row, in memory. Raises DataError likewise."""
        assert self.rows is not None
        found = np.array(self.rows[row])
        if not self.compared[row]:
            self._compare(row, found)
        return found

    def append(self, keys: Sequence[bytes], numbers: Numbers) -> None:
        """Adds rows; the caller holds the lock, and has refreshed under it. A kill leaves the store as it was before, or after."""
        assert numbers.shape == (len(keys), self.numbers) and self.lock.is_locked
        numbers = np.ascontiguousarray(numbers, dtype=self.dtype)
        with open(self._file, "r+b" if self._file.is_file() else "wb") as file:
            file.seek(self.size_of(len(self.index)))  # over what a killed process began
            file.write(numbers.data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        added = np.empty(len(keys), dtype=self.index.dtype)
        added["key"] = [np.void(key) for key in keys]
        added["sum"] = [zlib.crc32(row) for row in numbers]
        index = np.concatenate([self.index, added])
        write_sealed(self.path / "keys.npy", lambda file: np.save(file, index))
        self.refresh()

    def size_of(self, rows: int) -> int:
        """Bytes."""
        return rows * self.numbers * self.dtype.itemsize

    def _compare(self, row: int, numbers: Numbers) -> None:
        if zlib.crc32(numbers.data) != self.index["sum"][row]:
            raise self._damaged(f"row {row} is not what was written")
        self.compared[row] = True

    @property
    def _file(self) -> Path:
        return self.path / "rows.bin"

    def _damaged(self, how: str) -> DataError:
        return DataError(f"{self.path}: damaged: {how}; remove this folder, and what was in it is made again")


def _no_rows() -> NDArray[np.void]:
    return np.empty(0, dtype=[("key", f"V{KEY_BYTES}"), ("sum", "<u4")])
