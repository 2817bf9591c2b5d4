"""Every metric against scikit-learn or a value computed by hand: absent classes, ties, soft targets, direction."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import rel_entr
from sklearn import metrics as sk

from modules.config.errors import DataError
from modules.config.schema import HyperParams
from modules.config.tasks import METRICS_OF
from modules.data.task import Output, Scale, Task, classification
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.ensemble import combine
from modules.prediction.metrics import METRICS, Metric, find_metric, tell_score

EVERY = [(kind, name) for kind, names in METRICS_OF.items() for name in names]
LOWER = {"log_loss", "kl", "rmse", "mae"}


def task_of(kind: str, classes: int = 4) -> Task:
    names = tuple(str(index) if kind == "ordinal" else f"c{index}" for index in range(2 if kind == "binary" else classes))
    if kind == "regression":
        return Task(kind, (Output("score", (), Scale(0, 1, None, None)), Output("other", (), Scale(0, 1, None, None))))
    if kind == "multioutput":
        return Task(kind, (Output("first", ("a", "b", "c")), Output("second", ("x", "y")), Output("third", ("k", "l", "m", "n"))))
    if kind == "ordinal":
        return Task(kind, (Output("grade", names, Scale(1.5, 1, 0, classes - 1)),))
    return classification("label", names, kind)


def found(name: str, kind: str = "multiclass", **hyper: Any) -> Metric:
    return find_metric(replace(HyperParams(), metric=name, **hyper), kind)


def score(name: str, targets: Any, values: Any, kind: str = "multiclass", **hyper: Any) -> float:
    """Of classes as many as `values` has columns, or of a task of its kind where it has no classes an image."""
    values = np.asarray(values, dtype=np.float32)
    task = task_of(kind, 4 if kind in ("ordinal", "multioutput", "regression") else values.shape[1])
    return found(name, kind, **hyper).measure(task, np.asarray(targets), values)


def sure(labels: list[int], classes: int) -> np.ndarray:
    """Probabilities that say `labels`, not quite certain."""
    values = np.full((len(labels), classes), 0.1 / (classes - 1), dtype=np.float32)
    values[np.arange(len(labels)), labels] = 0.9
    return values


def random_case(seed: int, rows: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows).astype(np.float32)


def case_of(kind: str, seed: int, rows: int = 60) -> tuple[Task, np.ndarray, np.ndarray]:
    """A task with random targets and values, some of them tied; odd seeds have a class or label that no row has."""
    rng = np.random.default_rng(seed)
    task = task_of(kind)
    absent = seed % 2
    if kind == "regression":
        return task, rng.normal(size=(rows, 2)).astype(np.float32), rng.normal(size=(rows, 2)).astype(np.float32)
    if kind == "ordinal":
        return task, rng.integers(0, 4 - absent, rows), rng.uniform(0, 3, (rows, 1)).astype(np.float32).round(1)
    if kind == "multilabel":
        targets = (rng.random((rows, 4)) < [0.5, 0.2, 0.1, 0.0 if absent else 0.3]).astype(np.float32)
        return task, targets, rng.random((rows, 4)).astype(np.float32).round(1)
    if kind == "multioutput":
        values = [rng.dirichlet(np.ones(len(output.classes)), rows) for output in task.outputs]
        targets = [rng.integers(0, len(output.classes) - (absent and index == 2), rows) for index, output in enumerate(task.outputs)]
        return task, np.stack(targets, axis=1), np.concatenate(values, axis=1).astype(np.float32)
    count = len(task.classes)
    values = rng.integers(1, 4, (rows, count)) + 0.0
    values /= values.sum(axis=1, keepdims=True)
    return task, rng.integers(0, count - (absent and count > 2), rows), values.astype(np.float32)


def one_against_rest(function: Callable[..., float], targets: np.ndarray, values: np.ndarray) -> float:
    if values.shape[1] == 2:
        return function(targets, values[:, 1])
    return float(np.mean([function(targets == index, values[:, index]) for index in np.unique(targets)]))


def top_five(targets: np.ndarray, values: np.ndarray, at: int) -> float:
    """Kaggle's: the true class's place in the list of the `at` most probable ones."""
    total = 0.0
    for truth, row in zip(targets, values, strict=True):
        listed = sorted(range(len(row)), key=lambda index: (-row[index], index))[:at]
        total += 1 / (listed.index(truth) + 1) if truth in listed else 0.0
    return total / len(targets)


# Of (targets, decided labels, values, all classes), by scikit-learn.
OF_CLASSES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, range], float]] = {
    "accuracy": lambda t, g, v, c: sk.accuracy_score(t, g),
    "f1": lambda t, g, v, c: sk.f1_score(t, g, zero_division=0),
    "macro_f1": lambda t, g, v, c: sk.f1_score(t, g, labels=c, average="macro", zero_division=0),
    "micro_f1": lambda t, g, v, c: sk.f1_score(t, g, average="micro"),
    "balanced_accuracy": lambda t, g, v, c: sk.balanced_accuracy_score(t, g),
    "macro_recall": lambda t, g, v, c: sk.recall_score(t, g, average="macro", zero_division=0),
    "qwk": lambda t, g, v, c: sk.cohen_kappa_score(t, g, labels=c, weights="quadratic"),
    "log_loss": lambda t, g, v, c: sk.log_loss(t, v.astype(float) / v.astype(float).sum(1, keepdims=True), labels=c),
    "kl": lambda t, g, v, c: -np.log(v.astype(float)[np.arange(len(t)), t]).mean(),
    "roc_auc": lambda t, g, v, c: one_against_rest(sk.roc_auc_score, t, v),
    "average_precision": lambda t, g, v, c: one_against_rest(sk.average_precision_score, t, v),
    "map": lambda t, g, v, c: top_five(t, v, 3),
    "rmse": lambda t, g, v, c: sk.root_mean_squared_error(t, v[:, 0]),
    "mae": lambda t, g, v, c: sk.mean_absolute_error(t, v[:, 0]),
}
OF_LABELS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda t, g, v: sk.accuracy_score(t, g),
    "macro_f1": lambda t, g, v: sk.f1_score(t, g, average="macro", zero_division=0),
    "micro_f1": lambda t, g, v: sk.f1_score(t, g, average="micro", zero_division=0),
    "samples_f1": lambda t, g, v: sk.f1_score(t, g, average="samples", zero_division=1),
    "log_loss": lambda t, g, v: np.mean([sk.log_loss(t[:, i], np.clip(v[:, i].astype(float), *KEPT), labels=[0, 1]) for i in range(4)]),
    "roc_auc": lambda t, g, v: np.mean([sk.roc_auc_score(t[:, i], v[:, i]) for i in range(4) if t[:, i].any()]),
    "average_precision": lambda t, g, v: np.mean([sk.average_precision_score(t[:, i], v[:, i]) for i in range(4) if t[:, i].any()]),
}
EPS = float(np.finfo(np.float32).eps)
KEPT = (EPS, 1 - EPS)
OF_NUMBERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"rmse": sk.root_mean_squared_error, "mae": sk.mean_absolute_error}


def by_scikit_learn(name: str, task: Task, targets: np.ndarray, values: np.ndarray, decision: Decision = PLAIN) -> float:
    given = decision.decide(task, values)
    if task.kind == "regression":
        return OF_NUMBERS[name](targets, values)
    if task.kind == "multilabel":
        return OF_LABELS[name](targets, given, values)
    if task.kind == "multioutput":
        parts = enumerate(zip(task.outputs, task.parts, strict=True))
        each = [OF_CLASSES[name](targets[:, i], given[:, i], values[:, part], range(len(out.classes))) for i, (out, part) in parts]
        return float(np.dot(each, [2, 1, 1]) / 4)
    return OF_CLASSES[name](targets, given, values, range(len(task.classes)))


@pytest.mark.parametrize(("kind", "name"), EVERY)
@pytest.mark.parametrize("seed", range(4))
def test_every_metric_of_every_kind_is_scikit_learns(kind: str, name: str, seed: int) -> None:
    """With ties, and in odd seeds with a class or label that no row has; of several outputs weighted by 2, 1, 1."""
    task, targets, values = case_of(kind, seed)
    metric = found(name, kind, map_at=3, metric_weights=(2.0, 1.0, 1.0))
    decisions = [PLAIN]
    if kind == "multilabel":
        decisions += [Decision(empty_labels="none"), Decision(thresholds=(0.9, 0.2, 0.7, 0.95), empty_labels="none")]
    for decision in decisions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = by_scikit_learn(name, task, targets, values, decision)
        assert metric.measure(task, targets, values, decision) == pytest.approx(expected, abs=1e-6)


def perfect(task: Task, targets: np.ndarray) -> np.ndarray:
    """Values that say the targets, as certainly as can be."""
    if task.kind in ("regression", "multilabel"):
        return targets.astype(np.float32)
    if task.kind == "ordinal":
        return targets[:, None].astype(np.float32)
    columns = targets.reshape(len(targets), -1).T
    ones = [np.eye(part.stop - part.start)[column] for column, part in zip(columns, task.parts, strict=True)]
    return np.concatenate(ones, axis=1).astype(np.float32)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_what_is_perfect_scores_best_and_what_is_worse_scores_worse(kind: str, name: str) -> None:
    task, targets, _ = case_of(kind, 0)
    metric, best = found(name, kind), perfect(task, targets)
    some = best.copy()
    some[::4] = np.roll(best, 1, axis=0)[::4]
    plainly = Decision(empty_labels="none")
    scores = [metric.measure(task, targets, values, plainly) for values in (best, some, np.roll(best, 1, axis=0))]
    assert metric.greater_is_better is (name not in LOWER)
    assert scores[0] == pytest.approx(0.0 if name in LOWER else 1.0, abs=1e-6)
    assert scores == sorted(scores, reverse=metric.greater_is_better) and len(set(scores)) == 3


def test_every_metric_goes_with_a_kind_of_task_and_has_its_own_name() -> None:
    assert set(METRICS) == {name for _, name in EVERY}
    assert all(make(HyperParams()).name == name for name, make in METRICS.items())


def test_auto_is_the_metric_of_the_kind() -> None:
    assert {kind: found("auto", kind).name for kind in METRICS_OF} == {
        "multiclass": "accuracy",
        "binary": "accuracy",
        "multilabel": "macro_f1",
        "ordinal": "qwk",
        "regression": "rmse",
        "multioutput": "macro_recall",
    }


def test_macro_f1_counts_every_class_of_the_contest() -> None:
    """Class 2 is neither there nor predicted: 0, so the mean is over three."""
    assert score("macro_f1", [0, 0, 1, 1], sure([0, 1, 1, 1], 3)) == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_micro_f1_is_the_accuracy() -> None:
    assert score("micro_f1", [0, 0, 1, 1], sure([0, 1, 1, 2], 3)) == pytest.approx(0.5)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there() -> None:
    assert score("balanced_accuracy", [0, 0, 0, 1], sure([0, 0, 2, 1], 3)) == pytest.approx((2 / 3 + 1) / 2)


def test_macro_recall_is_also_of_classes_that_are_only_predicted() -> None:
    assert score("macro_recall", [0, 0, 0, 1], sure([0, 0, 2, 1], 3)) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert score("macro_recall", [0, 0, 0, 1], sure([0, 0, 0, 1], 3)) == pytest.approx(1.0)


def test_f1_is_of_the_second_class_and_0_where_it_is_nowhere() -> None:
    assert score("f1", [0, 1, 1, 0], sure([1, 1, 0, 0], 2), "binary") == pytest.approx(0.5)
    assert score("f1", [0, 0], sure([0, 0], 2), "binary") == 0.0


def test_of_equal_probabilities_the_first_class_is_predicted() -> None:
    values = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]]
    assert score("accuracy", [0, 1], values) == 1.0
    assert score("accuracy", [1, 2], values) == 0.0


def test_accuracy_of_labels_is_of_rows_that_are_right_in_all() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)
    assert score("accuracy", targets, [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]], "multilabel") == pytest.approx(2 / 3)


def test_a_row_without_labels_that_is_given_none_is_right() -> None:
    """The others by hand: 2 of 3 found and none too many, 2 * 2 / 5; none where there is one; one where there is none."""
    targets = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    values = np.array([[0.1, 0.2, 0.1], [0.9, 0.9, 0.1], [0.1, 0.2, 0.3], [0.6, 0.2, 0.1]], dtype=np.float32)
    given = Decision(empty_labels="none")
    assert found("samples_f1", "multilabel").measure(task_of("multilabel", 3), targets, values, given) == pytest.approx(
        (1 + 0.8 + 0 + 0) / 4
    )


def test_labels_that_are_nowhere_count_as_0_in_f1() -> None:
    targets, values = np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([[0.9, 0.1], [0.9, 0.1]], dtype=np.float32)
    assert score("macro_f1", targets, values, "multilabel") == 0.5
    assert score("micro_f1", targets, values, "multilabel") == 1.0
    nothing = Decision(empty_labels="none")
    assert found("micro_f1", "multilabel").measure(task_of("multilabel", 2), targets * 0, values * 0, nothing) == 0.0


@pytest.mark.parametrize("kind", ["multiclass", "binary", "ordinal"])
def test_kappa_where_one_class_is_all_there_is(kind: str) -> None:
    """0 / 0 is 1: nothing is wrong. One class alone against another is no agreement beyond chance: 0."""
    values = np.array([[0.0], [0.0]]) if kind == "ordinal" else sure([0, 0], 2)
    assert score("qwk", [0, 0], values, kind) == 1.0
    assert score("qwk", [1, 1], values, kind) == 0.0
    assert score("qwk", [0, 1], values, kind) == 0.0


def test_kappa_by_hand_and_of_very_many_rows() -> None:
    """One of four rows is wrong by one: 1; all 16 pairs of a target and a label come to 3 + 1 + 1 + 7."""
    values = np.array([[0.0], [1.0], [1.0], [1.0]])
    assert score("qwk", [0, 1, 1, 2], values, "ordinal") == pytest.approx(1 - 4 * 1 / 12)
    many = np.tile([0, 1, 1, 2], 500_000)
    assert score("qwk", many, np.tile(values, (500_000, 1)), "ordinal") == pytest.approx(1 - 4 * 1 / 12)


def test_log_loss_by_hand() -> None:
    values = [[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]]
    assert score("log_loss", [0, 1, 1], values) == pytest.approx(-(math.log(0.25 * 0.5 * 0.875)) / 3)


def test_log_loss_works_where_a_class_is_absent() -> None:
    assert score("log_loss", [1, 1], sure([1, 1], 3)) == pytest.approx(-math.log(0.9), abs=1e-6)


def test_log_loss_keeps_a_certain_mistake_finite_by_the_float32_epsilon() -> None:
    """As its docstring says: -log(1.19e-7), whether or not the mistake is certain to more digits."""
    assert score("log_loss", [1], [[1.0, 0.0]]) == pytest.approx(-math.log(EPS), abs=1e-3)
    wrong = np.array([[1.0, 0.0]], dtype=np.float32)
    assert score("log_loss", 1 - wrong, wrong, "multilabel") == pytest.approx(-math.log(EPS), abs=1e-3)
    assert score("kl", [1], [[1.0, 0.0]]) == pytest.approx(-math.log(EPS), abs=1e-3)


def test_log_loss_does_not_change_its_argument() -> None:
    values = np.array([[0.2, 0.2], [0.1, 0.3]], dtype=np.float32)
    before = values.copy()
    assert score("log_loss", [0, 1], values) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2, abs=1e-6)
    assert np.array_equal(values, before)


def test_log_loss_of_labels_is_the_mean_of_their_columns() -> None:
    targets, values = np.array([[1, 0], [1, 1]], dtype=np.float32), [[0.75, 0.5], [0.5, 0.125]]
    columns = -(math.log(0.75) + math.log(0.5)) / 2, -(math.log(0.5) + math.log(0.125)) / 2
    assert score("log_loss", targets, values, "multilabel") == pytest.approx(sum(columns) / 2)


SHARES = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]], dtype=np.float32)
SOFT = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.125, 0.125, 0.75]], dtype=np.float32)


def test_soft_targets_are_scored_by_their_shares() -> None:
    by_hand = [1.5 * math.log(2), math.log(2), 0.5 * math.log(8) + 0.5 * math.log(4 / 3)]
    assert score("log_loss", SHARES, SOFT) == pytest.approx(sum(by_hand) / 3, abs=1e-6)
    assert score("kl", SHARES, SOFT) == pytest.approx(rel_entr(SHARES, SOFT).sum(axis=1).mean(), abs=1e-6)
    assert score("kl", SHARES, SHARES) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in METRICS_OF["multiclass"] if name not in ("log_loss", "kl")])
def test_soft_targets_are_their_largest_share_to_what_scores_classes(name: str) -> None:
    rng = np.random.default_rng(0)
    shares, values = (rng.dirichlet(np.ones(4), 50).astype(np.float32) for _ in range(2))
    assert score(name, shares, values) == score(name, shares.argmax(axis=1), values)


def test_kl_of_classes_is_the_log_loss() -> None:
    targets, values = random_case(1)
    assert score("kl", targets, values) == pytest.approx(score("log_loss", targets, values))


def test_roc_auc_of_two_classes_is_that_of_the_second_with_ties_half() -> None:
    second = np.array([0.1, 0.4, 0.4, 0.8], dtype=np.float32)
    values = np.stack([1 - second, second], axis=1)
    for kind in ("multiclass", "binary"):
        assert score("roc_auc", [0, 0, 1, 1], values, kind) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
        assert score("roc_auc", [1, 1, 0, 0], values, kind) == pytest.approx(0.5 / 4)


def test_roc_auc_of_many_classes_is_the_mean_over_those_that_are_there() -> None:
    targets, values = random_case(7, classes=5)
    keep = targets != 3
    targets, values = targets[keep], values[keep]
    expected = np.mean([sk.roc_auc_score(targets == index, values[:, index]) for index in (0, 1, 2, 4)])
    assert score("roc_auc", targets, values) == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_roc_auc_of_one_class_is_not_defined(classes: int) -> None:
    message = r"^roc_auc is not defined where only one class is there; use fewer folds, or split\.method = stratified$"
    with pytest.raises(DataError, match=message):
        score("roc_auc", [1, 1], sure([1, 0], classes))


def test_roc_auc_of_labels_leaves_out_those_that_all_rows_or_none_have() -> None:
    targets = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 1]], dtype=np.float32)
    values = [[0.1, 0.1, 0.9, 0.5], [0.2, 0.1, 0.1, 0.5], [0.3, 0.1, 0.95, 0.5]]
    assert score("roc_auc", targets, values, "multilabel") == pytest.approx((0.5 + 0.5) / 2)
    message = r"^roc_auc is not defined where every label is in all rows or in none; use fewer folds, or split\.method = multilabel_strat"
    with pytest.raises(DataError, match=message):
        score("roc_auc", targets[:, :2], np.array(values)[:, :2], "multilabel")


def test_average_precision_by_hand_with_a_tie() -> None:
    """.9 right: 1 / 1; then .5 twice, of which one is right: 2 of 3 are, for half of the recall."""
    second = np.array([0.9, 0.5, 0.5, 0.1])
    expected = 0.5 * 1 + 0.5 * 2 / 3
    values = np.stack([1 - second, second], axis=1)
    assert score("average_precision", [1, 1, 0, 0], values, "binary") == pytest.approx(expected)
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], dtype=np.float32)
    assert score("average_precision", labels, np.stack([second, second], axis=1), "multilabel") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "targets", "what"),
    [("binary", np.array([0, 0]), "no row has the class c1"), ("multilabel", np.zeros((2, 2)), "no label is there")],
)
def test_average_precision_of_nothing_is_not_defined(kind: str, targets: np.ndarray, what: str) -> None:
    with pytest.raises(DataError, match=f"^average_precision is not defined where {what}; use fewer folds$"):
        score("average_precision", targets, sure([1, 0], 2), kind)


def test_map_counts_the_place_of_the_true_class_among_the_first() -> None:
    values = np.array([[0.4, 0.3, 0.2, 0.1]] * 4, dtype=np.float32)
    assert score("map", [0, 1, 2, 3], values, map_at=3) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)
    assert score("map", [0, 1, 2, 3], values, map_at=1) == score("accuracy", [0, 1, 2, 3], values) == 0.25
    assert score("map", [0, 1, 2, 3], values) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_map_ranks_the_first_of_equal_classes_first() -> None:
    assert [score("map", [target], [[0.3, 0.4, 0.3]]) for target in range(3)] == pytest.approx([1 / 2, 1, 1 / 3])


def test_ordered_classes_are_measured_by_their_value_before_it_is_decided() -> None:
    values = np.array([[0.4], [1.6]])
    assert score("mae", [0, 1], values, "ordinal") == pytest.approx(0.5)
    assert score("rmse", [0, 1], values, "ordinal") == pytest.approx(math.sqrt((0.16 + 0.36) / 2))
    assert score("accuracy", [0, 1], values, "ordinal") == 0.5


def test_ordered_classes_are_as_far_apart_as_their_numbers() -> None:
    """What is written for them is a number too: the score is of that."""
    task = Task("ordinal", (Output("grade", ("0", "1", "10"), Scale(1.0, 1.0, 0.0, 2.0)),))
    values = np.array([[0.5], [1.5], [2.0]], dtype=np.float32)  # 0.5, 5.5 and 10
    for name, expected in (("mae", (0.5 + 4.5 + 9) / 3), ("rmse", math.sqrt((0.5**2 + 4.5**2 + 9**2) / 3))):
        assert METRICS[name](HyperParams()).score(np.array([0, 1, 1]), values, task) == pytest.approx(expected)


def test_several_numbers_are_the_mean_of_their_columns() -> None:
    values = [[3.0, 0.0], [4.0, 0.0]]
    assert score("rmse", np.array([[0.0, 1], [0, 1]]), values, "regression") == pytest.approx((math.sqrt(12.5) + 1) / 2)
    assert score("mae", np.array([[0.0, 1], [0, 1]]), values, "regression") == pytest.approx((3.5 + 1) / 2)


def test_several_outputs_are_weighted() -> None:
    """The first is right, the second half, the third never."""
    task, targets = task_of("multioutput"), np.array([[0, 0, 0], [1, 1, 1]])
    values = perfect(task, np.array([[0, 0, 2], [1, 0, 2]]))
    assert found("accuracy", "multioutput").measure(task, targets, values) == pytest.approx(0.5)
    weighted = found("accuracy", "multioutput", metric_weights=(2.0, 1.0, 1.0))
    assert weighted.measure(task, targets, values) == pytest.approx((2 * 1 + 0.5 + 0) / 4)


def test_what_is_no_number_is_refused() -> None:
    targets = np.array([[0.0, 0.0]])
    with pytest.raises(DataError, match=r"^rmse of 1 row is nan, which is no number$"):
        score("rmse", targets, [[np.nan, 0]], "regression")
    with pytest.raises(DataError, match=r"^mae of 1 row is inf, which is no number$"):
        score("mae", targets, [[np.inf, 0]], "regression")


def test_a_score_is_of_all_rows_not_a_mean_of_batches() -> None:
    targets, values = random_case(3, rows=30)
    halves = [score("macro_f1", targets[part], values[part]) for part in (slice(0, 7), slice(7, 30))]
    whole = sk.f1_score(targets, values.argmax(1), average="macro")
    assert abs(float(np.mean(halves)) - whole) > 0.005
    assert score("macro_f1", targets, values) == pytest.approx(whole)


def test_the_mean_of_equal_members_is_that_member_to_the_bit() -> None:
    member = np.random.default_rng(0).dirichlet(np.ones(7), 50).astype(np.float32)
    assert np.array_equal(combine(np.stack([member] * 5), "mean", task_of("multiclass", 7)), member)


@pytest.mark.parametrize(
    ("number", "told"), [(0.98765, "0.9877"), (0.0, "0.0000"), (0.001, "0.0010"), (3.21176e-8, "3.212e-08"), (-0.00042, "-0.00042")]
)
def test_a_score_is_told_with_digits_that_say_something(number: float, told: str) -> None:
    assert tell_score(number) == told
