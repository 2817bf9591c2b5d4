"""What out-of-fold predictions show besides a score: which classes are mistaken for which, how far probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from modules.data.task import Targets, Task, positions
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.predictions import Values

BINS = 15  # of confidence, as Guo et al. 2017 have them

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Facet:
    """One question with classes that exclude each other. truth, told: (N,) positions in `classes`. probabilities: (N, C), or None.

    classes: of which the last may be an unknown class, which no row has.
    """

    name: str
    classes: tuple[str, ...]
    truth: Places
    told: Places
    probabilities: Floats | None


@dataclass(frozen=True)
class ClassNumbers:
    """Of one class or label. support: the rows that have it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confusion:
    """`count` rows of the class `truth` were told to be `told`: `share` of its rows."""

    truth: str
    told: str
    count: int
    share: float


@dataclass(frozen=True)
class Reliability:
    """Per bin the mean confidence, the share that is right, and the count; ece: their mean distance, weighted with the counts."""

    confidence: Floats
    right: Floats
    counts: Places
    ece: float


@dataclass(frozen=True)
class Curve:
    """Of one class against the others. roc: (2, points) false and true positive rates. pr: (2, points) recall and precision."""

    name: str
    roc: Floats
    pr: Floats
    auc: float
    average_precision: float


def facets(task: Task, targets: Targets, values: Values, decision: Decision = PLAIN) -> list[Facet]:
    """One of classes, one an output; none of labels and numbers. Soft targets are the class with the largest share."""
    if task.kind in ("multilabel", "regression"):
        return []
    told = decision.decide(task, values)
    if task.kind == "multioutput":
        return [
            Facet(output.name, output.classes, targets[:, place].astype(np.int64), told[:, place], values[:, part].astype(np.float64))
            for place, (output, part) in enumerate(zip(task.outputs, task.parts, strict=True))
        ]
    probabilities = None if task.kind == "ordinal" else values.astype(np.float64)
    return [Facet(task.outputs[0].name, decision.names(task), positions(targets), np.asarray(told, dtype=np.int64), probabilities)]


def count_confusions(facet: Facet) -> Places:
    """(classes, classes): rows of what they are, columns of what they were told to be."""
    return np.asarray(metrics.confusion_matrix(facet.truth, facet.told, labels=range(len(facet.classes))))


def worst_confusions(facet: Facet, most: int = 5) -> list[Confusion]:
    """The pairs that cost most rows."""
    table = count_confusions(facet)
    wrong = table - np.diag(np.diag(table))
    found = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(place) // len(table), int(place) % len(table)) for place in found]
    return [
        Confusion(facet.classes[row], facet.classes[column], int(wrong[row, column]), float(wrong[row, column] / table[row].sum()))
        for row, column in pairs
        if wrong[row, column]
    ]


def numbers_of_classes(task: Task, targets: Targets, values: Values, decision: Decision = PLAIN) -> dict[str, list[ClassNumbers]]:
    """Of each facet, by its name, of each class; of several labels of each label; nothing of numbers. 0 where nothing is defined."""
    if task.kind == "multilabel":
        given = decision.decide(task, values)
        return {task.outputs[0].name: _numbers(task.classes, (targets > 0.5).astype(int), given.astype(int))}
    return {
        facet.name: _numbers(facet.classes, facet.truth, facet.told, range(len(facet.classes)))
        for facet in facets(task, targets, values, decision)
    }


def _numbers(names: Sequence[str], truth: Targets, told: Targets, labels: Sequence[int] | None = None) -> list[ClassNumbers]:
    parts = metrics.precision_recall_fscore_support(truth, told, labels=labels, average=None, zero_division=0)
    return [
        ClassNumbers(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *parts, strict=True)
    ]


def reliability(task: Task, targets: Targets, values: Values) -> Reliability | None:
    """Of what is told: the largest probability against whether that class is right; of labels every probability against whether
    the label is there; of several outputs all of them together. None where there are no probabilities.

    Bins of equal width (Guo et al. 2017, On Calibration of Modern Neural Networks); empty ones are left out.
    """
    if task.kind == "multilabel":
        return _reliability(values.astype(np.float64).ravel(), (targets > 0.5).ravel())
    found = [facet for facet in facets(task, targets, values) if facet.probabilities is not None]
    if not found:
        return None
    confidence = [facet.probabilities.max(axis=1) for facet in found if facet.probabilities is not None]
    return _reliability(np.concatenate(confidence), np.concatenate([facet.told == facet.truth for facet in found]))


