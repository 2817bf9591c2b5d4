"""Classes, their order, and the samples of some rows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from modules.config.errors import DataError
from modules.data.images import ImageFiles
from modules.data.samples import Samples, encode_labels, order_classes
from modules.data.task import classification


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "2", "1", "2"], ("1", "2", "10")),
        (["-1", "1", "0", "-10"], ("-10", "-1", "0", "1")),
        (["01", "1", "2", "02"], ("01", "1", "02", "2")),
        (["cat10", "cat2"], ("cat10", "cat2")),
        (["10", "2", "x"], ("10", "2", "x")),
        (["b", "B", "a"], ("B", "a", "b")),
        (["1.5", "10.5", "2.5"], ("1.5", "10.5", "2.5")),
        (["NA", "None", "null"], ("NA", "None", "null")),
        (["٢", "1"], ("1", "٢")),
    ],
)
def test_classes_are_ordered_by_number_where_all_are_numbers_else_by_text(labels: list[str], classes: tuple[str, ...]) -> None:
    assert order_classes(labels) == classes
    assert order_classes(labels[::-1]) == classes


def test_targets_are_the_positions_of_the_labels() -> None:
    classes, targets = encode_labels(["10", "2", "10", "1"], range(2, 6), "train.csv, column 'label'")
    assert classes == ("1", "2", "10")
    assert targets.tolist() == [2, 1, 2, 0] and targets.dtype == np.int64


def test_missing_labels_are_refused_with_their_lines() -> None:
    message = "train.csv, column 'label': 7 labels are missing, in lines 5, 8, 11, 14, 17 and 2 more"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        encode_labels(["a", *("", " ", "", "\t", "", "", ""), "b"], range(2, 29, 3), "train.csv, column 'label'")


def test_labels_that_differ_by_white_space_alone_are_refused() -> None:
    with pytest.raises(DataError, match=r"^t: ' dog', 'cat ' differ from other labels by white space alone$"):
        encode_labels(["cat", "dog", "cat ", " dog", "a b"], range(5), "t")
    assert encode_labels(["cat ", "dog"], range(2), "t")[0] == ("cat ", "dog")


@pytest.mark.parametrize(("labels", "found"), [(["a", "a"], "a"), ([], "none")])
def test_a_single_class_is_refused(labels: list[str], found: str) -> None:
    with pytest.raises(DataError, match=f"^t: expected two classes or more, found only {found}$"):
        encode_labels(labels, range(len(labels)), "t")


def test_taken_rows_keep_what_belongs_together() -> None:
    names = np.array(["a", "b", "c"])
    samples = Samples(
        names,
        ImageFiles(Path("root"), np.array(["a.png", "b.png", "c.png"])),
        classification("label", ("x", "y")),
        np.array([0, 1, 0]),
        np.array(["p", "q", "p"]),
    )
    taken = samples.take(np.array([2, 0]))
    assert (taken.ids.tolist(), taken.images.files.tolist(), taken.task.classes) == (["c", "a"], ["c.png", "a.png"], ("x", "y"))
    assert taken.targets is not None and taken.groups is not None
    assert (taken.targets.tolist(), taken.groups.tolist(), taken.images.path(0), len(taken)) == ([0, 0], ["p", "p"], Path("root/c.png"), 2)
    bare = Samples(names, ImageFiles(Path("root"), names), classification("label", ("x", "y"))).take(np.array([1]))
    assert bare.targets is None and bare.groups is None and bare.ids.tolist() == ["b"]


def test_labels_that_differ_by_the_encoding_of_accents_alone_are_refused() -> None:
    with pytest.raises(DataError, match="accents are encoded"):
        encode_labels(["caf\u00e9", "cafe\u0301", "tea"], range(2, 5), "t")
