"""One epoch of training: every batch forward, back, a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from modules.compute.process import Process
from modules.data.loaders import Batch
from modules.data.mixing import Mixer, leave_unmixed
from modules.data.preprocessing import Prepare
from modules.models.freezing import set_training
from modules.models.metadata import inputs_of
from modules.models.objectives import Objective
from modules.runs.records import Sink
from modules.training.optimizer import set_learning_rate
from modules.training.schedule import Schedule


@dataclass(frozen=True)
class Learner:
    """All that a step touches.

    module: the network, whose tensors learn. model: what is called; the module itself, or its tail. prepare: a batch's
    images, or features, to what the model takes. accumulate: batches a step. clip_grad: the gradient's norm at most;
    0: any. ema: the moving average of `module`'s weights, where there is one, and averaged: what is called of that.
    shared: what training calls in the model's place, where several processes share each batch.
    """

    module: nn.Module
    model: nn.Module
    still: tuple[nn.Module, ...]
    objective: Objective
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    prepare: Prepare
    process: Process
    mixer: Mixer = leave_unmixed
    accumulate: int = 1
    clip_grad: float = 0.0
    ema: ModelEmaV3 | None = None
    averaged: nn.Module | None = None
    shared: DistributedDataParallel | None = None

    @property
    def trained(self) -> int:
        """How many numbers have a gradient."""
        return sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)

    @property
    def learnt(self) -> nn.Module:
        """What is validated and kept: the moving average where there is one."""
        learnt: nn.Module = self.module if self.ema is None else self.ema.module
        return learnt

    @property
    def predictor(self) -> nn.Module:
        """Likewise, as it is called."""
        return self.model if self.averaged is None else self.averaged


@dataclass(frozen=True)
class EpochOutcome:
    """loss: the mean over images. steps: the optimiser's."""

    loss: float
    steps: int
    images: int


class Diverged(Exception):
    """The loss is no number any more."""


def train_epoch(learner: Learner, batches: Iterable[Batch], first_step: int, sink: Sink, drop: float = 1.0) -> EpochOutcome:
    """A step of the optimiser for every `accumulate` batches, and one for those that are left at the end.

    drop: what the schedule's factor is multiplied with in this epoch. Raises Diverged with the step (from 1) at which
    the loss was no number any more.

    That is looked at once, at the end: to ask after each step would make the device wait.
    """
    set_training(learner.module, learner.still)
    losses: list[torch.Tensor] = []
    counts: list[int] = []
    for group in steps_of(batches, learner.accumulate):
        set_learning_rate(learner.optimizer, learner.schedule(first_step + len(losses)) * drop)
        loss = _step(learner, group)
        losses.append(loss)
        counts.append(sum(batch.size for batch in group))
        if learner.ema is not None:
            learner.ema.update(learner.module, step=first_step + len(losses))
        sink.step(partial(_of_whole, loss, learner.process.ranks.world))
    values = learner.process.ranks.total(torch.stack(losses).double()).cpu()
    for step, value in enumerate(values.tolist()):
        if not math.isfinite(value):
            raise Diverged(f"the loss is {value} at step {step + 1} of {len(losses)}")
    weights = torch.tensor(counts, dtype=torch.float64)
    return EpochOutcome(float((values * weights).sum() / weights.sum()), len(losses), sum(counts))


def _of_whole(part: torch.Tensor, parts: int) -> float:
    """What the loss of a whole batch is like, as far as one of the processes that share it can tell."""
    return float(part.item() * parts)


def steps_of(batches: Iterable[Batch], accumulate: int) -> Iterator[list[Batch]]:
    """The batches of each step of the optimiser."""
    left = iter(batches)
    while group := list(islice(left, accumulate)):
        yield group


def _step(learner: Learner, group: Sequence[Batch]) -> torch.Tensor:
    """One step with the gradient of the mean loss over all images of the group; returns this process's part of that loss."""
    images = sum(batch.size for batch in group)
    learner.optimizer.zero_grad(set_to_none=True)
    losses = []
    for number, batch in enumerate(group, start=1):
        with _gradients_shared(learner, last=number == len(group)):
            loss = _loss(learner, batch) * (len(batch.rows) / images)
            # Processes have the mean of their gradients, and their losses are parts of a sum.
            learner.scaler.scale(loss * learner.process.ranks.world).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    if learner.clip_grad > 0:
        learner.scaler.unscale_(learner.optimizer)
        parameters = [parameter for each in learner.optimizer.param_groups for parameter in each["params"]]
        nn.utils.clip_grad_norm_(parameters, learner.clip_grad)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return torch.stack(losses).sum()


def _gradients_shared(learner: Learner, last: bool) -> AbstractContextManager[None]:
    """Of batches that are one step, only the last one's backward makes the processes wait for each other."""
    return nullcontext() if learner.shared is None or last else learner.shared.no_sync()  # type: ignore[no-any-return,unused-ignore]


def _loss(learner: Learner, batch: Batch) -> torch.Tensor:
    assert batch.targets is not None
    images = learner.prepare(batch.images)
    images, targets = learner.mixer(images, batch.targets.to(images.device, non_blocking=True))
    with learner.process.autocast():
        logits = (learner.shared or learner.model)(*inputs_of(learner.model, images, batch.metadata))
    return learner.objective.loss(logits, targets)
