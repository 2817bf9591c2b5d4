"""Pairs of copies, exact and near, of both sets: where they are, whose groups, and what is told of them."""

from __future__ import annotations

import numpy as np

from modules.data.copies import find_copies
from modules.data.images import ImageArrays
from modules.data.near_duplicates import NONE, Pairs
from modules.data.samples import Samples
from modules.data.splits import Fold
from modules.data.task import classification

LABELS = ["x", "x", "y", "y", "x", "y"]


def samples_of(prefix: str, count: int) -> Samples:
    names = np.array([f"{prefix}{row}" for row in range(count)])
    images = ImageArrays(names, np.zeros((count, 8, 8), dtype=np.uint8))
    return Samples(np.char.add("id-", names), images, classification("label", ("x", "y")))


def pairs_of(*pairs: tuple[int, int, int, float]) -> Pairs:
    columns = [np.array(column) for column in zip(*pairs, strict=True)]
    return Pairs(columns[0], columns[1], columns[2], columns[3].astype(np.float32))


TRAIN, TEST = samples_of("a", 6), samples_of("t", 2)
ROWS = np.arange(6)
FOLDS = (Fold(0, ROWS[3:], ROWS[:3]), Fold(1, ROWS[:3], ROWS[3:]))
UNIQUE = np.arange(8)


def test_the_table_tells_where_pairs_are_and_joins_what_is_joined_through_others() -> None:
    near = pairs_of((0, 3, 2, 0.99), (3, 6, 4, 0.98), (1, 2, 6, 0.97), (6, 7, 0, 1.0))
    numbers = np.array([0, 1, 2, 3, 4, 4, 6, 7])
    table = find_copies(TRAIN, TEST, FOLDS, numbers, near).table(LABELS)
    assert table.to_dict("list") == {
        "id": ["id-a4", "id-a0", "id-a3", "id-a1"],
        "other_id": ["id-a5", "id-a3", "id-t0", "id-a2"],
        "where": ["training", "across folds", "training and test", "training"],
        "distance": [0, 2, 4, 6],
        "likeness": [1.0, np.float32(0.99), np.float32(0.98), np.float32(0.97)],
        "same_bytes": ["yes", "no", "no", "no"],
        "label": ["x", "x", "y", "x"],
        "other_label": ["y", "y", "", "y"],
        "group": [2, 0, 0, 1],
    }


def test_near_pairs_are_told_with_where_they_are_and_what_to_do() -> None:
    near = pairs_of((0, 3, 2, 0.99), (0, 4, 2, 0.98), (3, 6, 4, 0.98), (0, 1, 6, 0.97))
    lines = find_copies(TRAIN, TEST, FOLDS, UNIQUE, near).describe(LABELS, "runs/a/duplicates.csv")
    assert lines == [
        "warning: near-duplicate images train folds that validate the other, so that scores are too good (2 pairs): a0 ~ a3, a0 ~ a4;"
        " give such one group in [data] group_column: runs/a/duplicates.csv has their groups",
        "warning: near-duplicate images have different labels (1 pair): a0 ~ a3; see runs/a/duplicates.csv",
        "warning: near-duplicate images are in training and test set (1 pair): a3 ~ t0 of the test; see runs/a/duplicates.csv",
    ]


def test_pairs_that_are_the_same_to_the_byte_are_not_told_twice() -> None:
    numbers = np.array([0, 1, 2, 0, 4, 5, 0, 7])
    copies = find_copies(TRAIN, TEST, FOLDS, numbers, pairs_of((0, 3, 0, 1.0), (3, 6, 0, 1.0)))
    assert copies.describe(LABELS, "file") == []
    assert copies.count() == "pairs of images: 3 the same to the byte, 0 nearly the same; 1 across folds, 2 across training and test set"
    assert set(zip(copies.pairs.first.tolist(), copies.pairs.second.tolist(), strict=True)) == {(0, 3), (0, 6), (3, 6)}


def test_a_pair_that_only_trains_or_that_one_fold_validates_leaks_nothing() -> None:
    held_out = (Fold(0, ROWS[2:], ROWS[:2]),)
    copies = find_copies(TRAIN, None, held_out, ROWS, pairs_of((0, 1, 2, 0.99), (2, 4, 2, 0.98)))
    assert copies.leaks.tolist() == [False, False] and copies.describe(["x"] * 6, "file") == []


def test_without_any_pair_nothing_is_told() -> None:
    copies = find_copies(TRAIN, TEST, FOLDS, UNIQUE, NONE)
    assert (copies.describe(LABELS, "file"), copies.count(), len(copies.table(LABELS))) == ([], "none found", 0)
    assert find_copies(TRAIN, None, (), ROWS, NONE).count() == "none found"


def test_a_flood_says_that_it_is_one() -> None:
    near = Pairs(np.array([0]), np.array([1]), np.array([0]), np.array([1], dtype=np.float32), complete=False)
    assert find_copies(TRAIN, TEST, FOLDS, UNIQUE, near).count().endswith("; these are the first 200,000, and there are more")
