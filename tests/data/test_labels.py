"""Label columns to a task and its targets, for every kind; cells that are no labels are told by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import UserError
from modules.config.schema import Data
from modules.data.labels import encode_targets, label_sets, read_task
from modules.data.task import Targets, Task
from modules.models.objectives import Range, make_objective

PATH = Path("train.csv")


def table(**columns: list[str]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=range(2, 2 + rows))


def read(columns: dict[str, list[str]], *names: str, task: str = "multiclass", **options: object) -> tuple[Task, Targets]:
    data = Data(source="csv", task=task, label_columns=names or tuple(columns), **options)  # type: ignore[arg-type]
    return read_task(table(**columns), data, PATH)


def refused(columns: dict[str, list[str]], *names: str, task: str = "multiclass", **options: object) -> str:
    with pytest.raises(UserError) as caught:
        read(columns, *names, task=task, **options)
    (line,) = caught.value.lines
    return line


def test_one_hot_columns_are_classes_and_votes_are_shares() -> None:
    task, targets = read({"b": ["0", "1", "0.0"], "a": ["1", "0", "1"]})
    assert task.classes == ("b", "a") and targets.dtype == np.int64 and targets.tolist() == [1, 0, 1]
    task, targets = read({"x": ["3", "0"], "y": ["1", "5"]})
    assert task.columns == ("x", "y") and targets.tolist() == [[0.75, 0.25], [0.0, 1.0]] and targets.dtype == np.float32


def test_a_single_row_of_votes_makes_all_of_them_shares() -> None:
    _, targets = read({"x": ["1", "2"], "y": ["0", "2"]})
    assert targets.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_votes_below_nought_and_rows_without_any_are_told() -> None:
    told = "expected numbers >= 0, one of them above 0; 2 cells are not: '[-1.0, 2.0]' in line 2, '[0.0, 0.0]' in line 3"
    line = f"train.csv, label_columns: {told}"
    assert refused({"x": ["-1", "0", "1"], "y": ["2", "0", "0"]}) == line


def test_a_separator_that_no_cell_holds_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    task, _ = read({"tags": ["a;b", "b;c", "c"]}, task="multilabel", label_separator="pipe")
    assert task.classes == ("a;b", "b;c", "c")
    warning = "warning: train.csv, column 'tags': no cell holds several labels; is label_separator = pipe what stands between them?\n"
    assert capsys.readouterr().err == warning
    read({"tags": ["a;b", "b", ""]}, task="multilabel", label_separator="semicolon")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("separator", ["space", "comma", "semicolon", "pipe", " // "])
def test_cells_hold_any_number_of_labels(separator: str) -> None:
    between = {"space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}.get(separator, separator)
    cells = [between.join(labels) for labels in (["10", "2"], [], ["2", "2", "0"])]
    task, targets = read({"tags": cells}, task="multilabel", label_separator=separator)
    assert task.classes == ("0", "2", "10"), "by number"
    assert targets.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_labels_of_a_cell_lose_white_space_around_them() -> None:
    assert label_sets([" a ,b,, a"], Data(label_separator="comma")) == [["a", "b"]]


def test_columns_of_labels_are_noughts_and_ones() -> None:
    task, targets = read({"b": ["1", "0"], "a": ["True", "false"]}, task="multilabel")
    assert task.columns == ("b", "a") and targets.tolist() == [[1, 1], [0, 0]]
    line = refused({"b": ["1", "2"], "a": ["", "0"]}, task="multilabel")
    assert line == "train.csv, column 'b': expected 0 or 1; 1 cell is not: '2' in line 3"


def test_binary_has_two_classes_of_which_the_second_is_told() -> None:
    task, targets = read({"y": ["yes", "no", "yes"]}, task="binary")
    assert task.columns == ("no", "yes") and targets.tolist() == [1, 0, 1]
    assert refused({"y": ["a", "b", "c"]}, task="binary").endswith("needs exactly two classes, found 3: a, b, c")


def test_ordered_classes_are_whole_numbers_and_gaps_are_no_places() -> None:
    task, targets = read({"grade": ["10", "0", "2", "2"]}, task="ordinal")
    assert task.classes == ("0", "2", "10") and task.columns == ("grade",) and targets.tolist() == [2, 0, 1, 1]
    (output,) = task.outputs
    assert output.scale is not None and (output.scale.mean, output.scale.low, output.scale.high) == (1.0, 0.0, 2.0)
    assert refused({"grade": ["0", "low"]}, task="ordinal").endswith("whole numbers, whose order is that of the classes; got 'low'")


def test_numbers_keep_their_digits_and_blanks_are_told_by_line() -> None:
    task, targets = read({"y": ["1e-3", "100", " 2.5 "]}, task="regression")
    assert targets.dtype == np.float32 and targets[:, 0].tolist() == pytest.approx([0.001, 100, 2.5])
    (output,) = task.outputs
    assert output.scale is not None and output.scale.std == pytest.approx(np.std([0.001, 100, 2.5]))
    assert refused({"y": ["1", "", "inf", "x"]}, task="regression") == (
        "train.csv, column 'y': expected a number; 3 cells are not: '' in line 3, 'inf' in line 4, 'x' in line 5"
    )
    assert "has the same number in every row" in refused({"y": ["1", "1"]}, task="regression")


@pytest.mark.parametrize(
    ("asked", "low", "high"), [("auto", 1.0, 9.0), ("none", -np.inf, np.inf), ((0.0, 10.0), 0.0, 10.0)], ids=["auto", "none", "given"]
)
def test_predictions_are_clipped_to_the_range_that_is_asked_for(asked: object, low: float, high: float) -> None:
    import torch

    task, _ = read({"y": ["1", "5", "9"]}, task="regression", target_range=asked)
    scale = task.outputs[0].scale
    assert scale is not None
    objective = make_objective("mse", kind="regression", sizes=[1], ranges=[Range(scale.mean, scale.std, scale.low, scale.high)])
    found = objective.activation(torch.tensor([[-100.0], [0.0], [100.0]]))[:, 0].tolist()
    plain = [scale.mean - 100 * scale.std, scale.mean, scale.mean + 100 * scale.std]
    assert found == pytest.approx(np.clip(plain, low, high).tolist(), rel=1e-6)


def test_labels_outside_the_range_that_is_asked_for_are_refused() -> None:
    line = refused({"y": ["1", "5", "9"]}, task="regression", target_range=(2.0, 8.0))
    assert line == "[data] target_range: train.csv, column 'y': 2 numbers are outside of 2, 8: 1 to 9"


def test_each_output_has_classes_of_its_own_and_every_columns_mistakes_are_told_at_once() -> None:
    task, targets = read({"root": ["2", "10"], "vowel": ["b", "a"]}, task="multioutput")
    assert task.columns == ("root:2", "root:10", "vowel:a", "vowel:b") and targets.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(UserError) as caught:
        read({"root": ["1", "1"], "vowel": ["", "a"]}, task="multioutput")
    assert len(caught.value.lines) == 2


@pytest.mark.parametrize(
    ("kind", "columns", "options"),
    [
        ("multiclass", {"y": ["a", "b", "c", "a"]}, {}),
        ("multiclass", {"a": ["2", "1", "0", "1"], "b": ["1", "1", "4", "0"]}, {}),
        ("binary", {"y": ["0", "1", "1", "0"]}, {}),
        ("multilabel", {"y": ["a b", "", "b", "c"]}, {"label_separator": "space"}),
        ("multilabel", {"a": ["1", "0", "1", "0"], "b": ["0", "0", "1", "1"]}, {}),
        ("ordinal", {"y": ["0", "3", "1", "3"]}, {}),
        ("regression", {"y": ["0.1", "3", "1", "3"], "z": ["1", "2", "3", "4"]}, {}),
        ("multioutput", {"y": ["0", "3", "1", "3"], "z": ["a", "b", "a", "b"]}, {}),
    ],
)
def test_another_table_of_the_same_task_gives_the_same_targets(
    kind: str, columns: dict[str, list[str]], options: dict[str, object]
) -> None:
    """In another order of rows; and a Task that went through JSON reads it alike."""
    task, targets = read(columns, task=kind, **options)
    assert Task.from_dict(task.to_dict()) == task
    data = Data(source="csv", task=kind, label_columns=tuple(columns), **options)  # type: ignore[arg-type]
    again = encode_targets(table(**columns).iloc[::-1], data, Task.from_dict(task.to_dict()), PATH)
    np.testing.assert_array_equal(again, targets[::-1])


def test_labels_of_another_table_that_are_not_known_have_a_hint() -> None:
    task, _ = read({"y": ["cat", "dog"]})
    with pytest.raises(UserError, match=r"^extra\.csv: labels that no training sample has: 'cta' \(did you mean cat\?\)$"):
        encode_targets(table(y=["cta"]), Data(source="csv", label_columns=("y",)), task, Path("extra.csv"))


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1700000001", "1700000090", "1700000300"], r"are too large for their differences in 32 bits; subtract their mean"),
        (["1e39", "2e39", "3"], r"beyond what 32 bits hold; divide or multiply them"),
        (["1e-44", "2e-44", "3e-44"], r"beyond what 32 bits hold; divide or multiply them"),
    ],
)
def test_numbers_that_32_bits_do_not_tell_apart_are_refused(cells: list[str], told: str) -> None:
    assert told in refused({"y": cells}, task="regression")


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_numbers_of_any_size_are_read(scale: float) -> None:
    _, targets = read({"y": [repr(scale * number) for number in (1.0, 2.0, 5.0)]}, task="regression")
    assert targets[:, 0] / scale == pytest.approx([1, 2, 5])


def test_ordered_classes_are_a_number_each() -> None:
    assert refused({"grade": ["1", "01", "2"]}, task="ordinal").endswith(
        "needs a number a class; '01', '1' are the same number, written otherwise"
    )
    assert refused({"grade": ["1", "9" * 20, "2"]}, task="ordinal").endswith("is too large for one")


def test_outputs_whose_classes_would_be_called_alike_are_refused() -> None:
    told = "train.csv: COLUMN:CLASS names 'a:b:1' twice; rename a column of label_columns, or its classes"
    assert refused({"a": ["b:1", "2"], "a:b": ["1", "3"]}, task="multioutput") == told
