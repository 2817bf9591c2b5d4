"""The thresholds, cut points and class weights with which rows whose labels are known score best.

Every search begins with what is plain and goes on one number at a time, each over all candidates at once. Of candidates that
score alike but for SLACK the one nearest to plain is taken: a maximum over few rows is mostly chance. Whether what is
found holds on rows that it was not found on, fitting.py asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from modules.data.task import Targets
from modules.prediction.decisions import HALF, Decision
from modules.prediction.tallies import Judge, Numbers, Tally, ratio, tally

Rows = NDArray[np.int64]
Score = Callable[[Tally], Numbers]
SLACK = 0.1  # times 1 / sqrt(rows): about a tenth of a score's standard error
FEWEST = 5  # a class or label with fewer rows stays as it was
GRID = 400  # candidates of a cut
PASSES = 8
LOG_WEIGHTS = np.linspace(-5, 5, 81)
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMALLEST = 1e-9  # no probability is below it in a logarithm
STILL = 1e-5  # a pass that gains less is the last
BAGS = 6
MOST_CELLS = 500_000  # rows x classes of a bag
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


def search_cuts(
    values: Numbers, truth: Rows, classes: int, score: Score | None, plain: Numbers, judge: Callable[[Numbers], float]
) -> Numbers:
    """(classes - 1,) rising cuts of (N,) values: a row has as many cuts at or below its value as its class says.

    Coordinate ascent from the plain cuts and from those that give each class as many rows as it has. score: from counts;
    None: `judge` is called with cuts, within BUDGET.
    """
    slack = SLACK / np.sqrt(len(values))
    if score is None:
        return _search_slowly(plain, [candidates_of(values, (cut,), 24) for cut in plain], judge, slack, rising=True)
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
        return np.asarray(np.exp(_search_slowly(start, grids, judge, SLACK / np.sqrt(rows), rising=False)))
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

        return _search_slowly(thresholds, grids, asked, SLACK / np.sqrt(rows), rising=False)
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


def _search_slowly(start: Numbers, grids: list[Numbers], judge: Callable[[Numbers], float], slack: float, rising: bool) -> Numbers:
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
