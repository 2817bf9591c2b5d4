"""Which training rows may have the wrong label: those whose out-of-fold prediction believes it least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.data.task import Output, Targets, Task, positions

Floats = NDArray[np.float64]

MOST, SHARE = 500, 0.1  # rows that are named, and of all rows, at most
WRONG, SURE = 0.05, 0.5  # a label whose probability is less looks wrong, where another one has more than half
LABEL, OTHER = "p_label", "p_prediction"


def rank_suspects(task: Task, targets: Targets, values: NDArray[Any]) -> pd.DataFrame:
    """The least believed rows, least first; its index has their places. targets, values: as `task` gives them, for N rows.

    Of classes: label, p_label (its probability), prediction, p_prediction. Of several labels or outputs `output` is that
    which is believed least, and the others are of it; a label is there or not: yes, no. Of numbers and ordered classes:
    label, prediction, error, the largest first; of several numbers errors are compared as shares of their labels' spread.
    """
    measure = {"multilabel": _of_labels, "ordinal": _of_values, "regression": _of_values}.get(task.kind, _of_classes)
    table, belief = measure(task, targets, values.astype(np.float64))
    count = min(MOST, int(np.ceil(SHARE * len(table))))
    return table.iloc[np.argsort(belief, kind="stable")[:count]]


def count_wrong(table: pd.DataFrame) -> int:
    """How many of the rows look wrong."""
    return sum(looks_wrong(row) for row in table.to_dict("records"))


def looks_wrong(row: Mapping[Any, Any]) -> bool:
    """Of a row of the table, or of the file; never where nothing has a probability. A model that hardly learnt is sure of nothing."""
    return LABEL in row and float(row[LABEL]) < WRONG and float(row[OTHER]) > SURE


def _of_classes(task: Task, targets: Targets, values: Floats) -> tuple[pd.DataFrame, Floats]:
    columns = targets.T if task.kind == "multioutput" else [positions(targets)]
    own = np.stack([values[:, part][np.arange(len(values)), column] for part, column in zip(task.parts, columns, strict=True)], axis=1)
    worst = own.argmin(axis=1)
    said = np.stack([values[:, part].argmax(axis=1) for part in task.parts], axis=1)
    sure = np.stack([values[:, part].max(axis=1) for part in task.parts], axis=1)
    truth = np.stack(list(columns), axis=1)
    outputs = [task.outputs[place] for place in worst]
    table = _table(
        task.outputs,
        worst,
        label=[each.classes[place] for each, place in zip(outputs, _pick(truth, worst), strict=True)],
        p_label=_pick(own, worst),
        prediction=[each.classes[place] for each, place in zip(outputs, _pick(said, worst), strict=True)],
        p_prediction=_pick(sure, worst),
    )
    return table, own.min(axis=1)


def _of_labels(task: Task, targets: Targets, values: Floats) -> tuple[pd.DataFrame, Floats]:
    there = targets > 0.5
    own = np.where(there, values, 1 - values)
    worst = own.argmin(axis=1)
    probability = _pick(values, worst)
    table = _table(
        [Output(name) for name in task.classes],
        worst,
        label=np.where(_pick(there, worst), "yes", "no"),
        p_label=_pick(own, worst),
        prediction=np.where(probability >= 0.5, "yes", "no"),
        p_prediction=np.maximum(probability, 1 - probability),
    )
    return table, own.min(axis=1)


def _of_values(task: Task, targets: Targets, values: Floats) -> tuple[pd.DataFrame, Floats]:
    truth = positions(targets)[:, None].astype(np.float64) if task.kind == "ordinal" else targets.astype(np.float64)
    errors = np.abs(values - truth)
    spreads = np.array([output.scale.std if output.scale is not None else 1.0 for output in task.outputs])
    compared = errors / np.where(spreads > 0, spreads, 1)
    worst = compared.argmax(axis=1)
    table = _table(
        task.outputs,
        worst,
        label=[_tell(task.outputs[place], value) for place, value in zip(worst, _pick(truth, worst), strict=True)],
        prediction=_pick(values, worst),
        error=_pick(errors, worst),
    )
    return table, -compared.max(axis=1)


def _table(outputs: Sequence[Output], worst: NDArray[np.int64], **columns: object) -> pd.DataFrame:
    """With the name of each row's output in front, where there are several."""
    table = pd.DataFrame(columns)
    if len(outputs) > 1:
        table.insert(0, "output", [outputs[place].name for place in worst])
    return table


def _pick(matrix: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    return matrix[np.arange(len(matrix)), places]


def _tell(output: Output, value: float) -> str:
    return output.classes[int(value)] if output.classes else f"{value:.9g}"
