"""What a template's own cells say: the names that they hold and what separates these, numbers, fractions.

A blank cell says nothing. What follows of it all is not said here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

Cells = Sequence[str]

SEPARATORS = {" ": "a space", ",": "a comma", ", ": "a comma and a space", ";": "a semicolon", "|": "a pipe"}
SEEN = (", ", ",", ";", "|", " ")  # of two that separate known names, the first


def unknown_names(cells: Cells, known: Collection[str], between: str | None) -> list[str]:
    """The names in cells that are not blank, and not known."""
    distinct = dict.fromkeys(cell for cell in cells if cell and cell not in known)
    parts = distinct if between is None else [part for cell in distinct for each in cell.split(between) if (part := each.strip())]
    return sorted({part for part in parts if part not in known})


def separator_in(cells: Cells, known: Collection[str]) -> str | None:
    """What separates known names in those cells that hold several; None where none does."""
    names = set(known)
    several = {cell for cell in cells if cell and cell not in names}
    for between in SEEN:
        split = [cell.split(between) for cell in several if between in cell]
        if split and all(part in names for parts in split for part in parts):
            return between
    return None


def name_separator(between: str) -> str:
    """As it is told to a person."""
    return SEPARATORS.get(between, repr(between))


def are_numbers(cells: Cells) -> bool:
    """Whether there are numbers, and nothing else but blank cells."""
    there = [cell for cell in cells if cell]
    return bool(there) and bool(pd.to_numeric(pd.Series(there), errors="coerce").notna().all())


def are_fractions(cells: Cells, classes: Collection[str]) -> bool:
    """Whether the cells are numbers and some of them not whole, where those are no classes."""
    return are_numbers(cells) and bool(first_fraction(cells)) and bool(unknown_names(cells, classes, None))


def first_fraction(cells: Cells) -> str:
    """Of cells that are numbers; blank where all are whole."""
    return next((cell for cell in cells if cell and float(cell) % 1), "")
