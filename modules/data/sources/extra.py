"""More labelled images, whatever the source of the others: they train, and are never validated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from modules.config.errors import DataError, counted, gather, shorten
from modules.config.schema import Data
from modules.data.images import join_images
from modules.data.labels import encode_targets
from modules.data.metadata import Floats, encode_metadata
from modules.data.samples import Samples, Text
from modules.data.sources.csv import groups_of, image_files, read_part
from modules.data.sources.folder import groups_in_paths
from modules.data.tables import column, column_of_ids
from modules.data.task import Targets


def add_extra(samples: Samples, data: Data, folder: Path, id_column: str) -> Samples:
    """The samples, and behind them the rows of extra_csv, marked as extra.

    Raises UserError for ids that the samples have too, and for labels that they have not: no class comes from here.
    """
    assert data.extra_csv is not None
    path, root = folder / data.extra_csv, folder / (data.extra_images or data.train_images)
    table, pixels = read_part(path, "extra_csv", data, folder)
    ids, targets, groups, names, metadata = gather(
        lambda: column_of_ids(table, id_column, path),
        lambda: encode_targets(table, data, samples.task, path),
        lambda: groups_of(table, data.group_column, path),
        lambda: column(table, data.image_column, path, "image_column") if data.image_column else None,
        lambda: encode_metadata(table, samples.task.inputs, path),
    )
    images = image_files(data, names or ids, root) if pixels is None else pixels
    if data.label_pattern is not None and samples.groups is not None:
        groups = groups_in_paths(data.label_pattern, names or ids, root)
    more = replace(samples, ids=np.array(ids), images=images, targets=targets, groups=groups, extra=None, metadata=metadata)
    return append_extra(samples, more, path)


def append_extra(samples: Samples, more: Samples, path: Path) -> Samples:
    """The samples, and behind them `more`, marked as extra; `path` is where those come from.

    Raises DataError for ids that the samples have too.
    """
    known = set(samples.ids.tolist())
    twice = [each for each in more.ids.tolist() if each in known]
    if twice:
        raise DataError(f"{path}: {counted(len(twice), 'id is', 'ids are')} of training samples too: {shorten(twice)}")
    before = np.zeros(len(samples), dtype=bool) if samples.extra is None else samples.extra
    return replace(
        samples,
        ids=np.concatenate([samples.ids, more.ids]),
        images=join_images(samples.images, more.images),
        targets=_join_targets(samples, more),
        groups=_join_groups(samples, more),
        extra=np.concatenate([before, np.ones(len(more), dtype=bool)]),
        metadata=_join_metadata(samples, more),
    )


def _join_targets(samples: Samples, more: Samples) -> Targets:
    """Positions in the classes become shares where the others are shares."""
    parts = [samples.targets, more.targets]
    assert parts[0] is not None and parts[1] is not None
    if parts[0].ndim != parts[1].ndim:
        one_hot = np.eye(len(samples.task.classes), dtype=np.float32)
        parts = [one_hot[part] if part is not None and part.ndim == 1 else part for part in parts]
    return np.concatenate([part for part in parts if part is not None])


def _join_groups(samples: Samples, more: Samples) -> Text | None:
    if samples.groups is None:
        return None
    assert more.groups is not None
    return np.concatenate([samples.groups, more.groups])


def _join_metadata(samples: Samples, more: Samples) -> Floats | None:
    if samples.metadata is None:
        return None
    assert more.metadata is not None
    return np.concatenate([samples.metadata, more.metadata])
