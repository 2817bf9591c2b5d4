"""Whether decoded pixels are kept, by rule and said in a line; and the decoding itself, with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from modules.compute.memory import available_memory
from modules.compute.progress import Follow
from modules.config.errors import OptionError, counted
from modules.config.schema import Config
from modules.data.images import Images
from modules.data.pixel_cache import FOLDER, PixelCache
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Rows
from modules.data.splits import Fold
from modules.jobs.disk import amount, why_not
from modules.jobs.remarks import say
from modules.training.phases import TrainingPhase

SHARE_OF_MEMORY = 0.7  # what the system may keep of files beside what training needs


def choose_pixels(
    config: Config, images: Images, preprocessing: Preprocessing, rows: Rows, passes: int | None, stored: int = 0
) -> tuple[PixelCache, list[str]]:
    """Where the pixels of these rows are kept, or a cache that keeps nothing, and what to tell the person.

    passes: over the images; auto keeps nothing for a single one. None: one, and perhaps others later, as at inference.
    stored: bytes that the run stores besides. Nothing is written.
    Raises OptionError where cache = on cannot be done, with the reason for which auto would leave it.
    """
    nothing = PixelCache(None, images, preprocessing)
    wanted, path = config.data.cache, config.settings.cache_path
    if wanted == "off" or not len(rows) or (wanted == "auto" and passes is not None and passes < 2):
        return nothing, []
    cache = replace(nothing, folder=Path(path))
    missing = cache.missing(rows)
    if not missing:
        return cache, [f"pixels: all {len(rows):,} images are decoded already, {amount(cache.size_of(len(rows)))} in {path}"]
    size, whole = cache.size_of(missing), cache.size_of(len(rows))
    reason = why_not(size, config.settings.cache_limit * 1e9 - stored, path, FOLDER)
    if reason is not None and wanted == "on":
        raise OptionError("data", "cache", f"pixels cannot be kept: {reason}; use auto")
    room = available_memory() * SHARE_OF_MEMORY
    if reason is None and wanted == "auto" and whole > room:
        reason = (
            f"{amount(whole)} would not stay in the {amount(int(room))} of memory that may be used; data.cache = on keeps them on the disk"
        )
    if reason is not None:
        how = "not kept" if passes is None else f"decoded in each of {passes:,} passes"
        return nothing, [f"pixels: {how}: {reason}"]
    height, width, _ = cache.shape
    there = f", {len(rows) - missing:,} others are there" if missing < len(rows) else ""
    return cache, [f"pixels: {counted(missing, 'image')} to decode, once, to {height} x {width}{there}: {amount(size)} in {path}"]


def rows_of(folds: Sequence[Fold]) -> Rows:
    """All that the folds train on or validate."""
    return np.unique(np.concatenate([part for fold in folds for part in (fold.train_rows, fold.valid_rows)]))


def passes_over(phases: Sequence[TrainingPhase], folds: Sequence[Fold]) -> int:
    """How often an image is needed: in each epoch that does not learn from stored features; those need it once."""
    epochs = sum(phase.hyper.epochs for phase in phases if phase.cut is None)
    return epochs * len(folds) + any(phase.cut is not None for phase in phases)


def provide_pixels(config: Config, cache: PixelCache, rows: Rows, follow: Follow) -> None:
    """Decodes what is missing. With cache = auto, a disk that fills up meanwhile is a warning, and the rest is decoded as it is needed.

    Raises DataError that names all images that cannot be read.
    """

    def waiting() -> None:
        say(f"waiting for another process, which decodes images into {config.settings.cache_path}")

    try:
        cache.provide(rows, follow, waiting)
    except OSError as error:
        reason = f"pixels cannot be kept in {config.settings.cache_path}: {error.strerror or error}"
        if config.data.cache == "on":
            raise OptionError("settings", "cache_path", f"{reason}; name another folder, or data.cache = off") from None
        say(f"warning: {reason}; images that are not there are decoded whenever they are needed")
