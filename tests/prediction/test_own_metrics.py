"""A metric of one's own: given what the task has, in the form that it asks for, and tried before it is believed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error

from modules.compute.own_code import forget
from modules.config.errors import DataError, OptionError
from modules.config.own_code import OwnCode
from modules.config.schema import HyperParams
from modules.prediction.metrics import check_metric, find_metric
from modules.prediction.own_metrics import made_example
from tests.models.test_own_losses import TASKS

CODE = """
import numpy as np

SEEN = {}

def see(targets, predictions, classes):
    SEEN.update(targets=targets, predictions=predictions, classes=classes)
    return 1.0

def see_values(targets, predictions, classes):
    return see(targets, predictions, classes)
see_values.takes = "probabilities"

def equal(targets, predictions): return np.mean(targets == predictions)
def error(targets, predictions): return np.mean((targets - predictions) ** 2)
error.greater_is_better = False
def silent(targets, predictions): return np.mean((targets - predictions) ** 2)
def meant(targets, predictions): return np.mean((targets - predictions) ** 2)
meant.greater_is_better = True
def spoils(targets, predictions):
    targets[:], predictions[:] = 0, 0
    return 0.0
"""


@pytest.fixture(autouse=True)
def _code() -> None:
    Path("my_metrics.py").write_text(CODE)
    forget()


def hyper(name: str) -> HyperParams:
    return HyperParams(metric=OwnCode(f"my_metrics:{name}"))


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", ["see", "see_values"])
def test_it_is_given_targets_and_predictions_of_the_tasks_form_and_the_names(kind: str, name: str) -> None:
    task = TASKS[kind]
    check_metric(hyper(name), task)
    targets, values, _ = made_example(task)
    assert find_metric(hyper(name), kind).measure(task, targets, values) == 1.0
    seen = sys.modules["my_metrics"].SEEN
    assert np.array_equal(seen["targets"], targets)
    given = seen["predictions"]
    assert seen["classes"] == task.columns
    assert given.shape == (values.shape if name == "see_values" else targets.shape)


@pytest.mark.parametrize("kind", TASKS)
def test_made_examples_are_of_the_task_and_good_predictions_are_better_than_random_ones(kind: str) -> None:
    task = TASKS[kind]
    targets, random, perfect = made_example(task)
    assert random.shape == perfect.shape == (len(targets), len(task.columns)) and random.dtype == perfect.dtype == np.float32
    name = "error" if kind == "regression" else "equal"
    worse, better = (find_metric(hyper(name), kind).measure(task, targets, values) for values in (random, perfect))
    assert better == (0 if kind == "regression" else 1) != worse


def test_scores_are_scikit_learns() -> None:
    task = TASKS["multiclass"]
    targets, values, _ = made_example(task)
    assert find_metric(hyper("equal"), "multiclass").measure(task, targets, values) == accuracy_score(targets, values.argmax(1))
    numbers = TASKS["regression"]
    targets, values, _ = made_example(numbers)
    found = find_metric(hyper("error"), "regression")
    assert found.measure(numbers, targets, values) == pytest.approx(mean_squared_error(targets, values)) and not found.greater_is_better


def test_one_that_is_better_the_lower_must_say_so() -> None:
    with pytest.raises(OptionError) as caught:
        check_metric(hyper("silent"), TASKS["regression"])
    (line,) = caught.value.lines
    assert line.startswith("[hyper_params] metric: my_metrics:silent gives 0 for good predictions and ")
    assert line.endswith("so that less is better; say so behind it: silent.greater_is_better = False")
    check_metric(hyper("meant"), TASKS["regression"])  # who says so is believed


def test_what_it_is_given_is_a_copy() -> None:
    task = TASKS["multilabel"]
    targets, values, _ = made_example(task)
    before = targets.copy(), values.copy()
    find_metric(hyper("spoils"), "multilabel").measure(task, targets, values)
    assert np.array_equal(before[0], targets) and np.array_equal(before[1], values)


def test_its_name_is_plain_text_which_a_checkpoint_may_hold() -> None:
    assert type(find_metric(hyper("equal"), "multiclass").name) is str


def test_one_that_fails_on_the_real_rows_is_one_line() -> None:
    Path("my_metrics.py").write_text("def f(targets, predictions):\n    return 1 / (len(targets) - 2)\n")
    forget()
    metric = find_metric(HyperParams(metric=OwnCode("my_metrics:f")), "multiclass")
    with pytest.raises(DataError, match=r"^my_metrics:f fails on 2 rows: ZeroDivisionError: division by zero \(my_metrics\.py:2\)$"):
        metric.measure(TASKS["multiclass"], np.zeros(2, dtype=np.int64), np.ones((2, 3), dtype=np.float32))
