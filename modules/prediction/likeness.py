"""How far two orders agree, and which runs are worth blending: arithmetic of scores and of out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from modules.data.task import Targets, Task
from modules.prediction.ensemble import combine
from modules.prediction.metrics import Metric

COUNTED = 8  # pairs of scores: of no more, all orders are gone through (40,320)
EQUAL = 1e-9  # sums of ranks that differ by less are the same but for rounding


@dataclass(frozen=True)
class Pair:
    """Two of several runs, by their places. score: of the plain mean of their predictions. gain: how much better that is than
    the better one alone, below 0 where it is worse, whichever way the metric goes."""

    first: int
    second: int
    correlation: float
    score: float
    gain: float


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's, equal values sharing their mean rank; None where one of them is the same everywhere, which has no order."""
    x, y = _ranks(first), _ranks(second)
    spread = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / spread if spread else None


def chance_of(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The share of all orders of `second` that agree with `first` at least as well: what chance alone would do.

    An exact permutation test, one-sided. None of more than COUNTED values, or where there is no correlation to speak of.
    """
    found = rank_correlation(first, second)
    if found is None or len(first) > COUNTED:
        return None
    x, y = _ranks(first), _ranks(second)
    orders = np.array(list(permutations(y)))
    return float((orders @ x >= x @ y - EQUAL).mean())


def measure_pairs(
    members: NDArray[np.float32], correlations: NDArray[np.float64], scores: Sequence[float], task: Task, targets: Targets, metric: Metric
) -> list[Pair]:
    """Every two of (runs, N, columns) predictions as a plain mean, the best first; of equal ones the two that are least alike.

    correlations: (runs, runs). scores: each run's own on these rows, decided plainly, as those of the pairs are.
    """
    sign = 1 if metric.greater_is_better else -1
    found = []
    for first, second in combinations(range(len(members)), 2):
        score = metric.measure(task, targets, combine(members[[first, second]], "mean", task))
        better = max(sign * scores[first], sign * scores[second])
        found.append(Pair(first, second, float(correlations[first, second]), score, sign * score - better))
    return sorted(found, key=lambda pair: (-sign * pair.score, pair.correlation))


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """(N,) less their mean; equal values share one."""
    return np.asarray(rankdata(values, method="average"), dtype=np.float64) - (len(values) + 1) / 2
