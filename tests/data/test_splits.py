"""Folds: each row validated once, groups whole, classes evenly spread, the same for the same seed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, StratifiedGroupKFold, StratifiedKFold, train_test_split

from modules.config.errors import DataError, OptionError
from modules.config.schema import Split
from modules.data.images import ImageFiles
from modules.data.multilabel import deal, mark_labels
from modules.data.samples import Samples
from modules.data.splits import (
    SPLITTERS,
    Fold,
    check_folds,
    choose_folds,
    divided,
    folds_of_validations,
    make_folds,
    never_trained,
    read_numbers,
    resolve_method,
    validations,
)
from modules.data.strata import strata
from modules.data.task import Output, Scale, Task, classification

METHODS = sorted(set(SPLITTERS) - {"multilabel_stratified"})


def samples_of(targets: Any, groups: Any = None) -> Samples:
    targets = np.asarray(targets, dtype=np.int64)
    classes = tuple(f"class{index}" for index in range(int(targets.max()) + 1))
    return samples_with(classification("label", classes), targets, groups)


def samples_with(task: Task, targets: Any, groups: Any = None) -> Samples:
    names = np.array([f"id{row}" for row in range(len(targets))])
    return Samples(names, ImageFiles(Path(), names), task, targets, None if groups is None else np.asarray(groups).astype(str))


def labelled(seed: int = 0, rows: int = 3000, labels: int = 12, groups: bool = False) -> Samples:
    """Labels from common to rare, the rarest with a handful of rows; a person has some labels, and most images show them."""
    rng = np.random.default_rng(seed)
    people = np.sort(rng.integers(0, rows // 6, rows))
    has = rng.random((rows // 6, labels)) < np.geomspace(0.5, 0.01, labels)
    targets = ((rng.random((rows, labels)) < 0.7) & has[people]).astype(np.float32)
    return samples_with(
        classification("labels", tuple(f"l{index}" for index in range(labels)), "multilabel"), targets, people if groups else None
    )


def several_outputs(seed: int = 0, rows: int = 3000, groups: bool = False) -> Samples:
    """Outputs of 40, 5 and 3 classes, the first with a long tail."""
    rng = np.random.default_rng(seed)
    sizes = {"root": 40, "vowel": 5, "consonant": 3}
    shares = [np.geomspace(1, 0.02, size) for size in sizes.values()]
    targets = np.stack([rng.choice(len(share), rows, p=share / share.sum()) for share in shares], axis=1)
    outputs = tuple(Output(name, tuple(f"{name[0]}{index}" for index in range(size))) for name, size in sizes.items())
    return samples_with(Task("multioutput", outputs), targets, rng.integers(0, rows // 4, rows) if groups else None)


def numbers(values: Any, groups: Any = None) -> Samples:
    return samples_with(
        Task("regression", (Output("score", (), Scale(0, 1, None, None)),)), np.asarray(values, dtype=np.float32)[:, None], groups
    )


def unevenness(samples: Samples, folds: tuple[Fold, ...]) -> np.ndarray:
    """(labels,) by how many samples the fold that is furthest away misses its share of each label; last, of all samples."""
    assert samples.targets is not None
    marks = np.concatenate([mark_labels(samples.task, samples.targets).toarray(), np.ones((len(samples), 1))], axis=1)
    counts = np.array([marks[fold.valid_rows].sum(axis=0) for fold in folds])
    return np.abs(counts - marks.sum(axis=0) / len(folds)).max(axis=0)


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
    split = Split(method=method, folds=count)  # type: ignore[arg-type]
    numbers = {seed: validations(samples, make_folds(samples, split, seed))[1].tolist() for seed in range(4)}
    assert len({tuple(found) for found in numbers.values()}) == 4
    for seed, found in numbers.items():
        assert validations(samples, make_folds(samples, split, seed))[1].tolist() == found


@pytest.mark.parametrize(
    ("method", "kind"),
    [("kfold", KFold), ("stratified", StratifiedKFold), ("group", GroupKFold), ("stratified_group", StratifiedGroupKFold)],
)
def test_the_folds_are_those_of_scikit_learn(method: str, kind: Any) -> None:
    samples, count = random_samples(5)
    folds = make_folds(samples, Split(method=method, folds=count), 42)  # type: ignore[arg-type]
    groups = samples.groups if "group" in method else None
    expected = kind(count, shuffle=True, random_state=42).split(samples.ids, pd.factorize(samples.targets)[0], groups)
    for fold, (train, valid) in zip(folds, expected, strict=True):
        assert np.array_equal(fold.train_rows, np.sort(train)) and np.array_equal(fold.valid_rows, np.sort(valid))


@pytest.mark.parametrize("method", ["stratified", "stratified_group"])
def test_combinations_of_labels_that_are_all_too_rare_are_refused_in_a_line(method: str) -> None:
    samples = samples_with(
        classification("labels", ("a", "b", "c"), "multilabel"), np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]], [*"vwxyz"]
    )
    if method == "stratified_group":  # deals labels, and asks for no combination
        assert len(make_folds(samples, Split(method=method, folds=3), 0)) == 3
        return
    with pytest.raises(
        OptionError, match=r"no combination of labels has 3 samples, one for each fold; use multilabel_stratified, or kfold$"
    ):
        make_folds(samples, Split(method="stratified", folds=3), 0)


@pytest.mark.parametrize("method", [*METHODS, "holdout", "multilabel_stratified"])
def test_the_order_of_the_rows_and_the_names_of_the_classes_change_no_fold(method: str) -> None:
    samples, count = random_samples(6)
    if method == "multilabel_stratified":
        samples, count = labelled(rows=300, groups=True), 4
    split, rng = Split(method=method, folds=count, repeats=2), np.random.default_rng(1)  # type: ignore[arg-type]
    expected = [set(samples.ids[fold.valid_rows]) for fold in make_folds(samples, split, 7)]
    for _ in range(5):
        other, order = samples.take(rng.permutation(len(samples))), rng.permutation(len(samples.task.classes))
        assert other.targets is not None
        targets = other.targets[:, order] if other.targets.ndim == 2 else order[other.targets]
        for each in (other, replace(other, targets=targets)):
            assert all((np.diff(fold.valid_rows) > 0).all() and (np.diff(fold.train_rows) > 0).all() for fold in make_folds(each, split, 7))
            assert [set(each.ids[fold.valid_rows]) for fold in make_folds(each, split, 7)] == expected


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
    assert resolve_method(Split(), numbers([0, 1])) == "kfold"
    assert resolve_method(Split(), numbers([0, 1], ["a", "b"])) == "stratified_group"
    for make in (labelled, several_outputs):
        assert [resolve_method(Split(), make(groups=groups)) for groups in (False, True)] == ["multilabel_stratified", "stratified_group"]
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


@pytest.mark.parametrize(
    "split", [Split(method="kfold", folds=3), Split(method="stratified", folds=3, repeats=3), Split(method="holdout"), Split(method="none")]
)
def test_folds_read_back_from_their_table_are_the_same(split: Split) -> None:
    for seed in range(5):
        samples, _ = random_samples(seed)
        samples = replace(samples, groups=None)
        folds = make_folds(samples, split, seed)
        again = folds_of_validations(samples, *validations(samples, folds))
        assert [fold.number for fold in again] == [fold.number for fold in folds]
        for one, other in zip(folds, again, strict=True):
            assert np.array_equal(one.train_rows, other.train_rows) and np.array_equal(one.valid_rows, other.valid_rows)


def test_the_table_of_folds_has_every_row_and_minus_one_for_those_that_none_validates() -> None:
    folds = [
        Fold(0, np.array([1, 2, 3]), np.array([0])),
        Fold(1, np.array([0, 2, 3]), np.array([1])),
        Fold(2, np.array([1, 2, 3]), np.array([0])),
    ]
    rows, numbers = validations(samples_of([0, 1, 0, 1]), folds)
    assert list(zip(rows.tolist(), numbers.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 1), (2, -1), (3, -1)]


def test_each_repeat_validates_every_row_once_and_divides_otherwise() -> None:
    samples, count = random_samples(2)
    folds = make_folds(samples, Split(method="stratified_group", folds=count, repeats=3), 7)
    assert [fold.number for fold in folds] == list(range(3 * count))
    seen = set()
    for repeat in range(3):
        part = folds[repeat * count : (repeat + 1) * count]
        assert sorted(np.concatenate([fold.valid_rows for fold in part]).tolist()) == list(range(len(samples)))
        seen.add(tuple(tuple(fold.valid_rows.tolist()) for fold in part))
    assert len(seen) == 3
    once = make_folds(samples, Split(method="stratified_group", folds=count), 7)
    assert all(np.array_equal(one.valid_rows, other.valid_rows) for one, other in zip(once, folds, strict=False))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_holdout_is_one_fold_of_that_share_with_the_classes_of_scikit_learn(share: float) -> None:
    targets = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [500, 90, 10]))
    (fold,) = make_folds(samples_of(targets), Split(method="holdout", holdout=share), 3)
    train, valid = train_test_split(np.arange(600), test_size=share, random_state=3, stratify=pd.factorize(targets)[0])
    assert np.array_equal(fold.valid_rows, np.sort(valid)) and np.array_equal(fold.train_rows, np.sort(train))


def test_repeated_holdout_holds_out_others_each_time() -> None:
    folds = make_folds(samples_of([0, 1] * 50), Split(method="holdout", repeats=3), 0)
    assert [len(fold.valid_rows) for fold in folds] == [20, 20, 20]
    assert len({tuple(fold.valid_rows.tolist()) for fold in folds}) == 3


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5])
def test_a_person_is_never_on_both_sides_of_a_holdout(share: float) -> None:
    for seed in range(10):
        samples, _ = random_samples(seed)
        assert samples.groups is not None
        (fold,) = make_folds(samples, Split(method="holdout", holdout=share), seed)
        assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])
        assert abs(len(fold.valid_rows) / len(samples) - share) < 0.06
        assert len(fold.train_rows) + len(fold.valid_rows) == len(samples)


@pytest.mark.parametrize(
    ("targets", "share", "option", "message"),
    [
        ([0, 0, 0, 1], 0.5, "method", "holdout needs two samples of every class; there is one of class1"),
        ([0, 0, 1, 1, 2, 2], 0.2, "holdout", "0.2 of 6 samples leaves fewer than one of each of 3 classes on a side"),
    ],
)
def test_a_holdout_that_cannot_hold_every_class_is_refused(targets: list[int], share: float, option: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        make_folds(samples_of(targets), Split(method="holdout", holdout=share), 0)
    assert caught.value.args == ("split", option, message)


def test_a_holdout_of_groups_goes_with_classes_of_few_samples() -> None:
    """Twenty groups, but no class with samples enough for as many parts."""
    samples = samples_of([0, 1, 2, 3] * 5, range(20))
    (fold,) = make_folds(samples, Split(method="holdout", holdout=0.2), 0)
    assert len(fold.valid_rows) == 4 and len(fold.train_rows) == 16
    with pytest.raises(OptionError) as caught:
        make_folds(samples_of([0, 1, 2], [*"abc"]), Split(method="holdout"), 0)
    assert caught.value.args == ("split", "method", "holdout needs two samples of a class or more")


def test_the_advice_for_a_holdout_without_a_class_is_not_to_use_fewer_folds() -> None:
    samples = samples_of([0, 0, 1, 1], [*"abcc"])
    with pytest.raises(DataError, match=r"without any sample of class class1; change split.holdout, or settings.seed$"):
        check_folds(samples, [Fold(0, np.array([0, 1]), np.array([2, 3]))], "holdout")


def test_none_trains_on_everything_and_validates_nothing() -> None:
    (fold,) = make_folds(samples_of([0, 1, 1]), Split(method="none"), 0)
    assert (fold.number, fold.train_rows.tolist(), fold.valid_rows.tolist()) == (0, [0, 1, 2], [])


def test_predefined_folds_are_those_of_scikit_learn() -> None:
    cells = np.random.default_rng(0).integers(-1, 4, 40)
    folds = make_folds(samples_of([0, 1] * 20), Split(method="predefined", fold_column="f"), 0, cells.astype(str))
    expected = list(PredefinedSplit(cells).split())
    assert [fold.number for fold in folds] == [0, 1, 2, 3]
    for fold, (train, valid) in zip(folds, expected, strict=True):
        assert np.array_equal(fold.train_rows, train) and np.array_equal(fold.valid_rows, valid)


def test_predefined_numbers_stay_and_words_are_numbered_in_their_order() -> None:
    assert {number: rows.tolist() for number, rows in read_numbers(["7", "3", "-1", "7"]).items()} == {3: [1], 7: [0, 3]}
    assert {number: rows.tolist() for number, rows in read_numbers(["b", "a", "-1", "b"]).items()} == {0: [1], 1: [0, 3]}


def test_predefined_numbers_may_be_written_with_a_point_or_a_space() -> None:
    """As pandas writes a column of whole numbers that had a gap; -1.0 too is never validated."""
    assert {number: rows.tolist() for number, rows in read_numbers(["2.0", "0.0", "-1.0", "2 "]).items()} == {0: [1], 2: [0, 3]}


def test_predefined_numbers_that_are_too_long_for_one_are_words() -> None:
    assert {number: rows.tolist() for number, rows in read_numbers(["9" * 20, "1"]).items()} == {0: [1], 1: [0]}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["0", "", "1", " "], "2 cells are blank; -1 stands for never validated"),
        (["-1", "-1"], "every cell is -1: nothing would be validated; split.method = none trains on everything"),
    ],
)
def test_predefined_cells_that_say_nothing_are_refused(cells: list[str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_numbers(cells)
    assert caught.value.args == ("split", "fold_column", message)


def test_train_folds_are_chosen_by_number_and_unknown_ones_refused() -> None:
    folds = make_folds(samples_of([0, 1] * 10), Split(folds=4), 0)
    assert [fold.number for fold in choose_folds(folds, "all")] == [0, 1, 2, 3]
    assert [fold.number for fold in choose_folds(folds, (2, 0, 2))] == [0, 2]
    with pytest.raises(OptionError) as caught:
        choose_folds(folds, (1, 4, 9))
    assert caught.value.args == ("split", "train_folds", "there is no fold 4, 9; there are 0, 1, 2, 3")


@pytest.mark.parametrize("method", ["kfold", "stratified", "holdout", "none"])
def test_extra_samples_train_in_every_fold_and_are_never_validated(method: str) -> None:
    samples = replace(samples_of([0, 1] * 20), extra=np.arange(40) % 4 == 0)
    assert samples.extra is not None
    for fold in make_folds(samples, Split(method=method, folds=3), 0):  # type: ignore[arg-type]
        assert set(np.flatnonzero(samples.extra)) <= set(fold.train_rows)
        assert not set(np.flatnonzero(samples.extra)) & set(fold.valid_rows)


def test_an_extra_sample_of_a_person_does_not_train_where_that_person_is_validated() -> None:
    groups = [f"p{row % 10}" for row in range(60)]
    samples = replace(samples_of([0, 1] * 30, groups), extra=np.arange(60) >= 40)
    assert samples.groups is not None and samples.extra is not None
    trained = 0
    for fold in make_folds(samples, Split(method="group", folds=5), 0):
        assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])
        trained += int(samples.extra[fold.train_rows].sum())
    assert trained == 4 * 20


def test_what_a_fold_trains_on_and_validates_at_once_is_found() -> None:
    folds = [Fold(0, np.array([1, 2, 3]), np.array([0])), Fold(1, np.array([0, 1]), np.array([2, 3]))]
    assert divided(np.array(["a", "b", "a", "c"]), folds) == ["a"]
    assert divided(np.array(["a", "b", "c", "c"]), folds) == []
    assert divided(np.array(["a", "b", "c", "d"]), folds) == []


LABELLED = [labelled, several_outputs]


@pytest.mark.parametrize("make", LABELLED)
@pytest.mark.parametrize("groups", [False, True])
def test_every_row_with_labels_is_validated_once_and_people_stay_whole(make: Any, groups: bool) -> None:
    for seed in range(3):
        samples = make(seed, 600, groups=groups)
        folds = make_folds(samples, Split(folds=4, repeats=2), seed)
        for repeat in (folds[:4], folds[4:]):
            assert sorted(np.concatenate([fold.valid_rows for fold in repeat]).tolist()) == list(range(600))
        for fold in folds:
            assert sorted([*fold.train_rows.tolist(), *fold.valid_rows.tolist()]) == list(range(600))
            if samples.groups is not None:
                assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])


@pytest.mark.parametrize("make", LABELLED)
def test_labels_are_spread_as_evenly_as_they_can_be_and_random_folds_do_not(make: Any) -> None:
    samples = make()
    away, random = (unevenness(samples, make_folds(samples, Split(method=method), 1)) for method in ("auto", "kfold"))
    assert away.max() < 3
    assert away.mean() < 1 and random.mean() > 5 * away.mean()


@pytest.mark.parametrize("make", LABELLED)
def test_labels_of_people_are_spread_evenly_and_plain_groups_are_not(make: Any) -> None:
    samples = make(groups=True)
    away, random = (unevenness(samples, make_folds(samples, Split(method=method), 1)) for method in ("auto", "group"))
    assert away.mean() < 2 and random.mean() > 5 * away.mean()
    assert away[-1] < 10


def test_each_row_of_a_rare_label_is_in_a_fold_of_its_own() -> None:
    """Four rows with a label among 400, five folds; it comes first, since the fewest rows have it."""
    targets = np.random.default_rng(0).random((400, 3)) < 0.5
    targets[:, 2] = np.arange(400) < 4
    samples = samples_with(classification("labels", ("a", "b", "rare"), "multilabel"), targets.astype(np.float32))
    folds = make_folds(samples, Split(folds=5), 0)
    assert sorted(int(targets[fold.valid_rows, 2].sum()) for fold in folds) == [0, 1, 1, 1, 1]


def test_labels_by_hand_as_in_the_paper() -> None:
    """Two parts of four rows. The label of rows 0 and 1 is rarest: one each. Of the other, 0 has one already; rows 2 and 3 follow."""
    marks = mark_labels(classification("l", ("a", "b"), "multilabel"), np.array([[1, 1], [1, 0], [0, 1], [0, 1]], dtype=np.float32))
    for seed in range(20):
        parts = deal(marks, (0.5, 0.5), seed)
        assert parts[0] != parts[1] and sorted(np.bincount(parts).tolist()) == [2, 2]
        assert sorted([int(parts[2] == parts[1]), int(parts[3] == parts[1])]) == [0, 1] or (parts[2], parts[3]) == (parts[1], parts[1])


def test_no_fold_of_people_is_empty_however_different_they_are() -> None:
    groups = np.repeat(np.arange(5), [200, 20, 10, 2, 1])
    samples = replace(labelled(0, 233), groups=groups.astype(str))
    for seed in range(10):
        assert all(len(fold.valid_rows) for fold in make_folds(samples, Split(folds=5), seed))


@pytest.mark.parametrize("make", LABELLED)
@pytest.mark.parametrize("groups", [False, True])
def test_folds_of_labels_follow_from_the_seed(make: Any, groups: bool) -> None:
    samples = make(0, 600, groups=groups)
    found = [[tuple(fold.valid_rows.tolist()) for fold in make_folds(samples, Split(), seed)] for seed in (0, 0, 1, 2)]
    assert found[0] == found[1] and len({tuple(each) for each in found}) == 3


@pytest.mark.slow
def test_a_hundred_thousand_rows_with_labels_are_dealt_in_seconds() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((100_000, 30)) < np.geomspace(0.3, 0.00005, 30)).astype(np.float32)
    samples = samples_with(classification("labels", tuple(f"l{index}" for index in range(30)), "multilabel"), targets)
    started = time.process_time()
    folds = make_folds(samples, Split(), 0)
    assert time.process_time() - started < 20  # 2 seconds on an idle core
    assert unevenness(samples, folds).max() < 1


@pytest.mark.parametrize("make", LABELLED)
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_holdout_has_its_share_of_every_label(make: Any, groups: bool, share: float) -> None:
    samples = make(groups=groups)
    (fold,) = make_folds(samples, Split(method="holdout", holdout=share), 0)
    marks = mark_labels(samples.task, samples.targets).toarray()
    expected = share * marks.sum(axis=0)
    assert np.abs(marks[fold.valid_rows].sum(axis=0) - expected).max() < 6
    assert abs(len(fold.valid_rows) - share * len(samples)) < 6  # it was 10 too many while small parts were dealt up to their share
    if samples.groups is not None:
        assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])


def test_a_holdout_of_one_person_with_labels_is_refused() -> None:
    samples = replace(labelled(0, 60), groups=np.full(60, "ann"))
    with pytest.raises(OptionError) as caught:
        make_folds(samples, Split(method="holdout"), 0)
    assert caught.value.args == ("split", "holdout", "0.2 of 1 group leaves none on a side")


def test_labels_rarer_than_folds_are_no_mistake_and_are_told_by_name() -> None:
    targets = np.ones((20, 3), dtype=np.float32)
    targets[1:, 2] = 0
    samples = samples_with(classification("labels", ("a", "b", "rare"), "multilabel"), targets)
    assert never_trained(samples, make_folds(samples, Split(), 0)) == ["rare"]
    assert never_trained(samples, make_folds(samples, Split(method="kfold"), 0)) == ["rare"]
    assert never_trained(samples.take(np.arange(1, 20)), make_folds(samples.take(np.arange(1, 20)), Split(method="none"), 0)) == ["rare"]
    outputs = samples_with(
        Task("multioutput", (Output("x", ("a", "b")), Output("y", ("a", "b")))), np.array([[0, 0]] * 10 + [[0, 1]] * 9 + [[1, 1]])
    )
    assert never_trained(outputs, make_folds(outputs, Split(), 0)) == ["x:b"]
    (fold,) = make_folds(outputs, Split(method="holdout"), 0)
    assert 19 in fold.train_rows.tolist()


@pytest.mark.parametrize("method", ["stratified", "stratified_group", "holdout"])
@pytest.mark.parametrize("groups", [False, True])
def test_numbers_are_spread_by_their_size(method: str, groups: bool) -> None:
    if method == "stratified_group" and not groups:
        pytest.skip("has groups")
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=400)) * 10
    samples = numbers(values, np.arange(400) // 2 if groups and method != "stratified" else None)
    edges = np.quantile(values, np.linspace(0, 1, 11)[1:-1])
    share = 0.2
    for fold in make_folds(samples, Split(method=method, folds=5, holdout=share), 0):  # type: ignore[arg-type]
        counts = np.bincount(np.searchsorted(edges, values[fold.valid_rows]), minlength=10)
        assert np.abs(counts - 8).max() <= (1 if samples.groups is None else 3)


def test_bins_are_as_many_as_asked_for_and_equal_numbers_share_one() -> None:
    assert np.bincount(strata(numbers(np.random.default_rng(0).random(1000)), 8)).tolist() == [125] * 8
    many = strata(numbers([0.0] * 70 + list(range(1, 31))), 10)
    assert len(set(many[:70].tolist())) == 1 and many[70] != many[0] and np.bincount(many).tolist() == [70, 10, 10, 10]
    assert set(strata(numbers([5.0] * 95 + [1, 2, 3, 3, 3]), 10).tolist()) == {0, 1}


def test_more_bins_change_the_folds_of_numbers() -> None:
    samples = numbers(np.random.default_rng(0).random(100))
    found = {bins: [fold.valid_rows.tolist() for fold in make_folds(samples, Split(method="stratified", bins=bins), 0)] for bins in (2, 10)}
    assert found[2] != found[10]


@pytest.mark.parametrize("method", ["stratified", "stratified_group", "holdout"])
def test_few_numbers_have_fewer_bins(method: str) -> None:
    """A dozen numbers in ten bins would be one or two in each."""
    samples = numbers(np.arange(12) ** 2, range(12) if method == "stratified_group" else None)
    folds = make_folds(samples, Split(method=method, folds=5, holdout=0.25), 0)  # type: ignore[arg-type]
    assert sorted(len(fold.valid_rows) for fold in folds) in ([2, 2, 2, 3, 3], [3])


def test_soft_targets_are_stratified_by_their_largest_share() -> None:
    """The last class has a share of every row, and is the largest one of none."""
    largest = np.repeat([0, 1], [60, 40])
    shares = np.full((100, 3), 0.2, dtype=np.float32)
    shares[np.arange(100), largest] = 0.6
    samples = samples_with(classification("class", ("a", "b", "c")), shares)
    for fold in make_folds(samples, Split(), 0):
        assert np.bincount(largest[fold.valid_rows]).tolist() == [12, 8]
    shares[0] = [0.1, 0.1, 0.8]
    (fold,) = make_folds(samples, Split(method="holdout"), 0)
    assert len(fold.valid_rows) == 20
    assert all(len(fold.valid_rows) == 20 for fold in make_folds(samples, Split(), 0))


def test_soft_targets_without_any_share_of_a_class_are_refused() -> None:
    shares = np.tile(np.array([0.5, 0.5, 0], dtype=np.float32), (20, 1))
    with pytest.raises(DataError, match=r"^fold 0 would train without any sample of class c; use fewer folds$"):
        make_folds(samples_with(classification("class", ("a", "b", "c")), shares), Split(), 0)
