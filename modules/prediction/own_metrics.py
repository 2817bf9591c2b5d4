"""A metric of one's own: `score(targets, predictions)`, with two attributes that say how it is meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from modules.compute.own_code import FAILURES, explain, load, signature_of
from modules.config.errors import DataError, OptionError, counted, hint
from modules.data.task import Targets, Task
from modules.prediction.predictions import Values

GREATER = "greater_is_better"
TAKES = "takes"
WORDS: dict[str, Literal["labels", "values"]] = {"labels": "labels", "probabilities": "values", "values": "values"}
GIVEN = ("targets", "predictions")
CLASSES = "classes"  # an argument of this name is given the names of the classes


def load_score(code: str) -> tuple[Callable[..., float], bool, Literal["labels", "values"]]:
    """`score(targets, given, task)`, whether more is better, and what it takes. Raises OptionError."""
    function = load(code, "hyper_params", "metric")
    try:
        signature = signature_of(function, code)
    except ValueError as error:
        raise OptionError("hyper_params", "metric", str(error)) from None
    names = {CLASSES: ()} if CLASSES in signature.parameters else {}
    try:
        signature.bind(*GIVEN, **names)
    except TypeError:
        message = f"{code}{signature} cannot be called with two arguments, the targets and the predictions"
        raise OptionError("hyper_params", "metric", message) from None
    greater, takes = getattr(function, GREATER, True), getattr(function, TAKES, "labels")
    if not isinstance(greater, bool):
        raise OptionError("hyper_params", "metric", f"{code}.{GREATER}: expected True or False, got {greater!r}")
    if takes not in WORDS:
        fault = f"expected one of {', '.join(WORDS)}, got {takes!r}{hint(str(takes), WORDS)}"
        raise OptionError("hyper_params", "metric", f"{code}.{TAKES}: {fault}")

    def score(targets: Targets, given: Targets, task: Task) -> float:
        """Copies are given, since it may work in place. Raises DataError."""
        more = {CLASSES: task.columns} if names else {}
        try:
            found = function(np.array(targets), np.array(given), **more)
        except FAILURES as error:
            raise DataError(f"{code} fails on {counted(len(targets), 'row')}: {explain(error)}") from None
        return _number(found, code, len(targets))

    return score, greater, WORDS[takes]


def says_direction(code: str) -> bool:
    return hasattr(load(code, "hyper_params", "metric"), GREATER)


def _number(found: Any, code: str, rows: int) -> float:
    if isinstance(found, str | bytes | bool | np.bool_) or getattr(found, "ndim", 0) != 0:
        found = None
    try:
        number = float(found)
    except (TypeError, ValueError):
        raise DataError(f"{code} gives no number; expected one for all {rows} rows") from None
    if not math.isfinite(number):
        raise DataError(f"{code} gives {number} for {counted(rows, 'row')}; a score must be a number")
    return number


def made_example(task: Task) -> tuple[Targets, Values, Values]:
    """Targets of the task, in which each class occurs, random predictions of them, and nearly perfect ones."""
    rng = np.random.default_rng(0)
    rows = np.arange(4 * max(2, *(len(output.classes) for output in task.outputs)))
    if task.kind == "regression":
        return _made_numbers(task, rng.standard_normal((len(rows), len(task.outputs))), rng)
    if task.kind == "multilabel":
        there = (rng.random((len(rows), len(task.classes))) < 0.5) | (rows[:, None] % len(task.classes) == np.arange(len(task.classes)))
        return there.astype(np.float32), rng.random(there.shape, dtype=np.float32), (0.9 * there + 0.05).astype(np.float32)
    sizes = [len(output.classes) for output in task.outputs]
    columns = [rng.permutation(rows % size) for size in sizes]
    if task.kind == "ordinal":
        values = columns[0][:, None].astype(np.float32)
        return columns[0], rng.permutation(values), values
    random = np.concatenate([rng.dirichlet(np.ones(size), len(rows)) for size in sizes], axis=1)
    perfect = np.concatenate([0.9 * np.eye(size)[column] + 0.1 / size for size, column in zip(sizes, columns, strict=True)], axis=1)
    targets = np.stack(columns, axis=1) if task.kind == "multioutput" else columns[0]
    return targets, random.astype(np.float32), perfect.astype(np.float32)


def _made_numbers(task: Task, numbers: Targets, rng: np.random.Generator) -> tuple[Targets, Values, Values]:
    """Within what the contest's own numbers are."""
    for column, output in enumerate(task.outputs):
        scale = output.scale
        if scale is not None:
            numbers[:, column] = np.clip(scale.mean + scale.std * numbers[:, column], scale.low, scale.high)
    values = numbers.astype(np.float32)
    return values, rng.permutation(values), values
