"""Orders that agree or not, against scipy's; and pairs of runs, against blends worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr
from sklearn.metrics import accuracy_score, log_loss

from modules.config.schema import HyperParams
from modules.data.task import classification
from modules.prediction.likeness import chance_of, measure_pairs, rank_correlation
from modules.prediction.metrics import METRICS
from modules.prediction.weighting import correlate

TASK = classification("label", ("a", "b", "c"))


@pytest.mark.parametrize("decimals", [6, 1])
def test_the_rank_correlation_is_that_of_scipy_with_and_without_equal_values(decimals: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = (rng.normal(0, 0.3, 9).round(decimals).tolist() for _ in range(2))
        assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_scores_that_are_all_the_same_have_no_order() -> None:
    assert rank_correlation([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]) is None
    assert rank_correlation([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]) is None
    assert chance_of([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]) is None


def test_the_same_order_of_four_comes_by_chance_once_in_twenty_four() -> None:
    assert chance_of([0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]) == pytest.approx(1 / 24)
    assert chance_of([0.1, 0.2, 0.3, 0.4], [4, 3, 2, 1]) == 1.0


def test_the_chance_is_that_of_an_exact_permutation_test() -> None:
    x, y = [0.70, 0.72, 0.72, 0.80, 0.85, 0.90], [0.68, 0.75, 0.71, 0.70, 0.88, 0.86]

    def statistic(drawn: np.ndarray) -> float:
        return float(spearmanr(drawn, y).statistic)

    exact = permutation_test((x,), statistic, permutation_type="pairings", n_resamples=np.inf, alternative="greater")
    assert chance_of(x, y) == pytest.approx(exact.pvalue, abs=1e-12)


def test_of_many_the_chance_is_not_asked_for() -> None:
    values = np.arange(9.0).tolist()
    assert chance_of(values[:8], values[:8]) == pytest.approx(1 / 40320) and chance_of(values, values) is None


def three_runs(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """The second is the first with a little noise; the third knows as much as the first, and is wrong elsewhere."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, rows)
    first, third = (np.eye(3)[targets] * 1.5 + rng.normal(0, 1.2, (rows, 3)) for _ in range(2))
    logits = np.stack([first, first + rng.normal(0, 0.1, (rows, 3)), third])
    powers = np.exp(logits)
    return (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32), targets


@pytest.mark.parametrize("name", ["accuracy", "log_loss"])
def test_the_best_pair_is_of_runs_that_are_wrong_about_different_rows(name: str) -> None:
    members, targets = three_runs()
    metric = METRICS[name](HyperParams())

    def score(values: np.ndarray) -> float:
        exact = values.astype(np.float64)
        return float(
            accuracy_score(targets, exact.argmax(axis=1)) if name == "accuracy" else log_loss(targets, exact / exact.sum(1, keepdims=True))
        )

    scores = [metric.measure(TASK, targets, each) for each in members]
    pairs = measure_pairs(members, correlate(members), scores, TASK, targets, metric)
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 1), (0, 2), (1, 2)}
    for pair in pairs:
        mean = score(members[[pair.first, pair.second]].mean(axis=0))
        alone = [score(members[place]) for place in (pair.first, pair.second)]
        assert pair.score == pytest.approx(mean, abs=1e-6)
        gain = mean - max(alone) if name == "accuracy" else min(alone) - mean
        assert pair.gain == pytest.approx(gain, abs=1e-6)
    assert 2 in (pairs[0].first, pairs[0].second) and pairs[0].gain > 0.01
    ordered = [pair.score for pair in pairs]
    assert ordered == sorted(ordered, reverse=name == "accuracy")
    assert pairs[-1].correlation > 0.95


def test_of_equal_pairs_the_one_that_is_least_alike_comes_first() -> None:
    targets = np.array([0, 1, 2, 0])
    sure = np.eye(3, dtype=np.float32)[targets]
    members = np.stack([sure, 0.9 * sure + 0.05 * (1 - sure), 0.8 * sure + 0.1 * (1 - sure)])
    correlations = np.array([[1, 0.99, 0.7], [0.99, 1, 0.8], [0.7, 0.8, 1]])
    pairs = measure_pairs(members, correlations, [1.0, 1.0, 1.0], TASK, targets, METRICS["accuracy"](HyperParams()))
    assert [pair.correlation for pair in pairs] == [0.7, 0.8, 0.99] and all(pair.gain == 0 for pair in pairs)


def test_the_correlation_is_numpys_of_predictions_less_each_columns_mean() -> None:
    members, _ = three_runs(50)
    flat = [(each - each.mean(axis=0)).ravel() for each in members.astype(np.float64)]
    np.testing.assert_allclose(correlate(members), np.corrcoef(flat), atol=1e-6)
