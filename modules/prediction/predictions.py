"""Predictions: ids, and a probability a class or a value, saved as a table and read back exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.compute.storage import write_text
from modules.config.errors import DataError, counted
from modules.data.samples import Rows, Text
from modules.data.tables import column
from modules.data.task import SUM_TO_ONE, VALUED, Output, Targets, Task
from modules.prediction.decisions import PLAIN, Decision

Values = NDArray[np.float32]

PROBABILITY = "p:"
BETWEEN = (" ", "|", ";", ",", "\t", "\x1f")  # labels of one cell; the last is the unit separator of ASCII, which no table types


@dataclass(frozen=True)
class Predictions:
    """ids: (N,) text. values: (N, columns) float32, one for each of the task's columns: probabilities, or for ordinal and
    regression values. Probabilities of classes that exclude each other sum to 1 a row.

    are_ranks: the values are mean ranks in 0..1 instead, whose rows sum to anything.
    """

    ids: Text
    task: Task
    values: Values
    are_ranks: bool = False

    def __post_init__(self) -> None:
        assert self.values.shape == (len(self.ids), len(self.task.columns))

    def to_frame(self, decision: Decision = PLAIN) -> pd.DataFrame:
        """id, prediction (of several outputs one each, `prediction:OUT`), then a column `p:NAME` for each of the task's columns."""
        told = tell("prediction", self.task, decision.decide(self.task, self.values), decision)
        columns = {f"{PROBABILITY}{name}": self.values[:, index] for index, name in enumerate(self.task.columns)}
        return pd.DataFrame({"id": self.ids, **told, **columns})


def save_predictions(
    path: Path, predictions: Predictions, targets: Targets | None = None, folds: Rows | None = None, decision: Decision = PLAIN
) -> None:
    """The table of `to_frame`, with the columns `fold` and `target` behind the id where they are given."""
    table = predictions.to_frame(decision)
    if targets is not None:
        for place, (name, cells) in enumerate(tell("target", predictions.task, targets).items(), 1):
            table.insert(place, name, cells)
    if folds is not None:
        table.insert(1, "fold", folds)
    write_text(path, to_csv(table))


def tell(what: str, task: Task, targets: Targets, decision: Decision = PLAIN) -> dict[str, list[str]]:
    """Targets, or decided predictions, as columns of text: `what`, or `what:OUT` for each of several outputs.

    Labels of one cell are separated by a space, or where one of them holds a space by `|`, or whatever of BETWEEN none holds.
    Shares: `0.25|0.5|0.25`.
    decision: what they were decided by, which may know a class more than the task.
    """
    if task.kind in ("regression", "multioutput"):
        outputs = task.outputs
        names = [what] if len(outputs) == 1 else [f"{what}:{output.name}" for output in outputs]
        return {name: _tell_one(output, targets[:, index]) for index, (name, output) in enumerate(zip(names, outputs, strict=True))}
    if task.kind == "multilabel":
        between = _between(task)
        return {what: [between.join(name for name, there in zip(task.classes, row, strict=True) if there) for row in targets]}
    if targets.ndim == 2:
        return {what: ["|".join(f"{share:.9g}" for share in row) for row in targets]}
    return {what: _tell_one(replace(task.outputs[0], classes=decision.names(task)), targets)}


def load_targets(path: Path, task: Task) -> Targets:
    """The targets that `save_predictions` wrote. Raises DataError for those that are none of the task's."""
    table = read_own(path)
    names = list(tell("target", task, np.zeros((0, max(2, len(task.outputs))))))
    columns = [column(table, name, path, "label_columns") for name in names]
    try:
        return _read_told(task, columns)
    except (KeyError, ValueError):
        raise DataError(f"{path}: damaged: targets that the task of the run does not know") from None


def _read_told(task: Task, columns: list[list[str]]) -> Targets:
    """What `tell` made text of."""
    if task.kind == "regression":
        return np.array(columns, dtype=np.float32).T
    if task.kind == "multilabel":
        between = _between(task)
        known, position = np.zeros((len(columns[0]), len(task.classes)), dtype=np.float32), _positions(task.classes)
        for row, cell in enumerate(columns[0]):
            known[row, [position[name] for name in cell.split(between) if name]] = 1
        return known
    if task.kind == "multioutput":
        return np.array([_read_classes(output.classes, cells) for output, cells in zip(task.outputs, columns, strict=True)]).T
    if columns[0] and not set(columns[0]) <= set(task.classes):
        return np.array([[float(share) for share in cell.split("|")] for cell in columns[0]], dtype=np.float32)
    return _read_classes(task.classes, columns[0])


def _between(task: Task) -> str:
    """What stands between labels of one cell: nothing that a label holds, or they could not be told apart again."""
    return next((each for each in BETWEEN if not any(each in name for name in task.classes)), BETWEEN[-1])


def _read_classes(classes: tuple[str, ...], cells: list[str]) -> Rows:
    position = _positions(classes)
    return np.array([position[cell] for cell in cells], dtype=np.int64)


def _positions(classes: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(classes)}


def _tell_one(output: Output, values: Targets) -> list[str]:
    return [output.classes[value] for value in values] if output.classes else [f"{value:.9g}" for value in values]


def to_csv(table: pd.DataFrame, separates: str = ",") -> str:
    """CSV text in which a 32-bit number keeps all of its digits."""
    return str(table.to_csv(index=False, sep=separates, float_format="%.9g", lineterminator="\n"))


def read_own(path: Path) -> pd.DataFrame:
    """A table that `to_csv` made, as text: commas separate, whatever the classes in its header hold. Raises DataError."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}") from None


def load_predictions(path: Path, task: Task) -> Predictions:
    """What `save_predictions` wrote, to the bit. Raises DataError where the table is damaged, or of another task."""
    table = read_own(path)
    names = [str(name) for name in table.columns if str(name).startswith(PROBABILITY)]
    if "id" not in table.columns or not names:
        raise DataError(f"{path}: no predictions in it; expected the columns id and {PROBABILITY}CLASS")
    if tuple(name.removeprefix(PROBABILITY) for name in names) != task.columns:
        raise DataError(f"{path}: its classes, or their order, are not those of the run")
    try:
        values = table[names].to_numpy(dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}") from None
    return Predictions(np.array(table["id"].tolist(), dtype=np.str_), task, values)


def check_predictions(predictions: Predictions, where: str) -> None:
    """Raises DataError for NaN, probabilities outside 0..1, or rows that do not sum to 1 where they should (ranks need not)."""
    values, task = predictions.values, predictions.task
    if not len(values):
        return
    if not np.isfinite(values).all():
        what = "values" if task.kind in VALUED else "probabilities"
        raise DataError(f"{where}: {counted(int((~np.isfinite(values)).any(axis=1).sum()), 'row has', 'rows have')} NaN or infinite {what}")
    if task.kind in VALUED:
        return
    outside = values.min() < 0 or values.max() > 1 + 1e-6
    exclusive = task.kind in SUM_TO_ONE and not predictions.are_ranks
    if outside or (exclusive and any(np.abs(values[:, part].sum(axis=1) - 1).max() > 1e-3 for part in task.parts)):
        raise DataError(f"{where}: probabilities are outside of 0..1 or do not sum to 1")
