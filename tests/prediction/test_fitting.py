"""Fitted decisions: known best ones are found, the score is of rows that were not fitted on, and noise gains nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.decisions import (
    CUTS,
    bend,
    best_threshold,
    is_right,
    knows_nothing,
    make_binary,
    make_classes,
    make_labels,
    make_ordered,
    metric_of,
    shares_of,
    task_of,
)
from modules.data.task import Output, Task
from modules.prediction.class_weights import search_weights
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.fitting import Fitted, fit_decision
from modules.prediction.metrics import Metric
from modules.prediction.tallies import OF_CLASSES, OF_LABELS, Judge
from modules.prediction.thresholds import search_labels

ROWS = 3000


def folds_of(rows: int, count: int = 5) -> np.ndarray:
    return np.arange(rows) % count


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("kind", ["multiclass", "ordinal"])
def test_counted_scores_are_the_metrics_own(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    targets, labels = rng.integers(0, 3, 200), rng.integers(0, 4, 200)  # a class that is never there, one that is never given
    task = task_of(kind, 5)
    assert Judge.of(task, metric_of(name), targets).score(labels) == pytest.approx(metric_of(name).score(targets, labels, task))


@pytest.mark.parametrize("name", OF_LABELS)
def test_counted_scores_of_labels_are_the_metrics_own_and_weights_are_repeated_rows(name: str) -> None:
    rng = np.random.default_rng(0)
    targets, given = ((rng.random((200, 6)) < 0.2).astype(np.float32) for _ in range(2))
    task, weights = task_of("multilabel", 6), rng.poisson(1, 200)
    judge, again = Judge.of(task, metric_of(name), targets), np.repeat(np.arange(200), weights)
    assert judge.score(given) == pytest.approx(metric_of(name).score(targets, given, task))
    assert judge.scores(given, weights[None].astype(float))[0] == pytest.approx(metric_of(name).score(targets[again], given[again], task))


@pytest.mark.parametrize("how", ["auto", "per_class"])
def test_thresholds_of_labels_are_found(how: str) -> None:
    """The best is half of the best F1, squashed as the probabilities are."""
    targets, values = make_labels(np.random.default_rng(1), ROWS, 8)
    fitted = fit_decision(task_of("multilabel", 8), how, metric_of("macro_f1"), targets, values, folds_of(ROWS))
    assert fitted.kept and fitted.decision.thresholds is not None
    assert np.mean(fitted.decision.thresholds) == pytest.approx(best_threshold(), abs=0.06)
    best = Decision(thresholds=(best_threshold(),) * 8)
    optimum = metric_of("macro_f1").measure(task_of("multilabel", 8), targets, values, best)
    assert fitted.fitted_score > fitted.plain_score + 0.8 * (optimum - fitted.plain_score)


def test_the_threshold_of_two_classes_is_found() -> None:
    targets, values = make_binary(np.random.default_rng(2), 20_000)
    fitted = fit_decision(task_of("binary", 2), "auto", metric_of("f1"), targets, values, folds_of(20_000))
    assert fitted.kept and fitted.decision.thresholds == (pytest.approx(best_threshold(), abs=0.06),)


@pytest.mark.parametrize("metric", ["qwk", "accuracy", "macro_f1"])
def test_cut_points_are_found(metric: str) -> None:
    targets, values = make_ordered(np.random.default_rng(1), ROWS)
    fitted = fit_decision(task_of("ordinal", 5), "auto", metric_of(metric), targets, values, folds_of(ROWS))
    assert fitted.kept and fitted.decision.cut_points == pytest.approx(bend(np.array(CUTS)), abs=0.1 if metric == "qwk" else 0.03)


def test_weights_of_classes_near_those_of_the_shares_are_found_for_balanced_accuracy() -> None:
    targets, values = make_classes(np.random.default_rng(1), ROWS, 6)
    task, metric = task_of("multiclass", 6), metric_of("balanced_accuracy")
    fitted = fit_decision(task, "auto", metric, targets, values, folds_of(ROWS))
    best = Decision(class_weights=tuple(1 / shares_of(6)))
    other = make_classes(np.random.default_rng(2), 20_000, 6)
    optimum, plain, found = (metric.measure(task, *other, decision) for decision in (best, PLAIN, fitted.decision))
    assert fitted.kept and found > plain + 0.8 * (optimum - plain)


def test_a_label_alone_has_the_threshold_of_the_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((60, 2))
    targets = (rng.random((60, 2)) < values**2).astype(np.float32)
    task, metric = task_of("multilabel", 2), metric_of("macro_f1")
    judge = Judge.of(task, metric, targets)
    found = search_labels(values, targets, 0.5, judge, Decision(empty_labels="none"))
    tried = [
        [metric.score(targets[:, [c]], (values[:, [c]] >= t).astype(float), task_of("multilabel", 1)) for t in values[:, c]] for c in (0, 1)
    ]
    own = [metric.score(targets[:, [c]], (values[:, [c]] >= found[c]).astype(float), task_of("multilabel", 1)) for c in (0, 1)]
    assert [max(each) for each in tried] == pytest.approx(own, abs=float(0.1 / np.sqrt(targets.sum(axis=0).min())))


def test_what_is_decided_for_a_fold_does_not_depend_on_its_labels() -> None:
    """The labels of fold 0 are turned round: the other folds' score under the decision for fold 0 is the same as before."""
    targets, values = make_binary(np.random.default_rng(3), 2000)
    seen: list[np.ndarray] = []

    def spy(truth: np.ndarray, labels: np.ndarray, task: Task) -> float:
        seen.append(labels.copy())
        return metric_of("f1").score(truth, labels, task)

    own = Metric("package.module:own", True, "labels", spy)
    decided = []
    for poisoned in (False, True):
        truth = targets.copy()
        if poisoned:
            truth[folds_of(2000) == 0] = 1 - truth[folds_of(2000) == 0]
        seen.clear()
        fit_decision(task_of("binary", 2), "global", own, truth, values, folds_of(2000))
        decided.append(next(labels for labels in reversed(seen) if len(labels) == 2000))
    assert np.array_equal(decided[0][folds_of(2000) == 0], decided[1][folds_of(2000) == 0])
    assert not np.array_equal(decided[0], decided[1])


