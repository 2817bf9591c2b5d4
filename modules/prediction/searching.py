"""What the searches for thresholds, cut points and class weights have in common.

Every search begins with what is plain and goes on one number at a time, each over all candidates at once. Of candidates that
score alike but for SLACK the one nearest to plain is taken: a maximum over few rows is mostly chance. Whether what is
found holds on rows that it was not found on, fitting.py asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from modules.prediction.tallies import Numbers, Tally

Rows = NDArray[np.int64]
Score = Callable[[Tally], Numbers]
SLACK = 0.1  # times 1 / sqrt(rows): about a tenth of a score's standard error
FEWEST = 5  # a class or label with fewer rows stays as it was
GRID = 400  # candidates of a cut
PASSES = 8
BUDGET = 200  # calls of a metric that nothing is known of


def nearest_best(scores: Numbers, distances: Numbers, slack: float) -> int:
    """The place of the score that is, but for `slack`, the best, and the nearest; the first of those that are equal."""
    good = np.flatnonzero(scores >= scores.max() - slack)
    return int(good[np.argmin(distances[good])])


def candidates_of(values: Numbers, further: Iterable[float], count: int = GRID) -> Numbers:
    """Rising: halfway between neighbouring values, at most about `count` of them by the share of rows below; and `further`."""
    distinct, places = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return np.unique([*further])
    if len(distinct) > count + 1:
        shares = np.searchsorted(np.cumsum(places), np.linspace(0, len(values), count + 2)[1:-1])
        low = np.unique(np.minimum(shares, len(distinct) - 2))
    else:
        low = np.arange(len(distinct) - 1)
    return np.unique([*((distinct[low] + distinct[low + 1]) / 2), *further])


def search_slowly(start: Numbers, grids: list[Numbers], judge: Callable[[Numbers], float], slack: float, rising: bool) -> Numbers:
    """Coordinate ascent over the grids with at most BUDGET calls of `judge`; a move must gain more than `slack`."""
    found, best, calls = start.astype(np.float64), judge(start), 1
    for _ in range(PASSES):
        before = best
        for place, grid in enumerate(grids):
            for each in grid:
                tried = found.copy()
                tried[place] = each
                if each == found[place] or (rising and (np.diff(tried) < 0).any()):
                    continue
                if calls == BUDGET:
                    return found
                score, calls = judge(tried), calls + 1
                if score > best + slack:
                    found, best = tried, score
        if best <= before:
            break
    return found
