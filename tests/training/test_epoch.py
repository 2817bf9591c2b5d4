"""An epoch of training against a loop written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV3
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

    def start_fold(self, *arguments: Any) -> None: ...

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
        model=module,
        still=(),
        objective=objective or make_objective("cross_entropy", hyper.label_smoothing),
        optimizer=make_optimizer(module, hyper),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        schedule=make_schedule(hyper, steps),
        prepare=Normalizer(PREPROCESSING, PROCESS.device, False),
        process=PROCESS,
    )


def normalised(batch: Batch) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return (batch.images.permute(0, 3, 1, 2).contiguous().float() / 255 - mean) / std


def by_hand(module: nn.Module, optimizer: torch.optim.Optimizer, given: list[Batch], rates: list[float], smoothing: float) -> list[float]:
    """The plainest loop there is."""
    module.train()
    losses = []
    for batch, rate in zip(given, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = normalised(batch)
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
        torch.optim.AdamW(groups, lr=0.1, fused=True)
        if name == "adamw"
        else torch.optim.SGD(groups, lr=0.1, momentum=0.8, nesterov=name == "sgd", fused=True)
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


def plain() -> nn.Module:
    """Nothing in it depends on the batch that an image is in."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3))


def split(batch: Batch, sizes: list[int]) -> list[Batch]:
    parts = [torch.split(each, sizes) for each in batch[:3] if each is not None]
    return [Batch(*each) for each in zip(*parts, strict=True)]


ACCUMULATED = HyperParams(optimizer="sgd", learning_rate=0.1, weight_decay=0.05, scheduler="cosine", epochs=2)


@pytest.mark.parametrize(("large", "small"), [([32, 32], [8] * 8), ([32, 20], [8] * 4 + [8, 8, 4]), ([32, 3], [8] * 4 + [3]), ([5], [5])])
def test_accumulated_batches_equal_the_large_batch(large: list[int], small: list[int]) -> None:
    """Also where the last group has fewer batches, and its last batch fewer images."""
    (whole,) = batches([sum(large)])
    together, parts = split(whole, large), split(whole, small)
    one, other = plain(), plain()
    first = make_learner(one, ACCUMULATED, len(large))
    second = replace(make_learner(other, ACCUMULATED, len(large)), accumulate=4)
    sink = Silent()
    for epoch in (0, 1):
        expected = train_epoch(first, together, epoch * len(large), Silent())
        outcome = train_epoch(second, parts, epoch * len(large), sink)
        assert outcome == EpochOutcome(pytest.approx(expected.loss, rel=1e-5), expected.steps, expected.images)
    assert len(sink.losses) == 2 * len(large) and (outcome.steps, outcome.images) == (len(large), sum(large))
    for mine, their in zip(other.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(mine, their, rtol=1e-5, atol=1e-6)
    assert digest_tensors(other.state_dict()) != digest_tensors(plain().state_dict())


def test_a_group_with_a_small_batch_is_no_mean_of_means() -> None:
    """What a division by the number of batches would give: each of the 2 images would count as much as 4 of the others."""
    (whole,) = batches([10])
    naive = plain()
    for batch in split(whole, [8, 2]):
        images = normalised(batch)
        (functional.cross_entropy(naive(images), batch.targets) / 2).backward()
    torch.optim.SGD(naive.parameters(), lr=0.1).step()
    hyper = HyperParams(optimizer="momentum", momentum=0.0, learning_rate=0.1, weight_decay=0, scheduler="constant")
    module, large = plain(), plain()
    train_epoch(replace(make_learner(module, hyper, 1), accumulate=2), split(whole, [8, 2]), 0, Silent())
    train_epoch(make_learner(large, hyper, 1), [whole], 0, Silent())
    found, expected, wrong = (nn.utils.parameters_to_vector(each.parameters()).detach() for each in (module, large, naive))
    torch.testing.assert_close(found, expected)
    assert float((found - wrong).abs().max()) > 1e-4


def test_the_schedule_counts_steps_of_the_optimiser_and_not_batches() -> None:
    rates: list[float] = []
    learner = make_learner(plain(), replace(ACCUMULATED, optimizer="momentum"), 3)
    schedule = learner.schedule
    counted = replace(learner, accumulate=3, schedule=lambda step: rates.append(float(step)) or schedule(step))  # type: ignore[func-returns-value]
    train_epoch(counted, batches([4] * 7), 3, Silent())
    assert rates == [3, 4, 5]


def test_a_loss_that_is_no_number_in_any_batch_of_a_group_is_told_with_the_groups_step() -> None:
    values = iter([1.0, 1.0, 1.0, float("nan"), 1.0])
    objective = Objective(lambda logits, targets: logits.sum() * 0 + next(values), lambda logits: logits.softmax(1))
    learner = replace(make_learner(plain(), HyperParams(), 3, objective), accumulate=2)
    with pytest.raises(Diverged, match=r"^the loss is nan at step 2 of 3$"):
        train_epoch(learner, batches([4] * 5), 0, Silent())


@pytest.mark.parametrize("limit", [0.05, 0.3, 1e6])
def test_the_gradient_is_cut_as_torch_cuts_it(limit: float) -> None:
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, weight_decay=0, momentum=0.5, scheduler="constant")
    module, twin, given = plain(), plain(), batches([6, 6])
    train_epoch(replace(make_learner(module, hyper, 2), clip_grad=limit), given, 0, Silent())
    optimizer, norms = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.5), []
    for batch in given:
        images = normalised(batch)
        optimizer.zero_grad()
        functional.cross_entropy(twin(images), batch.targets).backward()
        norms.append(float(nn.utils.clip_grad_norm_(twin.parameters(), limit)))
        optimizer.step()
    assert all(norm > 0.3 for norm in norms) and max(norms) < 1e6
    for mine, their in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, their)


