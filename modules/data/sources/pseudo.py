"""Test images as training images: labelled by earlier predictions, as far as those are confident. They are never validated.

Where the models that predicted them saw the rows that a fold validates, its score is a little too good: the labels carry what those
models learnt from it. Labels of their own for each fold are not made here.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.config.errors import DataError, counted, gather, hint, shorten
from modules.config.schema import Data
from modules.data.labels import encode_targets
from modules.data.row_ids import asked_names, split_row_ids
from modules.data.samples import Rows, Samples, Text
from modules.data.sources.csv import groups_of, read_part
from modules.data.sources.extra import append_extra
from modules.data.tables import column_of_ids, read_table
from modules.data.task import VALUED, Targets, Task

MARK = "pseudo:"  # in front of the ids: a test image may have the id of a training image
PROBABILITY = "p:"  # in front of the columns of predictions, as modules/prediction writes them
CONFIDENCE = "confidence"
LOPSIDED = 10  # times as many of the most frequent class as of the rarest are worth a word


def add_pseudo(samples: Samples, test: Samples, data: Data, folder: Path, id_column: str) -> Samples:
    """The samples, and behind them the test images whose label in the table is at least as sure as pseudo_threshold.

    Raises UserError for a table of another form, for ids that are no test image's, and where none is that sure.
    """
    assert data.pseudo_labels is not None
    path = Path(data.pseudo_labels)
    table = read_table(path, "data", "pseudo_labels")
    predicted = [str(name) for name in table.columns if str(name).startswith(PROBABILITY)]
    ids, (targets, confidence) = gather(
        lambda: column_of_ids(table, "id" if predicted else id_column, path),
        lambda: _from_predictions(table, samples.task, predicted, path) if predicted else _from_labels(table, samples.task, data, path),
    )
    row_of = {name: row for row, name in enumerate(test.ids.tolist())}
    unknown = [name for name in ids if name not in row_of]
    if unknown:
        many = counted(len(unknown), "id is", "ids are")
        raise DataError(f"{path}: {many} not in the test set, of {len(ids)}: {shorten(unknown, 3)}{hint(unknown[0], row_of)}")
    sure = np.flatnonzero(confidence >= data.pseudo_threshold)
    if not len(sure):
        raise DataError(
            f"{path}: no confidence is {data.pseudo_threshold:g} (data.pseudo_threshold) or more; the highest is {confidence.max():.6g}"
        )
    taken = test.take(np.array([row_of[ids[row]] for row in sure.tolist()], dtype=np.int64))
    marked = np.array([MARK + name for name in taken.ids.tolist()])
    groups = None if samples.groups is None else _groups(taken, data, folder, id_column, marked)
    more = replace(taken, ids=marked, task=samples.task, targets=targets[sure], groups=groups, extra=None)
    _tell(more, len(ids), data.pseudo_threshold)
    return append_extra(samples, more, path)


def without_taken(test: Samples, samples: Samples) -> Samples:
    """The test set without the images that are training images too."""
    known = set(samples.ids.tolist())
    return test.take(np.array([row for row, name in enumerate(test.ids.tolist()) if MARK + name not in known], dtype=np.int64))


def _from_predictions(table: pd.DataFrame, task: Task, names: list[str], path: Path) -> tuple[Targets, NDArray[np.float64]]:
    """The most probable class of each output, and the smallest of their probabilities; of labels those above .5, and how far from it."""
    if task.kind in VALUED:
        raise DataError(f"{path}: task = {task.kind} predicts values, which tell no confidence; a table of id, label and {CONFIDENCE} does")
    expected = [f"{PROBABILITY}{name}" for name in task.columns]
    apart = [name for name in names if name not in expected] + [name for name in expected if name not in names]
    if apart:
        raise DataError(f"{path}: its classes are not those of the training samples; {shorten(apart)} in one of them only")
    values = np.stack([_shares(table, name, path) for name in expected], axis=1)
    if task.kind == "multilabel":
        return (values >= 0.5).astype(np.float32), np.maximum(values, 1 - values).min(axis=1)
    parts = [values[:, part] for part in task.parts]
    if any(np.abs(part.sum(axis=1) - 1).max() > 1e-3 for part in parts):
        raise DataError(f"{path}: rows of probabilities do not sum to 1; ranks are no confidence, use another [inference] ensemble")
    chosen = np.stack([part.argmax(axis=1) for part in parts], axis=1)
    confidence = np.stack([part.max(axis=1) for part in parts], axis=1).min(axis=1)
    return (chosen if task.kind == "multioutput" else chosen[:, 0]), confidence


def _from_labels(table: pd.DataFrame, task: Task, data: Data, path: Path) -> tuple[Targets, NDArray[np.float64]]:
    if CONFIDENCE not in table.columns:
        advice = f"a column {CONFIDENCE}, or one {PROBABILITY}CLASS a class{hint(CONFIDENCE, map(str, table.columns))}"
        raise DataError(f"{path}: expected {advice}; it has {shorten(table.columns, 12)}")
    return tuple(gather(lambda: encode_targets(table, data, task, path), lambda: _shares(table, CONFIDENCE, path)))


def _shares(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    """(N,) the cells of a column as numbers from 0 to 1. Raises DataError with the lines of others."""
    numbers = pd.to_numeric(table[name].str.strip().replace("", "blank"), errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers <= 1 + 1e-6))).tolist()
    if wrong:
        told = shorten((f"{table[name].iloc[row]!r} in line {table.index[row]}" for row in wrong), 3)
        raise DataError(f"{path}, column '{name}': expected numbers from 0 to 1; {counted(len(wrong), 'cell is', 'cells are')} not: {told}")
    return np.asarray(numbers)


def _groups(taken: Samples, data: Data, folder: Path, id_column: str, marked: Text) -> Text:
    """The groups that the test table, or the pattern, names; without such each image is a group of its own.

    The table may have several rows an image, and the images' ids in another column.
    """
    if data.label_pattern is not None:
        found = [re.search(data.label_pattern, name) for name in taken.ids.tolist()]
        return np.array([match["group"] or mark if match else mark for match, mark in zip(found, marked.tolist(), strict=True)])
    if data.group_column is None or data.test_csv is None:
        return marked
    path = folder / data.test_csv
    table, _ = read_part(path, "test_csv", data, folder)
    if data.group_column not in table.columns:
        return marked
    groups, ids = groups_of(table, data.group_column, path), taken.ids.tolist()
    assert groups is not None
    for name in sorted(table.columns, key=lambda name: bool(name != id_column)):
        rows = split_row_ids(table[name].tolist(), asked_names(taken.task))
        for keys in (table[name].tolist(), [] if rows is None else rows.images):
            group_of = dict(zip(keys, groups.tolist(), strict=False))
            if group_of.keys() >= set(ids):
                return np.array([group_of[each] for each in ids])
    return marked


def _tell(taken: Samples, count: int, threshold: float) -> None:
    """How many are taken; and of which classes, where a class has far more than another."""
    many = counted(len(taken), "test image trains", "test images train")
    line = f"pseudo_labels: {many} too, of {count}: those with a confidence of {threshold:g} or more"
    counts = _count(taken)
    if counts and max(counts.values()) >= LOPSIDED * min(counts.values()):
        line += f"; {shorten((f'{name} {number}' for name, number in counts.items()), 12)}"
    print(line, file=sys.stderr)


def _count(samples: Samples) -> dict[str, int]:
    """Samples a class, the most frequent first; none where an image has not exactly one class."""
    targets: Rows | None = samples.targets
    if targets is None or targets.ndim != 1:
        return {}
    numbers = np.bincount(targets, minlength=len(samples.task.classes))
    return {samples.task.classes[index]: int(numbers[index]) for index in np.argsort(-numbers, kind="stable")}
