"""Samples to folds: scikit-learn's splitters, and the checks that what came out is what was promised."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from modules.compute.seeding import derive_seed
from modules.config.errors import DataError, OptionError, counted, shorten
from modules.config.schema import Split
from modules.data.holdout import hold_out
from modules.data.multilabel import deal, mark_labels
from modules.data.samples import Rows, Samples, Text
from modules.data.strata import GROUPED, LABELLED, by_occurrence, check_counts, strata_of
from modules.data.task import absent_classes

NEVER = -1  # the fold, in tables, of what no fold validates


@dataclass(frozen=True)
class Fold:
    """One fold: the rows of Samples that it trains on and those that it validates, each in ascending order."""

    number: int
    train_rows: Rows
    valid_rows: Rows


def resolve_method(split: Split, samples: Samples) -> str:
    """The method's name; auto keeps groups whole where the samples have any, and classes even where there are such."""
    if split.method != "auto":
        return split.method
    if samples.groups is not None:
        return "stratified_group"
    if samples.task.kind in LABELLED:
        return "multilabel_stratified"
    return "kfold" if samples.task.kind == "regression" else "stratified"


def make_folds(samples: Samples, split: Split, seed: int, declared: Text | None = None) -> tuple[Fold, ...]:
    """The folds that [split] asks for. Extra samples are validated by none.

    kfold, stratified, group, stratified_group, multilabel_stratified: `folds` folds, `repeats` times; each time every row is
    validated by exactly one. holdout: one fold, `repeats` times, stratified, groups whole. predefined: as `declared`, the (N,) cells of
    fold_column, says. none: one fold that trains on everything. Raises OptionError or DataError where there are too few
    samples of a class, or too few groups, and names them. The order of the samples changes no fold, nor do the names of classes.
    """
    method = resolve_method(split, samples)
    own = np.arange(len(samples)) if samples.extra is None else np.flatnonzero(~samples.extra)
    own = own[_in_order(samples.ids[own])]
    mine = samples.take(own)
    if method == "none":
        validated = {0: np.empty(0, dtype=np.int64)}
    elif method == "predefined":
        assert declared is not None
        validated = read_numbers(declared[own].tolist())
    else:
        split_once = hold_out if method == "holdout" else _divide
        seeds = [seed, *(derive_seed(seed, repeat, "repeat") % 2**32 for repeat in range(1, split.repeats))]
        validated = dict(enumerate(chain.from_iterable(split_once(mine, split, method, each) for each in seeds)))
    folds = tuple(make_fold(samples, number, np.sort(own[rows])) for number, rows in validated.items())
    check_folds(samples, folds, method, split.repeats)
    return folds


def _in_order(ids: Text) -> Rows:
    """The rows in the order of their ids, numbers of more digits behind those of fewer."""
    return np.lexsort((ids, np.char.str_len(ids)))


def make_fold(samples: Samples, number: int, valid_rows: Rows) -> Fold:
    """The fold that validates these rows and trains on all others, but for extra samples of a group that it validates."""
    trains = np.ones(len(samples), dtype=bool)
    trains[valid_rows] = False
    if samples.extra is not None and samples.groups is not None:
        trains &= ~(samples.extra & np.isin(samples.groups, samples.groups[valid_rows]))
    return Fold(number, np.flatnonzero(trains), valid_rows)


def check_folds(samples: Samples, folds: Sequence[Fold], method: str, repeats: int = 1) -> None:
    """What the method promises: rows validated once, no group in two folds, every class trained everywhere; else DataError.

    Of several labels an image the rarest have fewer samples than there are folds, as a rule: `never_trained` tells of them.
    """
    assert samples.targets is not None
    if method in SPLITTERS:
        validated = np.bincount(np.concatenate([fold.valid_rows for fold in folds]), minlength=len(samples))
        expected = repeats if samples.extra is None else np.where(samples.extra, 0, repeats)
        assert np.all(validated == expected), "a row is validated twice or never"
    for fold in folds:
        missing = absent_classes(samples.task, samples.targets[fold.train_rows])
        if missing and samples.task.kind not in LABELLED:
            names = shorten(missing)
            advice = {
                "predefined": "change fold_column",
                "kfold": "use fewer folds, or split.method = stratified",
                "holdout": "change split.holdout, or settings.seed",
            }
            raise DataError(f"fold {fold.number} would train without any sample of class {names}; {advice.get(method, 'use fewer folds')}")
        if method in (*GROUPED, "holdout") and samples.groups is not None:
            shared = set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])
            assert not shared, f"groups in two folds: {shorten(shared)}"


def never_trained(samples: Samples, folds: Iterable[Fold]) -> list[str]:
    """The classes or labels that a fold trains without, in their order."""
    assert samples.targets is not None
    absent = {name for fold in folds for name in absent_classes(samples.task, samples.targets[fold.train_rows])}
    return [name for name in (samples.task.columns if samples.task.kind in LABELLED else samples.task.classes) if name in absent]


