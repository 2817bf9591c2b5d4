"""The thresholds of labels with which rows score best, and that of the unknown class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from modules.data.task import Targets
from modules.prediction.decisions import HALF, Decision
from modules.prediction.searching import FEWEST, SLACK, Rows, candidates_of, nearest_best, search_slowly
from modules.prediction.tallies import Judge, Numbers, ratio


def search_global(values: Numbers, targets: Targets, judge: Callable[[float], float]) -> float:
    """One threshold for all labels: first over steps of .05 and the values of labels that are there, then closer around the best."""
    there = values[targets > 0]
    slack = SLACK / np.sqrt(len(values))
    tried = np.unique([*np.linspace(0.05, 0.95, 19), *(np.quantile(there, np.linspace(0.02, 0.9, 23)) if len(there) else ())])
    tried = tried[tried > 0]
    scores = np.array([judge(each) for each in tried])
    place = int(np.argmax(scores))
    around = np.linspace(tried[max(place - 1, 0)], tried[min(place + 1, len(tried) - 1)], 8)[1:-1]
    tried = np.concatenate([tried, around])
    scores = np.concatenate([scores, [judge(each) for each in around]])
    return float(tried[nearest_best(scores, np.abs(tried - HALF), slack)])


def search_labels(values: Numbers, targets: Targets, start: float, judge: Judge, decision: Decision) -> Numbers:
    """(L,) a threshold for each label, `start` for labels with few rows. Rows that would have no label are not looked at.

    Each label is scanned over all of its values: for macro F1 exactly the best, for the others by ascent.
    """
    name, rows = judge.metric.name, len(values)
    thresholds = np.full(values.shape[1], start)
    free = np.flatnonzero(targets.sum(axis=0) >= FEWEST)
    scan = SCANS.get(name)
    if scan is None:
        grids = [candidates_of(values[:, label], (start,), 8) if label in free else np.array([start]) for label in range(len(thresholds))]

        def asked(tried: Numbers) -> float:
            return judge.score(replace(decision, thresholds=tuple(tried)).decide(judge.task, values))

        return search_slowly(thresholds, grids, asked, SLACK / np.sqrt(rows), rising=False)
    truth = targets.astype(np.float64)
    orders = {label: np.argsort(-values[:, label], kind="stable") for label in free}
    given = (values >= thresholds).astype(np.float64)
    for _ in range(1 if name == "macro_f1" else 3):
        before = thresholds.copy()
        for label in free:
            order = orders[label]
            ends = np.flatnonzero(np.append(np.diff(values[order, label]) < 0, True))  # the last of rows that have the same value
            lowest = values[order[ends], label]
            cuts = np.append((lowest[:-1] + lowest[1:]) / 2, lowest[-1] / 2)
            scores = scan(truth, given, int(label), order)[ends]
            few = float(targets[:, label].sum()) if name == "macro_f1" else rows
            thresholds[label] = cuts[nearest_best(scores, np.abs(cuts - start), SLACK / np.sqrt(few))]
            given[:, label] = values[:, label] >= thresholds[label]
        if np.array_equal(before, thresholds):
            break
    return np.asarray(np.maximum(thresholds, np.finfo(np.float32).tiny))


def _scan_macro(truth: Numbers, given: Numbers, label: int, order: Rows) -> Numbers:
    """(N,) the label's own F1 where it is given to the first 1, 2, ... rows of `order`; likewise below, of all labels."""
    own = truth[order, label]
    return ratio(2 * own.cumsum(), own.sum() + np.arange(1, len(own) + 1))


def _scan_micro(truth: Numbers, given: Numbers, label: int, order: Rows) -> Numbers:
    own = truth[order, label]
    hits = (truth * given).sum() - (truth[:, label] * given[:, label]).sum()
    sizes = truth.sum() + given.sum() - given[:, label].sum()
    return ratio(2 * (hits + own.cumsum()), sizes + np.arange(1, len(own) + 1))


def _scan_samples(truth: Numbers, given: Numbers, label: int, order: Rows) -> Numbers:
    own = truth[:, label]
    hits = (truth * given).sum(axis=1) - own * given[:, label]
    sizes = truth.sum(axis=1) + given.sum(axis=1) - given[:, label]
    without = np.where(sizes > 0, ratio(2 * hits, sizes), 1.0)
    gains = ratio(2 * (hits + own), sizes + 1) - without
    return np.asarray((without.sum() + gains[order].cumsum()) / len(own))


def _scan_accuracy(truth: Numbers, given: Numbers, label: int, order: Rows) -> Numbers:
    own = truth[:, label]
    others = ((truth != given).sum(axis=1) - (own != given[:, label]) == 0).astype(np.float64)
    return np.asarray(((others * (1 - own)).sum() + (others * (2 * own - 1))[order].cumsum()) / len(own))


SCANS: dict[str, Callable[[Numbers, Numbers, int, Rows], Numbers]] = {
    "macro_f1": _scan_macro,
    "micro_f1": _scan_micro,
    "samples_f1": _scan_samples,
    "accuracy": _scan_accuracy,
}


def search_below(confidence: Numbers, judge: Callable[[float], float]) -> float:
    """The confidence below which the unknown class is given: over quantiles of (N,) confidences; the lowest of those that score alike."""
    tried = candidates_of(confidence, (), 60)
    if not len(tried):
        return float(np.finfo(np.float32).tiny)
    scores = np.array([judge(float(each)) for each in tried])
    return float(tried[nearest_best(scores, tried, SLACK / np.sqrt(len(confidence)))])
