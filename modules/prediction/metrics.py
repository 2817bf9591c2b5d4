"""Scores and their direction, each computed once, over all rows at hand.

A score is a function of targets, what was given for them, and the task. Labels are counted here, since decisions are
fitted by scoring them some thousand times; curves are scikit-learn's. Soft targets are the class with the largest share,
but for log_loss and kl, which take the shares. Where several outputs are told of an image, a score is the weighted mean of
the scores of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from modules.config.errors import DataError, OptionError, counted
from modules.config.own_code import own_code
from modules.config.schema import HyperParams
from modules.config.tasks import choose_metric
from modules.data.task import Targets, Task, class_numbers, classification, positions
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.own_metrics import GREATER, load_score, made_example, says_direction
from modules.prediction.predictions import Values

Numbers = NDArray[np.float64]
Score = Callable[[Targets, Targets, Task], float]
Takes = Literal["labels", "values"]
SMALLEST = float(np.finfo(np.float32).eps)  # logarithms never see a probability below it


@dataclass(frozen=True)
class Metric:
    """`score(targets, given, task)`: targets and labels are of the form that the task gives them, values are (N, columns)."""

    name: str
    greater_is_better: bool
    takes: Takes
    score: Score

    def measure(self, task: Task, targets: Targets, values: Values, decision: Decision = PLAIN) -> float:
        """The score of predictions, decided first where the metric takes labels. Raises DataError where it is not defined."""
        given = decision.decide(task, values) if self.takes == "labels" else values
        score = float(self.score(targets, given, task))
        if not math.isfinite(score):
            raise DataError(f"{self.name} of {counted(len(targets), 'row')} is {score}, which is no number")
        return score


def tell_score(score: float) -> str:
    """Four digits behind the point; of one so small that they would say nothing, such as an error of tiny numbers, four digits."""
    return f"{score:.4f}" if abs(score) >= 0.001 or score == 0 else f"{score:.4g}"


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
    """The share of the rows that are right; of labels, right in all of them."""
    if task.kind == "multilabel":
        return float((targets == labels).all(axis=1).mean())
    return float((positions(targets) == labels).mean())


def f1(targets: Targets, labels: Targets, task: Task) -> float:
    """Of the second class; 0 where it is neither there nor given."""
    return float(_f1(*_counts(targets, labels, task))[1])


def macro_f1(targets: Targets, labels: Targets, task: Task) -> float:
    """The mean over all classes or labels that the contest has; 0 for one that is neither there nor given."""
    return float(_f1(*_counts(targets, labels, task)).mean())


def micro_f1(targets: Targets, labels: Targets, task: Task) -> float:
    """Of all classes or labels counted together: where each row has one class, the accuracy."""
    there, given, both = (counts.sum() for counts in _counts(targets, labels, task))
    return float(2 * both / max(there + given, 1))


def samples_f1(targets: Targets, labels: Targets, task: Task) -> float:
    """The mean over the rows of each one's F1; 1 for a row that has no label and is given none, since nothing in it is wrong."""
    there, given, both = ((part > 0).sum(axis=1) for part in (targets, labels, targets * labels))
    return float(np.where(there + given > 0, 2 * both / np.maximum(there + given, 1), 1.0).mean())


def balanced_accuracy(targets: Targets, labels: Targets, task: Task) -> float:
    """Mean recall over the classes that are there."""
    there, _, both = _counts(targets, labels, task)
    return float((both[there > 0] / there[there > 0]).mean())


def macro_recall(targets: Targets, labels: Targets, task: Task) -> float:
    """Mean recall over the classes that are there or given, as scikit-learn's recall_score has it: 0 for one that is given only."""
    there, given, both = _counts(targets, labels, task)
    known = there + given > 0
    return float((both[known] / np.maximum(there[known], 1)).mean())