def choose_folds(folds: Sequence[Fold], numbers: str | tuple[int, ...]) -> tuple[Fold, ...]:
    """Those that [split] train_folds names. Raises OptionError for one that does not exist."""
    there = {fold.number: fold for fold in folds}
    if isinstance(numbers, str):
        return tuple(folds)
    unknown = [number for number in numbers if number not in there]
    if unknown:
        raise OptionError("split", "train_folds", f"there is no fold {shorten(unknown)}; there are {shorten(there, 12)}")
    return tuple(there[number] for number in sorted(set(numbers)))


def divided(keys: Text, folds: Iterable[Fold]) -> list[str]:
    """The keys (groups, files), (N,) of each sample, that a fold trains on and validates at once."""
    return sorted(set().union(*(set(keys[fold.train_rows].tolist()) & set(keys[fold.valid_rows].tolist()) for fold in folds)))


def validations(samples: Samples, folds: Sequence[Fold]) -> tuple[Rows, Rows]:
    """The pairs of a row and the fold that validates it, by row; a row that none validates once, with -1."""
    rows = np.concatenate([*(fold.valid_rows for fold in folds), np.arange(len(samples))])
    numbers = np.concatenate([*(np.full(len(fold.valid_rows), fold.number) for fold in folds), np.full(len(samples), NEVER)])
    first = np.ones(len(rows), dtype=bool)
    first[-len(samples) :] = ~np.isin(np.arange(len(samples)), rows[: -len(samples)])
    rows, numbers = rows[first], numbers[first]
    order = np.lexsort((numbers, rows))
    return rows[order], numbers[order]


def folds_of_validations(samples: Samples, rows: Rows, numbers: Rows) -> tuple[Fold, ...]:
    """The folds that `validations` describes."""
    there = [int(number) for number in np.unique(numbers) if number != NEVER]
    return tuple(make_fold(samples, number, np.sort(rows[numbers == number])) for number in there or [0])


def read_numbers(cells: Sequence[str]) -> dict[int, Rows]:
    """Each fold's rows, from the cells of a column: whole numbers as they are, -1 for never; words are numbered in their order.

    Raises OptionError for a blank cell, or where nothing is validated.
    """
    cells = [re.sub(r"^(-?\d+)\.0*$", r"\1", cell.strip()) for cell in cells]  # tables with a gap somewhere write 1.0 for 1
    words = sorted(set(cells))
    if "" in words:
        raise OptionError(
            "split", "fold_column", f"{counted(cells.count(''), 'cell is', 'cells are')} blank; -1 stands for never validated"
        )
    whole = all(re.fullmatch(r"-1|\d{1,9}", word, re.ASCII) for word in words)
    others = [word for word in words if word != str(NEVER)]
    number_of = {word: int(word) for word in words} if whole else {word: number for number, word in enumerate(others)}
    if not others:
        raise OptionError("split", "fold_column", "every cell is -1: nothing would be validated; split.method = none trains on everything")
    numbers = np.array([number_of.get(cell, NEVER) for cell in cells], dtype=np.int64)
    return {int(number): np.flatnonzero(numbers == number) for number in np.unique(numbers) if number != NEVER}


def _divide(samples: Samples, split: Split, method: str, seed: int) -> list[Rows]:
    """The rows that each of `split.folds` folds validates."""
    check_counts(samples, method, split.folds)
    return SPLITTERS[method](samples, split, seed)


def _by(splitter: Any, samples: Samples, split: Split, seed: int) -> list[Rows]:
    """As a splitter of scikit-learn has it."""
    groups = samples.groups if splitter in (GroupKFold, StratifiedGroupKFold) else None
    stratifies = splitter in (StratifiedKFold, StratifiedGroupKFold)
    kept = by_occurrence(strata_of(samples, split.bins, lambda counts: int(counts.max()) >= split.folds)) if stratifies else None
    if kept is not None and np.bincount(kept).max() < split.folds:
        fault = f"no combination of labels has {split.folds} samples, one for each fold; use multilabel_stratified, or kfold"
        raise OptionError("split", "method", fault)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a stratum with fewer samples than folds
        pairs = list(splitter(n_splits=split.folds, shuffle=True, random_state=seed).split(np.zeros(len(samples)), kept, groups))
    return [valid for _, valid in pairs]


def _by_labels(samples: Samples, split: Split, seed: int, groups: Text | None = None) -> list[Rows]:
    assert samples.targets is not None
    parts = deal(mark_labels(samples.task, samples.targets), (1 / split.folds,) * split.folds, seed, groups)
    return [np.flatnonzero(parts == number) for number in range(split.folds)]


def _by_groups(samples: Samples, split: Split, seed: int) -> list[Rows]:
    if samples.task.kind in LABELLED:
        return _by_labels(samples, split, seed, samples.groups)
    return _by(StratifiedGroupKFold, samples, split, seed)


SPLITTERS: Mapping[str, Callable[[Samples, Split, int], list[Rows]]] = {
    "kfold": partial(_by, KFold),
    "stratified": partial(_by, StratifiedKFold),
    "group": partial(_by, GroupKFold),
    "stratified_group": _by_groups,
    "multilabel_stratified": _by_labels,
}