def _reliability(confidence: Floats, right: NDArray[np.bool_]) -> Reliability:
    places = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    there = counts > 0
    means = [np.bincount(places, part, minlength=BINS)[there] / counts[there] for part in (confidence, right.astype(np.float64))]
    ece = float((counts[there] * np.abs(means[0] - means[1])).sum() / counts.sum())
    return Reliability(means[0], means[1], counts[there], ece)


def curves(task: Task, targets: Targets, values: Values) -> list[Curve]:
    """A curve a class or label that some rows have and some have not: of labels each, of two classes the second, of more each."""
    if task.kind == "multilabel":
        exact = values.astype(np.float64)
        columns = [(name, targets[:, place] > 0.5, exact[:, place]) for place, name in enumerate(task.classes)]
    else:
        found = [facet for facet in facets(task, targets, values) if facet.probabilities is not None]
        columns = [
            (name if len(found) == 1 else f"{facet.name}:{name}", facet.truth == place, facet.probabilities[:, place])
            for facet in found
            if facet.probabilities is not None
            for place, name in enumerate(facet.classes)
            if len(facet.classes) > 2 or place == 1
        ]
    return [_curve(name, truth, given) for name, truth, given in columns if 0 < truth.sum() < len(truth)]


def _curve(name: str, truth: NDArray[np.bool_], given: Floats) -> Curve:
    false, true, _ = metrics.roc_curve(truth, given)
    precision, recall, _ = metrics.precision_recall_curve(truth, given)
    area, average = metrics.roc_auc_score(truth, given), metrics.average_precision_score(truth, given)
    return Curve(name, np.stack([false, true]), np.stack([recall, precision]), float(area), float(average))


def surest_mistakes(task: Task, targets: Targets, values: Values, decision: Decision = PLAIN, most: int = 12) -> Places:
    """The rows that are wrong and were told with most confidence; of numbers, and of ordered classes, those furthest from the truth.

    Of labels the one is looked at that is furthest from the truth; of several outputs the wrong one of most confidence.
    """
    if task.kind in ("regression", "ordinal"):
        wrongness = np.abs(_errors(task, targets, values)).max(axis=1)
        wrong = wrongness > 0 if task.kind == "regression" else decision.decide(task, values) != positions(targets)
    elif task.kind == "multilabel":
        wrongness = np.abs(values - (targets > 0.5)).max(axis=1)
        wrong = (decision.decide(task, values) != (targets > 0.5)).any(axis=1)
    else:
        wrongness = np.max(_sure_and_wrong(facets(task, targets, values, decision)), axis=0)
        wrong = wrongness >= 0
    order = np.argsort(-wrongness, kind="stable")
    return np.asarray(order[wrong[order]][:most], dtype=np.int64)


def told_columns(task: Task, targets: Targets, values: Values, decision: Decision = PLAIN) -> tuple[Places, Floats]:
    """(N,) the column of values that what each row was told stands on, and whether it is too high there (1), or too low (-1).

    Of classes the one that was told, or the most probable one where that was an unknown class; of several outputs that of the surest
    mistake; of labels and numbers the one that is furthest from the truth.
    """
    if task.kind in ("regression", "ordinal", "multilabel"):
        off = values - (targets > 0.5) if task.kind == "multilabel" else _errors(task, targets, values)
        columns = np.abs(off).argmax(axis=1)
        return columns, np.where(off[np.arange(len(off)), columns] < 0, -1.0, 1.0)
    found = facets(task, targets, values, decision)
    chosen = np.argmax(_sure_and_wrong(found), axis=0)
    told = np.stack([part.start + _told_place(facet) for facet, part in zip(found, task.parts, strict=True)])
    return told[chosen, np.arange(len(chosen))], np.ones(len(chosen))


def _errors(task: Task, targets: Targets, values: Values) -> Floats:
    """(N, columns) as shares of the spread of what they predict."""
    truth = positions(targets)[:, None].astype(np.float64) if task.kind == "ordinal" else targets.astype(np.float64)
    spread = [output.scale.std if output.scale is not None and output.scale.std > 0 else 1.0 for output in task.outputs]
    return np.asarray((values - truth) / np.array(spread))


def _sure_and_wrong(found: Sequence[Facet]) -> Floats:
    """(facets, N) the probability of what was told, where that is wrong; -1 where it is right."""
    return np.stack([np.where(facet.told != facet.truth, _confidence(facet), -1.0) for facet in found])


def _told_place(facet: Facet) -> Places:
    """(N,) the column of the class that was told; of the most probable one where that has no column: an unknown class."""
    assert facet.probabilities is not None
    return np.where(facet.told < facet.probabilities.shape[1], facet.told, facet.probabilities.argmax(axis=1))


def _confidence(facet: Facet) -> Floats:
    assert facet.probabilities is not None
    return np.asarray(facet.probabilities[np.arange(len(facet.told)), _told_place(facet)])
