"""What to try next is said where a number calls for it, with that number, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.config.schema import OPTIONS
from modules.data.copies import ACROSS, TESTED
from modules.data.task import classification
from modules.prediction.suspects import LABEL, OTHER
from modules.reporting import advice
from modules.reporting.advice import advise
from modules.reporting.facts import Facts
from tests.reporting.facts_made import made_facts, record


def told(facts: Facts) -> list[str]:
    return [f"{each.measured} -> {each.tried}" for each in advise(facts)]


def test_where_nothing_stands_out_nothing_is_said() -> None:
    assert told(made_facts()) == []


def histories(best: int, train: float, valid: float, epochs: int = 10) -> dict[int, Any]:
    return {fold: [record(fold, epoch, train, valid) for epoch in range(1, epochs + 1)] for fold in (0, 1)}


def test_epochs_that_were_too_few() -> None:
    late = made_facts(result={"best_epochs": [10, 10]})
    (line,) = told(late)
    assert line == (
        "2 of 2 folds were best in the last tenth of 10 epochs: early stopping never fired -> train longer: hyper_params.epochs = 20"
    )
    assert told(made_facts(result={"best_epochs": [10, 5]})) == [], "one of two is no habit"
    assert told(made_facts(("hyper_params.epochs=12",), result={"best_epochs": [10, 10]})) == [], "those folds were stopped early"


def test_a_training_loss_far_below_that_of_validation() -> None:
    (line,) = told(made_facts(histories=histories(5, 0.1, 0.4)))
    assert line.startswith("at the best epochs the loss was 0.1000 on training images and 0.4000 on the others -> ")
    assert "augmentation.preset = medium" in line
    assert told(made_facts(histories=histories(5, 0.3, 0.4))) == []
    assert told(made_facts(("augmentation.mixup=0.2",), histories=histories(5, 0.1, 0.4))) == [], "its training loss is of other targets"
    (own,) = told(made_facts(("augmentation.preset=heavy",), histories=histories(5, 0.1, 0.4)))
    assert "augmentation.preset" not in own


def wrong_rows(rows: list[int], into: int) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(120) % 3
    given = targets.copy()
    given[rows] = into
    return targets, np.eye(3)[given] * 0.97 + 0.01


def test_classes_that_are_taken_for_each_other() -> None:
    cats = [row for row in range(120) if row % 3 == 0]
    targets, values = wrong_rows(cats[:10], 1)
    assert told(made_facts(targets=targets, values=values))[0].startswith("25% of cat (10 rows) were told to be dog -> ")
    targets, values = wrong_rows(cats[:4], 1)
    assert told(made_facts(targets=targets, values=values)) == [], "four rows are no habit"


def test_folds_further_apart_than_chance_puts_them() -> None:
    scores = {"folds": [0.5, 0.9, 0.9], "fold_numbers": [0, 1, 2], "best_epochs": [5, 5, 5]}
    three = {fold: [record(fold, epoch) for epoch in range(1, 11)] for fold in range(3)}
    apart = made_facts(result=scores, histories=three, folds=np.arange(120) % 3)
    (line,) = told(apart)
    chance = np.sqrt(0.9 * 0.1 * (1 / 40 + 1 / 80))
    assert line.startswith(f"fold 0 scored 0.5000, the others 0.9000: {0.4 / chance:.1f} times what chance does to so many -> ")
    assert told(made_facts(result=scores | {"folds": [0.85, 0.9, 0.9]}, histories=three, folds=np.arange(120) % 3)) == []
    assert told(made_facts(result=scores, histories=three, folds=np.arange(120) % 3, metric="macro_f1")) == [], "its chance is not known"


def test_rare_classes_that_are_missed() -> None:
    targets = np.array([0] * 100 + [1] * 100 + [2] * 20)
    values = np.eye(3)[np.array([0] * 100 + [1] * 100 + [0, 1] * 10)] * 0.97 + 0.01
    lines = told(made_facts(targets=targets, values=values))
    assert "rare classes are missed: eel (20 rows, recall 0.00)" in lines[-1] and "hyper_params.class_weights = balanced" in lines[-1]
    again = told(made_facts(("hyper_params.sampler=balanced",), targets=targets, values=values))
    assert not any("rare classes" in line for line in again)


@pytest.mark.parametrize(("sure", "way"), [(0.97, "surer"), (0.55, "less sure")])
def test_probabilities_that_cannot_be_believed(sure: float, way: str) -> None:
    """Right 80 times in a hundred; told where the metric takes probabilities."""
    task = classification("which", ("a", "b"))
    targets = np.tile([0, 0, 0, 0, 1], 24)
    values = np.tile([sure, 1 - sure], (120, 1))
    lines = told(made_facts(task=task, targets=targets, values=values, metric="log_loss"))
    gap = abs(sure - 0.8)
    assert any(line.startswith(f"the model is {way} than it is right by {gap:.3f} (ECE {gap:.3f})") for line in lines)
    assert not any("ECE" in line for line in told(made_facts(task=task, targets=targets, values=values)))


def test_what_is_no_fault_of_probabilities_is_not_told_of_them() -> None:
    """Errors of both signs, a metric of order, and labels, of which most are rightly told to be improbable."""
    task = classification("which", ("a", "b"))
    targets = np.array([0] * 60 + [1] * 60)
    both = np.concatenate([np.tile([0.7, 0.3], (60, 1)), np.tile([0.7, 0.3], (60, 1))])  # right in the first half, wrong in the second
    sure = np.tile([0.97, 0.03], (120, 1))

    def of(values: np.ndarray, metric: str) -> list[str]:
        return [line for line in told(made_facts(task=task, targets=targets, values=values, metric=metric)) if "ECE" in line]

    assert of(sure, "log_loss") and not of(sure, "roc_auc") and of(both, "log_loss")
    signs = np.where(np.arange(120)[:, None] % 2, [0.95, 0.05], [0.55, 0.45])
    right = np.where(np.arange(120) % 2, np.arange(120) % 4 == 1, True)  # half of the sure ones, and all of the others
    task_of_signs = made_facts(task=task, targets=np.where(right, 0, 1), values=signs, metric="log_loss")
    assert not any("ECE" in line for line in told(task_of_signs))


def test_a_loss_of_nearly_nothing_is_not_overfitted() -> None:
    assert told(made_facts(histories=histories(5, 1e-9, 1e-3))) == []
    assert told(made_facts(histories=histories(5, -1.0, -0.95))) == []


def test_a_fold_that_validated_nothing_is_compared_with_none() -> None:
    scores = {"folds": [0.5, 0.9, 0.9], "fold_numbers": [0, 1, 2], "best_epochs": [5, 5, 5]}
    three = {fold: [record(fold, epoch) for epoch in range(1, 11)] for fold in range(3)}
    assert told(made_facts(result=scores, histories=three, folds=1 + np.arange(120) % 2)) == []


def test_copies_and_labels_come_first() -> None:
    copies = [{"where": ACROSS}, {"where": ACROSS}, {"where": TESTED}]
    chances = (("0.01", "0.9"), ("0.5", "0.6"), ("0.003", "0.004"))  # the last is of many classes, of which nothing was learnt
    suspects = [{"id": str(number), LABEL: own, OTHER: other} for number, (own, other) in enumerate(chances)]
    lines = told(made_facts(copies=copies, suspects=suspects))
    assert lines[0].startswith("2 pairs of images that are the same, or nearly, lie across folds (duplicates.csv)")
    assert lines[1].startswith("1 training label had a probability below 0.05")


def test_views_that_made_the_score_worse() -> None:
    worse = {"tta": "hflip", "oof_without_tta": 0.9, "oof_plain": 0.8}
    assert told(made_facts(result=worse)) == [
        "inference.tta = hflip made the score worse: 0.9000 without, 0.8000 with -> inference.tta = none"
    ]
    assert told(made_facts(result=worse, greater_is_better=False)) == []


def test_options_that_are_advised_exist() -> None:
    """Each is set in a config as it is written."""
    named = set(re.findall(r"\b(?!facts)(\w+)\.(\w+) =", Path(advice.__file__).read_text(encoding="utf-8")))
    assert {("hyper_params", "epochs"), ("inference", "tta")} <= named
    assert [(section, name) for section, name in sorted(named) if name not in OPTIONS.get(section, {})] == []
