"""Losses and their activations, against torch's, torchvision's and scikit-learn's own, and against the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from modules.models.objectives import Objective, make_objective

LOSSES = ["cross_entropy", "focal", "bce", "f1"]
WEIGHTS = torch.tensor([0.5, 3.0, 1.0, 0.25, 2.0])


def some_logits(count: int = 9, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with (count,) targets in which every class comes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=generator) * 3, torch.arange(count) % classes


def some_shares(count: int = 9, classes: int = 5) -> torch.Tensor:
    """What mixup makes: rows of two classes that sum to 1."""
    first = functional.one_hot(torch.arange(count) % classes, classes).float()
    return first * 0.7 + first.roll(1, 0) * 0.3


@pytest.mark.parametrize("name", ["cross_entropy"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_with_smoothing_is_torchs(name: str, smoothing: float) -> None:
    logits, targets = some_logits()
    found = make_objective(name, smoothing).loss(logits, targets)
    torch.testing.assert_close(found, nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets))
    logs = logits.double().log_softmax(1)
    by_hand = -(1 - smoothing) * logs[torch.arange(9), targets] - smoothing * logs.mean(1)
    assert float(found) == pytest.approx(float(by_hand.mean()), abs=1e-5)


def test_weighted_cross_entropy_is_torchs_but_for_its_division_by_the_sum_of_the_weights() -> None:
    logits, targets = some_logits()
    found = make_objective("cross_entropy", class_weights=WEIGHTS).loss(logits, targets)
    torch.testing.assert_close(found, nn.CrossEntropyLoss(weight=WEIGHTS)(logits, targets) * WEIGHTS[targets].sum() / 9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_focal_is_its_formula_and_so_is_its_gradient(gamma: float, smoothing: float, soft: bool) -> None:
    """In double precision, written from the paper."""
    logits, targets = some_logits()
    shares = some_shares() if soft else functional.one_hot(targets, 5).float()
    logits.requires_grad_()
    loss = make_objective("focal", smoothing, gamma, WEIGHTS).loss(logits, shares if soft else targets)
    loss.backward()
    exact = logits.detach().double().requires_grad_()
    p = exact.exp() / exact.exp().sum(1, keepdim=True)
    t = shares.double() * (1 - smoothing) + smoothing / 5
    by_hand = -(WEIGHTS.double() * t * (1 - p) ** gamma * p.log()).sum() / 9
    by_hand.backward()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert logits.grad is not None and exact.grad is not None
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("soft", [False, True])
def test_focal_with_gamma_zero_is_cross_entropy(smoothing: float, weights: torch.Tensor | None, soft: bool) -> None:
    logits, targets = some_logits()
    given = some_shares() if soft else targets
    focal, plain = (make_objective(name, smoothing, 0.0, weights).loss(logits, given) for name in ("focal", "cross_entropy"))
    torch.testing.assert_close(focal, plain)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_of_two_classes_is_torchvisions_sigmoid_form(gamma: float) -> None:
    logits, targets = some_logits(20, 2)
    found = make_objective("focal", focal_gamma=gamma).loss(logits, targets)
    expected = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], targets.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_bce_is_torchs_of_each_class_against_the_others(smoothing: float) -> None:
    logits, targets = some_logits()
    ones = functional.one_hot(targets, 5).float()
    smooth = ones * (1 - smoothing) + smoothing / 5
    torch.testing.assert_close(make_objective("bce", smoothing).loss(logits, targets), nn.BCEWithLogitsLoss()(logits, smooth))
    weighted = nn.BCEWithLogitsLoss(weight=WEIGHTS[targets].unsqueeze(1))(logits, smooth)
    torch.testing.assert_close(make_objective("bce", smoothing, class_weights=WEIGHTS).loss(logits, targets), weighted)


def test_a_mixed_image_weighs_the_mean_of_its_classes_in_bce() -> None:
    logits, shares = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.75, 0.25]])
    found = make_objective("bce", class_weights=torch.tensor([4.0, 2.0])).loss(logits, shares)
    one = 0.75 * math.log1p(math.exp(-2)) + 0.25 * math.log1p(math.exp(2))
    other = 0.25 * math.log1p(math.exp(1)) + 0.75 * math.log1p(math.exp(-1))
    assert float(found) == pytest.approx((0.75 * 4 + 0.25 * 2) * (one + other) / 2)


@pytest.mark.parametrize("seed", range(6))
def test_f1_of_certain_predictions_is_scikit_learns(seed: int) -> None:
    """Classes 5 and 6 of 7 come among neither targets nor predictions in some draws: they count as 0."""
    generator = torch.Generator().manual_seed(seed)
    targets, predictions = (torch.randint(0, top, (12,), generator=generator) for top in (5, 6))
    logits = functional.one_hot(predictions, 7).float() * 200
    found = float(make_objective("f1").loss(logits, targets))
    assert found == pytest.approx(1 - f1_score(targets, predictions, labels=range(7), average="macro", zero_division=0), abs=1e-6)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.5, 0.25, 7.0])
    each = f1_score(targets, predictions, labels=range(7), average=None, zero_division=0)
    weighted = float(make_objective("f1", class_weights=weights).loss(logits, targets))
    assert weighted == pytest.approx(1 - float((weights.numpy() * each).sum() / weights.sum()), abs=1e-6)


def test_f1_counts_probabilities() -> None:
    logits = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]).log()
    # Targets 0, 1, 1. Class 0: TP .8, FP .9, FN .2. Class 1: TP 1.1, FP .2, FN .9.
    expected = 1 - (1.6 / (1.6 + 1.1) + 2.2 / (2.2 + 1.1)) / 2
    assert float(make_objective("f1").loss(logits, torch.tensor([0, 1, 1]))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classes_are_shares_of_one(name: str, weights: torch.Tensor | None, smoothing: float) -> None:
    logits, targets = some_logits()
    objective = make_objective(name, smoothing, class_weights=weights)
    torch.testing.assert_close(objective.loss(logits, targets), objective.loss(logits, functional.one_hot(targets, 5).float()))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_targets_is_the_mix_of_the_losses(name: str, smoothing: float) -> None:
    """As the mixup paper has it: these losses are linear in the targets."""
    logits, targets = some_logits()
    objective = make_objective(name, smoothing)
    mixed = 0.7 * objective.loss(logits, targets) + 0.3 * objective.loss(logits, targets.roll(1, 0))
    torch.testing.assert_close(objective.loss(logits, some_shares()), mixed)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce"])
@pytest.mark.parametrize("soft", [False, True])
def test_batches_add_up_to_the_mean_over_their_images(name: str, soft: bool) -> None:
    """With class weights too, which is where torch's own mean does not."""
    logits, targets = some_logits(12)
    given = some_shares(12) if soft else targets
    objective = make_objective(name, 0.1, 2.0, WEIGHTS)
    parts = [objective.loss(logits[start:stop], given[start:stop]) * (stop - start) for start, stop in ((0, 5), (5, 6), (6, 12))]
    torch.testing.assert_close(objective.loss(logits, given), torch.stack(parts).sum() / 12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [0.0, 50.0, 1e4])
