"""One epoch of training: every batch forward, back, a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from modules.compute.process import Process
from modules.data.loaders import Batch
from modules.data.mixing import Mixer, leave_unmixed
from modules.data.preprocessing import Normalizer
from modules.models.freezing import set_training
from modules.models.objectives import Objective
from modules.runs.records import Sink
from modules.training.optimizer import set_learning_rate
from modules.training.schedule import Schedule


@dataclass(frozen=True)
class Learner:
    """All that a step touches."""

    module: nn.Module
    still: tuple[nn.Module, ...]
    objective: Objective
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    normalizer: Normalizer
    process: Process
    mixer: Mixer = leave_unmixed


@dataclass(frozen=True)
class EpochOutcome:
    """loss: the mean over images."""

    loss: float
    steps: int
    images: int


class Diverged(Exception):
    """The loss is no number any more."""


def train_epoch(learner: Learner, batches: Iterable[Batch], first_step: int, sink: Sink) -> EpochOutcome:
    """Raises Diverged with the step (from 1) at which the loss was no number any more.

    That is looked at once, at the end: to ask after each step would make the device wait.
    """
    set_training(learner.module, learner.still)
    losses: list[torch.Tensor] = []
    counts: list[int] = []
    for batch in batches:
        set_learning_rate(learner.optimizer, learner.schedule(first_step + len(losses)))
        loss = _step(learner, batch)
        losses.append(loss)
        counts.append(len(batch.rows))
        sink.step(loss.item)
    values = torch.stack(losses).double().cpu()
    for step, value in enumerate(values.tolist()):
        if not math.isfinite(value):
            raise Diverged(f"the loss is {value} at step {step + 1} of {len(losses)}")
    weights = torch.tensor(counts, dtype=torch.float64)
    return EpochOutcome(float((values * weights).sum() / weights.sum()), len(losses), sum(counts))


def _step(learner: Learner, batch: Batch) -> torch.Tensor:
    images = learner.normalizer(batch.images)
    images, targets = learner.mixer(images, batch.targets.to(images.device, non_blocking=True))
    with learner.process.autocast():
        logits = learner.module(images)
    loss = learner.objective.loss(logits, targets)
    learner.optimizer.zero_grad(set_to_none=True)
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return loss.detach()
