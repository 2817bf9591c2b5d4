"""Every form of the ensemble, on three folds, against values worked out by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import gmean, rankdata

from modules.data.task import Task, classification
from modules.prediction.decisions import PLAIN
from modules.prediction.ensemble import FORMS, combine
from modules.prediction.predictions import Predictions, check_predictions

# Three folds, two rows, two classes.
FOLDS = np.array(
    [
        [[0.9, 0.1], [0.4, 0.6]],
        [[0.6, 0.4], [0.3, 0.7]],
        [[0.2, 0.8], [0.8, 0.2]],
    ],
    dtype=np.float32,
)
WEIGHTS = [3.0, 2.0, 1.0]
RANDOM = np.random.default_rng(0).dirichlet(np.ones(4), (3, 50)).astype(np.float32)
EPSILON = float(np.finfo(np.float32).eps)


def task_of(members: np.ndarray) -> Task:
    return classification("label", tuple(f"c{index}" for index in range(members.shape[2])))


def found(how: str, weights: list[float] | None = None, folds: np.ndarray = FOLDS) -> np.ndarray:
    return combine(folds, how, task_of(folds), weights).astype(np.float64)


def test_the_mean_by_hand() -> None:
    np.testing.assert_allclose(found("mean"), [[1.7 / 3, 1.3 / 3], [1.5 / 3, 1.5 / 3]], atol=1e-6)
    first, second = (3 * 0.9 + 2 * 0.6 + 0.2) / 6, (3 * 0.4 + 2 * 0.3 + 0.8) / 6
    np.testing.assert_allclose(found("mean", WEIGHTS), [[first, 1 - first], [second, 1 - second]], atol=1e-6)


def test_the_geometric_mean_by_hand() -> None:
    yes, no = (0.9 * 0.6 * 0.2) ** (1 / 3), (0.1 * 0.4 * 0.8) ** (1 / 3)
    assert found("geometric")[0, 0] == pytest.approx(yes / (yes + no), abs=1e-6)
    yes, no = (0.9**3 * 0.6**2 * 0.2) ** (1 / 6), (0.1**3 * 0.4**2 * 0.8) ** (1 / 6)
    assert found("geometric", WEIGHTS)[0, 0] == pytest.approx(yes / (yes + no), abs=1e-6)


def test_the_mean_log_odds_by_hand() -> None:
    """Odds of the first row: 9, 3/2 and 1/4; for two classes the row sums to 1 by itself."""
    odds = (9 * 1.5 * 0.25) ** (1 / 3)
    assert found("logit")[0, 0] == pytest.approx(odds / (1 + odds), abs=1e-6)
    odds = (9**3 * 1.5**2 * 0.25) ** (1 / 6)
    assert found("logit", WEIGHTS)[0, 0] == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_the_mean_log_odds_of_three_classes_are_scaled_to_sum_to_1() -> None:
    folds = np.array([[[0.5, 0.25, 0.25]], [[0.8, 0.1, 0.1]]], dtype=np.float32)
    odds = [math.sqrt(1 * 4), math.sqrt(1 / 3 * 1 / 9), math.sqrt(1 / 3 * 1 / 9)]
    values = [each / (1 + each) for each in odds]
    np.testing.assert_allclose(found("logit", folds=folds)[0], [value / sum(values) for value in values], atol=1e-6)


def test_mean_ranks_by_hand_with_ties() -> None:
    """One class of interest, four rows. Fold 0 orders a < b = c < d: ranks 1, 2.5, 2.5, 4."""
    columns = [[0.1, 0.3, 0.3, 0.9], [0.4, 0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.5]]
    folds = np.array([[[1 - value, value] for value in column] for column in columns], dtype=np.float32)
    ranks = np.array([[1, 2.5, 2.5, 4], [4, 1, 2, 3], [2.5, 2.5, 2.5, 2.5]]) / 4
    np.testing.assert_allclose(found("rank", folds=folds)[:, 1], ranks.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found("rank", WEIGHTS, folds)[:, 1], np.average(ranks, axis=0, weights=WEIGHTS), atol=1e-6)


def test_ranks_leave_the_scale_of_each_model_behind() -> None:
    """A model that says the same in other numbers changes nothing."""
    squashed = FOLDS.copy()
    squashed[1] = 0.5 + (FOLDS[1] - 0.5) / 100
    np.testing.assert_array_equal(found("rank"), found("rank", folds=squashed))
    assert not np.allclose(found("mean"), found("mean", folds=squashed))


def test_votes_by_hand() -> None:
    np.testing.assert_allclose(found("vote"), [[2 / 3, 1 / 3], [1 / 3, 2 / 3]], atol=1e-6)
    np.testing.assert_allclose(found("vote", WEIGHTS), [[5 / 6, 1 / 6], [1 / 6, 5 / 6]], atol=1e-6)


def test_a_tie_between_classes_goes_to_the_higher_mean_probability() -> None:
    """Each of three folds votes for a class of its own; class 2 has the highest mean, .5."""
    folds = np.array([[[0.4, 0.3, 0.3]], [[0.0, 0.6, 0.4]], [[0.2, 0.0, 0.8]]], dtype=np.float32)
    shares = combine(folds, "vote", task_of(folds))
    np.testing.assert_allclose(shares[0], [1 / 3] * 3, atol=1e-6)
    assert shares.argmax(axis=1).tolist() == [2]
    assert shares[0, 2] == np.nextafter(np.float32(1 / 3), np.float32(1)) and shares[0, 0] == shares[0, 1] == np.float32(1 / 3)


def test_a_tie_of_weighted_votes_is_a_tie() -> None:
    """0.1 + 0.2 against 0.3: equal to a person, though not to a computer."""
    folds = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.1, 0.9]]], dtype=np.float32)
    assert combine(folds, "vote", task_of(folds), [0.1, 0.2, 0.3]).argmax(axis=1).tolist() == [1]
    assert combine(folds[:, :, ::-1], "vote", task_of(folds[:, :, ::-1]), [0.1, 0.2, 0.3]).argmax(axis=1).tolist() == [0]


def test_without_a_tie_the_votes_decide_and_not_the_probabilities() -> None:
    folds = np.array([[[0.51, 0.49]], [[0.51, 0.49]], [[0.0, 1.0]]], dtype=np.float32)
    assert combine(folds, "vote", task_of(folds)).argmax() == 0 and combine(folds, "mean", task_of(folds)).argmax() == 1


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_scipy_comes_to_the_same(weights: list[float] | None) -> None:
    members = RANDOM.astype(np.float64)
    shares = None if weights is None else np.broadcast_to(np.reshape(weights, (3, 1, 1)), members.shape)
    geometric = gmean(members, axis=0, weights=shares)
    np.testing.assert_allclose(found("geometric", weights, RANDOM), geometric / geometric.sum(axis=1, keepdims=True), atol=1e-5)
    odds = expit(np.average(logit(members), axis=0, weights=weights))
    np.testing.assert_allclose(found("logit", weights, RANDOM), odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    ranks = [[rankdata(member[:, index]) / len(member) for index in range(4)] for member in members]
    np.testing.assert_allclose(found("rank", weights, RANDOM), np.average(ranks, axis=0, weights=weights).T, atol=1e-6)
    np.testing.assert_allclose(found("mean", weights, RANDOM), np.average(members, axis=0, weights=weights), atol=1e-6)


@pytest.mark.parametrize("how", sorted(FORMS))
def test_a_certain_model_neither_breaks_nor_silences_the_others(how: str) -> None:
    """Probabilities of 0 and 1, which have no logarithm."""
    folds = np.array([[[1, 0, 0], [0, 0, 1]], [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [[0, 1, 0], [0, 0.5, 0.5]]], dtype=np.float32)
    values = combine(folds, how, task_of(folds))
    assert np.isfinite(values).all() and values.dtype == np.float32 and values.shape == (2, 3)
    assert values[1].argmax() == 2
    check_predictions(Predictions(np.array(["a", "b"]), classification("label", ("x", "y", "z")), values, are_ranks=how == "rank"), how)


def test_0_and_1_count_as_the_smallest_step_from_them() -> None:
    folds = np.array([[[1.0, 0.0]], [[0.5, 0.5]]], dtype=np.float32)
    assert found("geometric", folds=folds)[0, 1] == pytest.approx(
        math.sqrt(EPSILON / 2) / (math.sqrt(EPSILON / 2) + math.sqrt(0.5)), rel=1e-4
    )
    odds = math.sqrt(EPSILON / (1 - EPSILON))
    assert found("logit", folds=folds)[0, 1] == pytest.approx(odds / (1 + odds), rel=1e-4)


@pytest.mark.parametrize("how", sorted(set(FORMS) - {"rank"}))
def test_rows_sum_to_1(how: str) -> None:
    np.testing.assert_allclose(combine(RANDOM, how, task_of(RANDOM), WEIGHTS).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("how", sorted(FORMS))
def test_weights_are_shares_and_a_weight_of_0_leaves_a_member_out(how: str) -> None:
    np.testing.assert_array_equal(combine(RANDOM, how, task_of(RANDOM)), combine(RANDOM, how, task_of(RANDOM), [2.0, 2.0, 2.0]))
    np.testing.assert_allclose(
        combine(RANDOM, how, task_of(RANDOM), [3.0, 0.0, 1.0]),
        combine(RANDOM[[0, 2]], how, task_of(RANDOM[[0, 2]]), [0.75, 0.25]),
        atol=1e-6,
    )


@pytest.mark.parametrize("how", sorted(set(FORMS) - {"rank", "vote"}))
def test_an_ensemble_of_one_is_that_one(how: str) -> None:
    np.testing.assert_allclose(combine(RANDOM[:1], how, task_of(RANDOM[:1])), RANDOM[0], atol=1e-5)


def test_a_label_that_half_of_the_models_give_is_decided_by_the_mean() -> None:
    task = classification("labels", ("a", "b"), "multilabel")
    folds = np.array([[[0.6, 0.9]], [[0.1, 0.4]]], dtype=np.float32)
    votes = combine(folds, "vote", task)
    np.testing.assert_allclose(votes, 0.5, atol=1e-5)
    assert PLAIN.decide(task, votes).tolist() == [[0, 1]], "means .35 and .65"


def test_an_image_that_no_model_gives_a_label_gets_the_most_probable_one() -> None:
    task = classification("labels", ("a", "b", "c"), "multilabel")
    folds = np.array([[[0.1, 0.2, 0.4]], [[0.1, 0.3, 0.2]], [[0.0, 0.1, 0.2]]], dtype=np.float32)
    assert PLAIN.decide(task, combine(folds, "vote", task)).tolist() == [[0, 0, 1]]
