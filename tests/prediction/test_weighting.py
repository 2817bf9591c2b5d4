"""Weights by score, and weights fitted on predictions whose best blend is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import pytest
from sklearn.metrics import log_loss

from modules.config.schema import HyperParams
from modules.data.task import classification
from modules.prediction.ensemble import combine
from modules.prediction.metrics import METRICS
from modules.prediction.weighting import select, weigh_by_score

TASK = classification("label", ("a", "b", "c"))


def test_weights_are_in_proportion_to_the_scores() -> None:
    assert weigh_by_score([0.9, 0.6, 0.3], True) == pytest.approx([0.5, 1 / 3, 1 / 6])


def test_a_loss_weighs_by_its_inverse() -> None:
    assert weigh_by_score([0.5, 0.25, 1.0], False) == pytest.approx([2 / 7, 4 / 7, 1 / 7])


@pytest.mark.parametrize("scores", [[0.5, 0.0], [-0.1, 0.9]])
def test_scores_of_0_or_below_are_no_proportion(scores: list[float]) -> None:
    assert weigh_by_score(scores, True) is None and weigh_by_score(scores, False) is None


def scored_by(metric: str, targets: np.ndarray) -> Callable[[np.ndarray], float]:
    return partial(METRICS[metric](HyperParams()).measure, TASK, targets)


def noisy(targets: np.ndarray, noise: list[float], seed: int) -> np.ndarray:
    """Three models that know the targets, each behind noise of its own."""
    rng = np.random.default_rng(seed)
    logits = [np.eye(3)[targets] * 2 + rng.normal(0, amount, (len(targets), 3)) for amount in noise]
    powers = np.exp(logits)
    return (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32)


def loss_of(targets: np.ndarray, members: np.ndarray, weights: Sequence[float] | np.ndarray) -> float:
    values = np.average(members.astype(np.float64), axis=0, weights=weights)
    return float(log_loss(targets, values / values.sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("seed", range(3))
def test_fitted_weights_are_the_best_of_all_small_blends(seed: int) -> None:
    """Every blend of up to six votes is tried, scored by scikit-learn: none is clearly better than the fitted one."""
    targets = np.random.default_rng(seed).integers(0, 3, 200)
    members = noisy(targets, [1.0, 1.2, 3.0], seed)
    fitted = select(members, "mean", TASK, scored_by("log_loss", targets), False)
    score = loss_of(targets, members, fitted)
    blends = [np.bincount(chosen, minlength=3) for size in range(1, 7) for chosen in combinations_with_replacement(range(3), size)]
    best = min(loss_of(targets, members, blend) for blend in blends)
    assert score <= best + 1e-4
    assert sum(fitted) == pytest.approx(1) and fitted[0] > fitted[2] and fitted[1] > fitted[2]


def test_a_model_that_only_harms_gets_no_weight() -> None:
    targets = np.arange(60) % 3
    good = noisy(targets, [0.5], 0)[0]
    members = np.stack([np.roll(good, 1, axis=1), good])
    assert select(members, "mean", TASK, scored_by("accuracy", targets), True) == [
        0.0,
        1.0,
    ]


def test_of_equal_models_the_first_is_enough() -> None:
    """And the shortest blend that scores best is kept, so that nothing is added that adds nothing."""
    targets = np.arange(30) % 3
    good = noisy(targets, [0.1], 0)[0]
    assert select(np.stack([good, good]), "mean", TASK, scored_by("accuracy", targets), True) == [1.0, 0.0]


@pytest.mark.parametrize("how", ["mean", "geometric", "logit", "rank", "vote"])
def test_fitting_is_on_the_form_that_is_used_and_repeats(how: str) -> None:
    targets = np.random.default_rng(5).integers(0, 3, 90)
    members = noisy(targets, [1.5, 1.5, 1.5], 5)

    def score(values: np.ndarray) -> float:
        return METRICS["accuracy"](HyperParams()).measure(TASK, targets, values)

    one, other = (select(members, how, TASK, score, True, rounds=12) for _ in range(2))
    assert one == other
    alone = max(score(combine(members[[index]], how, TASK)) for index in range(3))
    assert score(combine(members, how, TASK, one)) >= alone
