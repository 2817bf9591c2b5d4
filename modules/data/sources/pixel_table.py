"""Tables that hold the images themselves: a pixel a column (`pixel0`, `pixel1`, ...), or all of an image's in one cell.

Pixels are whole numbers from 0 to 255, row by row from the top left; of colour images red, green and blue of a pixel stand together.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from modules.config.errors import DataError, OptionError, counted, hint, shorten
from modules.config.schema import Data
from modules.config.values import Size
from modules.data.images import ImageArrays
from modules.data.pixels import Pixels
from modules.data.tables import open_table, read_records

VALUES = {text: value for value in range(256) for text in (str(value), f"{value}.0")}
TOLD = 3


@dataclass(frozen=True)
class PixelTable:
    """table: the columns besides the pixels, as text, indexed by the lines of the file. pixels: (N, height, width) or (..., 3)."""

    path: Path
    table: pd.DataFrame
    pixels: Pixels

    def images(self) -> ImageArrays:
        """Named by the line of the file."""
        return ImageArrays(np.array([f"{self.path.name}:{line}" for line in self.table.index]), self.pixels)


def read_pixel_table(path: Path, option: str, data: Data) -> PixelTable:
    """The table at `path`, whose pixels [data] pixel_columns names. Raises UserError in one line, with lines for wrong cells.

    42,000 rows of 784 pixels take seconds: a row's cells are looked up, and only what is written otherwise is looked at one by one.
    """
    prefix = data.pixel_columns
    assert prefix is not None
    with _any_length():
        others, rows, lines, content, count = open_table(path, "data", option, lambda file, separates: _read(file, separates, path, prefix))
    if not lines:
        raise DataError(f"{path}: the table has no rows")
    shape = _shape(count, data.pixel_size, path)
    pixels = np.frombuffer(content, dtype=np.uint8).reshape(len(lines), *shape)
    return PixelTable(path, pd.DataFrame(rows, columns=pd.Index(others, dtype=str), index=lines, dtype=str), pixels)


def _read(file: TextIO, separates: str, path: Path, prefix: str) -> tuple[list[str], list[list[str]], list[int], bytearray, int]:
    """The other columns, their cells and lines; the pixels of all rows; and how many a row has."""
    header, records = read_records(file, separates)
    in_one_cell = prefix in header
    places = [header.index(prefix)] if in_one_cell else _places(header, prefix, path)
    pixel_cells = _cells(places)
    rest = [place for place in range(len(header)) if place not in set(places)]
    rows: list[list[str]] = []
    lines: list[int] = []
    content, count, wrong = bytearray(), len(places), []
    for line, record in records:
        cells = pixel_cells(record)
        if in_one_cell:
            cells = tuple(cells[0].split())
            count = count if lines else len(cells)
            if len(cells) != count or not count:
                wrong.append(f"{counted(len(cells), 'number')} in line {line}" + (f", {count} in line {lines[0]}" if lines else ""))
        values, fault = _values(cells)
        if fault is not None:
            where = f"number {fault + 1}" if in_one_cell else f"column {header[places[fault]]}"
            wrong.append(f"{cells[fault]!r} in line {line}, {where}")
        content += values
        rows.append([record[place] for place in rest])
        lines.append(line)
    if wrong:
        many = counted(len(wrong), "row is", "rows are")
        raise DataError(f"{path}: pixels are whole numbers from 0 to 255, as many in each row; {many} not: {shorten(wrong, TOLD)}")
    return [header[place] for place in rest], rows, lines, content, count


def _places(header: list[str], prefix: str, path: Path) -> list[int]:
    """The places of the columns that are the prefix and a number, by that number. Raises OptionError for none, twins and gaps."""
    found: dict[int, int] = {}
    for place, name in enumerate(header):
        match = re.fullmatch(re.escape(prefix) + r"(\d{1,9})", name, re.ASCII)
        if match and int(match[1]) in found:
            raise OptionError(
                "data", "pixel_columns", f"{path.name} has two columns of number {int(match[1])}: {header[found[int(match[1])]]}, {name}"
            )
        if match:
            found[int(match[1])] = place
    if not found:
        names = [re.sub(r"\d+$", "", name) for name in header]
        advice = f"no column {prefix}, nor {prefix}0, {prefix}1, ...{hint(prefix, names)}"
        raise OptionError("data", "pixel_columns", f"{path.name} has {advice}; it has {shorten(header, 12)}")
    numbers = sorted(found)
    gaps = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers)) if numbers[-1] < 10**7 else [numbers[0] + 1]
    if gaps:
        raise OptionError("data", "pixel_columns", f"{path.name} has no column {shorten(f'{prefix}{number}' for number in gaps)}")
    return [found[number] for number in numbers]


def _cells(places: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(places) == 1:
        return lambda record: (record[places[0]],)
    return itemgetter(*places)


def _values(cells: tuple[str, ...]) -> tuple[bytes, int | None]:
    """A byte a cell; and the place of the first that is no pixel."""
    try:
        return bytes(map(VALUES.__getitem__, cells)), None
    except KeyError:  # something is written otherwise, or is no pixel
        pass
    values = bytearray()
    for place, cell in enumerate(cells):
        try:
            values.append(VALUES[cell] if cell in VALUES else _whole(cell))
        except (ValueError, OverflowError):
            return b"", place
    return bytes(values), None


def _whole(cell: str) -> int:
    number = float(cell)
    if number != int(number):
        raise ValueError(cell)
    return int(number)


def _shape(count: int, size: Size | None, path: Path) -> tuple[int, ...]:
    """(height, width) or (height, width, 3). Raises OptionError where so many pixels are no such image."""
    if size is not None:
        pixels = size.height * size.width
        if count not in (pixels, 3 * pixels):
            wanted = f"{size.height} x {size.width} has {pixels} pixels, {3 * pixels} numbers in colour"
            raise OptionError("data", "pixel_size", f"{wanted}, and {path.name} has {count} a row")
        return tuple(size) if count == pixels else (*size, 3)
    side, side_in_colour = math.isqrt(count), math.isqrt(count // 3)
    if side * side == count:
        return side, side
    if 3 * side_in_colour * side_in_colour == count:
        return side_in_colour, side_in_colour, 3
    raise OptionError("data", "pixel_size", f"{path.name} has {count} pixels a row, which is no square; give height and width")


@contextmanager
def _any_length() -> Iterator[None]:
    """Cells of any length, as all pixels of an image in one are: the csv module stops at 131,072 characters by itself."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
