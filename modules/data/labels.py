"""The label columns of a table to a Task and its targets; every source with a table reads its labels here."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.config.errors import DataError, OptionError, counted, gather, hint, shorten
from modules.config.schema import Data
from modules.data.samples import encode_labels
from modules.data.tables import column
from modules.data.task import Output, Scale, Targets, Task, classification

SEPARATORS = {"space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
LARGEST = 2**53  # whole numbers up to it are exact in 64 bits
FINEST = 100  # steps of a 32-bit number that a standard deviation must have, or what is learnt is rounding
ONE = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "true": 1.0, "false": 0.0}


def read_task(table: pd.DataFrame, data: Data, path: Path) -> tuple[Task, Targets]:
    """What [data] task asks of the table's label columns, and their (N, ...) targets.

    Raises UserError for columns that are not there, and with line numbers for cells that are no labels.
    """
    names = data.label_columns
    columns = gather(*(lambda name=name: column(table, name, path, "label_columns") for name in names))
    lines, where = table.index, f"{path}, column '{names[0]}'"
    if data.task == "regression":
        return _read_numbers(columns, names, data, lines, path)
    if data.task == "multioutput":
        read = gather(
            *(
                lambda name=name, cells=cells: encode_labels(cells, lines, f"{path}, column '{name}'")
                for name, cells in zip(names, columns, strict=True)
            )
        )
        outputs = tuple(Output(name, classes) for name, (classes, _) in zip(names, read, strict=True))
        task = Task("multioutput", outputs)
        twice = sorted({name for name in task.columns if task.columns.count(name) > 1})
        if twice:
            raise DataError(
                f"{path}: COLUMN:CLASS names {shorten(map(repr, twice))} twice; rename a column of label_columns, or its classes"
            )
        return task, np.stack([targets for _, targets in read], axis=1)
    if data.task == "multilabel":
        if len(names) > 1:
            return Task("multilabel", (Output("labels", names),)), _read_zeros_and_ones(columns, names, lines, path)
        found = label_sets(columns[0], data)
        if max(map(len, found), default=0) < 2:
            advice = f"is label_separator = {data.label_separator} what stands between them?"
            print(f"warning: {where}: no cell holds several labels; {advice}", file=sys.stderr)
        labels = [name for cell in found for name in cell]
        classes = encode_labels(labels, range(len(labels)), where)[0] if labels else ()
        if len(classes) < 2:
            raise DataError(f"{where}: expected two labels or more, found only {shorten(classes) or 'none'}")
        task = Task("multilabel", (Output(names[0], classes),))
        return task, encode_targets(table, data, task, path)
    if len(names) > 1:
        return classification("class", names), _read_shares(columns, names, lines, path)
    classes, targets = encode_labels(columns[0], lines, where)
    if data.task == "ordinal":
        return _in_order(classes, names[0], targets, where), targets
    return name_classes(data, names[0], classes, where), targets


def encode_targets(
    table: pd.DataFrame, data: Data, task: Task, path: Path, section: str = "data", option: str = "label_columns"
) -> Targets:
    """The targets of another table with labels of the same task, such as extra_csv or the answers.

    Raises UserError for columns that are not there, and for labels that `task` does not know.
    """
    names = data.label_columns
    columns = gather(*(lambda name=name: column(table, name, path, option, section) for name in names))
    lines = table.index
    if task.kind == "regression":
        return np.stack([_numbers(cells, lines, path, name) for name, cells in zip(names, columns, strict=True)], axis=1).astype(np.float32)
    if task.kind == "multioutput":
        read = [_positions(cells, output.classes, path) for cells, output in zip(columns, task.outputs, strict=True)]
        return np.stack(read, axis=1)
    if task.kind == "multilabel":
        if len(names) > 1:
            return _read_zeros_and_ones(columns, names, lines, path)
        sets = label_sets(columns[0], data)
        flat = _positions([name for cell in sets for name in cell], task.classes, path)
        targets = np.zeros((len(sets), len(task.classes)), dtype=np.float32)
        targets[np.repeat(np.arange(len(sets)), [len(cell) for cell in sets]), flat] = 1
        return targets
    return _read_shares(columns, names, lines, path) if len(names) > 1 else _positions(columns[0], task.classes, path)


def name_classes(data: Data, name: str, classes: tuple[str, ...], where: str) -> Task:
    """The task of one class an image. Raises DataError where it is binary, and there are not two."""
    if data.task == "binary" and len(classes) != 2:
        raise DataError(f"{where}: task = binary needs exactly two classes, found {len(classes)}: {shorten(classes)}")
    return classification(name, classes, data.task)


def separator_of(data: Data) -> str:
    """What stands between the labels of a cell, in tables and in submissions."""
    return SEPARATORS.get(data.label_separator or "space", data.label_separator or " ")


def label_sets(cells: Sequence[str], data: Data) -> list[list[str]]:
    """The distinct labels of each cell; none of a blank one."""
    between = separator_of(data)
    return [list(dict.fromkeys(name for part in cell.split(between) if (name := part.strip()))) for cell in cells]


def check_numbers(cells: pd.Series[str], data: Data, path: Path) -> None:
    """Raises DataError, with the lines, for cells of a label column that are no numbers; of multilabel not 0 or 1."""
    if data.task == "multilabel":
        _read_zeros_and_ones([cells.tolist()], (str(cells.name),), cells.index, path)
    else:
        _numbers(cells.tolist(), cells.index, path, str(cells.name))


def _in_order(classes: tuple[str, ...], name: str, targets: Targets, where: str) -> Task:
    if not all(re.fullmatch(r"-?\d+", each, re.ASCII) for each in classes):
        words = [each for each in classes if not re.fullmatch(r"-?\d+", each, re.ASCII)]
        raise DataError(f"{where}: task = ordinal needs whole numbers, whose order is that of the classes; got {shorten(map(repr, words))}")
    numbers = [int(each) for each in classes]
    twins = [repr(each) for each, number in zip(classes, numbers, strict=True) if numbers.count(number) > 1]
    if twins:
        raise DataError(f"{where}: task = ordinal needs a number a class; {shorten(twins)} are the same number, written otherwise")
    if max(map(abs, numbers)) > LARGEST:
        raise DataError(f"{where}: task = ordinal needs numbers of an order, such as 0, 1, 2; {max(numbers, key=abs)} is too large for one")
    values = targets.astype(np.float64)
    scale = Scale(float(values.mean()), float(values.std()), 0.0, float(len(classes) - 1))
    return Task("ordinal", (Output(name, classes, scale),))


def _read_numbers(columns: Sequence[list[str]], names: tuple[str, ...], data: Data, lines: pd.Index, path: Path) -> tuple[Task, Targets]:
    read = gather(*(lambda name=name, cells=cells: _numbers(cells, lines, path, name) for name, cells in zip(names, columns, strict=True)))
    constant = [name for name, values in zip(names, read, strict=True) if values.max() == values.min()]
    if constant:
        raise DataError(f"{path}: column {shorten(map(repr, constant))} has the same number in every row; there is nothing to learn")
    for name, values in zip(names, read, strict=True):
        _check_fits_32_bits(values, path, name)
    outputs = tuple(Output(name, (), _scale(values, data, path, name)) for name, values in zip(names, read, strict=True))
    return Task("regression", outputs), np.stack(read, axis=1).astype(np.float32)


def _check_fits_32_bits(values: NDArray[np.float64], path: Path, name: str) -> None:
    """Raises DataError where numbers are too large, or too near to each other for their size: they are learnt in 32 bits."""
    largest, std = float(np.abs(values).max()), float(values.std())
    limits = np.finfo(np.float32)
    if largest > float(limits.max) / FINEST or std < float(limits.tiny) * FINEST:
        told = f"{values.min():g} to {values.max():g}"
        raise DataError(f"{path}: the numbers of column '{name}', {told}, are beyond what 32 bits hold; divide or multiply them")
    if std < FINEST * float(np.spacing(np.float32(largest))):
        told = f"{values.min():.12g} to {values.max():.12g}, standard deviation {std:.3g}"
        raise DataError(
            f"{path}: the numbers of column '{name}' ({told}) are too large for their differences in 32 bits; subtract their mean"
        )


def _scale(values: NDArray[np.float64], data: Data, path: Path, name: str) -> Scale:
    low, high = float(values.min()), float(values.max())
    if data.target_range == "none":
        return Scale(float(values.mean()), float(values.std()), None, None)
    if isinstance(data.target_range, tuple):
        outside = int(((values < data.target_range[0]) | (values > data.target_range[1])).sum())
        if outside:
            given = ", ".join(f"{bound:g}" for bound in data.target_range)
            raise OptionError(
                "data",
                "target_range",
                f"{path}, column '{name}': {counted(outside, 'number is', 'numbers are')} outside of {given}: {low:g} to {high:g}",
            )
        low, high = data.target_range
    return Scale(float(values.mean()), float(values.std()), low, high)


def _numbers(cells: list[str], lines: pd.Index, path: Path, name: str) -> NDArray[np.float64]:
    values = pd.to_numeric(pd.Series([cell.strip() or "blank" for cell in cells]), errors="coerce").to_numpy(dtype=np.float64)
    _refuse(~np.isfinite(values), cells, lines, f"{path}, column '{name}'", "a number")
    return np.asarray(values)


def _read_zeros_and_ones(columns: Sequence[list[str]], names: tuple[str, ...], lines: pd.Index, path: Path) -> Targets:
    read = []
    for name, cells in zip(names, columns, strict=True):
        values = np.array([ONE.get(cell.strip().lower(), np.nan) for cell in cells], dtype=np.float32)
        _refuse(np.isnan(values), cells, lines, f"{path}, column '{name}'", "0 or 1")
        read.append(values)
    return np.stack(read, axis=1)


def _read_shares(columns: Sequence[list[str]], names: tuple[str, ...], lines: pd.Index, path: Path) -> Targets:
    """Positions where every row has a single 1, else shares: the numbers (votes) over their sum."""
    values = np.stack([_numbers(cells, lines, path, name) for name, cells in zip(names, columns, strict=True)], axis=1)
    rows = [str(number) for number in values.tolist()]
    _refuse(
        (values < 0).any(axis=1) | (values.sum(axis=1) <= 0), rows, lines, f"{path}, label_columns", "numbers >= 0, one of them above 0"
    )
    if ((values == 1).sum(axis=1) == 1).all() and ((values == 0).sum(axis=1) == len(names) - 1).all():
        return np.asarray(values.argmax(axis=1), dtype=np.int64)
    return np.asarray(values / values.sum(axis=1, keepdims=True), dtype=np.float32)


def _refuse(wrong: NDArray[np.bool_], cells: Sequence[str], lines: pd.Index, where: str, expected: str) -> None:
    places = np.flatnonzero(wrong).tolist()
    if places:
        told = shorten(f"{cells[place]!r} in line {lines[place]}" for place in places)
        raise DataError(f"{where}: expected {expected}; {counted(len(places), 'cell is', 'cells are')} not: {told}")


def _positions(labels: Sequence[str], classes: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    position = {name: index for index, name in enumerate(classes)}
    unknown = sorted({label for label in labels if label not in position})
    if unknown:
        raise DataError(f"{path}: labels that no training sample has: {shorten(map(repr, unknown))}{hint(unknown[0], classes)}")
    return np.array([position[label] for label in labels], dtype=np.int64)
