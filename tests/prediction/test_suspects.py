"""The rows whose label the models believe least, of every kind of task, checked row by row."""

from __future__ import annotations

import numpy as np
import pytest

from modules.data.task import Output, Scale, Task, classification
from modules.prediction.suspects import count_wrong, rank_suspects

CLASSES = ("cat", "dog", "eel")


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_classes_are_ranked_by_the_probability_of_the_own_label(kind: str) -> None:
    classes = CLASSES if kind == "multiclass" else CLASSES[:2]
    rng = np.random.default_rng(0)
    values = rng.dirichlet([0.5] * len(classes), 200).astype(np.float32)
    targets = rng.integers(0, len(classes), 200)
    table = rank_suspects(classification("label", classes, kind), targets, values)
    own = [float(values[row, targets[row]]) for row in range(200)]
    expected = sorted(range(200), key=own.__getitem__)[:20]
    assert table.index.tolist() == expected and table.columns.tolist() == ["label", "p_label", "prediction", "p_prediction"]
    for row, told in table.iterrows():
        best = int(values[row].argmax())
        assert told.tolist() == [classes[targets[row]], own[row], classes[best], pytest.approx(float(values[row, best]))]
    assert count_wrong(table) == sum(own[row] < 0.05 for row in expected) > 0


def test_of_soft_targets_the_largest_share_is_the_label() -> None:
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], dtype=np.float32)
    values = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], dtype=np.float32)
    assert rank_suspects(classification("label", CLASSES), shares, values).values.tolist() == [["eel", 0.25, "cat", 0.5]]


def test_of_several_labels_that_is_told_which_is_believed_least() -> None:
    task = classification("labels", CLASSES, "multilabel")
    targets = np.array([[1, 0, 0]] * 10, dtype=np.float32)
    values = np.array([[0.9, 0.1, 0.2]] * 10, dtype=np.float32)
    values[3] = [0.9, 0.1, 0.98]
    table = rank_suspects(task, targets, values)
    assert table.index.tolist() == [3] and table.iloc[0].tolist() == ["eel", "no", pytest.approx(0.02), "yes", pytest.approx(0.98)]
    values[3], values[5] = [0.9, 0.1, 0.2], [0.3, 0.1, 0.2]
    assert rank_suspects(task, targets, values).iloc[0].tolist() == ["cat", "yes", pytest.approx(0.3), "no", pytest.approx(0.7)]


def test_of_several_outputs_that_is_told_which_is_believed_least() -> None:
    task = Task("multioutput", (Output("root", ("a", "b")), Output("vowel", CLASSES)))
    targets = np.array([[0, 2], [1, 1]])
    values = np.array([[0.9, 0.1, 0.5, 0.375, 0.125], [0.75, 0.25, 0.25, 0.5, 0.25]], dtype=np.float32)
    assert rank_suspects(task, targets, values).to_dict("list") == {
        "output": ["vowel"],
        "label": ["eel"],
        "p_label": [0.125],
        "prediction": ["cat"],
        "p_prediction": [0.5],
    }


def test_numbers_are_ranked_by_their_error_and_several_by_its_share_of_their_spread() -> None:
    one = Task("regression", (Output("score", scale=Scale(50, 10, 1, 100)),))
    targets, values = np.array([[10.0], [50.0]], dtype=np.float32), np.array([[10.5], [10.0]], dtype=np.float32)
    table = rank_suspects(one, targets, values)
    assert table.to_dict("list") == {"label": ["50"], "prediction": [10.0], "error": [40.0]} and count_wrong(table) == 0
    two = Task("regression", (Output("age", scale=Scale(0, 100, None, None)), Output("share", scale=Scale(0, 0.1, None, None))))
    targets, values = np.array([[0, 0.0], [0, 0.0]], dtype=np.float32), np.array([[20, 0.0], [10, 0.5]], dtype=np.float32)
    assert rank_suspects(two, targets, values).to_dict("list") == {"output": ["share"], "label": ["0"], "prediction": [0.5], "error": [0.5]}


def test_ordered_classes_are_ranked_by_the_distance_from_their_own() -> None:
    task = Task("ordinal", (Output("diagnosis", ("none", "mild", "bad"), Scale(1, 1, 0, 2)),))
    values = np.array([[0.25], [1.5], [0.5]], dtype=np.float32)
    table = rank_suspects(task, np.array([0, 1, 2]), values)
    assert table.index.tolist() == [2] and table.to_dict("list") == {"label": ["bad"], "prediction": [0.5], "error": [1.5]}


@pytest.mark.parametrize(("rows", "told"), [(1, 1), (9, 1), (11, 2), (4000, 400), (9000, 500)])
def test_a_tenth_of_the_rows_is_told_and_at_most_500(rows: int, told: int) -> None:
    values = np.full((rows, 3), 1 / 3, dtype=np.float32)
    assert len(rank_suspects(classification("label", CLASSES), np.zeros(rows, dtype=np.int64), values)) == told
