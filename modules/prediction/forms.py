"""What form of prediction a template takes: which of its columns, and what goes into their cells.

The task says what can be told of an image, the template's columns where it goes. Where that leaves a choice (a class or a
probability, in one column), the template's own cells say; then the metric. Whatever was not plain is told in a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from modules.config.errors import DataError, OptionError, counted, shorten
from modules.data.row_ids import asked_names
from modules.data.tables import is_index
from modules.data.task import SUM_TO_ONE, Task
from modules.prediction.cells import Cells, are_fractions, are_numbers, first_fraction, name_separator, separator_in, unknown_names
from modules.prediction.matching import match_names, tell_name_difference
from modules.prediction.metrics import Metric

Kind = Literal["label", "list", "top", "flag", "probability", "number"]
WARNING = "warning: "
NOUNS = {"regression": "number", "multioutput": "output", "multilabel": "label"}


@dataclass(frozen=True)
class Question:
    """What decides with the template about the form. between: the labels of a cell. top: how many classes the metric map looks at."""

    task: Task
    metric: Metric
    between: str = " "
    top: int = 5

    @property
    def noun(self) -> str:
        """What the task has several of."""
        return NOUNS.get(self.task.kind, "class")

    @property
    def nouns(self) -> str:
        return "classes" if self.noun == "class" else f"{self.noun}s"


@dataclass(frozen=True)
class Form:
    """What goes into the cells; words: told to a person.

    kind: a class by its name; a list of labels; the most probable classes; 1 for a label that is given, else 0; a
    probability; a number. places: of each column, or of each row where an image has several (by_rows), which of what can be
    told of the image. between: of the names in a cell. top: how many classes. remarks: what else there is to tell.
    """

    kind: Kind
    columns: tuple[str, ...]
    places: tuple[int, ...]
    words: str
    by_rows: bool = False
    between: str = " "
    top: int = 1
    remarks: tuple[str, ...] = ()

    def sums_to_one(self, task: Task) -> bool:
        """Whether all probabilities of an image stand there, of classes that exclude each other."""
        return self.kind == "probability" and task.kind in SUM_TO_ONE and len(self.places) > 1


def find_form(where: str, table: pd.DataFrame, id_column: str, asked: tuple[int, ...] | None, question: Question) -> Form:
    """The form that a template takes. asked: of each row what it takes, where an image has several.

    Raises DataError for columns that do not fit, with how; OptionError for labels that no separator keeps apart.
    """
    columns = {str(name): [str(cell).strip() for cell in table[name]] for name in table.columns if name != id_column}
    form = _in_columns(where, columns, question) if asked is None and len(columns) > 1 else None
    if form is None:
        name = _find_column(where, columns, question)
        form = _in_one(where, name, columns[name], question) if asked is None else _in_rows(name, columns[name], asked, question)
    left = [name for name in columns if name not in form.columns]
    told = (f"column {shorten(map(repr, left))} takes no prediction, and stays as it is",) if left else ()
    return replace(form, remarks=(*told, *form.remarks))


def _find_column(where: str, columns: Mapping[str, Cells], question: Question) -> str:
    """The only one, or the only one that could hold predictions, or the one called as the label is. Raises DataError."""
    if len(columns) == 1:
        return next(iter(columns))
    fitting = [name for name, cells in columns.items() if _could_take(name, cells, question)]
    called = {output.name.casefold() for output in question.task.outputs}
    fitting = fitting or [name for name in columns if name.casefold() in called]
    known = {name.casefold() for name in question.task.columns}
    if len(fitting) != 1 or (len(known) > 2 and fitting[0].casefold() in known):
        raise _mismatch(where, columns, question)
    return fitting[0]


def _could_take(name: str, cells: Cells, question: Question) -> bool:
    """Whether a column could be one for predictions: it is blank, or holds numbers, or known names; no numbers of rows."""
    if is_index(name):
        return False
    return are_numbers(cells) or not unknown_names(cells, question.task.classes, question.between)


def _in_columns(where: str, columns: Mapping[str, Cells], question: Question) -> Form | None:
    """A column for each thing that can be told. None where the columns are not called so."""
    task, metric = question.task, question.metric
    for kind, known in _told_in_columns(task):
        match = match_names(list(columns), known) if len(known) > 1 else None
        if match is None:
            continue
        names = tuple(name for name in columns if name in match.of)
        if any(_could_take(name, columns[name], question) for name in columns if name not in match.of):
            raise _mismatch(where, {match.of.get(name, name): cells for name, cells in columns.items()}, question)
        cells = [cell for name in names for cell in columns[name]]
        kind, remarks = _flag_or_probability(cells, metric) if task.kind == "multilabel" else (kind, ())
        if match.but_for:
            remarks = (f"its columns are called as the {question.nouns} but for {match.but_for}", *remarks)
        words = {
            "flag": f"0 or 1 for each of {len(known)} labels",
            "label": f"the class of each of {len(known)} outputs",
            "number": f"{len(known)} numbers",
            "probability": f"a probability for each of {len(known)} {'labels' if task.kind == 'multilabel' else 'classes'}",
        }
        return Form(kind, names, tuple(known.index(match.of[name]) for name in names), words[kind], remarks=remarks)
    return None


def _told_in_columns(task: Task) -> list[tuple[Kind, tuple[str, ...]]]:
    """What several columns may take, by what they are then called."""
    if task.kind == "ordinal":
        return []
    if task.kind == "multioutput":
        return [("label", asked_names(task)), ("probability", task.columns)]
    return [("number" if task.kind == "regression" else "probability", task.columns)]


def _in_rows(name: str, cells: Cells, asked: tuple[int, ...], question: Question) -> Form:
    """A row for each thing that can be told of an image."""
    task = question.task
    count = len(asked_names(task))
    if task.kind == "multioutput":
        return Form("label", (name,), asked, f"{count} rows an image, with the class of an output each, in column '{name}'", by_rows=True)
    if task.kind == "regression":
        return Form("number", (name,), asked, f"{count} rows an image, with a number each, in column '{name}'", by_rows=True)
    kind, remarks = _flag_or_probability(cells, question.metric) if task.kind == "multilabel" else ("probability", ())
    what = "0 or 1 for" if kind == "flag" else "the probability of"
    words = f"{count} rows an image, with {what} a {question.noun} each, in column '{name}'"
    return Form(kind, (name,), asked, words, by_rows=True, remarks=remarks)


def _in_one(where: str, name: str, cells: Cells, question: Question) -> Form:
    """All that is told of an image, in one cell."""
    task = question.task
    if len(task.outputs) > 1:
        raise _mismatch(where, {name: cells}, question)
    if task.kind == "regression":
        return Form("number", (name,), (0,), f"a number in column '{name}'")
    if task.kind == "multilabel":
        return _list(name, cells, question)
    if task.kind == "ordinal":
        return _class_or_number(name, cells, question)
    return _class_or_probability(name, cells, question)


def _class_or_number(name: str, cells: Cells, question: Question) -> Form:
    """Fractions in the template want a number; whole ones, which are classes and numbers both, go by the metric."""
    of_labels = question.metric.takes == "labels"
    if of_labels and not are_fractions(cells, question.task.classes):
        return _class(name, cells, question)
    remarks = (f"{WARNING}{_holds_fractions(cells)}; numbers are written, and no classes",) if of_labels else ()
    return Form("number", (name,), (0,), f"a number in column '{name}'", remarks=remarks)


def _class_or_probability(name: str, cells: Cells, question: Question) -> Form:
    """Fractions in the template want a probability, and names of classes a class; numbers that may be either go by the metric."""
    classes, metric = question.task.classes, question.metric
    seen = separator_in(cells, classes)
    if metric.name == "map" or seen is not None:
        return _top(name, cells, seen, question)
    fractions = are_fractions(cells, classes)
    if len(classes) > 2 or question.task.kind == "multioutput":
        told = f"{WARNING}{_holds_fractions(cells)}, but one column takes no probabilities of {len(classes)} classes" if fractions else ""
        return _class(name, cells, question, told)
    names = any(cells) and not are_numbers(cells) and not unknown_names(cells, classes, None)
    if not fractions and (names or metric.takes == "labels"):
        told = f"{WARNING}it holds classes; they are written, although the metric {metric.name} takes probabilities"
        return _class(name, cells, question, told if metric.takes == "values" else "")
    called = [place for place, each in enumerate(classes) if each.casefold() == name.strip().casefold()]
    place = called[0] if called else 1
    words = f"the probability of {classes[place]} in column '{name}'"
    return Form("probability", (name,), (place,), words, remarks=_although(cells, metric))


def _although(cells: Cells, metric: Metric) -> tuple[str, ...]:
    """A remark where probabilities are written that the metric does not take."""
    if metric.takes == "values":
        return ()
    return (f"{WARNING}{_holds_fractions(cells)}; probabilities are written, although the metric {metric.name} takes classes",)


def _holds_fractions(cells: Cells) -> str:
    return f"it holds fractions such as {first_fraction(cells)}"


def _class(name: str, cells: Cells, question: Question, remark: str = "") -> Form:
    remarks = (remark,) if remark else _strange(cells, question, None)
    return Form("label", (name,), (0,), f"the class in column '{name}'", remarks=remarks)


def _top(name: str, cells: Cells, seen: str | None, question: Question) -> Form:
    classes, between = question.task.classes, seen or " "
    count = min(question.top, len(classes))
    remarks: tuple[str, ...] = ()
    if question.metric.name != "map":
        count = max(len(cell.split(between)) for cell in cells)
        remarks = (f"{WARNING}its cells hold up to {count} classes, so that as many are written; the metric for that is map",)
    _check_separates(between, classes, name)
    words = (
        f"the {counted(count, 'most probable class', 'most probable classes')} in column '{name}', separated by {name_separator(between)}"
    )
    return Form("top", (name,), (0,), words, between=between, top=count, remarks=remarks)


def _list(name: str, cells: Cells, question: Question) -> Form:
    classes = question.task.classes
    between = separator_in(cells, classes) or question.between
    _check_separates(between, classes, name)
    here, before = name_separator(between), name_separator(question.between)
    told = f"labels are separated by {here} in it, and by {before} in training; they are written as in it"
    remarks = (told,) if between.strip() != question.between.strip() else ()
    words = f"the labels in column '{name}', separated by {here}"
    return Form("list", (name,), (0,), words, between=between, remarks=(*remarks, *_strange(cells, question, between)))


def _flag_or_probability(cells: Cells, metric: Metric) -> tuple[Kind, tuple[str, ...]]:
    if metric.takes == "labels" and not are_fractions(cells, ()):
        return "flag", ()
    return "probability", _although(cells, metric)


def _strange(cells: Cells, question: Question, between: str | None) -> tuple[str, ...]:
    """A remark on names in the template that training does not know; 0 is a placeholder, and so is a blank cell."""
    unknown = [name for name in unknown_names(cells, question.task.classes, between) if name != "0"]
    if not unknown:
        return ()
    known = f"no {question.noun} of training ({shorten(question.task.classes, 3)})"
    return (f"{WARNING}it holds {shorten(unknown, 3)}, which is {known}; what is written is called as in training",)


def _check_separates(between: str, names: Iterable[str], column: str) -> None:
    torn = [name for name in names if between in name]
    if torn:
        many = counted(len(torn), "name holds", "names hold")
        told = f"{many} {name_separator(between)}, which separates names in column '{column}': {shorten(map(repr, torn), 3)}"
        raise OptionError("data", "label_separator", f"{told}; name another one")


def _mismatch(where: str, columns: Mapping[str, Cells], question: Question) -> DataError:
    task = question.task
    if task.kind == "ordinal":
        found = shorten(map(repr, columns)) or "none"
        return DataError(f"{where}: expected one column, for the class, got {found}; task = ordinal has no probability of each")
    names = asked_names(task) if task.kind == "multioutput" else task.columns
    many = {"class": "expected one column for the class, or one a class", "label": "expected one column for the labels, or one a label"}
    expected = many.get(question.noun, f"expected one column for each {question.noun}")
    there = [name for name in columns if not is_index(name)]
    return DataError(f"{where}: {expected}; {tell_name_difference(there, names, question.noun)}")
