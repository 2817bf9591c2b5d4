"""[data] corrections: a table of labels that are wrong in the contest's own, whose files stay as they are, and what they should be."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from modules.config.errors import DataError, OptionError, gather, hint, shorten
from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.tables import column_of_ids, read_table

TOLD = 3
OPEN = ("regression", "multilabel")  # tasks in which a cell may say what no other cell says


def read_corrections(path: Path, key: str, columns: Sequence[str], known: Collection[str], what: str = "training sample") -> pd.DataFrame:
    """The table: its key column, each key once and one of `known`, and those of `columns` that it has; blank cells change nothing.

    Raises UserError for a table without any of the columns, and for keys that are unknown, with the nearest.
    """
    table = read_table(path, "data", "corrections")
    there = [name for name in columns if name in table.columns]

    def keys() -> None:
        names = column_of_ids(table, key, path, "corrections")
        of = set(known)
        unknown = [name for name in names if name not in of]
        if unknown:
            told = [f"'{name}'{hint(name, known)}" for name in unknown[:TOLD]] + unknown[TOLD:]
            raise DataError(f"{path}: {len(unknown)} rows are of no {what}: {shorten(told, TOLD)}")

    def labels() -> None:
        missing = [name for name in columns if name not in there]
        typed = [f"{name}{hint(name, missing)}" for name in map(str, table.columns) if name not in (key, *there) and hint(name, missing)]
        if typed or not there:
            wanted = f"expected columns of {', '.join(columns)} with what they should be"
            raise OptionError("data", "corrections", f"{path.name}: {wanted}; it has {shorten(typed or table.columns, 12)}")

    gather(keys, labels)
    return table[[key, *there]]


def correct_table(table: pd.DataFrame, data: Data, path: Path, id_column: str) -> pd.DataFrame:
    """The training table with its label columns corrected. Raises UserError for a label that no row has, where labels are classes."""
    names = [name for name in data.label_columns if name in table.columns]
    if id_column not in table.columns or len(names) < len(data.label_columns):
        return table  # what is missing is told by who reads it
    found = read_corrections(path, id_column, names, table[id_column].tolist())
    if data.task not in OPEN and (data.task == "multioutput" or len(names) == 1):
        gather(*(lambda name=name: _check_labels(found, name, set(table[name]), path) for name in names if name in found.columns))
    corrected = table.copy()
    line_of = dict(zip(table[id_column], table.index, strict=True))
    for _, row in found.iterrows():
        for name in found.columns[1:]:
            if row[name].strip():
                corrected.loc[line_of[row[id_column]], name] = row[name]
    changed = (corrected[names] != table[names]).any(axis=1)
    tell_changes(path, int(changed.sum()), len(table), len(found))
    return corrected


def correct_samples(samples: Samples, data: Data, path: Path, id_column: str) -> Samples:
    """The samples with corrected classes: for sources without a table. Raises UserError as `correct_table` does."""
    assert samples.targets is not None
    name = data.label_columns[0]
    found = read_corrections(path, id_column, [name], samples.ids.tolist())
    _check_labels(found, name, samples.task.classes, path)
    row_of = {str(each): row for row, each in enumerate(samples.ids)}
    position = {label: index for index, label in enumerate(samples.task.classes)}
    targets = samples.targets.copy()
    for each, label in zip(found[id_column], found[name], strict=True):
        if label.strip():
            targets[row_of[each]] = position[label]
    tell_changes(path, int((targets != samples.targets).sum()), len(samples), len(found))
    return replace(samples, targets=targets)


def tell_changes(path: Path, changed: int, samples: int, rows: int) -> None:
    print(f"{path}: {changed} of {samples} labels changed, by {rows} rows", file=sys.stderr)


def _check_labels(found: pd.DataFrame, name: str, labels: Collection[str], path: Path) -> None:
    wrong = [(line, label) for line, label in zip(found.index, found[name], strict=True) if label.strip() and label not in labels]
    if wrong:
        told = [f"'{label}' in line {line}{hint(label, labels) if place < TOLD else ''}" for place, (line, label) in enumerate(wrong)]
        raise DataError(f"{path}, column '{name}': {len(wrong)} labels that no training sample has: {shorten(told, TOLD)}")
