"""Folds: each row validated once, groups whole, classes evenly spread, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from modules.config.errors import DataError, OptionError
from modules.config.schema import Split
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.splits import SPLITTERS, Fold, check_folds, fold_numbers, folds_from_numbers, make_folds, resolve_method

METHODS = sorted(SPLITTERS)


def samples_of(targets: Any, groups: Any = None) -> Samples:
    targets = np.asarray(targets, dtype=np.int64)
    names = np.array([f"id{row}" for row in range(len(targets))])
    classes = tuple(f"class{index}" for index in range(int(targets.max()) + 1))
    return Samples(names, ImageFiles(Path(), names), classes, targets, None if groups is None else np.asarray(groups).astype(str))


def random_samples(seed: int) -> tuple[Samples, int]:
    """A table of random size, classes and groups, in which every method can make that many folds."""
    rng = np.random.default_rng(seed)
    folds, classes = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    groups = rng.permutation(np.repeat(np.arange(folds * 12), rng.integers(1, 5, folds * 12)))
    targets = rng.integers(0, classes, len(groups))
    targets[: classes * folds] = np.arange(classes * folds) % classes
    return samples_of(rng.permutation(targets), groups), folds


@pytest.mark.parametrize("method", METHODS)
def test_every_row_is_validated_once_and_trains_all_other_folds(method: str) -> None:
    for seed in range(25):
        samples, count = random_samples(seed)
        folds = make_folds(samples, Split(method=method, folds=count), seed)  # type: ignore[arg-type]
        assert [fold.number for fold in folds] == list(range(count))
        assert sorted(np.concatenate([fold.valid_rows for fold in folds]).tolist()) == list(range(len(samples)))
        for fold in folds:
            assert len(fold.valid_rows) > 0 and len(fold.train_rows) > 0
            assert sorted([*fold.train_rows.tolist(), *fold.valid_rows.tolist()]) == list(range(len(samples)))
            assert np.all(np.diff(fold.train_rows) > 0) and np.all(np.diff(fold.valid_rows) > 0), "ascending"


@pytest.mark.parametrize("method", ["group", "stratified_group"])
def test_a_person_is_never_in_two_folds(method: str) -> None:
    for seed in range(25):
        samples, count = random_samples(seed)
        assert samples.groups is not None
        for fold in make_folds(samples, Split(method=method, folds=count), seed):  # type: ignore[arg-type]
            assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_folds_and_another_seed_others(method: str) -> None:
    samples, count = random_samples(3)
    numbers = {seed: fold_numbers(samples, make_folds(samples, Split(method=method, folds=count), seed)).tolist() for seed in range(4)}  # type: ignore[arg-type]
    assert len({tuple(found) for found in numbers.values()}) == 4
    for seed, found in numbers.items():
        assert fold_numbers(samples, make_folds(samples, Split(method=method, folds=count), seed)).tolist() == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "kind"),
    [("kfold", KFold), ("stratified", StratifiedKFold), ("group", GroupKFold), ("stratified_group", StratifiedGroupKFold)],
)
def test_the_folds_are_those_of_scikit_learn(method: str, kind: Any) -> None:
    samples, count = random_samples(5)
    folds = make_folds(samples, Split(method=method, folds=count), 42)  # type: ignore[arg-type]
    groups = samples.groups if "group" in method else None
    expected = kind(count, shuffle=True, random_state=42).split(samples.ids, samples.targets, groups)
    for fold, (train, valid) in zip(folds, expected, strict=True):
        assert np.array_equal(fold.train_rows, np.sort(train)) and np.array_equal(fold.valid_rows, np.sort(valid))


def test_stratified_folds_have_each_class_as_evenly_as_can_be() -> None:
    targets = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [503, 97, 11]))
    folds = make_folds(samples_of(targets), Split(method="stratified", folds=5), 1)
    counts = np.array([np.bincount(targets[fold.valid_rows], minlength=3) for fold in folds])
    assert np.abs(counts - np.array([503, 97, 11]) / 5).max() < 1


def test_stratified_group_folds_are_stratified_where_group_folds_are_not() -> None:
    """scikit-learn#32540: with shuffle, StratifiedGroupKFold did not stratify before 1.8."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), rng.integers(1, 6, 150))
    targets = rng.choice(3, 150, p=[0.7, 0.2, 0.1])[groups]
    samples, overall = samples_of(targets, groups), np.bincount(targets) / len(targets)
    away = {}
    for method in ("group", "stratified_group"):
        found = []
        for seed in range(5):
            folds = make_folds(samples, Split(method=method, folds=5), seed)
            shares = [np.bincount(targets[fold.valid_rows], minlength=3) / len(fold.valid_rows) for fold in folds]
            found.append(np.abs(np.array(shares) - overall).max())
        away[method] = float(np.mean(found))
    assert away["stratified_group"] < 0.03 < 2 * away["stratified_group"] + 0.03 < away["group"]


