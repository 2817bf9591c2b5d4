"""What training can be done with, and a person may not have meant: images that are twice there, groups that are torn or that nobody
named, colours lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modules.compute.storage import write_text
from modules.config.errors import DataError, UserError, counted, shorten
from modules.config.schema import Config
from modules.data.copies import Copies, find_copies
from modules.data.duplicates import describe_duplicates, number_contents
from modules.data.hidden_groups import describe_hidden_groups
from modules.data.samples import Samples, spread
from modules.data.sources import contest_folder, load_test, without_taken
from modules.data.splits import Fold, divided, never_trained
from modules.jobs.thumbnails import look_for_near_duplicates
from modules.prediction.predictions import tell, to_csv

LOOKED_AT = 8  # images, to see whether they are in colour
COLOURED = 32  # levels of 255 that a pixel's channels differ by


def suspect_images(config: Config, samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """Warnings of images that are the same to the byte, of the test set too, and of colours that the config throws away."""
    return [*describe_duplicates(samples, folds, _test_set(config, samples)), *_colours_lost(samples, config.data.channels)]


def find_all_copies(config: Config, samples: Samples, folds: tuple[Fold, ...], quiet: bool) -> tuple[Copies, list[str]]:
    """Images that are the same to the byte and, where [data] near_duplicates has them looked for, nearly; and why not, in a line."""
    test = _test_set(config, samples)
    parts = [samples.images] if test is None else [samples.images, test.images]
    near, lines = look_for_near_duplicates(config, parts, quiet)
    return find_copies(samples, test, folds, number_contents(*parts), near), lines


def suspect_copies(config: Config, samples: Samples, folds: tuple[Fold, ...], file: Path, quiet: bool) -> list[str]:
    """Warnings of images that are nearly the same. All pairs, those that are the same to the byte too, are written to `file`."""
    copies, lines = find_all_copies(config, samples, folds, quiet)
    if len(copies.pairs):
        write_text(file, to_csv(copies.table(labels_of(samples))))
    return [*lines, *copies.describe(labels_of(samples), str(file))]


def suspect_folds(samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """A warning of groups that folds have torn, whose scores are too good; and of labels that a fold cannot learn."""
    torn = [] if samples.groups is None else divided(samples.groups, folds)
    rare, found = never_trained(samples, folds), []
    if torn:
        many = counted(len(torn), "group is", "groups are")
        found.append(f"warning: {many} in several folds, so that scores are too good: {shorten(torn)}; see [split] method")
    if rare:
        many = counted(len(rare), "class or label is", "classes or labels are")
        found.append(f"warning: {many} so rare that a fold trains without any sample: {shorten(rare)}")
    return found


def suspect_ids(config: Config, samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """A warning of ids, or else names of images, that begin with what looks like a group that folds tear and nobody named."""
    if samples.groups is not None or config.split.method in ("predefined", "none"):
        return []
    labels = labels_of(samples)
    names = [samples.images.name(row) for row in range(len(samples))]
    for what, texts in (("ids", samples.ids.tolist()), ("names of images", names)):
        if found := describe_hidden_groups(what, texts, labels, folds):
            return [f"warning: {found}; {_how_to_group(config)}"]
    return []


def labels_of(samples: Samples) -> list[str]:
    """(N,) each sample's label, as a cell of a table."""
    assert samples.targets is not None
    columns = tell("label", samples.task, samples.targets).values()
    return [", ".join(cells) for cells in zip(*columns, strict=True)]


def _how_to_group(config: Config) -> str:
    if config.data.source in ("csv", "digits"):
        return "if images of one belong together, make it a column of train_csv and name that in [data] group_column"
    if config.data.source == "folder":
        return "if images of one belong together, let [data] label_pattern have a part named group, (?P<group>...), that finds it"
    return "if images of one belong together, make a table with source = csv, and name its column in [data] group_column"


def _test_set(config: Config, samples: Samples) -> Samples | None:
    """The test set, where it is there already: training does not need it. Without images that pseudo labels let train."""
    try:
        return without_taken(load_test(config.data, contest_folder(config.data, config.settings.data_path), samples.task), samples)
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
