"""Every metric against scikit-learn or a value computed by hand: absent classes, ties, direction."""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
from sklearn import metrics as sk

from modules.config.errors import DataError
from modules.config.schema import HyperParams
from modules.prediction.ensemble import combine
from modules.prediction.metrics import METRICS, find_metric


def sure(labels: list[int], classes: int) -> np.ndarray:
    """Probabilities that say `labels`, not quite certain."""
    values = np.full((len(labels), classes), 0.1 / (classes - 1), dtype=np.float32)
    values[np.arange(len(labels)), labels] = 0.9
    return values


def random_case(seed: int, rows: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows).astype(np.float32)


REFERENCES = {
    "accuracy": lambda targets, values: sk.accuracy_score(targets, values.argmax(1)),
    "macro_f1": lambda targets, values: sk.f1_score(targets, values.argmax(1), average="macro"),
    "micro_f1": lambda targets, values: sk.f1_score(targets, values.argmax(1), average="micro"),
    "balanced_accuracy": lambda targets, values: sk.balanced_accuracy_score(targets, values.argmax(1)),
    "log_loss": lambda targets, values: -np.log(values.astype(float)[np.arange(len(targets)), targets]).mean(),
    "roc_auc": lambda targets, values: sk.roc_auc_score(targets, values.astype(float) / values.sum(1, keepdims=True), multi_class="ovr"),
}


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("seed", range(3))
def test_every_metric_is_scikit_learns(name: str, seed: int) -> None:
    targets, values = random_case(seed)
    assert find_metric(name).score(targets, values) == pytest.approx(REFERENCES[name](targets, values), abs=1e-6)


def test_the_schemas_metrics_are_those_there_are() -> None:
    assert set(get_args(get_type_hints(HyperParams)["metric"])) == {*METRICS, "auto"}
    assert set(REFERENCES) == set(METRICS)
    assert all(metric.name == name for name, metric in METRICS.items())


def test_auto_is_accuracy() -> None:
    assert find_metric("auto") is METRICS["accuracy"]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_direction_is_that_in_which_better_predictions_score(name: str) -> None:
    targets = np.array([0, 1, 2, 0, 1, 2])
    good, bad = sure([0, 1, 2, 0, 1, 2], 3), sure([1, 2, 0, 0, 1, 2], 3)
    metric = find_metric(name)
    assert (metric.score(targets, good) > metric.score(targets, bad)) is metric.greater_is_better
    assert metric.greater_is_better is (name != "log_loss")
    assert metric.takes_probabilities is (name in ("log_loss", "roc_auc"))


def test_macro_f1_counts_every_class_of_the_contest() -> None:
    """Class 2 is neither there nor predicted: 0, so the mean is over three."""
    targets, values = np.array([0, 0, 1, 1]), sure([0, 1, 1, 1], 3)
    assert find_metric("macro_f1").score(targets, values) == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_micro_f1_is_the_accuracy() -> None:
    targets, values = np.array([0, 0, 1, 1]), sure([0, 1, 1, 2], 3)
    assert find_metric("micro_f1").score(targets, values) == pytest.approx(0.5)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there() -> None:
    targets, values = np.array([0, 0, 0, 1]), sure([0, 0, 2, 1], 3)
    assert find_metric("balanced_accuracy").score(targets, values) == pytest.approx((2 / 3 + 1) / 2)


def test_of_equal_probabilities_the_first_class_is_predicted() -> None:
    values = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]], dtype=np.float32)
    assert find_metric("accuracy").score(np.array([0, 1]), values) == 1.0
    assert find_metric("accuracy").score(np.array([1, 2]), values) == 0.0


def test_log_loss_by_hand() -> None:
    values = np.array([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]], dtype=np.float32)
    assert find_metric("log_loss").score(np.array([0, 1, 1]), values) == pytest.approx(-(math.log(0.25 * 0.5 * 0.875)) / 3)


def test_log_loss_works_where_a_class_is_absent() -> None:
    assert find_metric("log_loss").score(np.array([1, 1]), sure([1, 1], 3)) == pytest.approx(-math.log(0.9), abs=1e-6)


def test_log_loss_keeps_a_certain_mistake_finite_by_the_float32_epsilon() -> None:
    """As its docstring says: -log(1.19e-7), whether or not the mistake is certain to more digits."""
    values = np.array([[1.0, 0.0]], dtype=np.float32)
    assert find_metric("log_loss").score(np.array([1]), values) == pytest.approx(-math.log(np.finfo(np.float32).eps), abs=1e-3)


def test_log_loss_does_not_change_its_argument() -> None:
    values = np.array([[0.2, 0.2], [0.1, 0.3]], dtype=np.float32)
    before = values.copy()
    assert find_metric("log_loss").score(np.array([0, 1]), values) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2, abs=1e-6)
    assert np.array_equal(values, before)


def test_roc_auc_of_two_classes_is_that_of_the_second_with_ties_half() -> None:
    second = np.array([0.1, 0.4, 0.4, 0.8], dtype=np.float32)
    values = np.stack([1 - second, second], axis=1)
    assert find_metric("roc_auc").score(np.array([0, 0, 1, 1]), values) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert find_metric("roc_auc").score(np.array([1, 1, 0, 0]), values) == pytest.approx(0.5 / 4)


def test_roc_auc_of_many_classes_is_the_mean_over_those_that_are_there() -> None:
    targets, values = random_case(7, classes=5)
    keep = targets != 3
    targets, values = targets[keep], values[keep]
    expected = np.mean([sk.roc_auc_score(targets == index, values[:, index]) for index in (0, 1, 2, 4)])
    assert find_metric("roc_auc").score(targets, values) == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_roc_auc_of_one_class_is_not_defined(classes: int) -> None:
    message = r"^roc_auc is not defined where only one class is there; use fewer folds, or split\.method = stratified$"
    with pytest.raises(DataError, match=message):
        find_metric("roc_auc").score(np.array([1, 1]), sure([1, 0], classes))


def test_a_score_is_of_all_rows_not_a_mean_of_batches() -> None:
    targets, values = random_case(3, rows=30)
    halves = [find_metric("macro_f1").score(targets[part], values[part]) for part in (slice(0, 7), slice(7, 30))]
    assert abs(float(np.mean(halves)) - REFERENCES["macro_f1"](targets, values)) > 0.005
    assert find_metric("macro_f1").score(targets, values) == pytest.approx(REFERENCES["macro_f1"](targets, values))


def test_the_mean_of_members_by_hand() -> None:
    members = np.array([[[0.2, 0.8], [1.0, 0.0]], [[0.4, 0.6], [0.0, 1.0]], [[0.9, 0.1], [0.5, 0.5]]], dtype=np.float32)
    found = combine(members, "mean")
    assert found.shape == (2, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.5, 0.5]], atol=1e-7)


def test_the_mean_of_equal_members_is_that_member_to_the_bit() -> None:
    member = np.random.default_rng(0).dirichlet(np.ones(7), 50).astype(np.float32)
    assert np.array_equal(combine(np.stack([member] * 5), "mean"), member)
