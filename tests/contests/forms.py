"""What a contest's scorer takes, known without any of Foldini's code: the rows of the template, and legal cells in them.

`faults` tells in words what is wrong, and nothing where all is well. `right` compares with the perfect submission, from 0
to 1: rows that went to other ids, or columns to other classes, are no better than chance.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

Cells = Sequence[str]


@dataclass(frozen=True)
class Table:
    """header and rows as they stand in the file; the first cell of a row is its id."""

    header: list[str]
    rows: list[list[str]]

    @property
    def ids(self) -> list[str]:
        return [row[0] for row in self.rows]

    @property
    def cells(self) -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in self.rows}


def read(path: Path) -> Table:
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return Table(header, rows)


@dataclass(frozen=True)
class Names:
    """One of these names, or numbers of classes, in each cell."""

    names: Collection[str]

    def faults_of(self, cells: Cells) -> Iterator[str]:
        yield from (f"{cell!r} is no class" for cell in cells if cell not in self.names)

    def right(self, cells: Sequence[Cells], truths: Sequence[Cells]) -> float:
        return fmean(cell == truth for row, answer in zip(cells, truths, strict=True) for cell, truth in zip(row, answer, strict=True))


@dataclass(frozen=True)
class Lists:
    """Some of these names, separated, each once."""

    names: Collection[str]
    separator: str = " "

    def faults_of(self, cells: Cells) -> Iterator[str]:
        for cell in cells:
            labels = cell.split(self.separator)
            yield from (f"{label!r} in {cell!r} is no label" for label in labels if label not in self.names)
            if len(set(labels)) < len(labels):
                yield f"{cell!r} names a label twice"

    def right(self, cells: Sequence[Cells], truths: Sequence[Cells]) -> float:
        """Labels of both over labels of either, the mean of all rows."""
        sets = [[set(each[0].split(self.separator)) for each in pair] for pair in zip(cells, truths, strict=True)]
        return fmean(len(one & other) / len(one | other) for one, other in sets)


@dataclass(frozen=True)
class Numbers:
    """Finite numbers in a range. fine: with more digits than six, since scores that go by order tie otherwise.

    sums: a row's cells sum to 1, as the contest wants them.
    """

    low: float = 0.0
    high: float = 1.0
    fine: bool = True
    sums: bool = False

    def faults_of(self, cells: Cells) -> Iterator[str]:
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            yield f"{cells} are not all numbers"
            return
        yield from (f"{cell} is not between {self.low:g} and {self.high:g}" for cell in cells if not self.low <= float(cell) <= self.high)
        if self.sums and not math.isclose(sum(values), 1, abs_tol=1e-6):
            yield f"{cells} sum to {sum(values)!r}"

    def right(self, cells: Sequence[Cells], truths: Sequence[Cells]) -> float:
        """The share of pairs of rows that are in the right order, the mean over columns: of 0 and 1 that is ROC AUC."""
        columns = zip(zip(*cells, strict=True), zip(*truths, strict=True), strict=True)
        return fmean(_in_order([float(cell) for cell in column], [float(cell) for cell in truth]) for column, truth in columns)


Form = Names | Lists | Numbers


def faults(form: Form, template: Table, submission: Table) -> list[str]:
    """What the contest would refuse, or score as worthless."""
    if submission.header != template.header:
        return [f"the header is {submission.header}, and the template's {template.header}"]
    if any(len(row) != len(template.header) for row in submission.rows):
        return ["a row has more or fewer cells than the header"]
    if submission.ids != template.ids:
        return ["the ids are not the template's, in its order"]
    found = [f"a cell of row {row[0]!r} is blank" for row in submission.rows if not all(cell.strip() for cell in row)]
    found += [f"row {row[0]!r}: {fault}" for row in submission.rows for fault in form.faults_of(row[1:])]
    if isinstance(form, Numbers) and form.fine and not any(_digits(cell) > 6 for row in submission.rows for cell in row[1:]):
        found.append("no number has more than six digits")
    return found


def _digits(cell: str) -> int:
    """Significant ones."""
    return len(cell.lower().partition("e")[0].lstrip("-").replace(".", "").lstrip("0"))


def _in_order(values: Sequence[float], truths: Sequence[float]) -> float:
    pairs = [(one, other) for one, other in combinations(range(len(values)), 2) if truths[one] != truths[other]]
    return fmean(0.5 if values[a] == values[b] else (values[a] < values[b]) == (truths[a] < truths[b]) for a, b in pairs)