def qwk(targets: Targets, labels: Targets, task: Task) -> float:
    """Cohen's kappa with weights (i - j)^2 of classes in their order; 1 where a single class is all that is there and given.

    1 - the sum of (t - p)^2 over the rows, times their number, over that of all pairs of a row's t and a row's p: which
    are sums of t, p and their squares, so that no table of classes is needed. In whole numbers, which are exact.
    """
    truth, given, rows = positions(targets), positions(labels), len(labels)
    t, p, squares = (int(part.sum()) for part in (truth, given, truth**2 + given**2))
    expected = rows * squares - 2 * t * p
    return 1.0 if expected == 0 else 1 - rows * int(((truth - given) ** 2).sum()) / expected


def log_loss(targets: Targets, values: Values, task: Task) -> float:
    """Natural logarithm; probabilities are kept from 0 by the float32 epsilon, and rows scaled to sum to 1.

    Of labels, the mean over their columns of each one's own: there or not there. Of soft targets the cross entropy.
    """
    if task.kind == "multilabel":
        kept = np.clip(values.astype(np.float64), SMALLEST, 1 - SMALLEST)
        return float(-np.where(targets > 0, np.log(kept), np.log1p(-kept)).mean())
    logs = np.log(_kept_from_zero(values))
    if targets.ndim == 2:
        return float(-(targets.astype(np.float64) * logs).sum(axis=1).mean())
    return float(-logs[np.arange(len(targets)), targets].mean())


def kl(targets: Targets, values: Values, task: Task) -> float:
    """Mean Kullback-Leibler divergence of what is predicted from the shares of the target, probabilities as for log_loss.

    log_loss less the entropy of the targets, which is 0 where they are classes.
    """
    shares = targets.astype(np.float64) if targets.ndim == 2 else np.ones((len(targets), 1))
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1).mean()
    return log_loss(targets, values, task) - float(entropy)


def roc_auc(targets: Targets, values: Values, task: Task) -> float:
    """Two classes: of the second one. More: one against the rest, the mean over the classes that are there. Labels: the mean
    over those that some rows have and some have not.

    Raises DataError where only one class is there, or no such label: the score is not defined then.
    """
    columns = _columns(targets, values, task)
    scores = [metrics.roc_auc_score(truth, column) for truth, column in columns if 0 < truth.sum() < len(truth)]
    if not scores:
        what = "every label is in all rows or in none" if task.kind == "multilabel" else "only one class is there"
        advice = "multilabel_stratified" if task.kind == "multilabel" else "stratified"
        raise DataError(f"roc_auc is not defined where {what}; use fewer folds, or split.method = {advice}")
    return float(np.mean(scores))


def average_precision(targets: Targets, values: Values, task: Task) -> float:
    """scikit-learn's step-wise sum; two classes: of the second one; else the mean over the classes or labels that are there.

    Raises DataError where none is.
    """
    scores = [metrics.average_precision_score(truth, column) for truth, column in _columns(targets, values, task) if truth.any()]
    if not scores:
        what = "no label is there" if task.kind == "multilabel" else f"no row has the class {task.classes[1]}"
        raise DataError(f"average_precision is not defined where {what}; use fewer folds")
    return float(np.mean(scores))


def mean_average_precision(targets: Targets, values: Values, task: Task, at: int) -> float:
    """MAP@at of a single true class: the mean over the rows of 1 / rank of the true class, 0 where that is beyond `at`.

    Of equal probabilities the class that comes first in the order of the classes is ranked first.
    """
    truth = positions(targets)
    own, order = values[np.arange(len(truth)), truth][:, None], np.arange(values.shape[1])
    ranks = 1 + ((values > own) | ((values == own) & (order < truth[:, None]))).sum(axis=1)
    return float(np.where(ranks <= at, 1 / ranks, 0).mean())


def rmse(targets: Targets, values: Values, task: Task) -> float:
    """The mean over the columns of each one's; ordinal: of the number between those of the classes, not of the decided one."""
    return float(np.sqrt((_errors(targets, values, task) ** 2).mean(axis=0)).mean())


def mae(targets: Targets, values: Values, task: Task) -> float:
    """Likewise."""
    return float(np.abs(_errors(targets, values, task)).mean())


