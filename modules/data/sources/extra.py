"""More labelled images, whatever the source of the others: they train, and are never validated."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from modules.config.errors import DataError, gather, shorten
from modules.config.schema import Data
from modules.data.images import ImageFiles
from modules.data.labels import encode_targets
from modules.data.samples import Samples
from modules.data.sources.csv import groups_of, named_by_id
from modules.data.tables import column, column_of_ids, read_table


def add_extra(samples: Samples, data: Data, folder: Path, id_column: str) -> Samples:
    """The samples, and behind them the rows of extra_csv, marked as extra.

    Raises UserError for ids that the samples have too, and for labels that they have not: no class comes from here.
    """
    assert data.extra_csv is not None and samples.targets is not None and isinstance(samples.images, ImageFiles)
    path, root = folder / data.extra_csv, folder / (data.extra_images or data.train_images)
    table = read_table(path, "data", "extra_csv")
    ids, targets, groups, names = gather(
        lambda: column_of_ids(table, id_column, path),
        lambda: encode_targets(table, data, samples.task, path),
        lambda: groups_of(table, data.group_column, path),
        lambda: column(table, data.image_column, path, "image_column") if data.image_column else None,
    )
    known = set(samples.ids.tolist())
    twice = [each for each in ids if each in known]
    if twice:
        raise DataError(f"{path}: {len(twice)} ids are those of training samples too: {shorten(twice)}")
    files = named_by_id(data, names or ids, root)
    step = os.path.relpath(os.path.realpath(root), os.path.realpath(samples.images.root))
    files = files if step == "." else np.array([os.path.join(step, file) for file in files.tolist()])
    return replace(
        samples,
        ids=np.concatenate([samples.ids, np.array(ids)]),
        images=replace(samples.images, files=np.concatenate([samples.images.files, files])),
        targets=np.concatenate([samples.targets, targets]),
        groups=None if samples.groups is None else np.concatenate([samples.groups, groups]),
        extra=np.arange(len(samples) + len(ids)) >= len(samples),
    )
