"""Scores and their direction, each computed once, over all rows at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from modules.config.errors import DataError, OptionError
from modules.config.own_code import own_code
from modules.config.schema import HyperParams
from modules.config.tasks import choose_metric
from modules.data.task import Targets, Task, positions
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.own_metrics import GREATER, load_score, made_example, says_direction
from modules.prediction.predictions import Values


@dataclass(frozen=True)
class Metric:
    """`score(targets, given, task)`: targets and labels are of the form that the task gives them, values are (N, columns)."""

    name: str
    greater_is_better: bool
    takes: Literal["labels", "values"]
    score: Callable[..., float]

    def measure(self, task: Task, targets: Targets, values: Values, decision: Decision = PLAIN) -> float:
        """The score of predictions, decided first where the metric takes labels. Raises DataError where it is not defined."""
        given = decision.decide(task, values) if self.takes == "labels" else values
        return float(self.score(targets, given, task))


def find_metric(hyper: HyperParams, kind: str) -> Metric:
    """The metric that [hyper_params] metric names, for a kind of task. Raises OptionError where it is one's own, and will not do."""
    name = choose_metric(hyper.metric, kind)
    if own_code(name) is None:
        return METRICS[name](hyper)
    score, greater_is_better, takes = load_score(name)
    return Metric(str(name), greater_is_better, takes, score)  # plain text: a checkpoint holds nothing else


def check_metric(hyper: HyperParams, task: Task) -> None:
    """Tries a metric of one's own on a made example of the task. Raises OptionError where it fails, or seems to go the other way."""
    metric = find_metric(hyper, task.kind)
    if own_code(metric.name) is None:
        return
    targets, random, perfect = made_example(task)
    try:
        worse, better = (metric.measure(task, targets, values) for values in (random, perfect))
    except DataError as error:
        raise OptionError("hyper_params", "metric", f"tried on a made example: {error}") from None
    if (better > worse) is not metric.greater_is_better and better != worse and not says_direction(metric.name):
        name = metric.name.partition(":")[2]
        fault = f"{metric.name} gives {better:.4g} for good predictions and {worse:.4g} for random ones, so that less is better"
        raise OptionError("hyper_params", "metric", f"{fault}; say so behind it: {name}.{GREATER} = False")


def accuracy(targets: Targets, labels: Targets, task: Task) -> float:
    return float(metrics.accuracy_score(positions(targets), labels))


def macro_f1(targets: Targets, labels: Targets, task: Task) -> float:
    """The mean over all classes that the contest has; 0 for a class that is neither there nor predicted."""
    return _f1(targets, labels, task, "macro")


def micro_f1(targets: Targets, labels: Targets, task: Task) -> float:
    return _f1(targets, labels, task, "micro")


def balanced_accuracy(targets: Targets, labels: Targets, task: Task) -> float:
    """Mean recall over the classes that are there."""
    truth = positions(targets)
    return float(metrics.recall_score(truth, labels, labels=np.unique(truth), average="macro", zero_division=0))


def log_loss(targets: Targets, values: Values, task: Task) -> float:
    """Natural logarithm; probabilities are kept from 0 by the float32 epsilon, and rows scaled to sum to 1."""
    return float(metrics.log_loss(targets, _kept_from_zero(values), labels=np.arange(values.shape[1])))


def roc_auc(targets: Targets, values: Values, task: Task) -> float:
    """Two classes: of the second one. More: one against the rest, the mean over the classes that are there.

    Raises DataError where only one class is there: the score is not defined then.
    """
    truth = positions(targets)
    present = np.unique(truth)
    if len(present) < 2:
        raise DataError("roc_auc is not defined where only one class is there; use fewer folds, or split.method = stratified")
    if values.shape[1] == 2:
        return float(metrics.roc_auc_score(truth, values[:, 1]))
    return float(np.mean([metrics.roc_auc_score(truth == index, values[:, index]) for index in present]))


def _f1(targets: Targets, labels: Targets, task: Task, average: str) -> float:
    return float(metrics.f1_score(positions(targets), labels, labels=np.arange(len(task.classes)), average=average, zero_division=0))


def _kept_from_zero(values: Values) -> NDArray[np.float64]:
    kept: NDArray[np.float64] = values.astype(np.float64)
    kept = np.clip(kept / kept.sum(axis=1, keepdims=True), np.finfo(np.float32).eps, 1)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _plain(name: str, greater_is_better: bool, takes: Literal["labels", "values"], score: Callable[..., float]) -> Any:
    return lambda hyper: Metric(name, greater_is_better, takes, score)


METRICS: Mapping[str, Callable[[HyperParams], Metric]] = {
    "accuracy": _plain("accuracy", True, "labels", accuracy),
    "macro_f1": _plain("macro_f1", True, "labels", macro_f1),
    "micro_f1": _plain("micro_f1", True, "labels", micro_f1),
    "balanced_accuracy": _plain("balanced_accuracy", True, "labels", balanced_accuracy),
    "log_loss": _plain("log_loss", False, "values", log_loss),
    "roc_auc": _plain("roc_auc", True, "values", roc_auc),
}
