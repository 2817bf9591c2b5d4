"""Predictions on disk: back to the bit, whatever the classes and ids are called."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import DataError
from modules.data.task import Output, Task, classification
from modules.prediction.predictions import Predictions, check_predictions, load_predictions, load_targets, save_predictions

IDS = ["007", "NA", "null", "a,b", 'say "no"', "1e5", "тест", "图像 1", "x;y", " lead", "-", "1.0", "True"]


def make(classes: tuple[str, ...], ids: list[str] | None = None, seed: int = 0) -> Predictions:
    ids = ids or IDS
    values = np.random.default_rng(seed).dirichlet(np.full(len(classes), 0.05), len(ids)).astype(np.float32)
    return Predictions(np.array(ids), classification("label", classes), values)


CLASS_NAMES = [
    ("cat", "dog", "eel"),
    ("0", "1", "2", "10"),
    ("007", "7", "NA", "None", "nan", "null", "N/A", ""),
    ("a, b", 'the "best"', "it's", "c,,d"),
    ("Größe", "猫", "кот", "🐈"),
    ("p:x", "id", "prediction", "target", "fold"),
    ("true", "1e3", "0x10", "-1", "+1"),
    ("a;b", "c;d;e", "f;g;h;i", "j"),
    ("a;b;c", "c;d;e;f", "f;g;h;i;j;k;l"),
    ("a\tb", "c\td\te\tf", "g\th\ti"),
    (" left", "right ", "in  side"),
    ("line\nbreak", "plain"),
]


@pytest.mark.parametrize("classes", CLASS_NAMES, ids=[repr(names)[:40] for names in CLASS_NAMES])
def test_what_was_saved_is_loaded_to_the_bit(classes: tuple[str, ...], tmp_path: Path) -> None:
    predictions = make(classes)
    save_predictions(tmp_path / "predictions.csv", predictions)
    loaded = load_predictions(tmp_path / "predictions.csv", predictions.task)
    assert loaded.task == predictions.task
    assert loaded.ids.tolist() == IDS
    assert loaded.values.dtype == np.float32
    assert np.array_equal(loaded.values.view(np.uint32), predictions.values.view(np.uint32))


@pytest.mark.parametrize("classes", CLASS_NAMES, ids=[repr(names)[:40] for names in CLASS_NAMES])
def test_targets_come_back_whatever_the_classes_are_called(classes: tuple[str, ...], tmp_path: Path) -> None:
    """`f;g;h;i` puts more semicolons than commas into the header."""
    predictions = make(classes)
    targets = np.arange(len(IDS)) % len(classes)
    save_predictions(tmp_path / "oof.csv", predictions, targets)
    assert np.array_equal(load_targets(tmp_path / "oof.csv", predictions.task), targets)


@pytest.mark.parametrize("labels", [("a", "b", "a|b", "c d"), ("a|b", "c d", "e;f", "g,h"), ("a", "ab", "b c"), ("nan", "None", "0")])
def test_labels_of_one_cell_are_told_apart_again(labels: tuple[str, ...], tmp_path: Path) -> None:
    task = Task("multilabel", (Output("labels", labels),))
    rows = np.array(list(itertools.product((0, 1), repeat=len(labels))), dtype=np.float32)
    save_predictions(tmp_path / "oof.csv", Predictions(np.arange(len(rows)).astype(np.str_), task, rows), rows)
    assert np.array_equal(load_targets(tmp_path / "oof.csv", task), rows)


def test_tiny_and_extreme_probabilities_come_back_to_the_bit(tmp_path: Path) -> None:
    small = np.array([1e-45, 1.17549435e-38, 1e-38, 1e-30, 1 / 3, 0.1, np.nextafter(np.float32(1), np.float32(0)), 0.0], dtype=np.float32)
    predictions = Predictions(
        np.array([str(index) for index in range(8)]), classification("label", ("a", "b")), np.stack([small, 1 - small], axis=1)
    )
    save_predictions(tmp_path / "p.csv", predictions)
    assert np.array_equal(load_predictions(tmp_path / "p.csv", predictions.task).values.view(np.uint32), predictions.values.view(np.uint32))


def test_the_table_has_the_contracts_columns(tmp_path: Path) -> None:
    values = np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    predictions = Predictions(np.array(["x", "y"]), classification("label", ("b", "a")), values)
    save_predictions(tmp_path / "oof.csv", predictions, targets=np.array([0, 1]), folds=np.array([3, 0]))
    assert (tmp_path / "oof.csv").read_text() == "id,fold,target,prediction,p:b,p:a\nx,3,b,a,0.25,0.75\ny,0,a,b,0.5,0.5\n"
    assert load_predictions(tmp_path / "oof.csv", predictions.task).task.classes == ("b", "a")


def test_the_label_is_the_most_probable_class_and_of_equal_ones_the_first() -> None:
    values = np.array([[0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]], dtype=np.float32)
    assert Predictions(np.array(["a", "b", "c"]), classification("label", ("z", "y", "x")), values).to_frame()["prediction"].tolist() == [
        "x",
        "z",
        "y",
    ]


def test_a_shape_that_does_not_fit_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        Predictions(np.array(["a"]), classification("label", ("x", "y")), np.zeros((2, 2), dtype=np.float32))


def test_a_table_without_predictions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,label\na,b\n")
    with pytest.raises(DataError, match=r"p\.csv: no predictions in it; expected the columns id and p:CLASS$"):
        load_predictions(tmp_path / "p.csv", classification("label", ("a", "b")))


@pytest.mark.parametrize("classes", [("b", "a"), ("a", "c"), ("a", "b", "c"), ("a",)])
def test_a_table_of_other_classes_or_of_another_order_is_refused(classes: tuple[str, ...], tmp_path: Path) -> None:
    """Else one class's probabilities would be taken for another's."""
    save_predictions(
        tmp_path / "p.csv", Predictions(np.array(["x"]), classification("label", ("a", "b")), np.array([[0.7, 0.3]], np.float32))
    )
    assert load_predictions(tmp_path / "p.csv", classification("label", ("a", "b"))).values.tolist() == [[np.float32(0.7), np.float32(0.3)]]
    with pytest.raises(DataError, match=r"p\.csv: its classes, or their order, are not those of the run$"):
        load_predictions(tmp_path / "p.csv", classification("label", classes))


@pytest.mark.parametrize("cell", ["", "half", "0.5.5"])
def test_a_damaged_cell_is_told(cell: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"id,prediction,p:a,p:b\nx,a,{cell},0.5\n")
    with pytest.raises(DataError, match=r"p\.csv: damaged: "):
        load_predictions(tmp_path / "p.csv", classification("label", ("a", "b")))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p\.csv: no such file$"):
        load_predictions(tmp_path / "p.csv", classification("label", ("a", "b")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[np.nan, 0.5], [0.5, 0.5], [np.nan, np.nan]], "here: 2 rows have NaN or infinite probabilities"),
        ([[np.inf, 0.5], [0.5, 0.5]], "here: 1 row has NaN or infinite probabilities"),
        ([[1.5, -0.5], [0.5, 0.5]], r"here: probabilities are outside of 0\.\.1 or do not sum to 1"),
        ([[0.5, 0.5], [0.4, 0.5]], r"here: probabilities are outside of 0\.\.1 or do not sum to 1"),
        ([[3.0, 2.0]], r"here: probabilities are outside of 0\.\.1 or do not sum to 1"),
        ([[0.6, 0.6]], r"here: probabilities are outside of 0\.\.1 or do not sum to 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(values: list[list[float]], message: str) -> None:
    array = np.array(values, dtype=np.float32)
    predictions = Predictions(np.array([str(row) for row in range(len(array))]), classification("label", ("a", "b")), array)
    with pytest.raises(DataError, match=f"^{message}$"):
        check_predictions(predictions, "here")


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_softmax_in_32_bits_passes(classes: int) -> None:
    logits = np.random.default_rng(0).normal(0, 8, (200, classes)).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    values = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    check_predictions(
        Predictions(np.array([str(row) for row in range(200)]), classification("label", tuple(map(str, range(classes)))), values), "here"
    )


def test_a_frame_holds_ids_labels_and_probabilities_in_order() -> None:
    frame = make(("cat", "dog")).to_frame()
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == ["id", "prediction", "p:cat", "p:dog"]
    assert frame["id"].tolist() == IDS and frame["prediction"].tolist() == [
        ("cat", "dog")[row.argmax()] for row in make(("cat", "dog")).values
    ]
