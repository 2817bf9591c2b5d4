"""Thumbnails of all images: whether making them is worth its time, by rule; made once, and kept in settings.cache_path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from modules.compute.row_store import RowStore
from modules.config.errors import DataError
from modules.config.schema import Config
from modules.data.images import Images
from modules.data.near_duplicates import NONE, SIDE, Pairs, find_near_duplicates, make_thumbnail
from modules.data.pixels import Pixels

FOLDER = "thumbnails-1"  # of settings.cache_path; another number where thumbnails are made in another way
AN_IMAGE, BYTES_A_SECOND = 0.4e-3, 50e6  # measured: one core, photos and small images; docs/checks.md
WORTH = 60.0  # seconds of one core that auto spends
KEPT_FROM = 2.0  # seconds; what takes less is made anew each time
AT_ONCE = 1024  # images; a kill costs so many at most


def look_for_near_duplicates(config: Config, parts: Sequence[Images], quiet: bool) -> tuple[Pairs, list[str]]:
    """The pairs among the images of all parts, one after another, as far as [data] near_duplicates says; and what to tell the person."""
    choice, settings = config.data.near_duplicates, config.settings
    if choice == "off" or (choice == "auto" and settings.debug):
        return NONE, []
    try:
        thumbnails = Thumbnails(Path(settings.cache_path), parts)
        seconds = thumbnails.seconds()
        if choice == "auto" and seconds > WORTH:
            what = f"looking at {len(thumbnails.missing):,} images would take about {seconds / 60:.0f} minutes of one core"
            return NONE, [f"near-duplicate images are not looked for: {what}; data.near_duplicates = on does it, once for all runs"]
        keep = seconds >= KEPT_FROM and thumbnails.size() <= settings.cache_limit * 1e9
        return find_near_duplicates(thumbnails.make(keep, quiet or not config.logging.progress or None)), []
    except DataError as error:
        return NONE, [f"warning: near-duplicate images are not looked for: {error}"]
    except OSError as error:
        reason = f"thumbnails cannot be kept in {settings.cache_path}: {error.strerror or error}"
        return NONE, [f"warning: near-duplicate images are not looked for: {reason}; see settings.cache_path"]


class Thumbnails:
    """Those of the images of all parts, one after another; `missing`: the places of those that are not in the cache `folder` yet.

    Raises DataError where what is there is damaged, OSError where it cannot be read.
    """

    def __init__(self, folder: Path, parts: Sequence[Images]) -> None:
        self.parts = parts
        self.places = [(images, row) for images in parts for row in range(len(images))]
        self.keys = [images.stamp(row) for images, row in self.places]
        self.store = RowStore(folder / FOLDER, SIDE * SIDE, "uint8")
        if self.store.path.is_dir():
            self.store.refresh()
        self.missing = self.store.missing(self.keys)

    def seconds(self) -> float:
        """What making the missing ones is about to take on one core. By rule, so that it is the same everywhere."""
        sizes = np.concatenate([images.sizes() for images in self.parts])
        return float(len(self.missing) * AN_IMAGE + np.maximum(sizes[self.missing], 0).sum() / BYTES_A_SECOND)

    def size(self) -> int:
        """Bytes of the missing ones, on the disk."""
        return self.store.size_of(len(self.missing))

    def make(self, keep: bool, hidden: bool | None) -> Pixels:
        """(N, SIDE, SIDE). hidden: no bar; None: where the output is no terminal.

        keep: in the cache too. Raises OSError where that cannot be written, DataError where it is damaged.
        """
        if not keep and self.missing:
            return np.concatenate([pixels for _, pixels in self._made(range(len(self.places)), hidden)])
        self.store.path.mkdir(parents=True, exist_ok=True)
        with self.store.lock:
            self.store.refresh()
            self.missing = self.store.missing(self.keys)
            for keys, pixels in self._made(self.missing, hidden):
                self.store.append(keys, pixels.reshape(len(pixels), -1))
        return np.asarray(self.store.read(self.store.find(self.keys)), dtype=np.uint8).reshape(-1, SIDE, SIDE)

    def _made(self, places: Sequence[int], hidden: bool | None) -> Iterator[tuple[list[bytes], Pixels]]:
        """Keys and thumbnails, some at a time."""
        bar = tqdm(total=len(places), desc="looking for copies", unit="image", leave=False, disable=hidden)
        with bar, ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for start in range(0, len(places), AT_ONCE):
                part = places[start : start + AT_ONCE]
                pixels = []
                for thumbnail in pool.map(lambda place: make_thumbnail(*self.places[place]), part):
                    pixels.append(thumbnail)
                    bar.update()
                yield [self.keys[place] for place in part], np.stack(pixels)