def test_rows_of_one_sample_are_never_on_both_sides() -> None:
    """Two repeats: a sample's rows, in folds of different numbers, would give its label away. Values that tell the sample alone."""
    rng = np.random.default_rng(0)
    targets = np.tile(rng.integers(0, 2, 300), 2)
    values = np.tile(rng.random(300), 2)
    folds = np.concatenate([np.arange(300) % 3, 3 + rng.integers(0, 3, 300)])
    both = np.stack([1 - values, values], axis=1).astype(np.float32)
    fitted = fit_decision(
        task_of("binary", 2), "auto", metric_of("balanced_accuracy"), targets, both, folds, units=np.tile(np.arange(300), 2)
    )
    assert not fitted.kept


@pytest.mark.parametrize(
    ("kind", "count", "metric"),
    [
        ("multilabel", 6, "macro_f1"),
        ("binary", 2, "f1"),
        pytest.param("multiclass", 6, "macro_f1", marks=pytest.mark.slow),
        pytest.param("multiclass", 6, "balanced_accuracy", marks=pytest.mark.slow),
        ("ordinal", 5, "qwk"),
    ],
)
def test_noise_gains_nothing(kind: str, count: int, metric: str) -> None:
    claimed = 0
    for trial in range(6):
        targets, values = knows_nothing(kind, count)(np.random.default_rng(1000 + trial))
        fitted = fit_decision(task_of(kind, count), "auto", metric_of(metric), targets, values, folds_of(len(values)), seed=trial)
        claimed += fitted.kept
        assert fitted.kept or "gains nothing" in str(fitted.describe(metric))
        assert fitted.kept or (fitted.decision == PLAIN and fitted.score == fitted.plain_score)
    assert claimed <= 1


def test_where_plain_is_the_best_it_stays_and_a_fit_that_was_asked_for_is_told_with_its_loss() -> None:
    task, metric = task_of("multiclass", 6), metric_of("balanced_accuracy")
    targets, values = is_right("multiclass", 6)(np.random.default_rng(5))
    auto, asked = (fit_decision(task, how, metric, targets, values, folds_of(1000)) for how in ("auto", "per_class"))
    assert auto.decision == PLAIN and auto.score == metric.measure(task, targets, values)
    assert str(auto.describe("balanced_accuracy")).startswith("plain: fitting class weights gains nothing out of fold (")
    assert asked.kept and asked.score == asked.fitted_score and asked.fitted_score == auto.fitted_score < asked.plain_score
    assert f"cross-fitted, {asked.plain_score:.4f} plainly: -" in str(asked.describe("balanced_accuracy"))


def test_a_metric_of_ones_own_is_searched_with_few_calls() -> None:
    calls = 0

    def score(truth: np.ndarray, labels: np.ndarray, task: Task) -> float:
        nonlocal calls
        calls += 1
        return -metric_of("qwk").score(truth, labels, task)

    targets, values = make_ordered(np.random.default_rng(1), 600)
    own = Metric("package.module:own", False, "labels", score)
    fitted = fit_decision(task_of("ordinal", 5), "auto", own, targets, values, folds_of(600, 2))
    assert fitted.kept and fitted.score < fitted.plain_score < 0 and calls < 3 * 200 + 200


