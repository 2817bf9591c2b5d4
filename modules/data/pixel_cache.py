"""Decoded pixels, kept on the disk: each image is decoded and resized once, for all folds, epochs, workers, runs and inference.

A row is found by the image's content, in a folder whose name is a digest of all else that its pixels depend on: the rule for
decoding and resizing, the size, the decoder's version. What is not there is decoded whenever it is asked for, to the same bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import Timeout
from PIL import __version__ as pillow
from PIL import features

from modules.compute.progress import Follow
from modules.compute.row_store import NOT_THERE, RowStore
from modules.config.errors import DataError
from modules.data.contents import Contents, Digests
from modules.data.images import Images, refuse_images
from modules.data.pixels import Pixels, resize_image
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Rows

FOLDER = "pixels"  # of settings.cache_path
LAYOUT = 3  # of what is stored, and the rule by which files become pixels: another number, and nothing stored before is found
HELD_BYTES, HELD_SECONDS = 2**26, 5.0  # of pixels that wait to be written, and of work: what a kill costs
AT_ONCE = 64  # images that threads are given


@dataclass(frozen=True)
class PixelCache:
    """The way of these images to pixels of one size, by the disk where there is a `folder`: settings.cache_path."""

    folder: Path | None
    images: Images
    preprocessing: Preprocessing

    def open(self) -> StoredPixels:
        """What reads them, by now. Raises DataError where what is on the disk is damaged."""
        return StoredPixels(self, *self._look_up(np.arange(len(self.images))))

    def missing(self, rows: Rows) -> int:
        """How many of these images are not kept yet, as far as can be said without reading them."""
        _, places = self._look_up(rows)
        return int((places == NOT_THERE).sum())

    def provide(self, rows: Rows, follow: Follow, waiting: Callable[[], None]) -> None:
        """Decodes those of the rows that are not there yet, in parallel; nothing where there is no folder.

        `follow` is told of images, and of how many there will be; `waiting` before this waits for another process, which
        decodes too. A kill loses what was not written yet. Raises DataError that names all images that cannot be read, once
        the others are kept; OSError where they cannot be.
        """
        if self.folder is None or not self.missing(rows):  # what is complete may be in a folder that cannot be written to
            return
        store, contents = self._store(), Contents(self.folder)
        store.path.mkdir(parents=True, exist_ok=True)
        _acquire(store, waiting)
        try:
            store.refresh()
            stamps = [self.images.stamp(row) for row in rows.tolist()]
            known = contents.of(stamps)
            missing = np.flatnonzero(_find(store, known) == NOT_THERE)
            builder = _Builder(self, store, contents)
            with closing(builder.build([(int(rows[place]), stamps[place], known[place]) for place in missing])) as work:
                for _ in follow(work, len(missing), "decoding") if len(missing) else ():
                    pass
            refuse_images(builder.faults)
        finally:
            store.lock.release()

    def decode(self, row: int) -> Pixels:
        """(height, width, channels) of `preprocessing.stored`, from the file."""
        pixels = self.images.read(row, self.preprocessing.channels)
        return resize_image(pixels, self.preprocessing.stored, self.preprocessing.resize)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.preprocessing.stored, self.preprocessing.channels)

    def size_of(self, images: int) -> int:
        """Bytes."""
        return images * int(np.prod(self.shape))

    def _look_up(self, rows: Rows) -> tuple[RowStore | None, Rows]:
        """The store, where there is one, and the rows of it that these images are in."""
        if self.folder is None or not (store := self._store()).path.is_dir():
            return None, np.full(len(rows), NOT_THERE, dtype=np.int64)
        store.refresh()
        return store, _find(store, Contents(self.folder).of([self.images.stamp(row) for row in rows.tolist()]))

    def _store(self) -> RowStore:
        way = (self.shape, self.preprocessing.resize, LAYOUT)
        versions = (cv2.__version__, pillow, features.version("jpg"), features.version("zlib"), features.version("webp"))
        name = sha256(repr((way, versions)).encode()).hexdigest()[:32]
        return RowStore((self.folder or Path()) / FOLDER / name, self.size_of(1), "uint8")


@dataclass(frozen=True)
class StoredPixels:
    """places: (images,) the rows of `store` that they are in; NOT_THERE: decoded when it is asked for."""

    cache: PixelCache
    store: RowStore | None
    places: Rows

    def read(self, row: int) -> Pixels:
        """(height, width, channels) uint8 of `preprocessing.stored`. Raises DataError."""
        place = self.places[row]
        if self.store is None or place == NOT_THERE:
            return self.cache.decode(row)
        return self.store.read_one(int(place)).reshape(self.cache.shape)

    def read_all(self, rows: Sequence[int], threads: int) -> list[Pixels]:
        """`read` of each; those that are not there are decoded by so many threads."""
        wanted = [row for row in rows if self.store is None or self.places[row] == NOT_THERE]
        if threads < 2 or len(wanted) < 2:
            return [self.read(row) for row in rows]
        with ThreadPoolExecutor(max_workers=threads) as pool:
            decoded = dict(zip(wanted, pool.map(self.cache.decode, wanted), strict=True))
        return [decoded[row] if row in decoded else self.read(row) for row in rows]


class _Made(NamedTuple):
    """One image, decoded: pixels are None where others of the same content are there, `fault` is what is wrong with it."""

    stamp: bytes
    digest: bytes | None
    pixels: Pixels | None = None
    fault: DataError | None = None


class _Builder:
    """Puts images that are missing into the store; the caller holds its lock. faults: of those that cannot be read."""

    def __init__(self, cache: PixelCache, store: RowStore, contents: Contents) -> None:
        self.cache, self.store, self.contents = cache, store, contents
        self.faults: list[DataError] = []

    def build(self, wanted: list[tuple[int, bytes, bytes | None]]) -> Generator[int, None, None]:
        """Of each image its row, its stamp, and the content of what has that stamp where it is known. Yields how many are made.

        They are written now and then, and also where this is closed before its end, as Ctrl-C does.
        """
        made: list[_Made] = []
        at_once = max(1, min(AT_ONCE, HELD_BYTES // self.store.size_of(1)))
        pool, written = ThreadPoolExecutor(max_workers=os.cpu_count() or 1), time.monotonic()
        try:
            for start in range(0, len(wanted), at_once):
                for number, each in enumerate(pool.map(lambda one: self._make(*one), wanted[start : start + at_once])):
                    made.append(each)
                    yield start + number + 1
                if self.store.size_of(len(made) + at_once) > HELD_BYTES or time.monotonic() - written >= HELD_SECONDS:
                    due, made, written = made, [], time.monotonic()  # what cannot be written is not tried again below
                    self._keep(due)
        finally:
            try:
                pool.shutdown(cancel_futures=True)
            finally:  # a second Ctrl-C comes while those that are being decoded are waited for
                self._keep(made)

    def _make(self, row: int, looked_up: bytes, digest: bytes | None) -> _Made:
        images = self.cache.images
        stamp = images.stamp(row)
        if stamp != looked_up:  # it changed while others were decoded, or while this waited: the content is that of before
            digest = None
        try:
            digest = digest or images.digest(row)
            if digest is not None and _find(self.store, [digest])[0] != NOT_THERE:
                return _Made(stamp, digest)
            pixels = self.cache.decode(row)
        except DataError as error:
            return _Made(stamp, None, fault=error)
        if digest is None or images.stamp(row) != stamp:
            return _Made(stamp, None, fault=DataError(f"{images.name(row)}: changed while it was read"))
        return _Made(stamp, digest, pixels)

    def _keep(self, made: list[_Made]) -> None:
        """Pixels first: a content that is known and has none is decoded again."""
        self.faults.extend(each.fault for each in made if each.fault is not None)
        new = {each.digest: each.pixels for each in made if each.digest is not None and each.pixels is not None}
        if new:
            self.store.append([digest for digest in new if digest], np.stack([pixels.reshape(-1) for pixels in new.values()]))
        good = [(each.stamp, each.digest) for each in made if each.digest is not None]
        if good:
            self.contents.remember([stamp for stamp, _ in good], [digest for _, digest in good])


def _find(store: RowStore, digests: Digests) -> Rows:
    """(digests,) the rows that they are in; NOT_THERE for those that are in none, and for None."""
    known = [place for place, digest in enumerate(digests) if digest is not None]
    found = np.full(len(digests), NOT_THERE, dtype=np.int64)
    found[known] = store.find([digest for digest in digests if digest is not None])
    return found


def _acquire(store: RowStore, waiting: Callable[[], None]) -> None:
    try:
        store.lock.acquire(timeout=0.5)
    except Timeout:
        waiting()
        store.lock.acquire()
