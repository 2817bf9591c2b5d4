"""What training can be done with, and a person may not have meant: images that are twice there, groups that are torn, colours lost."""

from __future__ import annotations

import numpy as np

from modules.config.errors import DataError, UserError, shorten
from modules.config.schema import Config
from modules.data.duplicates import describe_duplicates
from modules.data.samples import Samples, spread
from modules.data.sources import contest_folder, load_test
from modules.data.splits import Fold, divided, never_trained
from modules.data.task import Task

LOOKED_AT = 8  # images, to see whether they are in colour
COLOURED = 32  # levels of 255 that a pixel's channels differ by


def suspect_images(config: Config, samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """Warnings of images that are the same to the byte, of the test set too, and of colours that the config throws away."""
    return [*describe_duplicates(samples, folds, _test_set(config, samples.task)), *_colours_lost(samples, config.data.channels)]


def suspect_folds(samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """A warning of groups that folds have torn, whose scores are too good; and of labels that a fold cannot learn."""
    torn = [] if samples.groups is None else divided(samples.groups, folds)
    rare, found = never_trained(samples, folds), []
    if torn:
        found.append(f"warning: {len(torn)} groups are in several folds, so that scores are too good: {shorten(torn)}; see [split] method")
    if rare:
        found.append(f"warning: {len(rare)} classes or labels are so rare that a fold trains without any sample of them: {shorten(rare)}")
    return found


def _test_set(config: Config, task: Task) -> Samples | None:
    """The test set, where it is there already: training does not need it."""
    try:
        return load_test(config.data, contest_folder(config.data, config.settings.data_path), task)
    except (UserError, OSError):
        return None


def _colours_lost(samples: Samples, channels: int) -> list[str]:
    """A warning where channels = 1 makes colour photographs grey: a config that was made for other images says so seldom on purpose."""
    if channels != 1:
        return []
    rows = spread(np.arange(len(samples)), LOOKED_AT)
    try:
        coloured = sum(int(np.ptp(samples.images.read(row, 3), axis=-1).max()) > COLOURED for row in rows.tolist())
    except DataError:  # damaged; training tells of it
        return []
    return ["warning: the images are in colour, and data.channels = 1 makes them grey"] if coloured > len(rows) / 2 else []
