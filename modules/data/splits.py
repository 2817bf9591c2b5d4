"""Samples to folds: scikit-learn's splitters, and the checks that what came out is what was promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from modules.config.errors import DataError, OptionError, shorten
from modules.config.schema import Split
from modules.data.samples import Rows, Samples, Text

GROUPED = ("group", "stratified_group")
SPLITTERS = {"kfold": KFold, "stratified": StratifiedKFold, "group": GroupKFold, "stratified_group": StratifiedGroupKFold}


@dataclass(frozen=True)
class Fold:
    """One fold: the rows of Samples that it trains on and those that it validates, each in ascending order."""

    number: int
    train_rows: Rows
    valid_rows: Rows


def resolve_method(split: Split, samples: Samples) -> str:
    """The splitter's name; auto is stratified_group where the samples have groups, else stratified."""
    if split.method != "auto":
        return split.method
    return "stratified" if samples.groups is None else "stratified_group"


def make_folds(samples: Samples, split: Split, seed: int) -> tuple[Fold, ...]:
    """`split.folds` folds; every row is validated by exactly one, and no group is in two.

    Raises OptionError or DataError where there are too few samples of a class, or too few groups, and names them.
    """
    assert samples.targets is not None
    method = resolve_method(split, samples)
    _check_counts(samples, method, split.folds)
    splitter = SPLITTERS[method](n_splits=split.folds, shuffle=True, random_state=seed)
    groups = samples.groups if method in GROUPED else None
    pairs = splitter.split(np.zeros(len(samples)), samples.targets, groups)
    folds = tuple(Fold(number, np.sort(train), np.sort(valid)) for number, (train, valid) in enumerate(pairs))
    check_folds(samples, folds, method)
    return folds


def check_folds(samples: Samples, folds: Sequence[Fold], method: str) -> None:
    """Each row validated once, no group in two folds, every class in every fold's training rows; else DataError."""
    assert samples.targets is not None
    validated = np.concatenate([fold.valid_rows for fold in folds])
    assert np.array_equal(np.sort(validated), np.arange(len(samples))), "a row is validated twice or never"
    for fold in folds:
        missing = sorted(set(range(len(samples.classes))) - set(samples.targets[fold.train_rows].tolist()))
        if missing:
            names = shorten(samples.classes[index] for index in missing)
            advice = "use fewer folds" if method in GROUPED else "use fewer folds, or split.method = stratified"
            raise DataError(f"fold {fold.number} would train without any sample of class {names}; {advice}")
        if method in GROUPED and samples.groups is not None:
            shared = set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])
            assert not shared, f"groups in two folds: {shorten(shared)}"


def divided(keys: Text, numbers: Rows) -> list[str]:
    """The keys (groups, files) whose samples several folds validate: they are trained on and validated at once.

    keys: (N,), numbers: (N,), of each sample.
    """
    found: dict[str, set[int]] = {}
    for key, number in zip(keys.tolist(), numbers.tolist(), strict=True):
        found.setdefault(key, set()).add(number)
    return sorted(key for key, folds in found.items() if len(folds) > 1)


def fold_numbers(samples: Samples, folds: Sequence[Fold]) -> Rows:
    """(N,) the number of the fold that validates each row."""
    numbers = np.full(len(samples), -1, dtype=np.int64)
    for fold in folds:
        numbers[fold.valid_rows] = fold.number
    return numbers


def folds_from_numbers(numbers: Rows) -> tuple[Fold, ...]:
    """The folds that `fold_numbers` describes."""
    rows = np.arange(len(numbers))
    return tuple(Fold(int(number), rows[numbers != number], rows[numbers == number]) for number in np.unique(numbers))


def _check_counts(samples: Samples, method: str, folds: int) -> None:
    assert samples.targets is not None
    if len(samples) < folds:
        raise OptionError("split", "folds", f"{folds} folds need {folds} samples or more, there are {len(samples)}")
    if method in ("stratified", "stratified_group"):
        counts = np.bincount(samples.targets, minlength=len(samples.classes))
        rare = [f"{samples.classes[index]} ({counts[index]})" for index in np.flatnonzero(counts < folds)]
        if rare:
            raise OptionError("split", "folds", f"{folds} folds need {folds} samples of every class; too few of {shorten(rare)}")
    if method not in GROUPED:
        return
    if samples.groups is None:
        raise OptionError("split", "method", f"{method} needs [data] group_column, which is blank")
    groups = Counter(samples.groups.tolist())
    if len(groups) < folds:
        raise OptionError("split", "folds", f"{folds} folds need {folds} groups, there are {len(groups)}: {shorten(groups)}")
