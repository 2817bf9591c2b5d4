"""[data] corrections: a table of labels that are wrong in the contest's own, whose files stay as they are, and what they should be."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.config.errors import DataError, OptionError, counted, gather, hint, shorten
from modules.config.schema import Data
from modules.data.labels import check_numbers, label_sets
from modules.data.samples import Samples
from modules.data.tables import column_of_ids, read_table

TOLD = 3


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
            raise DataError(f"{path}: {counted(len(unknown), 'row is', 'rows are')} of no {what}: {shorten(told, TOLD)}")

    def labels() -> None:
        missing = [name for name in columns if name not in there]
        typed = [f"{name}{hint(name, missing)}" for name in map(str, table.columns) if name not in (key, *there) and hint(name, missing)]
        if typed or not there:
            wanted = f"expected columns of {', '.join(columns)} with what they should be"
            raise OptionError("data", "corrections", f"{path.name}: {wanted}; it has {shorten(typed or table.columns, 12)}")

    gather(keys, labels)
    return table[[key, *there]]


def correct_table(table: pd.DataFrame, data: Data, path: Path, id_column: str) -> pd.DataFrame:
    """The training table with its label columns corrected.

    Raises UserError for a label that no row has, where labels are classes, for cells that are no labels, and for rows that
    would have no class or several, where a column a class has a single 1 in each row.
    """
    names = [name for name in data.label_columns if name in table.columns]
    if id_column not in table.columns or len(names) < len(data.label_columns):
        return table  # what is missing is told by who reads it
    found = read_corrections(path, id_column, names, table[id_column].tolist())
    gather(*(lambda name=name: _check_cells(found, name, table[name].tolist(), data, path) for name in names if name in found.columns))
    corrected = table.copy()
    line_of = dict(zip(table[id_column], table.index, strict=True))
    for _, row in found.iterrows():
        for name in found.columns[1:]:
            if row[name].strip():
                corrected.loc[line_of[row[id_column]], name] = row[name]
    if data.task == "multiclass" and len(names) > 1 and _has_single_ones(table[names]).all():
        known = dict(zip(corrected[id_column], _has_single_ones(corrected[names]), strict=True))
        torn = [f"'{name}' in line {line}" for name, line in zip(found[id_column], found.index, strict=True) if not known[name]]
        if torn:
            advice = f"write 0 or 1 in each of {shorten(names, 12)}"
            raise DataError(f"{path}: {counted(len(torn), 'sample')} would have no class, or several: {shorten(torn, TOLD)}; {advice}")
    changed = (corrected[names] != table[names]).any(axis=1)
    tell_changes(path, int(changed.sum()), len(table), len(found))
    return corrected


def correct_samples(samples: Samples, data: Data, path: Path, id_column: str) -> Samples:
    """The samples with corrected classes: for sources without a table. Raises UserError as `correct_table` does."""
    assert samples.targets is not None
    name = data.label_columns[0]
    found = read_corrections(path, id_column, [name], samples.ids.tolist())
    _check_labels(list(zip(found.index, found[name], strict=True)), name, samples.task.classes, path)
    row_of = {str(each): row for row, each in enumerate(samples.ids)}
    position = {label: index for index, label in enumerate(samples.task.classes)}
    targets = samples.targets.copy()
    for each, label in zip(found[id_column], found[name], strict=True):
        if label.strip():
            targets[row_of[each]] = position[label]
    tell_changes(path, int((targets != samples.targets).sum()), len(samples), len(found))
    return replace(samples, targets=targets)


def tell_changes(path: Path, changed: int, samples: int, rows: int) -> None:
    print(f"{path}: {counted(changed, 'label')} of {samples} changed, by {counted(rows, 'row')}", file=sys.stderr)


def _check_cells(found: pd.DataFrame, name: str, own: list[str], data: Data, path: Path) -> None:
    """own: the cells of that column of the training table."""
    alone = data.task == "multioutput" or len(data.label_columns) == 1
    if data.task == "multilabel" and alone:
        cells = zip(found.index, label_sets(found[name].tolist(), data), strict=True)
        known = {label for cell in label_sets(own, data) for label in cell}
        _check_labels([(line, label) for line, cell in cells for label in cell], name, known, path)
    elif data.task == "regression" or not alone:
        check_numbers(found[name][found[name].str.strip() != ""], data, path)
    else:
        _check_labels(list(zip(found.index, found[name], strict=True)), name, set(own), path)


def _check_labels(found: Sequence[tuple[int, str]], name: str, labels: Collection[str], path: Path) -> None:
    """found: lines and labels."""
    wrong = [(line, label) for line, label in found if label.strip() and label not in labels]
    if wrong:
        told = [f"'{label}' in line {line}{hint(label, labels) if place < TOLD else ''}" for place, (line, label) in enumerate(wrong)]
        raise DataError(f"{path}, column '{name}': {counted(len(wrong), 'label')} that no training sample has: {shorten(told, TOLD)}")


def _has_single_ones(table: pd.DataFrame) -> NDArray[np.bool_]:
    """(N,) whether a row is a single 1 and otherwise 0."""
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy()
    return np.asarray(((values == 1).sum(axis=1) == 1) & ((values == 0).sum(axis=1) == values.shape[1] - 1))
