"""Which samples count as alike when folds are made even, and whether there are enough of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from modules.config.errors import OptionError, shorten
from modules.data.samples import Rows, Samples
from modules.data.task import Targets, positions

NAMED = ("multiclass", "binary", "ordinal")  # kinds whose strata are their classes
LABELLED = ("multilabel", "multioutput")  # kinds with several labels an image
DIGITS = 6  # of sums of shares, which are 32-bit numbers
GROUPED = ("group", "stratified_group")


def strata(samples: Samples, bins: int) -> Rows:
    """(N,) the number of the class of each sample, of shares that of the largest one; of numbers (the first column of several) the part
    of `bins` of equal size that it is in, equal numbers together; of several outputs, and of labels, that of their combination.
    """
    targets, kind = samples.targets, samples.task.kind
    assert targets is not None
    if kind == "regression":
        places = (rankdata(targets[:, 0], method="average") - 0.5) / len(targets)
        return np.asarray(np.unique((places * bins).astype(np.int64), return_inverse=True)[1], dtype=np.int64)
    if kind in LABELLED:
        return np.asarray(np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1), dtype=np.int64)
    return positions(targets) if targets.ndim == 1 else _largest(targets)


def _largest(shares: Targets) -> Rows:
    """(N,) the class of the largest share; of equal ones that which has most in all rows, so that names change nothing."""
    order = sorted(range(shares.shape[1]), key=lambda column: (-round(float(shares[:, column].sum()), DIGITS), *shares[:, column]))
    return np.asarray(np.array(order)[shares[:, order].argmax(axis=1)], dtype=np.int64)


def by_occurrence(numbers: Rows) -> Rows:
    """The same parts, numbered in the order in which they first occur: what classes are called changes no fold."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


def strata_of(samples: Samples, bins: int, suits: Callable[[Rows], bool]) -> Rows:
    """`strata`, of numbers with fewer bins than `bins` where the counts of so many do not suit."""
    found = strata(samples, bins)
    while samples.task.kind == "regression" and bins > 1 and not suits(np.bincount(found)):
        bins -= 1
        found = strata(samples, bins)
    return found


def check_counts(samples: Samples, method: str, folds: int) -> None:
    if len(samples) < folds:
        raise OptionError("split", "folds", f"{folds} folds need {folds} samples or more, there are {len(samples)}")
    if method in ("stratified", "stratified_group") and samples.task.kind in NAMED:
        _check_classes(samples, folds)
    if method not in GROUPED:
        return
    if samples.groups is None:
        raise OptionError("split", "method", f"{method} needs [data] group_column, which is blank")
    groups = Counter(samples.groups.tolist())
    if len(groups) < folds:
        raise OptionError("split", "folds", f"{folds} folds need {folds} groups, there are {len(groups)}: {shorten(groups)}")


def _check_classes(samples: Samples, folds: int) -> None:
    """Soft targets may have a class that is the largest share of few rows, or of none: one is enough that comes often."""
    assert samples.targets is not None
    counts = np.bincount(strata(samples, 1), minlength=len(samples.task.classes))
    rare = [f"{samples.task.classes[index]} ({counts[index]})" for index in np.flatnonzero(counts < folds)]
    if rare and (samples.targets.ndim == 1 or len(rare) == len(counts)):
        raise OptionError("split", "folds", f"{folds} folds need {folds} samples of every class; too few of {shorten(rare)}")
