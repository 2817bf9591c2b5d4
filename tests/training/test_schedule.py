"""Every schedule against torch's scheduler of that name, step by step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch.optim import lr_scheduler

from modules.config.schema import HyperParams
from modules.runs.records import Progress
from modules.training.schedule import make_schedule, plateau


def rates(make: Callable[[torch.optim.Optimizer], Any], steps: int, rate: float = 1.0) -> list[float]:
    """The learning rate at every step, as torch's scheduler sets it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for step in range(steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if step + 1 < steps:
                scheduler.step()
    return found


def factors(hyper: HyperParams, steps_per_epoch: int) -> list[float]:
    schedule = make_schedule(hyper, steps_per_epoch)
    return [schedule(step) for step in range(hyper.epochs * steps_per_epoch)]


CASES = [(1, 1), (1, 7), (5, 1), (4, 9), (10, 13)]


@pytest.mark.parametrize(("epochs", "steps"), CASES)
def test_cosine_is_torchs_over_all_steps(epochs: int, steps: int) -> None:
    expected = rates(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps), epochs * steps)
    assert factors(HyperParams(scheduler="cosine", epochs=epochs), steps) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("epochs", "steps"), CASES)
@pytest.mark.parametrize(("drop_epochs", "factor"), [(1, 0.5), (2, 0.1), (3, 1.0)])
def test_step_is_torchs_counted_in_epochs(epochs: int, steps: int, drop_epochs: int, factor: float) -> None:
    expected = rates(lambda optimizer: lr_scheduler.StepLR(optimizer, drop_epochs * steps, factor), epochs * steps)
    hyper = HyperParams(scheduler="step", epochs=epochs, step_epochs=drop_epochs, step_factor=factor)
    assert factors(hyper, steps) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("epochs", "steps"), CASES)
def test_onecycle_is_torchs_with_its_own_constants(epochs: int, steps: int) -> None:
    expected = rates(lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=epochs * steps), epochs * steps)
    assert factors(HyperParams(scheduler="onecycle", epochs=epochs), steps) == pytest.approx(expected, abs=1e-6)


def test_onecycles_rise_takes_the_warm_ups_share() -> None:
    expected = rates(lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=80, pct_start=0.2), 80)
    assert factors(HyperParams(scheduler="onecycle", epochs=10, warmup_epochs=2), 8) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("total", [3, 10, 49, 64, 1000])
@pytest.mark.parametrize("warmup", [1, 2])
def test_onecycle_with_a_rise_of_a_step_or_two_is_a_number_at_every_step(total: int, warmup: int) -> None:
    """As [hyper_params] warmup_epochs gives it with a step an epoch. A rise of one step ends where it begins: at the peak."""
    hyper = HyperParams(scheduler="onecycle", epochs=total, warmup_epochs=warmup)
    found = factors(hyper, 1)
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in found)
    assert found[warmup - 1] == pytest.approx(1.0)
    assert found[warmup:] == sorted(found[warmup:], reverse=True) and found[-1] < 1e-5


def test_constant_is_constant() -> None:
    assert factors(HyperParams(scheduler="constant", epochs=3), 4) == [1.0] * 12


@pytest.mark.parametrize(("epochs", "warmup", "steps"), [(5, 1.0, 8), (3, 2.0, 10), (4, 0.5, 6), (2, 0.25, 8)])
def test_a_warm_up_is_linear_and_then_a_whole_cosine_follows(epochs: int, warmup: float, steps: int) -> None:
    rise, total = round(warmup * steps), epochs * steps

    def chain(optimizer: torch.optim.Optimizer) -> lr_scheduler.SequentialLR:
        linear = lr_scheduler.LinearLR(optimizer, start_factor=1 / rise, end_factor=1.0, total_iters=rise - 1)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - rise)
        return lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[rise])

    found = factors(HyperParams(scheduler="cosine", epochs=epochs, warmup_epochs=warmup), steps)
    assert found == pytest.approx(rates(chain, total), abs=1e-6)
    assert found[:rise] == pytest.approx([(step + 1) / rise for step in range(rise)])
    assert found[rise] == pytest.approx(1.0) and max(found) <= 1.0


@pytest.mark.parametrize("scheduler", ["constant", "step"])
def test_a_warm_up_precedes_every_shape(scheduler: str) -> None:
    hyper = HyperParams(scheduler=scheduler, epochs=4, warmup_epochs=1, step_epochs=2, step_factor=0.1)  # type: ignore[arg-type]
    rest = [1.0] * 6 if scheduler == "constant" else [1.0, 1.0, 0.1, 0.1, 0.1, 0.1]
    assert factors(hyper, 2) == pytest.approx([0.5, 1.0, *rest])


