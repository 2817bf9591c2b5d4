"""How much each member of an ensemble counts: by its score, or fitted on out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from modules.data.samples import Rows
from modules.data.task import Task
from modules.prediction.ensemble import combine
from modules.prediction.predictions import Values

ROUNDS = 50


def weigh_by_score(scores: Sequence[float], greater_is_better: bool) -> list[float] | None:
    """Weights, summing to 1, in proportion to the scores, or to 1 / score where smaller is better.

    None where a score is 0 or below: a proportion means nothing then.
    """
    if min(scores) <= 0:
        return None
    values = [score if greater_is_better else 1 / score for score in scores]
    return [value / sum(values) for value in values]


def select(
    candidates: NDArray[np.float32], how: str, task: Task, score: Callable[[Values], float], greater_is_better: bool, rounds: int = ROUNDS
) -> list[float]:
    """Weights of (candidates, N, columns) by greedy forward selection with replacement (Caruana et al. 2004).

    Each round adds the candidate with which the ensemble scores best, the first of those that are equal; the weights
    are the shares of the shortest prefix of rounds that scored best. Deterministic.
    """
    sign = 1 if greater_is_better else -1
    counts = np.zeros(len(candidates))
    best_score, best_counts = -np.inf, counts
    for _ in range(rounds):
        tried = []
        for index in range(len(candidates)):
            more = counts.copy()
            more[index] += 1
            chosen = more > 0
            tried.append(sign * score(combine(candidates[chosen], how, task, more[chosen])))
        counts = counts.copy()
        counts[int(np.argmax(tried))] += 1
        if max(tried) > best_score:
            best_score, best_counts = max(tried), counts
    return [float(share) for share in best_counts / best_counts.sum()]


def cross_fitted(members: NDArray[np.float32], how: str, task: Task, folds: Rows, fit: Callable[[Rows], list[float]]) -> Values:
    """(N, columns): each fold's rows as they are combined with the weights that `fit` finds on the rows of the other folds.

    members: (runs, N, columns). folds: (N,), of two folds or more.
    """
    values = np.empty(members.shape[1:], dtype=np.float32)
    for fold in np.unique(folds):
        own = folds == fold
        values[own] = combine(members, how, task, fit(np.flatnonzero(~own)))[own]
    return values


def correlate(members: NDArray[np.float32]) -> NDArray[np.float64]:
    """(runs, runs) Pearson's correlation of the runs' (runs, N, columns) predictions, less each column's mean; 1 with itself.

    A run that predicts the same of all rows has no correlation with others: 0.
    """
    flat = (members - members.mean(axis=1, keepdims=True, dtype=np.float64)).reshape(len(members), -1)
    norms = np.linalg.norm(flat, axis=1)
    scaled = np.divide(flat, norms[:, None], out=np.zeros_like(flat), where=norms[:, None] > 0)
    found = scaled @ scaled.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
