"""How values become labels, and what a decision is in words and in JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modules.data.task import Output, Task, classification
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.predictions import tell

LABELS = classification("labels", ("a", "b", "c"), "multilabel")
CLASSES = classification("label", ("a", "b", "c"))
PAIR = classification("label", ("no", "yes"), "binary")
ORDERED = classification("grade", ("0", "1", "2"), "ordinal")
PARTS = Task("multioutput", (Output("x", ("a", "b")), Output("y", ("c", "d", "e"))))


def decided(decision: Decision, task: Task, rows: list[list[float]]) -> list[object]:
    return list(decision.decide(task, np.array(rows, dtype=np.float32)).tolist())


def test_plainly_the_most_probable_one_half_and_the_nearest_are_taken() -> None:
    assert decided(PLAIN, CLASSES, [[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]) == [1, 0]
    assert decided(PLAIN, PAIR, [[0.4, 0.6], [0.6, 0.4]]) == [1, 0]
    assert decided(PLAIN, LABELS, [[0.5, 0.1, 0.9], [0.2, 0.3, 0.1]]) == [[1, 0, 1], [0, 1, 0]]
    assert decided(PLAIN, ORDERED, [[-3.0], [0.6], [1.4], [7.0]]) == [0, 1, 1, 2]
    assert decided(PLAIN, PARTS, [[0.9, 0.1, 0.2, 0.3, 0.5]]) == [[0, 2]]


def test_thresholds_cut_points_and_weights_are_applied() -> None:
    assert decided(Decision(thresholds=(0.1, 0.5, 0.95)), LABELS, [[0.1, 0.4, 0.9]]) == [[1, 0, 0]]
    assert decided(Decision(thresholds=(0.3,)), PAIR, [[0.65, 0.35], [0.75, 0.25]]) == [1, 0]
    assert decided(Decision(cut_points=(0.2, 0.4)), ORDERED, [[0.1], [0.3], [0.5]]) == [0, 1, 2]
    assert decided(Decision(class_weights=(1.0, 1.0, 3.0)), CLASSES, [[0.5, 0.3, 0.2]]) == [2]
    assert decided(Decision(class_weights=(1.0, 10.0, 1.0, 1.0, 0.1)), PARTS, [[0.9, 0.1, 0.2, 0.3, 0.5]]) == [[1, 1]]


@pytest.mark.parametrize(("empty", "expected"), [("best", [0, 1, 0]), ("none", [0, 0, 0]), ("c", [0, 0, 1])])
def test_an_image_without_a_label_gets_what_was_asked_for(empty: str, expected: list[int]) -> None:
    """best: .2 is half of .4, which is nearer to its threshold than .3 to .9."""
    decision = Decision(thresholds=(0.9, 0.4, 0.9), empty_labels=empty)
    assert decided(decision, LABELS, [[0.3, 0.2, 0.1]]) == [expected]
    assert decided(decision, LABELS, [[0.95, 0.2, 0.1]]) == [[1, 0, 0]]


def test_below_the_confidence_the_unknown_class_is_given_also_one_that_training_does_not_know() -> None:
    rows = [[0.5, 0.3, 0.2], [0.39, 0.31, 0.3]]
    assert decided(Decision(unknown_class="c", unknown_below=0.4), CLASSES, rows) == [0, 2]
    other = Decision(unknown_class="Other", unknown_below=0.4)
    assert decided(other, CLASSES, rows) == [0, 3]
    assert tell("prediction", CLASSES, np.array([0, 3]), other) == {"prediction": ["a", "Other"]}
    assert decided(Decision(thresholds=(0.3,), unknown_class="Other", unknown_below=0.7), PAIR, [[0.65, 0.35], [0.1, 0.9]]) == [2, 1]


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (PLAIN, "plain"),
        (Decision(thresholds=(0.31, 0.31, 0.31)), "thresholds 0.31 (one for all labels)"),
        (Decision(thresholds=(0.31,)), "threshold 0.31"),
        (Decision(thresholds=(0.25, 0.5), empty_labels="none"), "thresholds 0.25, 0.5"),
        (Decision(class_weights=tuple(float(number) for number in range(1, 19))), "class weights 1 to 18"),
        (Decision(cut_points=(0.6, 1.4), unknown_class="Other", unknown_below=0.4), "cut points 0.6, 1.4, Other below 0.4"),
    ],
)
def test_a_decision_is_told_in_words_and_survives_json(decision: Decision, words: str) -> None:
    assert decision.describe() == words
    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict()))) == decision
