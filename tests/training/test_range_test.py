"""The range test's arithmetic, against pandas, and against curves whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modules.training.range_test import is_over, rates_of, smooth, suggest

PLAIN = 10  # steps of which a tenth is one: averages are the losses themselves


def test_rates_are_the_decades_from_the_lowest_to_the_highest() -> None:
    assert rates_of(9) == pytest.approx([1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10], rel=1e-12)


def test_the_average_is_pandas_exponential_one_over_a_tenth_of_the_steps() -> None:
    losses = np.random.default_rng(0).normal(2, 1, 57)
    expected = pd.Series(losses).ewm(alpha=1 / 10, adjust=True).mean()
    assert smooth(losses.tolist(), 100) == pytest.approx(expected.to_numpy(), rel=1e-12)
    assert smooth(losses.tolist(), PLAIN).tolist() == pytest.approx(losses.tolist(), rel=1e-12)


def test_it_is_over_above_four_times_the_best() -> None:
    assert not is_over([2.0, 2.0, 0.5, 2.0], PLAIN)
    assert is_over([2.0, 2.0, 0.5, 2.01], PLAIN)
    assert not is_over([2.0, 2.0, 0.5, 2.01], 100)  # an average of ten does not hear of one


def test_it_is_not_over_because_the_first_batch_was_an_easy_one() -> None:
    assert not is_over([0.1], PLAIN) and not is_over([0.1, 3.0], PLAIN)
    assert not is_over([0.1, *[3.0] * 9], 100)


def test_a_loss_below_zero_is_over_as_far_above_its_best() -> None:
    assert not is_over([1.0, -1.0, -0.9, 1.9], PLAIN)
    assert is_over([1.0, -1.0, -0.9, 2.1], PLAIN)


def test_the_steepest_and_the_least_are_found_where_they_are() -> None:
    losses = [2.0, 2.0, 2.0, 1.9, 1.0, 0.8, 0.7, 3.0]  # slopes to both sides: 0, -.05, -.5, -.55, -.15, ...
    rates = rates_of(PLAIN)
    found = suggest(rates, losses, PLAIN)
    assert found is not None
    assert (found.steepest, found.lowest) == (rates[4], rates[6])
    assert found.tenth == pytest.approx(rates[6] / 10)


def test_a_fall_behind_the_least_is_that_of_a_loss_that_had_blown_up() -> None:
    losses = [2.0, 2.0, 1.9, 1.5, 1.0, 3.9, 1.1, 1.2]
    found = suggest(rates_of(PLAIN), losses, PLAIN)
    assert found is not None and found.steepest == rates_of(PLAIN)[3]


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([1.0] * 100, id="constant"),
        pytest.param([1.0] * 50 + [1.2] * 50, id="rising"),
        pytest.param([1.0] * 50 + [0.995] * 50, id="falling by half a percent"),
        pytest.param([2.0, 1.0], id="too few to tell"),
    ],
)
def test_a_loss_that_never_fell_suggests_nothing(losses: list[float]) -> None:
    assert suggest(rates_of(100), losses, 100) is None


def test_noise_alone_suggests_hardly_ever_anything_and_a_fall_within_noise_always() -> None:
    draws = [np.random.default_rng(seed).normal(2, 0.3, 100) for seed in range(200)]
    fall = np.interp(np.arange(100), [45, 75], [0.0, -1.0])
    noise, falling = ([suggest(rates_of(100), (each + more).tolist(), 100) for each in draws] for more in (0.0, fall))
    assert sum(found is not None for found in noise) <= 10
    assert all(found is not None for found in falling)
    middle = rates_of(100)[60]  # of the fall; averages over ten lag behind, and noise moves what is steepest, within the fall
    assert 1 / 10 < np.median([found.steepest for found in falling if found is not None]) / middle < 10
