"""Scores of labels from a few counts, so that thousands of decisions are compared in the time of one call of scikit-learn.

Each form is that of metrics.py by the same name, which a test holds; a metric that is not here, such as one's own, is
called itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modules.data.task import Targets, Task, positions
from modules.prediction.metrics import Metric

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """Of decisions for classes that exclude each other. truth, given, hits: (..., C): how often each class is there, is given, and both.

    cost: (...,) the sum of (position there - position given) squared. rows: (...,) how many.
    """

    truth: Numbers
    given: Numbers
    hits: Numbers
    cost: Numbers
    rows: Numbers


def tally(truth: NDArray[np.int64], labels: NDArray[np.int64], classes: int, weights: Numbers | None = None) -> Tally:
    """Labels at or behind `classes` are of a class that is never there. weights: how often each row counts."""
    hit, known = truth == labels, labels < classes
    shares = np.ones(len(truth)) if weights is None else weights

    def count(which: NDArray[np.int64], how_often: Numbers) -> Numbers:
        return np.bincount(which, how_often, classes).astype(np.float64)

    return Tally(
        count(truth, shares),
        count(labels[known], shares[known]),
        count(truth[hit], shares[hit]),
        np.asarray(((truth - labels) ** 2 * shares).sum()),
        np.asarray(shares.sum()),
    )


def ratio(numerator: Numbers, denominator: Numbers) -> Numbers:
    """0 where there is nothing to divide by."""
    return np.asarray(np.divide(numerator, denominator, out=np.zeros(np.broadcast(numerator, denominator).shape), where=denominator > 0))


def _accuracy(counts: Tally) -> Numbers:
    return ratio(counts.hits.sum(axis=-1), counts.rows)


def _micro_f1(counts: Tally) -> Numbers:
    return ratio(2 * counts.hits.sum(axis=-1), counts.truth.sum(axis=-1) + counts.given.sum(axis=-1))


def _f1s(counts: Tally) -> Numbers:
    return ratio(2 * counts.hits, counts.truth + counts.given)


def _balanced_accuracy(counts: Tally) -> Numbers:
    return ratio(ratio(counts.hits, counts.truth).sum(axis=-1), (counts.truth > 0).sum(axis=-1))


def _macro_recall(counts: Tally) -> Numbers:
    return ratio(ratio(counts.hits, counts.truth).sum(axis=-1), (counts.truth + counts.given > 0).sum(axis=-1))


def _qwk(counts: Tally) -> Numbers:
    """1 - observed / expected squared distance (Cohen 1968)."""
    places = np.arange(counts.truth.shape[-1], dtype=np.float64)
    first = counts.truth @ places**2 * counts.given.sum(axis=-1) + counts.given @ places**2 * counts.truth.sum(axis=-1)
    expected = ratio(first - 2 * (counts.truth @ places) * (counts.given @ places), counts.rows)
    return np.where(expected > 0, 1 - ratio(counts.cost, expected), 1.0)


OF_CLASSES: Mapping[str, Callable[[Tally], Numbers]] = {
    "accuracy": _accuracy,
    "micro_f1": _micro_f1,
    "macro_f1": lambda counts: np.asarray(_f1s(counts).mean(axis=-1)),
    "f1": lambda counts: np.asarray(_f1s(counts)[..., 1]),
    "balanced_accuracy": _balanced_accuracy,
    "macro_recall": _macro_recall,
    "qwk": _qwk,
}


def _labels_macro_f1(truth: Targets, given: Targets, shares: Numbers) -> Numbers:
    return np.asarray(ratio(2 * (shares @ (truth * given)), shares @ truth + shares @ given).mean(axis=-1))


def _labels_micro_f1(truth: Targets, given: Targets, shares: Numbers) -> Numbers:
    return ratio(2 * (shares @ (truth * given).sum(axis=1)), shares @ truth.sum(axis=1) + shares @ given.sum(axis=1))


def _labels_samples_f1(truth: Targets, given: Targets, shares: Numbers) -> Numbers:
    """1 for a row that has no label and is given none."""
    sizes = truth.sum(axis=1) + given.sum(axis=1)
    return ratio(shares @ np.where(sizes > 0, ratio(2 * (truth * given).sum(axis=1), sizes), 1.0), shares.sum(axis=-1))


def _labels_accuracy(truth: Targets, given: Targets, shares: Numbers) -> Numbers:
    """The share of the rows whose labels are all right."""
    return ratio(shares @ (truth == given).all(axis=1).astype(np.float64), shares.sum(axis=-1))


OF_LABELS: Mapping[str, Callable[[Targets, Targets, Numbers], Numbers]] = {
    "macro_f1": _labels_macro_f1,
    "micro_f1": _labels_micro_f1,
    "samples_f1": _labels_samples_f1,
    "accuracy": _labels_accuracy,
}


@dataclass(frozen=True)
class Judge:
    """Scores labels of N rows; greater is always better. targets: as the task has them, shares as positions."""

    task: Task
    metric: Metric
    targets: Targets

    @classmethod
    def of(cls, task: Task, metric: Metric, targets: Targets) -> Judge:
        exclusive = task.kind in ("multiclass", "binary", "ordinal")
        return cls(task, metric, positions(targets) if exclusive else targets)

    def take(self, rows: NDArray[np.int64]) -> Judge:
        return replace(self, targets=self.targets[rows])

    @property
    def of_counts(self) -> Callable[[Tally], Numbers] | None:
        """The metric from counts, of classes that exclude each other; None where it has to be called itself."""
        return OF_CLASSES.get(self.metric.name) if self.task.kind in ("multiclass", "binary", "ordinal") else None

    def score(self, labels: Targets) -> float:
        """Raises what the metric raises."""
        return float(self.scores(labels, np.ones((1, len(labels))))[0])

    @property
    def is_counted(self) -> bool:
        """Whether a score costs next to nothing."""
        return self.of_counts is not None or (self.task.kind == "multilabel" and self.metric.name in OF_LABELS)

    def scores(self, labels: Targets, weights: Numbers) -> Numbers:
        """(D,) scores for (D, N) weights, whole numbers: how often each row counts. Raises what the metric raises."""
        counts = self.of_counts
        if counts is not None:
            size = len(self.task.classes)
            return np.array([counts(tally(self.targets, labels, size, each)) for each in weights], dtype=np.float64)
        if self.task.kind == "multilabel" and self.is_counted:
            exact = self.targets.astype(np.float64), labels.astype(np.float64)
            return OF_LABELS[self.metric.name](*exact, weights)
        sign, found = 1 if self.metric.greater_is_better else -1, []
        for each in weights:
            rows = np.repeat(np.arange(len(labels)), each.astype(np.int64))
            found.append(sign * float(self.metric.score(self.targets[rows], labels[rows], self.task)))
        return np.array(found)
