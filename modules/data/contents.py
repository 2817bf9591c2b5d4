"""What images hold, by digest: found out by reading them, and remembered for as long as their files stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modules.compute.row_store import KEY_BYTES, NOT_THERE, RowStore

FOLDER = "contents"  # of settings.cache_path

Digests = list[bytes | None]


class Contents:
    """Digests of images that have been read before, by their stamp: place, size and times of the file."""

    def __init__(self, folder: Path) -> None:
        self.store = RowStore(folder / FOLDER, KEY_BYTES, "uint8")

    def of(self, stamps: list[bytes]) -> Digests:
        """(stamps,) 16 bytes each; None for an image that was not read since it changed. Raises DataError where damaged."""
        if not self.store.path.is_dir():
            return [None] * len(stamps)
        self.store.refresh()
        places = self.store.find(stamps)
        there = np.flatnonzero(places != NOT_THERE)
        found: Digests = [None] * len(stamps)
        for place, digest in zip(there.tolist(), self.store.read(places[there]) if len(there) else (), strict=True):
            found[place] = digest.tobytes()
        return found

    def remember(self, stamps: list[bytes], digests: list[bytes]) -> None:
        """Raises OSError where that cannot be written, DataError where what is there is damaged."""
        self.store.path.mkdir(parents=True, exist_ok=True)
        with self.store.lock:
            self.store.refresh()
            new = self.store.missing(stamps)
            if new:
                numbers = np.frombuffer(b"".join(digests[place] for place in new), dtype=np.uint8).reshape(len(new), KEY_BYTES)
                self.store.append([stamps[place] for place in new], numbers)
