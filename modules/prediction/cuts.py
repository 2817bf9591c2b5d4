"""The cut points with which rows of ordered classes score best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modules.prediction.searching import PASSES, SLACK, Rows, Score, candidates_of, nearest_best, search_slowly
from modules.prediction.tallies import Numbers, Tally


def search_cuts(
    values: Numbers, truth: Rows, classes: int, score: Score | None, plain: Numbers, judge: Callable[[Numbers], float]
) -> Numbers:
    """(classes - 1,) rising cuts of (N,) values: a row has as many cuts at or below its value as its class says.

    Coordinate ascent from the plain cuts and from those that give each class as many rows as it has. score: from counts;
    None: `judge` is called with cuts, within BUDGET.
    """
    slack = SLACK / np.sqrt(len(values))
    if score is None:
        return search_slowly(plain, [candidates_of(values, (cut,), 24) for cut in plain], judge, slack, rising=True)
    grid = candidates_of(values, plain)
    table = np.zeros((len(grid) + 1, classes))
    np.add.at(table, (np.searchsorted(grid, values, side="right"), truth), 1)
    below = table.cumsum(axis=0)  # (grid, classes): the rows of each class under a candidate
    wanted = np.cumsum(np.bincount(truth, minlength=classes))[:-1]
    starts = [np.searchsorted(grid, plain), np.minimum(np.searchsorted(below[:-1].sum(axis=1), wanted), len(grid) - 1)]
    found = [_climb_cuts(np.maximum.accumulate(start), grid, below, score, plain, slack) for start in starts]
    (first, first_score), (second, second_score) = found
    return grid[second] if second_score > first_score + slack else grid[first]


def _climb_cuts(cuts: Rows, grid: Numbers, below: Numbers, score: Score, plain: Numbers, slack: float) -> tuple[Rows, float]:
    best = float(score(_tally_cuts(cuts[None], below))[0])
    for _ in range(PASSES):
        before = best
        for place in range(len(cuts)):
            low = cuts[place - 1] if place else 0
            high = cuts[place + 1] if place + 1 < len(cuts) else len(grid) - 1
            tried = np.repeat(cuts[None], high - low + 1, axis=0)
            tried[:, place] = np.arange(low, high + 1)
            scores = score(_tally_cuts(tried, below))
            chosen = nearest_best(scores, np.abs(grid[low : high + 1] - plain[place]), slack)
            if scores[chosen] > best:
                cuts, best = tried[chosen], float(scores[chosen])
        if best <= before:
            break
    return cuts, best


def _tally_cuts(cuts: Rows, below: Numbers) -> Tally:
    """Of (sets, classes - 1) places in the grid."""
    sets, classes = len(cuts), below.shape[1]
    edges = np.concatenate([np.zeros((sets, 1, classes)), below[cuts], np.broadcast_to(below[-1], (sets, 1, classes))], axis=1)
    given = np.diff(edges, axis=1)  # (sets, given, truth)
    apart = (np.arange(classes)[:, None] - np.arange(classes)) ** 2
    total = below[-1].sum()
    return Tally(below[-1], given.sum(axis=2), np.einsum("sii->si", given), (given * apart).sum(axis=(1, 2)), np.asarray(total))
