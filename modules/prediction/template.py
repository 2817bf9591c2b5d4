"""A contest's sample submission, read: which column holds ids, which image each row is of, and what form goes in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from modules.config.errors import DataError, OptionError, shorten
from modules.data.row_ids import asked_names, split_row_ids
from modules.data.samples import Text
from modules.data.tables import column, column_of_ids, read_table
from modules.data.task import Task
from modules.prediction.forms import WARNING, Form, Question, find_form
from modules.prediction.matching import Match, match_ids, tell_id_difference


@dataclass(frozen=True)
class Template:
    """The table, known to fit the test set. ids: its own. images: of each row the id that the test set has for its image.

    path: None for one that was made, since the source has none. remarks: what a person should know, a line each.
    """

    path: Path | None
    table: pd.DataFrame
    id_column: str
    ids: tuple[str, ...]
    images: tuple[str, ...]
    fill: Form
    remarks: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Those to fill."""
        return self.fill.columns

    @property
    def form(self) -> str:
        """What goes in, in words."""
        return self.fill.words

    @property
    def takes_probability(self) -> bool:
        return self.fill.kind == "probability"


@dataclass(frozen=True)
class Rows:
    """Of each row the test set's id of its image, and which of the things asked of an image it takes; None where it takes all."""

    images: tuple[str, ...]
    asked: tuple[int, ...] | None
    remarks: tuple[str, ...]


def read_template(path: Path | None, id_column: str, test_ids: Text, question: Question) -> Template:
    """The template, looked at before anything is predicted; without a `path` one is made: the ids, and a column `label`.

    Raises DataError where ids or columns do not fit, with how.
    """
    known = [str(name) for name in test_ids]
    if path is None:
        table = _make_table(id_column, known, question.task)
        form = find_form("the submission", table, id_column, None, question)
        return Template(None, table, id_column, tuple(known), tuple(known), form)
    table = read_table(path, "data", "sample_submission")
    name, ids, rows = _read_rows(path, table, id_column, known, question.task)
    form = find_form(str(path), table, name, rows.asked, question)
    remarks = tuple(_told(path, each) for each in (*rows.remarks, *form.remarks))
    return Template(path, table, name, tuple(ids), rows.images, form, remarks)


def _make_table(id_column: str, ids: list[str], task: Task) -> pd.DataFrame:
    names = [output.name for output in task.outputs] if len(task.outputs) > 1 else ["label"]
    return pd.DataFrame({id_column: ids, **dict.fromkeys(names, "")}, dtype=str)


def _read_rows(path: Path, table: pd.DataFrame, id_column: str, known: list[str], task: Task) -> tuple[str, list[str], Rows]:
    """The column of ids, the ids, and their rows. A template that calls its ids otherwise has them in its first column."""
    if id_column in table.columns:
        ids = column_of_ids(table, id_column, path)
        return id_column, ids, _match_rows(path, ids, known, task)
    first = str(table.columns[0])
    try:
        ids = column_of_ids(table, first, path)
        rows = _match_rows(path, ids, known, task)
    except (DataError, OptionError):
        column(table, id_column, path, "id_column")  # raises: it is not there
        raise
    if rows.asked is None:
        rows = replace(rows, remarks=(f"it has no column '{id_column}'; its ids are in column '{first}'", *rows.remarks))
    return first, ids, rows


def _match_rows(path: Path, ids: list[str], known: list[str], task: Task) -> Rows:
    found = match_ids(ids, known)
    if found is not None:
        return Rows(tuple(found.of[name] for name in ids), None, _remarks(found))
    names = asked_names(task)
    split = split_row_ids(ids, names)
    found = None if split is None else match_ids(list(dict.fromkeys(split.images)), known)
    if split is not None and found is not None:
        return Rows(tuple(found.of[image] for image in split.images), split.asked, _remarks(found))
    differ = tell_id_difference(ids, known)
    ends = sum(name.endswith(names) for name in ids) if len(names) > 1 else 0
    if ends > len(ids) / 2 and not set(ids) & set(known):  # it looks like rows, and something is missing or too many
        differ += f"; nor has each image one row for each of {shorten(names)}"
    raise DataError(f"{path}: {differ}")


def _remarks(found: Match) -> tuple[str, ...]:
    return (f"its ids are those of the test set but for {found.but_for}",) if found.but_for else ()


def _told(path: Path, remark: str) -> str:
    """The remark with the file's name; a warning begins as all others do."""
    told = remark.removeprefix(WARNING)
    return f"{WARNING if told != remark else ''}{path.name}: {told}"
