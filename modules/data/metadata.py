"""[data] metadata_columns: what a table says of an image besides its label, as numbers for a model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.config.errors import DataError, counted, gather, shorten
from modules.config.schema import Data
from modules.data.samples import order_classes
from modules.data.tables import column, open_table, read_records
from modules.data.task import Input

Floats = NDArray[np.float32]

BLANK = ("", "na", "n/a", "nan", "null")  # in any case, with any white space around it
MOST = 1000  # categories of a column: more are ids, or numbers with a word between them


def learn_inputs(table: pd.DataFrame, data: Data, path: Path, folder: Path) -> tuple[Input, ...]:
    """What the training table tells of its metadata columns: numbers where all cells that are not blank are, else categories.

    Raises UserError for columns that it has not, or the test table, where that is there; and for those that say nothing, or
    another thing in each row.
    """
    names = data.metadata_columns or ()
    inputs = gather(
        lambda: gather(*(lambda name=name: _learn(name, column(table, name, path, "metadata_columns"), path) for name in names)),
        lambda: _check_test_columns(data, folder),
    )[0]
    return tuple(inputs)


def encode_metadata(table: pd.DataFrame, inputs: Sequence[Input], path: Path) -> Floats | None:
    """(N, numbers) what a model is given of each row, the columns of each input side by side; None without inputs.

    A number: its distance from the training rows' mean, in their standard deviations, 0 where it is blank; behind it 1 where
    it is blank, if any training row was. Categories: 1 for the row's own. A blank cell has none, nor has a category that no
    training row has; how many those are is told on stderr. Raises UserError for columns that are not there, and for cells of
    numbers that are none.
    """
    if not inputs:
        return None
    parts = gather(
        *(lambda each=each: _encode(each, column(table, each.name, path, "metadata_columns"), table.index, path) for each in inputs)
    )
    return np.concatenate(parts, axis=1).astype(np.float32)


def describe_inputs(inputs: Sequence[Input]) -> list[str]:
    """In a line, `metadata  4 numbers an image: sex (female, male), age (a number, or none)`; without inputs no line."""
    if not inputs:
        return []
    told = [f"{each.name} ({shorten(each.categories) if each.categories else 'a number' + ', or none' * each.blanks})" for each in inputs]
    return [f"metadata  {counted(sum(each.width for each in inputs), 'number')} an image: {', '.join(told)}"]


def _learn(name: str, cells: list[str], path: Path) -> Input:
    where, said = f"{path}, metadata column '{name}'", [cell for cell in cells if not _is_blank(cell)]
    if not said:
        raise DataError(f"{where}: every cell is blank")
    values = _numbers(said)
    if np.isfinite(values).all():
        with np.errstate(over="ignore"):
            mean, std = float(values.mean()), float(values.std())
        if not np.isfinite(std):
            raise DataError(f"{where}: its numbers are too large: {values.min():g} to {values.max():g}")
        return Input(name, (), mean, std or 1.0, len(said) < len(cells))
    categories = order_classes([cell.strip() for cell in said])
    if len(categories) > MOST or len(categories) == len(cells):
        word = next(cell for cell, value in zip(said, values, strict=True) if not np.isfinite(value))
        fault = f"{len(categories)} different values in {len(cells)} rows are no categories"
        raise DataError(f"{where}: {fault}; as a number it would be read if all cells were, or blank, and {word!r} is none")
    return Input(name, categories)


def _encode(each: Input, cells: list[str], lines: pd.Index, path: Path) -> NDArray[np.float64]:
    blank = np.array([_is_blank(cell) for cell in cells])
    where = f"{path}, metadata column '{each.name}'"
    if each.categories:
        place = {name: index for index, name in enumerate(each.categories)}
        found = np.array([place.get(cell.strip(), -1) for cell in cells])
        unknown = [cells[row] for row in np.flatnonzero((found < 0) & ~blank)]
        if unknown:
            told = shorten(map(repr, dict.fromkeys(unknown)))
            many = counted(len(unknown), "cell counts", "cells count")
            print(
                f"warning: {where}: {many} as blank, since no training row says that: {told}",
                file=sys.stderr,
            )
        return np.asarray(found[:, None] == np.arange(len(each.categories)), dtype=np.float64)
    values = _numbers(["0" if none else cell for none, cell in zip(blank, cells, strict=True)])
    wrong = [f"{cells[row]!r} in line {lines[row]}" for row in np.flatnonzero(~np.isfinite(values)).tolist()]
    if wrong:
        many = counted(len(wrong), "cell is", "cells are")
        raise DataError(f"{where}: expected a number, as in all training rows, or nothing; {many} neither: {shorten(wrong)}")
    scaled = np.where(blank, 0.0, (values - each.mean) / each.std)
    return np.stack([scaled, blank], axis=1) if each.blanks else scaled[:, None]


def _check_test_columns(data: Data, folder: Path) -> None:
    """Told before anything is trained: what is learnt from these columns would be of no use without them."""
    if not data.metadata_columns or data.test_csv is None or not (folder / data.test_csv).is_file():
        return
    path = folder / data.test_csv
    header = pd.DataFrame(columns=open_table(path, "data", "test_csv", lambda file, separates: read_records(file, separates)[0]))
    gather(*(lambda name=name: column(header, name, path, "metadata_columns") for name in data.metadata_columns))


def _is_blank(cell: str) -> bool:
    return cell.strip().lower() in BLANK


def _numbers(cells: list[str]) -> NDArray[np.float64]:
    """Not finite where a cell is no number."""
    return np.asarray(pd.to_numeric(pd.Series([cell.strip() for cell in cells]), errors="coerce").to_numpy(dtype=np.float64))
