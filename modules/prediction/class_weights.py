"""The weights of classes with which rows score best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from modules.prediction.searching import FEWEST, PASSES, SLACK, Rows, Score, nearest_best, search_slowly
from modules.prediction.tallies import Numbers, Tally, tally

LOG_WEIGHTS = np.linspace(-5, 5, 81)
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMALLEST = 1e-9  # no probability is below it in a logarithm
STILL = 1e-5  # a pass that gains less is the last
BAGS = 6
MOST_CELLS = 500_000  # rows x classes of a bag


def search_weights(values: Numbers, truth: Rows, score: Score | None, judge: Callable[[Numbers], float]) -> Numbers:
    """(C,) weights of (N, C) probabilities, 1 for classes with few rows.

    Begins with the best power of 1 / the classes' shares (logit adjustment, Menon et al. 2021), then ascends class by class
    over LOG_WEIGHTS. That is done on BAGS bootstrap draws of the rows, and the mean of the logarithms taken (bagging,
    Breiman 1996): the weights of rare classes hang on few rows. `judge`: the score of logarithms of weights.
    """
    rows, classes = values.shape
    counts = np.bincount(truth, minlength=classes)
    if not (counts >= FEWEST).any():
        return np.ones(classes)
    if score is None:
        start = _start_weights(counts, judge, SLACK / np.sqrt(rows))
        grids = [LOG_WEIGHTS[::8] if count >= FEWEST else np.zeros(1) for count in counts]
        return np.asarray(np.exp(search_slowly(start, grids, judge, SLACK / np.sqrt(rows), rising=False)))
    logs, draws = np.log(np.maximum(values, SMALLEST)), np.random.default_rng(0)
    found = []
    for _ in range(BAGS):
        bag = draws.integers(0, rows, min(rows, max(MOST_CELLS // classes, 1)))
        drawn, own = logs[bag], truth[bag]

        def of_bag(weights: Numbers, drawn: Numbers = drawn, own: Rows = own) -> float:
            return float(score(tally(own, (drawn + weights).argmax(axis=1), classes)))

        there = np.where(counts >= FEWEST, np.bincount(own, minlength=classes), 0)
        found.append(_climb_weights(_start_weights(there, of_bag, SLACK / np.sqrt(len(bag))), there, drawn, own, score))
    return np.asarray(np.exp(np.mean(found, axis=0)))


def _start_weights(counts: Rows, judge: Callable[[Numbers], float], slack: float) -> Numbers:
    """(C,) logarithms: of the powers of 1 / the shares of classes that are not few the lowest that scores best."""
    free = counts >= FEWEST
    shares = np.log(np.maximum(counts, 1) / max(counts[free].mean(), 1)) if free.any() else np.zeros(len(counts))
    starts = [np.where(free, -power * shares, 0.0) for power in POWERS]
    return starts[nearest_best(np.array([judge(start) for start in starts]), np.array(POWERS), slack)]


def _climb_weights(offsets: Numbers, counts: Rows, logs: Numbers, truth: Rows, score: Score) -> Numbers:
    """A class's weight leaves where it began only for more than half of the standard error of the class's own share in the score."""
    begun, best, rows, classes = offsets, -np.inf, np.arange(len(logs)), len(counts)
    adjusted = logs + offsets
    first = adjusted.argmax(axis=1)
    second = _second(adjusted, first)
    for _ in range(PASSES):
        before = best
        for place in np.flatnonzero(counts >= FEWEST).tolist():
            other = np.where(first == place, second, first)  # what each row is without this class
            needed = adjusted[rows, other] - logs[:, place]
            grid = np.unique([*LOG_WEIGHTS, offsets[place], begun[place]])
            scores = score(_tally_moves(np.searchsorted(grid, needed, side="right"), other, truth, place, len(grid), classes))
            own = float(scores[np.searchsorted(grid, offsets[place])])
            best = max(best, own)
            chosen = nearest_best(scores, np.abs(grid - begun[place]), 0.25 / (classes * np.sqrt(counts[place])))
            if scores[chosen] <= own:
                continue
            best, offsets = float(scores[chosen]), offsets.copy()
            offsets[place] = grid[chosen]
            adjusted[:, place] = logs[:, place] + grid[chosen]
            again = np.flatnonzero((first == place) | (second == place) | (adjusted[:, place] >= adjusted[rows, second]))
            first[again] = adjusted[again].argmax(axis=1)
            second[again] = _second(adjusted[again], first[again])
        if best <= before + STILL:
            break
    return offsets


def _second(adjusted: Numbers, first: Rows) -> Rows:
    rest = adjusted.copy()
    rest[np.arange(len(rest)), first] = -np.inf
    return np.asarray(rest.argmax(axis=1))


def _tally_moves(bins: Rows, other: Rows, truth: Rows, place: int, steps: int, classes: int) -> Tally:
    """For each of `steps` rising weights of the class at `place`: rows whose bin is at or below it have that class, others `other`."""

    def moved(which: NDArray[np.bool_] | slice, columns: Rows) -> Numbers:
        flat = bins[which] * classes + columns[which]
        return np.bincount(flat, minlength=(steps + 1) * classes).reshape(steps + 1, classes)[:steps].cumsum(axis=0).astype(np.float64)

    gone = moved(slice(None), other)
    given = np.bincount(other, minlength=classes) - gone
    given[:, place] += gone.sum(axis=1)
    hit = truth == other
    hits = np.bincount(truth[hit], minlength=classes) - moved(hit, other)
    hits[:, place] += moved(truth == place, truth)[:, place]
    apart = (truth - other) ** 2
    cost = apart.sum() + np.bincount(bins, ((truth - place) ** 2 - apart).astype(np.float64), steps + 1)[:steps].cumsum()
    return Tally(np.bincount(truth, minlength=classes).astype(np.float64), given, hits, cost, np.asarray(float(len(truth))))