def test_no_gradient_is_nan_however_certain_the_model_is(name: str, gamma: float, smoothing: float, scale: float) -> None:
    """Right and wrong to the last bit, and two classes that no image has."""
    certain = torch.tensor([[1.0, -1, -1, -1], [-1, 1, -1, -1], [-1, 1, -1, -1]]) * scale
    logits = certain.requires_grad_()
    loss = make_objective(name, smoothing, gamma).loss(logits, torch.tensor([0, 1, 0]))
    loss.backward()
    assert bool(torch.isfinite(loss)) and logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_the_activation_is_the_softmax() -> None:
    for name in ("cross_entropy", "focal", "f1"):
        found = make_objective(name, 0.1).activation(torch.tensor([[0.0, math.log(3.0)], [1000.0, -1000.0]]))
        torch.testing.assert_close(found, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))


def test_the_activation_of_bce_is_the_sigmoid_scaled_to_one() -> None:
    activation = make_objective("bce").activation
    logits, _ = some_logits()
    sigmoids = logits.double().sigmoid()
    torch.testing.assert_close(activation(logits), (sigmoids / sigmoids.sum(1, keepdim=True)).float())
    extreme = activation(torch.tensor([[-200.0, -200 + math.log(3.0)], [500.0, 700.0], [-1000.0, 1000.0]]))
    torch.testing.assert_close(extreme, torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_are_scored_in_full_precision_under_autocast_too(name: str) -> None:
    logits, targets = some_logits()
    halves = logits.to(torch.bfloat16).requires_grad_()
    objective = make_objective(name, 0.1, 1.5, WEIGHTS)
    expected = both(objective, halves.float(), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = both(objective, halves, targets)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32 and torch.equal(one, other)
    found[0].backward()
    assert halves.grad is not None


def both(objective: Objective, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return objective.loss(logits, targets), objective.activation(logits)


def test_large_losses_are_exact_in_half_precision() -> None:
    logits = torch.tensor([[12.0, -3.5, 0.25]], dtype=torch.bfloat16)
    loss = make_objective("cross_entropy").loss(logits, torch.tensor([1]))
    assert loss.item() == pytest.approx(15.5 + math.log1p(math.exp(-15.5) + math.exp(-11.75)), abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_to_where_the_targets_are_predicted(name: str) -> None:
    _, targets = some_logits(40)
    logits = torch.zeros(40, 5, requires_grad=True)
    objective = make_objective(name)
    descend(lambda: objective.loss(logits, targets), logits)
    assert torch.equal(objective.activation(logits).argmax(1), targets)


def descend(loss: Callable[[], torch.Tensor], logits: torch.Tensor) -> None:
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
