"""Lines of text in columns, no wider than a terminal."""

from __future__ import annotations

from collections.abc import Sequence

BETWEEN = "  "
NARROWEST = 10  # that a column of names becomes


def align(rows: Sequence[Sequence[str]], names: Sequence[int], width: int = 100) -> list[str]:
    """The rows, the first of which is the head, in columns; those without a cell below the head are left out.

    names: the columns that hold text: they begin at the left, and the widest of them is cut where a line would be longer than
    `width`. All others hold numbers, which end at the right.
    """
    kept = [place for place in range(len(rows[0])) if any(row[place] for row in rows[1:])]
    widths = {place: max(len(row[place]) for row in rows) for place in kept}
    cut = [place for place in kept if place in names]
    while cut and sum(widths.values()) + len(BETWEEN) * (len(kept) - 1) > width:
        widest = max(cut, key=lambda place: widths[place])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1

    def cell(row: Sequence[str], place: int) -> str:
        text = shorten_name(row[place], widths[place])
        return text.ljust(widths[place]) if place in names else text.rjust(widths[place])

    return [BETWEEN.join(cell(row, place) for place in kept).rstrip() for row in rows]


def shorten_name(name: str, width: int) -> str:
    """Cut in its middle, since names of runs differ at their ends as well as at their beginnings."""
    if len(name) <= width:
        return name
    end = (width - 1) // 3
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"
