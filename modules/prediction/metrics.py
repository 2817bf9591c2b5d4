"""Scores and their direction, each computed once, over all rows at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from modules.config.errors import DataError
from modules.data.samples import Rows
from modules.prediction.predictions import Probabilities


@dataclass(frozen=True)
class Metric:
    """`score(targets, probabilities)` with (N,) class positions and (N, C) probabilities."""

    name: str
    greater_is_better: bool
    score: Callable[[Rows, Probabilities], float]
    takes_probabilities: bool = False


def find_metric(name: str) -> Metric:
    """The metric that [hyper_params] metric names; auto is accuracy."""
    return METRICS["accuracy" if name == "auto" else name]


def accuracy(targets: Rows, probabilities: Probabilities) -> float:
    return float(metrics.accuracy_score(targets, probabilities.argmax(axis=1)))


def macro_f1(targets: Rows, probabilities: Probabilities) -> float:
    """The mean over all classes that the contest has; 0 for a class that is neither there nor predicted."""
    return _f1(targets, probabilities, "macro")


def micro_f1(targets: Rows, probabilities: Probabilities) -> float:
    return _f1(targets, probabilities, "micro")


def balanced_accuracy(targets: Rows, probabilities: Probabilities) -> float:
    """Mean recall over the classes that are there."""
    recalls = metrics.recall_score(targets, probabilities.argmax(axis=1), labels=np.unique(targets), average="macro", zero_division=0)
    return float(recalls)


def log_loss(targets: Rows, probabilities: Probabilities) -> float:
    """Natural logarithm; probabilities are kept from 0 by the float32 epsilon, and rows scaled to sum to 1."""
    values: NDArray[np.float64] = probabilities.astype(np.float64)
    values = np.clip(values / values.sum(axis=1, keepdims=True), np.finfo(np.float32).eps, 1)
    values /= values.sum(axis=1, keepdims=True)
    return float(metrics.log_loss(targets, values, labels=np.arange(values.shape[1])))


def roc_auc(targets: Rows, probabilities: Probabilities) -> float:
    """Two classes: of the second one. More: one against the rest, the mean over the classes that are there.

    Raises DataError where only one class is there: the score is not defined then.
    """
    present = np.unique(targets)
    if len(present) < 2:
        raise DataError("roc_auc is not defined where only one class is there; use fewer folds, or split.method = stratified")
    if probabilities.shape[1] == 2:
        return float(metrics.roc_auc_score(targets, probabilities[:, 1]))
    return float(np.mean([metrics.roc_auc_score(targets == index, probabilities[:, index]) for index in present]))


def _f1(targets: Rows, probabilities: Probabilities, average: str) -> float:
    labels = np.arange(probabilities.shape[1])
    return float(metrics.f1_score(targets, probabilities.argmax(axis=1), labels=labels, average=average, zero_division=0))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", True, accuracy),
        Metric("macro_f1", True, macro_f1),
        Metric("micro_f1", True, micro_f1),
        Metric("balanced_accuracy", True, balanced_accuracy),
        Metric("log_loss", False, log_loss, takes_probabilities=True),
        Metric("roc_auc", True, roc_auc, takes_probabilities=True),
    )
}