def _errors(targets: Targets, values: Values, task: Task) -> Numbers:
    """(N, columns)"""
    if task.kind == "ordinal":
        return class_numbers(task, values[:, 0]) - class_numbers(task, targets)
    truth = targets[:, None] if targets.ndim == 1 else targets
    return np.asarray(values.astype(np.float64) - truth.astype(np.float64))


def _counts(targets: Targets, labels: Targets, task: Task) -> tuple[Numbers, Numbers, Numbers]:
    """(classes,) each: the rows that a class or label is in, those that it is given, and those that are both."""
    if task.kind == "multilabel":
        of_labels = ((part > 0).sum(axis=0).astype(np.float64) for part in (targets, labels, targets * labels))
        return next(of_labels), next(of_labels), next(of_labels)
    truth = positions(targets)
    counted = (
        np.bincount(rows, minlength=len(task.classes))[: len(task.classes)].astype(np.float64)
        for rows in (truth, labels, truth[truth == labels])
    )
    return next(counted), next(counted), next(counted)


def _f1(there: Numbers, given: Numbers, both: Numbers) -> Numbers:
    return np.asarray(2 * both / np.maximum(there + given, 1))


def _columns(targets: Targets, values: Values, task: Task) -> list[tuple[NDArray[np.bool_], Values]]:
    """Who has it, and how probable it is: of the second of two classes, else of each class or label."""
    if task.kind == "multilabel":
        return [(truth > 0, column) for truth, column in zip(targets.T, values.T, strict=True)]
    truth, first = positions(targets), 1 if values.shape[1] == 2 else 0
    return [(truth == index, values[:, index]) for index in range(first, values.shape[1])]


def _kept_from_zero(values: Values) -> Numbers:
    kept: Numbers = values.astype(np.float64)
    kept = np.clip(kept / kept.sum(axis=1, keepdims=True), SMALLEST, 1)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _of_outputs(score: Score, takes: Takes, weights: Sequence[float] | None) -> Score:
    """The same of one output, and of several the weighted mean of each one's own; weights None: all alike."""

    def of_all(targets: Targets, given: Targets, task: Task) -> float:
        if task.kind != "multioutput":
            return score(targets, given, task)
        ones = [classification(output.name, output.classes) for output in task.outputs]
        parts = [given[:, part] for part in task.parts] if takes == "values" else list(given.T)
        return float(np.average([score(*each) for each in zip(targets.T, parts, ones, strict=True)], weights=weights))

    return of_all


def _metric(name: str, greater_is_better: bool, takes: Takes, score: Score) -> Callable[[HyperParams], Metric]:
    return lambda hyper: Metric(name, greater_is_better, takes, _of_outputs(score, takes, hyper.metric_weights))


METRICS: Mapping[str, Callable[[HyperParams], Metric]] = {
    "accuracy": _metric("accuracy", True, "labels", accuracy),
    "f1": _metric("f1", True, "labels", f1),
    "macro_f1": _metric("macro_f1", True, "labels", macro_f1),
    "micro_f1": _metric("micro_f1", True, "labels", micro_f1),
    "samples_f1": _metric("samples_f1", True, "labels", samples_f1),
    "balanced_accuracy": _metric("balanced_accuracy", True, "labels", balanced_accuracy),
    "macro_recall": _metric("macro_recall", True, "labels", macro_recall),
    "qwk": _metric("qwk", True, "labels", qwk),
    "log_loss": _metric("log_loss", False, "values", log_loss),
    "kl": _metric("kl", False, "values", kl),
    "roc_auc": _metric("roc_auc", True, "values", roc_auc),
    "average_precision": _metric("average_precision", True, "values", average_precision),
    "map": lambda hyper: Metric("map", True, "values", partial(mean_average_precision, at=hyper.map_at)),
    "rmse": _metric("rmse", False, "values", rmse),
    "mae": _metric("mae", False, "values", mae),
}