def test_the_confidence_below_which_a_class_is_unknown_is_fitted() -> None:
    """A third class that no probability tells, and that lies where the others are unsure."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 1200)
    sure = np.where(targets == 2, rng.uniform(0.4, 0.6, 1200), rng.uniform(0.55, 0.95, 1200))
    first = np.where(targets == 2, rng.integers(0, 2, 1200), targets)
    values = np.full((1200, 3), 0.02)
    values[np.arange(1200), first], values[np.arange(1200), 1 - first] = sure, 0.98 - sure
    unknown = replace(PLAIN, unknown_class="c02")
    task = task_of("multiclass", 3)
    fitted = fit_decision(
        task, "plain", metric_of("macro_f1"), targets, values.astype(np.float32), folds_of(1200), unknown, fit_unknown=True
    )
    assert fitted.kept and fitted.decision.unknown_below == pytest.approx(0.58, abs=0.04)
    assert fitted.fitted_score > fitted.plain_score + 0.2


def test_an_unknown_class_with_a_number_is_told_with_what_it_costs() -> None:
    targets, values = is_right("multiclass", 6)(np.random.default_rng(5))
    unknown = Decision(unknown_class="Other", unknown_below=0.3)
    for metric in set(OF_CLASSES) - {"qwk"}:  # which the INI refuses: what is unknown has no place in an order
        fitted = fit_decision(task_of("multiclass", 6), "plain", metric_of(metric), targets, values, folds_of(1000), unknown)
        assert fitted.kept and fitted.decision == unknown
        if not metric.endswith("f1"):  # which a doubtful class that is not given may gain: it is no false alarm
            assert fitted.score < fitted.plain_score
        assert fitted.score == pytest.approx(metric_of(metric).measure(task_of("multiclass", 6), targets, values, unknown))


def test_each_output_has_its_own_weights_and_those_that_gain_nothing_stay_plain() -> None:
    targets, values = make_classes(np.random.default_rng(1), ROWS, 6)
    balanced, right = (np.tile(part, (3,) + (1,) * (part.ndim - 1)) for part in is_right("multiclass", 4)(np.random.default_rng(5)))
    task = Task("multioutput", (Output("x", task_of("multiclass", 6).classes), Output("y", task_of("multiclass", 4).classes)))
    both = np.stack([targets, balanced], axis=1), np.concatenate([values, right], axis=1)
    fitted = fit_decision(task, "auto", metric_of("macro_recall"), *both, folds_of(ROWS))
    assert fitted.kept and fitted.decision.class_weights is not None
    assert fitted.decision.class_weights[6:] == (1.0,) * 4 and len(set(fitted.decision.class_weights[:6])) == 6


@pytest.mark.parametrize("kind", ["multilabel", "binary", "multiclass", "ordinal"])
@pytest.mark.parametrize("how", ["auto", "per_class"])
def test_one_class_alone_constant_predictions_and_a_single_fold_are_no_trouble(kind: str, how: str) -> None:
    count = 2 if kind == "binary" else 3
    metric = metric_of("macro_f1")
    for targets in (np.zeros(60, dtype=np.int64), np.arange(60) % count):
        truth = np.eye(count, dtype=np.float32)[targets] if kind == "multilabel" else targets
        values = np.full((60, 1 if kind == "ordinal" else count), 1 / count, dtype=np.float32)
        fitted = fit_decision(task_of(kind, count), how, metric, truth, values, np.zeros(60, dtype=np.int64))
        assert np.isfinite(fitted.score) and (how != "auto" or not fitted.kept)


def test_a_label_with_few_rows_keeps_the_threshold_of_all_and_such_a_class_its_weight() -> None:
    rng = np.random.default_rng(0)
    targets, values = make_labels(rng, 500, 3)
    targets[:, 2] = 0
    targets[:4, 2] = 1
    found = search_labels(values.astype(float), targets, 0.3, Judge.of(task_of("multilabel", 3), metric_of("macro_f1"), targets), PLAIN)
    assert found[2] == 0.3 and found[0] != 0.3
    truth, probabilities = make_classes(rng, 500, 3)
    truth[truth == 2] = 0
    truth[:4] = 2
    judge = Judge.of(task_of("multiclass", 3), metric_of("balanced_accuracy"), truth)
    weights = search_weights(probabilities.astype(float), truth, judge.of_counts, lambda logs: 0.0)
    assert weights[2] == 1


def test_a_metric_of_values_has_nothing_to_fit_and_json_gives_back_what_was_fitted() -> None:
    targets, values = make_classes(np.random.default_rng(1), 400, 4)
    task = task_of("multiclass", 4)
    fitted = fit_decision(task, "auto", metric_of("log_loss"), targets, values, folds_of(400))
    assert fitted.decision == PLAIN and fitted.describe("log_loss") is None
    assert fitted.score == metric_of("log_loss").measure(task, targets, values)
    again = fit_decision(task, "auto", metric_of("balanced_accuracy"), targets, values, folds_of(400))
    assert Fitted.from_dict(json.loads(json.dumps(again.to_dict()))) == again
    assert fit_decision(task, "auto", metric_of("balanced_accuracy"), targets, values, folds_of(400)) == again