def test_auto_is_stratified_and_keeps_groups_where_there_are_some() -> None:
    assert resolve_method(Split(), samples_of([0, 1])) == "stratified"
    assert resolve_method(Split(), samples_of([0, 1], ["a", "b"])) == "stratified_group"
    assert resolve_method(Split(method="kfold"), samples_of([0, 1], ["a", "b"])) == "kfold"
    samples, count = random_samples(1)
    assert samples.groups is not None
    for fold in make_folds(samples, Split(folds=count), 0):
        assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])


@pytest.mark.parametrize("method", ["stratified", "stratified_group"])
def test_classes_with_too_few_samples_are_named_with_their_counts(method: str) -> None:
    samples = samples_of([0] * 9 + [1] * 4 + [2] * 5 + [3], range(19))
    with pytest.raises(OptionError) as caught:
        make_folds(samples, Split(method=method, folds=5), 0)  # type: ignore[arg-type]
    assert caught.value.args == ("split", "folds", "5 folds need 5 samples of every class; too few of class1 (4), class3 (1)")


def test_fewer_samples_than_folds_are_refused() -> None:
    with pytest.raises(OptionError) as caught:
        make_folds(samples_of([0, 1, 0]), Split(method="kfold", folds=5), 0)
    assert caught.value.args == ("split", "folds", "5 folds need 5 samples or more, there are 3")


@pytest.mark.parametrize("method", ["group", "stratified_group"])
def test_fewer_groups_than_folds_are_refused_by_name(method: str) -> None:
    samples = samples_of([0, 1] * 10, ["ann"] * 7 + ["bob"] * 7 + ["cid"] * 6)
    with pytest.raises(OptionError) as caught:
        make_folds(samples, Split(method=method, folds=4), 0)  # type: ignore[arg-type]
    assert caught.value.args == ("split", "folds", "4 folds need 4 groups, there are 3: ann, bob, cid")


@pytest.mark.parametrize("method", ["group", "stratified_group"])
def test_a_group_method_wants_a_group_column(method: str) -> None:
    with pytest.raises(OptionError) as caught:
        make_folds(samples_of([0, 1] * 10), Split(method=method, folds=2), 0)  # type: ignore[arg-type]
    assert caught.value.args == ("split", "method", f"{method} needs [data] group_column, which is blank")


def test_a_class_that_only_one_group_has_cannot_be_validated_without_being_trained() -> None:
    samples = samples_of([0] * 8 + [1] * 8 + [2] * 4, [*"abcdefgh", *"abcdefgh", *"zzzz"])
    with pytest.raises(DataError, match=r"^fold \d would train without any sample of class class2; use fewer folds$"):
        make_folds(samples, Split(method="stratified_group", folds=4), 0)


def test_a_leak_that_a_splitter_made_is_found() -> None:
    samples = samples_of([0, 1, 0, 1], ["a", "a", "b", "b"])
    folds = [Fold(0, np.array([1, 2]), np.array([0, 3])), Fold(1, np.array([0, 3]), np.array([1, 2]))]
    with pytest.raises(AssertionError, match="groups in two folds"):
        check_folds(samples, folds, "group")
    with pytest.raises(AssertionError, match="a row is validated twice or never"):
        check_folds(samples, [folds[0], folds[0]], "kfold")


def test_fold_numbers_and_the_folds_from_them_are_inverse() -> None:
    for seed in range(5):
        samples, count = random_samples(seed)
        folds = make_folds(samples, Split(method="kfold", folds=count), seed)
        numbers = fold_numbers(samples, folds)
        again = folds_from_numbers(numbers)
        assert [fold.number for fold in again] == [fold.number for fold in folds]
        for one, other in zip(folds, again, strict=True):
            assert np.array_equal(one.train_rows, other.train_rows) and np.array_equal(one.valid_rows, other.valid_rows)
            assert set(numbers[one.valid_rows].tolist()) == {one.number} and one.number not in numbers[one.train_rows]
        assert np.array_equal(fold_numbers(samples, again), numbers)