def test_the_gradient_of_a_whole_group_is_cut_and_not_that_of_each_batch() -> None:
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, weight_decay=0, momentum=0.0, scheduler="constant")
    (whole,) = batches([12])
    module, twin = plain(), plain()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    train_epoch(replace(make_learner(module, hyper, 1), clip_grad=0.2, accumulate=3), split(whole, [4, 4, 4]), 0, Silent())
    train_epoch(replace(make_learner(twin, hyper, 1), clip_grad=0.2), [whole], 0, Silent())
    for mine, their in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, their)
    moved = torch.cat([(now - then).flatten() for now, then in zip(module.parameters(), before, strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.1 * 0.2, rel=1e-4)


def test_scaled_gradients_are_cut_at_their_own_norm() -> None:
    """As float16 has them: the scaler multiplies them with 65536 first."""
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, scheduler="constant")
    module, twin, given = plain(), plain(), batches([6, 6, 3])
    learner = replace(make_learner(module, hyper, 2), clip_grad=0.2, accumulate=2)
    train_epoch(replace(learner, scaler=torch.amp.GradScaler("cpu", enabled=True)), given, 0, Silent())
    train_epoch(replace(make_learner(twin, hyper, 2), clip_grad=0.2, accumulate=2), given, 0, Silent())
    for mine, their in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, their)


def test_clip_grad_nought_cuts_nothing() -> None:
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, scheduler="constant")
    module, twin, given = plain(), plain(), batches([6, 6])
    train_epoch(make_learner(module, hyper, 2), given, 0, Silent())
    train_epoch(replace(make_learner(twin, hyper, 2), clip_grad=1e6), given, 0, Silent())
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict())


def averaged(module: nn.Module, hyper: HyperParams, decay: float, steps: int) -> Learner:
    return replace(make_learner(module, hyper, steps), ema=ModelEmaV3(module, decay=decay, use_warmup=True))


@pytest.mark.parametrize("decay", [0.999, 0.5])
def test_the_moving_average_of_three_steps_is_the_one_worked_out_by_hand(decay: float) -> None:
    """Its decay grows with the step n from 1 on as 1 - n ** (-2/3), and is `decay` at most; BatchNorm's statistics likewise."""
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, scheduler="constant")
    module, given = model(), batches([6, 6, 6])
    learner = averaged(module, hyper, decay, 3)
    assert learner.ema is not None
    seen = []
    for step, batch in enumerate(given):
        train_epoch(learner, [batch], step, Silent())
        seen.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
    second, third = min(decay, 1 - 2 ** (-2 / 3)), min(decay, 1 - 3 ** (-2 / 3))
    assert (second, third) == pytest.approx((0.370039, min(decay, 0.519250)), abs=1e-6)
    for name, found in learner.ema.module.state_dict().items():
        if found.is_floating_point():
            expected = third * (second * seen[0][name] + (1 - second) * seen[1][name]) + (1 - third) * seen[2][name]
            torch.testing.assert_close(found, expected)
        else:
            assert int(found) == int(seen[2][name]) == 3
    assert {"1.running_mean", "1.running_var", "5.weight"} <= set(seen[0])
    assert learner.learnt is learner.ema.module


def test_the_moving_average_does_not_touch_what_is_averaged() -> None:
    hyper, given = HyperParams(optimizer="momentum", learning_rate=0.1), batches([6, 6, 6])
    module, twin = model(), model()
    for each, learner in ((module, averaged(module, hyper, 0.99, 3)), (twin, make_learner(twin, hyper, 3))):
        torch.manual_seed(9)
        train_epoch(learner, given, 0, Silent())
        assert learner.module is each
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict())
    assert make_learner(twin, hyper, 3).learnt is twin


def test_an_average_over_accumulated_batches_counts_steps_of_the_optimiser() -> None:
    (whole,) = batches([24])
    one, other = averaged(plain(), ACCUMULATED, 0.9, 3), averaged(plain(), ACCUMULATED, 0.9, 3)
    train_epoch(one, split(whole, [8] * 3), 0, Silent())
    train_epoch(replace(other, accumulate=2), split(whole, [4] * 6), 0, Silent())
    for mine, their in zip(other.learnt.parameters(), one.learnt.parameters(), strict=True):
        torch.testing.assert_close(mine, their, rtol=1e-5, atol=1e-6)
    assert digest_tensors(one.learnt.state_dict()) != digest_tensors(one.module.state_dict())


def test_a_drop_multiplies_the_schedules_rate() -> None:
    hyper = HyperParams(optimizer="momentum", learning_rate=0.1, scheduler="plateau")
    module, twin, given = plain(), plain(), batches([6])
    train_epoch(make_learner(module, hyper, 1), given, 0, Silent(), 0.25)
    train_epoch(make_learner(twin, replace(hyper, learning_rate=0.025), 1), given, 0, Silent())
    assert digest_tensors(module.state_dict()) == digest_tensors(twin.state_dict())
