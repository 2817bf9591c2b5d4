"""An epoch of training against a loop written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.compute.process import Process
from modules.config.pipeline import Pipeline
from modules.config.schema import HyperParams
from modules.config.values import Size
from modules.data.loaders import Batch
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.models.objectives import Objective, make_objective
from modules.training.epoch import Diverged, EpochOutcome, Learner, train_epoch
from modules.training.optimizer import make_optimizer
from modules.training.schedule import make_schedule
from tests.digests import digest_tensors

PROCESS = Process(torch.device("cpu"), "float32", False, 0, 1)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PREPROCESSING = Preprocessing(Size(8, 8), "stretch", 3, MEAN, STD, Pipeline())


class Silent:
    """A sink that counts steps, and keeps the losses that it is offered."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def start_epoch(self, *arguments: Any) -> None: ...

    def step(self, loss: Callable[[], float]) -> None:
        self.losses.append(loss())

    def end_epoch(self, *arguments: Any) -> None: ...

    def end_fold(self, *arguments: Any) -> None: ...


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(6 * 36, 3))


def batches(sizes: list[int]) -> list[Batch]:
    rng = np.random.default_rng(1)
    found, start = [], 0
    for size in sizes:
        images = torch.from_numpy(rng.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8))
        found.append(Batch(images, torch.from_numpy(rng.integers(0, 3, size)), torch.arange(start, start + size)))
        start += size
    return found


def make_learner(module: nn.Module, hyper: HyperParams, steps: int, objective: Objective | None = None) -> Learner:
    return Learner(
        module=module,
        still=(),
        objective=objective or make_objective("auto", hyper.label_smoothing),
        optimizer=make_optimizer(module, hyper),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        schedule=make_schedule(hyper, steps),
        normalizer=Normalizer(PREPROCESSING, PROCESS.device, False),
        process=PROCESS,
    )


def by_hand(module: nn.Module, optimizer: torch.optim.Optimizer, given: list[Batch], rates: list[float], smoothing: float) -> list[float]:
    """The plainest loop there is."""
    module.train()
    losses = []
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    for batch, rate in zip(given, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = (batch.images.permute(0, 3, 1, 2).contiguous().float() / 255 - mean) / std
        loss = functional.cross_entropy(module(images), batch.targets, label_smoothing=smoothing, reduction="none").mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
@pytest.mark.parametrize("sizes", [[5], [6, 6, 6, 2]])
def test_an_epoch_equals_a_loop_by_hand_to_the_bit(name: str, sizes: list[int]) -> None:
    hyper = HyperParams(optimizer=name, learning_rate=0.1, weight_decay=0.05, momentum=0.8, scheduler="constant", label_smoothing=0.1)
    module, given = model(), batches(sizes)
    twin = copy.deepcopy(module)
    no_decay = [parameter for parameter in twin.parameters() if parameter.ndim <= 1]
    decay = [parameter for parameter in twin.parameters() if parameter.ndim > 1]
    groups = [{"params": no_decay, "weight_decay": 0.0}, {"params": decay, "weight_decay": 0.05}]
    reference: torch.optim.Optimizer = (
        torch.optim.AdamW(groups, lr=0.1) if name == "adamw" else torch.optim.SGD(groups, lr=0.1, momentum=0.8, nesterov=name == "sgd")
    )
    before = digest_tensors(module.state_dict())
    torch.manual_seed(9)
    sink = Silent()
    outcome = train_epoch(make_learner(module, hyper, len(given)), given, 0, sink)
    torch.manual_seed(9)
    losses = by_hand(twin, reference, given, [0.1] * len(given), 0.1)
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict()) != before
    assert sink.losses == losses
    assert (outcome.steps, outcome.images) == (len(sizes), sum(sizes))


def test_the_rate_of_each_step_is_the_schedules_from_the_first_step_on() -> None:
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, weight_decay=0, momentum=0.5, scheduler="cosine", epochs=3)
    module, given = model(), batches([4, 4, 4])
    twin = copy.deepcopy(module)
    schedule = make_schedule(hyper, 3)
    torch.manual_seed(9)
    train_epoch(make_learner(module, hyper, 3), given, 3, Silent())
    torch.manual_seed(9)
    rates = [0.1 * schedule(step) for step in (3, 4, 5)]
    assert rates[0] == pytest.approx(0.075) and rates[0] > rates[1] > rates[2]
    by_hand(twin, torch.optim.SGD(twin.parameters(), lr=1.0, momentum=0.5), given, rates, 0.0)
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict())


def test_the_loss_of_an_epoch_weighs_images_not_batches() -> None:
    values = iter([1.0, 2.0, 10.0])
    objective = Objective(lambda logits, targets: logits.sum() * 0 + next(values), lambda logits: logits.softmax(1))
    outcome = train_epoch(make_learner(model(), HyperParams(), 3, objective), batches([8, 8, 3]), 0, Silent())
    assert outcome == EpochOutcome(pytest.approx((8 * 1 + 8 * 2 + 3 * 10) / 19), 3, 19)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("position", [0, 2, 3])
def test_a_loss_that_is_no_number_raises_and_names_the_step(value: str, position: int) -> None:
    values = iter([float(value) if step == position else 1.0 for step in range(4)])
    objective = Objective(lambda logits, targets: logits.sum() * 0 + next(values), lambda logits: logits.softmax(1))
    with pytest.raises(Diverged, match=rf"^the loss is {value} at step {position + 1} of 4$"):
        train_epoch(make_learner(model(), HyperParams(), 4, objective), batches([4] * 4), 100, Silent())


def test_a_rate_that_is_far_too_high_ends_in_diverged() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.Linear(64, 64), nn.Linear(64, 3))
    hyper = HyperParams(optimizer="momentum", learning_rate=1000, scheduler="constant")
    with pytest.raises(Diverged, match=r"^the loss is nan at step \d+ of 40$"):
        train_epoch(make_learner(module, hyper, 40), batches([4] * 40), 0, Silent())


def test_an_epoch_trains_a_model_that_was_left_in_evaluation() -> None:
    module = model().eval()
    assert isinstance(module[1], nn.BatchNorm2d)
    train_epoch(make_learner(module, HyperParams(), 2), batches([4, 4]), 0, Silent())
    assert module.training and int(module[1].num_batches_tracked) == 2  # type: ignore[arg-type]


def test_gradients_do_not_pile_up_over_steps() -> None:
    module, twin = model(), model()
    given = batches([4])
    hyper = HyperParams(optimizer="momentum", momentum=0.0, weight_decay=0, learning_rate=0.01, scheduler="constant")
    for part in twin.parameters():
        part.grad = torch.full_like(part, 1e3)
    for each in (module, twin):
        torch.manual_seed(1)
        train_epoch(make_learner(each, hyper, 1), given, 0, Silent())
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict())
