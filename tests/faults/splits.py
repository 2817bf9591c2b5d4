"""Folds of random tables: every row once, groups whole, none empty, and the same whatever the order of the rows and the names of classes.

python -m tests.faults.splits [count=1000] [seed=0]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modules.config.errors import DataError, OptionError
from modules.config.schema import Split
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.splits import Fold, make_folds
from modules.data.task import Output, Scale, Task, classification

METHODS = ("auto", "kfold", "stratified", "group", "stratified_group", "multilabel_stratified", "holdout")
KINDS = ("multiclass", "shares", "ordinal", "multilabel", "multioutput", "regression")
REFUSED = "refused in a line"
PLENTY = 40  # rows, of which no two draws are the same by chance


def random_table(rng: np.random.Generator) -> tuple[Samples, Split]:
    """From a handful of rows to some hundred, few classes or many, of even shares or not; groups of any size, or none."""
    rows, kind = int(rng.integers(2, 400)), str(rng.choice(KINDS))
    labelled = kind in ("multilabel", "multioutput")
    method = str(rng.choice(METHODS if labelled else [each for each in METHODS if each != "multilabel_stratified"]))
    groups = rng.integers(0, max(2, rows // int(rng.integers(1, 9))), rows) if rng.random() < 0.5 or "group" in method else None
    ids = rng.permutation([f"{prefix}{number}" for number, prefix in enumerate(rng.choice(["", "a", "폴더/b"], rows))])
    task, targets = random_targets(rng, kind, rows)
    samples = Samples(ids, ImageFiles(Path(), ids), task, targets, None if groups is None else np.array([f"g{each}" for each in groups]))
    split = Split(method=method, folds=int(rng.integers(2, 11)), repeats=int(rng.integers(1, 4)), holdout=float(rng.uniform(0.05, 0.6)))  # type: ignore[arg-type]
    return samples, split


def random_targets(rng: np.random.Generator, kind: str, rows: int) -> tuple[Task, Any]:
    count = int(rng.integers(2, 12))
    shares = rng.dirichlet(np.full(count, rng.choice([0.3, 1, 10])))
    names = tuple(sorted(f"c{number}" for number in range(count)))
    if kind == "regression":
        return Task("regression", (Output("score", (), Scale(0, 1, None, None)),)), rng.normal(size=(rows, 1)).round(1).astype(np.float32)
    if kind == "multilabel":
        return classification("labels", names, "multilabel"), (rng.random((rows, count)) < shares).astype(np.float32)
    if kind == "shares":  # votes of four, of which many are split evenly
        return classification("label", names), (rng.multinomial(4, shares, rows) / 4).astype(np.float32)
    if kind == "multioutput":
        outputs = Output("first", names), Output("second", ("a", "b", "c"))
        return Task("multioutput", outputs), np.stack([rng.choice(count, rows, p=shares), rng.integers(0, 3, rows)], axis=1)
    if kind == "ordinal":
        return Task("ordinal", (Output("grade", names, Scale(0, 1, None, None)),)), rng.choice(count, rows, p=shares)
    return classification("label", names), rng.choice(count, rows, p=shares)


def folds_of(samples: Samples, split: Split, seed: int) -> tuple[Fold, ...] | str:
    """Or what is told."""
    try:
        return make_folds(samples, split, seed)
    except (OptionError, DataError) as error:
        told = str(error)
        assert "\n" not in told, f"told in several lines: {told!r}"
        return REFUSED


def validated(samples: Samples, folds: tuple[Fold, ...] | str) -> Any:
    return folds if isinstance(folds, str) else [frozenset(samples.ids[fold.valid_rows].tolist()) for fold in folds]


def shuffled(samples: Samples, rng: np.random.Generator) -> Samples:
    return samples.take(rng.permutation(len(samples)))


def renamed(samples: Samples, rng: np.random.Generator) -> Samples:
    """The classes are called otherwise, and stand in another order."""
    assert samples.targets is not None
    if samples.task.kind == "regression":
        return samples
    if samples.task.kind == "multioutput":
        columns = zip(samples.task.outputs, samples.targets.T, strict=True)
        return replace(samples, targets=np.stack([rng.permutation(len(each.classes))[column] for each, column in columns], axis=1))
    order = rng.permutation(len(samples.task.classes))
    targets = samples.targets[:, order] if samples.targets.ndim == 2 else np.argsort(order)[samples.targets]
    return replace(samples, targets=targets)


def faults_of(samples: Samples, split: Split, rng: np.random.Generator) -> tuple[str, list[str]]:
    """What came of it, and what is wrong with that."""
    seed = int(rng.integers(2**31))
    folds = folds_of(samples, split, seed)
    expected, faults = validated(samples, folds), []
    other = shuffled(samples, rng)
    if validated(other, folds_of(other, split, seed)) != expected:
        faults.append("the order of the rows changes the folds")
    other = renamed(samples, rng)
    if validated(other, folds_of(other, split, seed)) != expected:
        faults.append("the names of the classes change the folds")
    if isinstance(folds, str):
        return REFUSED, faults
    for fold in folds:
        if not len(fold.valid_rows) or not len(fold.train_rows):
            faults.append(f"fold {fold.number} is empty")
        if any((np.diff(rows) <= 0).any() for rows in (fold.valid_rows, fold.train_rows)):
            faults.append(f"rows of fold {fold.number} are not in ascending order")
        if set(fold.valid_rows) & set(fold.train_rows) or len(fold.valid_rows) + len(fold.train_rows) != len(samples):
            faults.append(f"fold {fold.number} does not divide the rows")
        if keeps_groups(samples, split) and set(samples.groups[fold.valid_rows]) & set(samples.groups[fold.train_rows]):  # type: ignore[index]
            faults.append(f"a group is on both sides of fold {fold.number}")
    times = np.bincount(np.concatenate([fold.valid_rows for fold in folds]), minlength=len(samples))
    if split.method != "holdout" and set(times) != {split.repeats}:
        faults.append("a row is not validated once a repeat")
    return "folds", [*faults, *broken_promises(samples, split, folds, seed)]


def broken_promises(samples: Samples, split: Split, folds: tuple[Fold, ...], seed: int) -> Iterator[str]:
    """Of how large folds are, how even, and what the seed does."""
    sizes, rows = [len(fold.valid_rows) for fold in folds], len(samples)
    alone = samples.groups is None or not keeps_groups(samples, split)
    if split.method == "holdout":
        slack = 2 if alone else 2 + 2 * int(np.unique(samples.groups, return_counts=True)[1].max()) + rows / 10
        if any(abs(size - split.holdout * rows) > slack + 2 * is_labelled(samples) for size in sizes):
            yield f"{sizes} of {rows} rows are held out, and not {split.holdout:.3f}"
    elif alone and not is_labelled(samples) and max(sizes) - min(sizes) > 1:
        yield f"folds validate {min(sizes)} to {max(sizes)} rows"
    named = samples.targets is not None and samples.targets.ndim == 1
    if alone and named and (split.method == "stratified" or (split.method == "auto" and samples.task.kind != "regression")):
        for first in range(0, len(folds), split.folds):
            counts = np.array([np.bincount(samples.targets[fold.valid_rows], minlength=12) for fold in folds[first : first + split.folds]])  # type: ignore[index]
            if (np.ptp(counts, axis=0) > 1).any():
                yield "a class has two samples more in one fold than in another"
    if rows < PLENTY or not alone:
        return
    found = validated(samples, folds)
    part = len(folds) // split.repeats
    if len({frozenset(found[number : number + part]) for number in range(0, len(found), part)}) < split.repeats:
        yield "two repeats are the same folds"
    if validated(samples, folds_of(samples, split, seed + 1)) == found:
        yield "another seed makes the same folds"


def is_labelled(samples: Samples) -> bool:
    return samples.task.kind in ("multilabel", "multioutput")


def keeps_groups(samples: Samples, split: Split) -> bool:
    return samples.groups is not None and split.method in ("auto", "group", "stratified_group", "holdout")


def try_tables(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many tables came to what, and what was wrong."""
    outcomes: Counter[str] = Counter()
    found = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        samples, split = random_table(rng)
        try:
            outcome, faults = faults_of(samples, split, rng)
        except Exception as error:
            outcome, faults = "traceback", [f"{type(error).__name__}: {error}"]
        outcomes[outcome] += 1
        found += [f"table {number}, {split.method}, {samples.task.kind}: {fault}" for fault in faults]
    return outcomes, found


def main(arguments: list[str]) -> int:
    given = {"count": "1000", "seed": "0", **dict(each.split("=", 1) for each in arguments)}
    outcomes, found = try_tables(int(given["count"]), int(given["seed"]))
    print(
        f"{given['count']} tables: {outcomes['folds']} divided, {outcomes[REFUSED]} refused in a line, {len(found)} faults",
        *found,
        sep="\n",
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
