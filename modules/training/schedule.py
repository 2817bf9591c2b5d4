"""The learning rate as a pure function of the step, so that resuming needs one integer."""

from __future__ import annotations

import math
from collections.abc import Callable

from modules.config.schema import HyperParams

# OneCycle's constants are those of torch.optim.lr_scheduler.OneCycleLR (Smith and Topin 2017).
ONECYCLE_RISE = 0.3
ONECYCLE_START = 1 / 25
ONECYCLE_END = ONECYCLE_START / 1e4

Schedule = Callable[[int], float]


def make_schedule(hyper: HyperParams, steps_per_epoch: int) -> Schedule:
    """`factor(step)` for the steps 0, 1, ... of all epochs: what the learning rate is multiplied with.

    plateau is constant but for its drops, which no step tells: see `plateau`.
    """
    total = hyper.epochs * steps_per_epoch
    warmup = round(hyper.warmup_epochs * steps_per_epoch)
    if hyper.scheduler == "onecycle":
        return lambda step: onecycle(step, total, warmup / total if warmup else ONECYCLE_RISE)
    shapes: dict[str, Schedule] = {
        "constant": lambda step: 1.0,
        "plateau": lambda step: 1.0,
        "cosine": lambda step: cosine(step - warmup, total - warmup),
        "step": lambda step: hyper.step_factor ** (step // (hyper.step_epochs * steps_per_epoch)),
    }
    shape = shapes[hyper.scheduler]
    return lambda step: (step + 1) / warmup if step < warmup else shape(step)


def cosine(step: int, total: int) -> float:
    """Half a cosine from 1 to 0 over `total` steps (Loshchilov and Hutter 2017)."""
    return _between(1.0, 0.0, step / max(1, total))


def onecycle(step: int, total: int, rise: float) -> float:
    """Up over the share `rise` of all steps, then down to nearly nothing, both as half a cosine."""
    peak, end = rise * total - 1, total - 1
    if step < peak:
        return _between(ONECYCLE_START, 1.0, step / peak)
    return _between(1.0, ONECYCLE_END, (step - peak) / max(1e-9, end - peak))


def plateau(hyper: HyperParams, drops: int) -> float:
    """What `drops` drops so far (Progress counts them) make of the rate, besides the schedule's factor; 1 for other schedules."""
    return hyper.step_factor**drops if hyper.scheduler == "plateau" else 1.0


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
