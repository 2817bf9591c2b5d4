"""CSV tables as text: no value is turned into a number or taken for missing, so that `007` and `NA` stay what they are."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, TypeVar

import pandas as pd

from modules.config.errors import DataError, OptionError, counted, hint, in_lines, shorten

Read = TypeVar("Read")


def read_table(path: Path, section: str, option: str, may_be_empty: bool = False) -> pd.DataFrame:
    """The table at `path`, every cell as text, blank cells as "", indexed by the lines of the file.

    Comma, semicolon or tab separate, whichever the header has most of. Raises DataError in one line for a file that is
    missing, empty, not UTF-8 or not a table; `option` is the one that named it.
    """
    table = open_table(path, section, option, parse_table)
    if table.empty and not may_be_empty:
        raise DataError(f"{path}: the table has no rows")
    return table


def open_table(path: Path, section: str, option: str, parse: Callable[[TextIO, str], Read]) -> Read:
    """What `parse` makes of the open file and its separator. Raises DataError likewise; ValueError of `parse` too becomes one."""
    if not path.is_file():
        others = sorted(file.name for file in path.parent.glob("*.csv")) if path.parent.is_dir() else []
        found = (
            f"{path.parent} has {shorten(others)}" if others else f"{path.parent} has no .csv" if path.parent.is_dir() else "nor its folder"
        )
        raise OptionError(section, option, f"{path}: no such file; {found}{hint(path.name, others)}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return parse(file, separator(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x}; save the table as UTF-8") from None
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path}: not a table: {error}") from None


def parse_table(file: TextIO, separates: str) -> pd.DataFrame:
    """The table in an open file. Raises ValueError or csv.Error for what is not one."""
    header, records = read_records(file, separates)
    rows, lines = [], []
    for line, record in records:
        rows.append(record)
        lines.append(line)
    return pd.DataFrame(rows, columns=header, index=lines, dtype=str)


def read_records(file: TextIO, separates: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header of an open file; and for each row the line that it begins at, and its cells, as many as the header has.

    Blank lines are left out. Raises ValueError or csv.Error for what is no table.
    """
    records = csv.reader(file, delimiter=separates, strict=True)
    header = next(records, None)
    if not header:
        raise ValueError("it is empty, or its first line is")
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise ValueError(f"column {shorten(map(repr, twice))} stands more than once in its header")

    def rows() -> Iterator[tuple[int, list[str]]]:
        before = records.line_num
        for record in records:
            if len(record) > len(header):
                raise ValueError(f"expected {counted(len(header), 'cell')} in line {before + 1}, got {len(record)}")
            if record:
                yield before + 1, record + [""] * (len(header) - len(record))
            before = records.line_num

    return header, rows()


def header_of(path: Path, option: str) -> list[str]:
    """The names of a table's columns, without its rows. Raises as `read_table`."""
    return open_table(path, "data", option, lambda file, separates: read_records(file, separates)[0])


def is_index(name: str) -> bool:
    """Whether a column is called as pandas calls the numbers of rows, once they were written to a table or read back."""
    return re.fullmatch(r"\s*|Unnamed: \d+", name, re.ASCII) is not None


def separator(path: Path) -> str:
    """The character that separates the cells of the header line."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return max((",", ";", "\t"), key=header.count)


def column(table: pd.DataFrame, name: str, path: Path, option: str, section: str = "data") -> list[str]:
    """The cells of a column. Raises OptionError with the columns there are."""
    if name not in table.columns:
        raise OptionError(
            section, option, f"{path.name} has no column '{name}'{hint(name, map(str, table.columns))}; it has {shorten(table.columns, 12)}"
        )
    return [str(cell) for cell in table[name]]


def column_of_ids(table: pd.DataFrame, name: str, path: Path, option: str = "id_column") -> list[str]:
    """The ids, each there and each once. Raises DataError with line numbers, or the ids that stand twice."""
    ids = column(table, name, path, option)
    blank = [line for line, value in zip(table.index, ids, strict=True) if not value.strip()]
    if blank:
        raise DataError(f"{path}, column '{name}': {counted(len(blank), 'id is', 'ids are')} missing, {in_lines(blank)}")
    returns = [line for line, value in zip(table.index, ids, strict=True) if "\r" in value]
    if returns:
        raise DataError(f"{path}, column '{name}': {counted(len(returns), 'id holds', 'ids hold')} a carriage return, {in_lines(returns)}")
    first: dict[str, int] = {}
    twice = [
        f"'{value}' in lines {first[value]} and {line}"
        for line, value in zip(table.index, ids, strict=True)
        if first.setdefault(value, line) != line
    ]
    if twice:
        raise DataError(f"{path}, column '{name}': {counted(len(twice), 'id stands', 'ids stand')} more than once: {shorten(twice, 3)}")
    return ids
