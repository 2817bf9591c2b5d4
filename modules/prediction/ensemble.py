"""Members to one: how the probabilities of several models become those of the ensemble.

Each form takes, of classes that exclude each other, (members, N, classes) float64 and (members,) weights that sum to 1,
and gives (N, classes) float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from modules.data.task import VALUED, Task
from modules.prediction.decisions import HALF
from modules.prediction.predictions import Values

Numbers = NDArray[np.float64]
STEP = 1e-6
SMALLEST = float(np.finfo(np.float32).eps)  # logarithms never see a probability below it


def combine(members: NDArray[np.float32], how: str, task: Task, weights: Sequence[float] | Numbers | None = None) -> Values:
    """(members, N, columns) to (N, columns). `weights`: one a member, of any sum above 0; none: all alike.

    All forms but `rank` give rows that sum to 1 where those of the members do: for each output by itself. Labels that do
    not exclude each other are combined one by one, each as two classes: there, not there. Values, that are no
    probabilities, have a mean alone.
    """
    assert task.kind not in VALUED or how == "mean"
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=np.float64)
    assert shares.shape == (len(members),) and (shares >= 0).all() and shares.sum() > 0
    exact, form = np.asarray(members, dtype=np.float64), FORMS[how]

    def of_part(part: slice) -> Numbers:
        if task.kind != "multilabel" or how in ("mean", "rank"):
            return form(exact[:, :, part], shares / shares.sum())
        there = exact[:, :, part]
        found = form(np.concatenate([there, 1 - there], axis=2), shares / shares.sum())[:, :1]
        return _by_mean_below(found, _mean(there, shares / shares.sum())) if how == "vote" else found

    return np.asarray(np.concatenate([of_part(part) for part in task.parts], axis=1), dtype=np.float32)


def _mean(members: Numbers, weights: Numbers) -> Numbers:
    return np.tensordot(weights, members, axes=1)


def _geometric(members: Numbers, weights: Numbers) -> Numbers:
    return _to_sum_one(np.exp(_mean(np.log(np.clip(members, SMALLEST, 1)), weights)))


def _logit(members: Numbers, weights: Numbers) -> Numbers:
    """The mean of each class's log-odds against all others."""
    kept = np.clip(members, SMALLEST, 1 - SMALLEST)
    return _to_sum_one(expit(_mean(np.log(kept) - np.log1p(-kept), weights)))


def _rank(members: Numbers, weights: Numbers) -> Numbers:
    """The mean of each row's rank among the N rows, a class at a time, as a share of N; equal values share their mean rank.

    No probabilities: what a model's numbers are is left behind, only their order is kept.
    """
    return _mean(np.asarray(rankdata(members, method="average", axis=1)) / members.shape[1], weights)


def _vote(members: Numbers, weights: Numbers) -> Numbers:
    """The share of the members whose most probable class it is.

    Where classes have equally many votes, the one with the highest mean probability is put before the others, by the
    smallest step that a 32-bit number can take; of two the other steps back, since one half is given as a rule.
    """
    votes = np.eye(members.shape[2])[members.argmax(axis=2)]
    shares = _mean(votes, weights)
    most = shares.max(axis=1, keepdims=True)
    tied = np.isclose(shares, most, rtol=0, atol=1e-9)
    winners = np.where(tied, _mean(members, weights), -1).argmax(axis=1)
    rows = np.flatnonzero(tied.sum(axis=1) > 1)
    highest = shares.astype(np.float32).max(axis=1)[rows]
    if members.shape[2] == 2:
        shares[rows] = np.nextafter(highest, np.float32(0))[:, None]
    shares[rows, winners[rows]] = np.nextafter(highest, np.float32(2))
    return shares


def _by_mean_below(shares: Numbers, means: Numbers) -> Numbers:
    """Votes for labels, in which those that less than half give are in the order of their mean probabilities where votes are
    equal: an image that no model gives a label gets the most probable one, if it must have one.
    """
    return np.where(shares < HALF, shares * (1 - 4 * STEP) + STEP * means, shares)


def _to_sum_one(values: Numbers) -> Numbers:
    return np.asarray(values / values.sum(axis=1, keepdims=True))


FORMS: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "mean": _mean,
    "geometric": _geometric,
    "logit": _logit,
    "rank": _rank,
    "vote": _vote,
}
