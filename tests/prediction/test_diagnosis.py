"""What out-of-fold predictions show, compared with scikit-learn, and with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from modules.data.task import Output, Scale, Task, classification
from modules.prediction.decisions import Decision
from modules.prediction.diagnosis import (
    BINS,
    count_confusions,
    curves,
    facets,
    numbers_of_classes,
    reliability,
    surest_mistakes,
    told_columns,
    worst_confusions,
)

ANIMALS = classification("label", ("cat", "dog", "eel"))


def random_values(rows: int = 400, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return targets, values.astype(np.float32)


def test_confusions_by_hand() -> None:
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    values = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 1, 0, 2]]
    (facet,) = facets(ANIMALS, targets, values)
    assert count_confusions(facet).tolist() == [[1, 2, 1], [1, 1, 0], [0, 0, 1]]
    first, *others = worst_confusions(facet)
    assert (first.truth, first.told, first.count, first.share) == ("cat", "dog", 2, 0.5)
    assert {(each.truth, each.told, each.count) for each in others} == {("cat", "eel", 1), ("dog", "cat", 1)}


def test_nothing_is_confused_where_all_is_right() -> None:
    targets = np.array([0, 1, 2])
    (facet,) = facets(ANIMALS, targets, np.eye(3, dtype=np.float32))
    assert worst_confusions(facet) == [] and surest_mistakes(ANIMALS, targets, np.eye(3, dtype=np.float32)).tolist() == []


def test_an_unknown_class_is_a_column_that_no_row_has() -> None:
    targets, values = np.array([0, 1]), np.array([[0.9, 0.1, 0], [0.4, 0.3, 0.3]], dtype=np.float32)
    (facet,) = facets(ANIMALS, targets, values, Decision(unknown_class="other", unknown_below=0.5))
    assert facet.classes == ("cat", "dog", "eel", "other")
    assert count_confusions(facet)[1].tolist() == [0, 0, 0, 1] and not count_confusions(facet)[3].any()


def test_numbers_of_classes_are_scikit_learns() -> None:
    targets, values = random_values()
    (found,) = numbers_of_classes(ANIMALS, targets, values).values()
    expected = metrics.classification_report(targets, values.argmax(axis=1), target_names=list(ANIMALS.classes), output_dict=True)
    for each in found:
        report = expected[each.name]
        assert (each.precision, each.recall, each.f1, each.support) == pytest.approx(
            (report["precision"], report["recall"], report["f1-score"], report["support"])
        )


def test_numbers_of_labels_and_of_outputs() -> None:
    labels = classification("labels", ("a", "b"), "multilabel")
    targets = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=np.float32)
    values = np.array([[0.9, 0.6], [0.8, 0.7], [0.6, 0.9], [0.1, 0.6]], dtype=np.float32)
    a, b = numbers_of_classes(labels, targets, values)["labels"]
    assert (a.precision, a.recall, a.support) == (2 / 3, 1, 2) and (b.precision, b.recall, b.support) == (0.5, 1, 2)
    both = Task("multioutput", (Output("one", ("a", "b")), Output("two", ("c", "d", "e"))))
    found = numbers_of_classes(both, np.array([[0, 2], [1, 0]]), np.array([[1, 0, 0, 0, 1], [1, 0, 1, 0, 0]], dtype=np.float32))
    assert [each.recall for each in found["one"]] == [1, 0] and [each.recall for each in found["two"]] == [1, 0, 1]


def test_reliability_is_scikit_learns_curve_and_ece_is_by_hand() -> None:
    targets, values = random_values(3000)
    found = reliability(ANIMALS, targets, values)
    assert found is not None and found.counts.sum() == 3000
    right, confidence = calibration_curve(values.argmax(axis=1) == targets, values.max(axis=1), n_bins=BINS)
    np.testing.assert_allclose(found.right, right, atol=1e-6)
    np.testing.assert_allclose(found.confidence, confidence, atol=1e-6)
    sure = np.tile(np.array([[0.8, 0.2, 0]], dtype=np.float32), (10, 1))
    by_hand = reliability(ANIMALS, np.array([0] * 6 + [1] * 4), sure)
    assert by_hand is not None and by_hand.ece == pytest.approx(0.2) and by_hand.right.tolist() == [0.6]


def test_where_there_are_no_probabilities_nothing_is_reliable() -> None:
    scale = Scale(0, 1, None, None)
    numbers = Task("regression", (Output("score", (), scale),))
    grades = Task("ordinal", (Output("grade", ("0", "1"), scale),))
    assert reliability(numbers, np.zeros((2, 1)), np.zeros((2, 1), dtype=np.float32)) is None
    assert reliability(grades, np.array([0, 1]), np.zeros((2, 1), dtype=np.float32)) is None
    assert curves(grades, np.array([0, 1]), np.zeros((2, 1), dtype=np.float32)) == []


@pytest.mark.parametrize("classes", [2, 3])
def test_areas_are_scikit_learns_and_curves_end_where_they_must(classes: int) -> None:
    targets, values = random_values(classes=classes)
    task = classification("label", ("cat", "dog", "eel")[:classes], "binary" if classes == 2 else "multiclass")
    found = curves(task, targets, values)
    assert [each.name for each in found] == (["dog"] if classes == 2 else list(task.classes))
    for each in found:
        place = task.classes.index(each.name)
        assert each.auc == pytest.approx(metrics.roc_auc_score(targets == place, values[:, place]))
        assert each.auc == pytest.approx(np.trapezoid(each.roc[1], each.roc[0]))
        assert each.roc[:, 0].tolist() == [0, 0] and each.roc[:, -1].tolist() == [1, 1]
        assert each.average_precision == pytest.approx(metrics.average_precision_score(targets == place, values[:, place]))


def test_a_class_that_all_rows_have_or_none_has_no_curve() -> None:
    found = curves(ANIMALS, np.array([0, 0, 1]), np.full((3, 3), 1 / 3, dtype=np.float32))
    assert [each.name for each in found] == ["cat", "dog"]


def test_the_surest_mistakes_come_first() -> None:
    targets = np.array([0, 0, 1, 2, 2])
    values = np.array([[0.1, 0.9, 0], [0.9, 0.1, 0], [0.6, 0.4, 0], [0, 0.99, 0.01], [0, 0, 1]], dtype=np.float32)
    assert surest_mistakes(ANIMALS, targets, values).tolist() == [3, 0, 2]
    assert surest_mistakes(ANIMALS, targets, values, most=1).tolist() == [3]


def test_what_was_told_is_looked_for_whatever_decided_it() -> None:
    """Class weights, a threshold and an unknown class tell another class than the most probable one."""
    targets, values = np.array([1, 0]), np.array([[0.1, 0.5, 0.4], [0.9, 0.1, 0.0]], dtype=np.float32)
    weighted = Decision(class_weights=(1.0, 1.0, 8.0))
    assert told_columns(ANIMALS, targets, values, weighted)[0].tolist() == [2, 0]
    assert told_columns(ANIMALS, targets, values)[0].tolist() == [1, 0]
    unknown = Decision(unknown_class="none", unknown_below=0.6)
    assert told_columns(ANIMALS, targets, values, unknown)[0].tolist() == [1, 0]
    assert surest_mistakes(ANIMALS, np.array([1, 1]), values, unknown).tolist() == [1, 0]
    two = classification("which", ("no", "yes"), "binary")
    assert told_columns(two, np.array([0]), np.array([[0.65, 0.35]]), Decision(thresholds=(0.3,)))[0].tolist() == [1]


def test_of_several_columns_the_one_that_is_wrong_is_looked_for() -> None:
    numbers = Task("regression", (Output("x", (), Scale(0, 1, None, None)), Output("y", (), Scale(0, 10, None, None))))
    columns, signs = told_columns(numbers, np.array([[0, 0], [0, 0]]), np.array([[-2.3, 9], [1, 90]], dtype=np.float32))
    assert (columns.tolist(), signs.tolist()) == ([0, 1], [-1, 1]), "as shares of their spread"
    both = Task("multioutput", (Output("one", ("a", "b")), Output("two", ("c", "d"))))
    told, _ = told_columns(both, np.array([[0, 0]]), np.array([[0.99, 0.01, 0.2, 0.8]], dtype=np.float32))
    assert told.tolist() == [3], "the first output is right"
    labels = classification("labels", ("a", "b"), "multilabel")
    columns, signs = told_columns(labels, np.array([[1, 0], [0, 1]]), np.array([[0.1, 0.2], [0.9, 0.8]], dtype=np.float32))
    assert (columns.tolist(), signs.tolist()) == ([0, 0], [-1, 1])


def test_an_order_told_rightly_is_no_mistake() -> None:
    grades = classification("grade", ("a", "b", "c"), "ordinal")
    values = np.array([[0.4], [1.6], [1.1]], dtype=np.float32)
    assert surest_mistakes(grades, np.array([0, 1, 1]), values).tolist() == [1]


def test_mistakes_of_labels_numbers_and_outputs() -> None:
    labels = classification("labels", ("a", "b"), "multilabel")
    wrong = surest_mistakes(labels, np.array([[1, 0], [1, 0], [0, 1]]), np.array([[0.9, 0.2], [0.3, 0.6], [0.95, 0.9]], dtype=np.float32))
    assert wrong.tolist() == [2, 1]
    numbers = Task("regression", (Output("x", (), Scale(0, 1, None, None)), Output("y", (), Scale(0, 100, None, None))))
    off = surest_mistakes(numbers, np.array([[0, 0], [0, 0], [1, 1]]), np.array([[0.5, 0], [0, 90], [1, 1]], dtype=np.float32))
    assert off.tolist() == [1, 0], "errors are compared as shares of their spread, and what is right is no mistake"
    both = Task("multioutput", (Output("one", ("a", "b")), Output("two", ("c", "d"))))
    values = np.array([[0.9, 0.1, 0.2, 0.8], [0.4, 0.6, 1, 0]], dtype=np.float32)
    assert surest_mistakes(both, np.array([[0, 0], [0, 0]]), values).tolist() == [0, 1]