@pytest.mark.parametrize("scheduler", get_args(get_type_hints(HyperParams)["scheduler"]))
@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_every_schedule_is_pure_and_between_nought_and_one(scheduler: str, warmup: float) -> None:
    hyper = HyperParams(scheduler=scheduler, epochs=3, warmup_epochs=warmup, step_epochs=1)  # type: ignore[arg-type]
    schedule = make_schedule(hyper, 6)
    forwards = [schedule(step) for step in range(18)]
    assert [schedule(step) for step in reversed(range(18))] == forwards[::-1]
    assert [make_schedule(hyper, 6)(step) for step in range(18)] == forwards
    assert all(0 <= value <= 1 for value in forwards) and max(forwards) > 0.9


SERIES = [
    [0.5, 0.25, 0.25, 0.25, 0.25, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    [0.125, 0.25, 0.375, 0.5, 0.625, 0.75],
    [0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.25],
    [0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.875, 0.875, 0.875, 0.875],
    [0.0, -0.5, 0.0, 0.5, 0.25, 0.0, -0.25, 0.75, 0.5],
]


@pytest.mark.parametrize("scores", SERIES)
@pytest.mark.parametrize("patience", [0, 1, 2])
@pytest.mark.parametrize("min_delta", [0.0, 0.125])
@pytest.mark.parametrize("greater", [True, False])
def test_plateau_is_torchs_over_any_scores(scores: list[float], patience: int, min_delta: float, greater: bool) -> None:
    hyper = HyperParams(scheduler="plateau", step_factor=0.5, plateau_patience=patience, min_delta=min_delta)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer, "max" if greater else "min", 0.5, patience, min_delta, "abs", cooldown=0, min_lr=0, eps=0
    )
    schedule, progress = make_schedule(hyper, 3), Progress()
    found, expected = [], []
    for epoch, score in enumerate(scores, 1):
        found += [schedule(3 * (epoch - 1) + step) * plateau(hyper, progress.drops) for step in range(3)]
        expected += [float(optimizer.param_groups[0]["lr"])] * 3
        optimizer.step()
        theirs.step(score)
        progress = progress.advance(score, epoch, min_delta, greater, patience)
    assert found == pytest.approx(expected)
    assert progress.phase_best == theirs.best and progress.stale == theirs.num_bad_epochs


def test_a_series_of_scores_makes_the_plateau_drop_at_all() -> None:
    progress = Progress()
    for epoch, score in enumerate(SERIES[0], 1):
        progress = progress.advance(score, epoch, 0.0, True, 2)
    assert progress.drops == 3
    assert plateau(HyperParams(scheduler="plateau", step_factor=0.1), 3) == pytest.approx(1e-3)


@pytest.mark.parametrize("scheduler", ["constant", "cosine", "step", "onecycle"])
def test_other_schedules_know_no_plateau(scheduler: str) -> None:
    assert plateau(HyperParams(scheduler=scheduler), 5) == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "warmup", "steps"), [(5, 1.0, 8), (3, 2.0, 10), (4, 0.5, 6)])
@pytest.mark.parametrize("scheduler", ["constant", "plateau"])
def test_a_warm_up_before_a_constant_is_torchs_linear(epochs: int, warmup: float, steps: int, scheduler: str) -> None:
    rise = round(warmup * steps)
    expected = rates(lambda o: lr_scheduler.LinearLR(o, start_factor=1 / rise, end_factor=1.0, total_iters=rise - 1), epochs * steps)
    hyper = HyperParams(scheduler=scheduler, epochs=epochs, warmup_epochs=warmup)  # type: ignore[arg-type]
    assert factors(hyper, steps) == pytest.approx(expected, abs=1e-6)


def test_step_with_a_warm_up_is_torchs_both_multiplied() -> None:
    """The drops are counted from the first epoch on, not from the end of the warm-up."""

    def chain(optimizer: torch.optim.Optimizer) -> lr_scheduler.ChainedScheduler:
        linear = lr_scheduler.LinearLR(optimizer, start_factor=1 / 8, end_factor=1.0, total_iters=7)
        return lr_scheduler.ChainedScheduler([linear, lr_scheduler.StepLR(optimizer, 16, 0.1)])

    hyper = HyperParams(scheduler="step", epochs=6, warmup_epochs=1, step_epochs=2, step_factor=0.1)
    assert factors(hyper, 8) == pytest.approx(rates(chain, 48), abs=1e-6)
