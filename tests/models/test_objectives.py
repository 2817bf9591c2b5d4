"""Losses and their activations, against torch's, torchvision's and scikit-learn's own, and against the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from modules.config.tasks import LOSSES_OF
from modules.models.objectives import Objective, Range, count_logits, make_objective

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


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_with_smoothing_is_torchs(smoothing: float) -> None:
    logits, targets = some_logits()
    found = make_objective("cross_entropy", smoothing).loss(logits, targets)
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


# One logit, labels, numbers, orders, several outputs, composite classes.

SPANS = [Range(50.0, 20.0, 1.0, 100.0), Range(-3.0, 0.5, None, None)]
SIZES: dict[str, list[int]] = {
    "multiclass": [5],
    "binary": [2],
    "multilabel": [1, 1, 1],
    "ordinal": [5],
    "regression": [1, 1],
    "multioutput": [3, 2],
    "composite": [3, 2, 2],
}
EVERY = [(kind, loss) for kind, losses in {**LOSSES_OF, "composite": LOSSES_OF["multiclass"]}.items() for loss in losses]


def objective_of(kind: str, loss: str, smoothing: float = 0.0, weights: torch.Tensor | None = None, gamma: float = 2.0) -> Objective:
    """Of ordinal with its five classes as the numbers 0 to 4, of regression with bounds, as bce needs them."""
    spans = {"ordinal": [Range(1.5, 1.25, 0.0, 4.0)], "regression": [SPANS[0], Range(-3.0, 0.5, -5.0, 1.0)]}
    return make_objective(loss, smoothing, gamma, weights, kind, SIZES[kind], spans.get(kind, []))


def task_case(kind: str, loss: str, count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and targets of the form that the kind gives them."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, count_logits(loss, kind, SIZES[kind]), generator=generator) * 2
    rows = torch.arange(count)
    targets = {
        "multiclass": rows % 5,
        "binary": rows % 2,
        "multilabel": (torch.rand(count, 3, generator=generator) < 0.4).float(),
        "ordinal": rows % 5,
        "regression": torch.stack([1 + rows * 8.0, rows / 2 - 5], dim=1),
        "multioutput": torch.stack([rows % 3, rows // 2 % 2], dim=1),
        "composite": rows % 12,
    }
    return logits, targets[kind]


def as_floats(kind: str, targets: torch.Tensor) -> torch.Tensor:
    """Targets as mixing has them: of classes shares, of several outputs side by side."""
    if targets.is_floating_point():
        return targets
    sizes = [math.prod(SIZES[kind])] if kind == "composite" else SIZES[kind]
    columns = targets.reshape(len(targets), -1).unbind(dim=1)
    return torch.cat([functional.one_hot(column, size) for column, size in zip(columns, sizes, strict=True)], dim=1).float()


def test_as_many_logits_as_a_task_and_its_loss_need() -> None:
    assert {(kind, loss): count_logits(loss, kind, SIZES[kind]) for kind, loss in EVERY if kind in ("binary", "ordinal")} == {
        ("binary", "bce"): 1,
        ("binary", "cross_entropy"): 2,
        ("binary", "focal"): 1,
        ("binary", "f1"): 1,
        ("ordinal", "mse"): 1,
        ("ordinal", "mae"): 1,
        ("ordinal", "huber"): 1,
        ("ordinal", "cross_entropy"): 5,
        ("ordinal", "bce"): 4,
    }
    others = {"multiclass": 5, "multilabel": 3, "regression": 2, "multioutput": 5, "composite": 7}
    assert all(count_logits(loss, kind, SIZES[kind]) == others[kind] for kind, loss in EVERY if kind in others)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_bce_of_one_logit_is_torchs_with_weights_for_each_class(smoothing: float, soft: bool) -> None:
    logits, targets = task_case("binary", "bce")
    share = targets * 0.7 + 0.1 if soft else targets.float()
    given = torch.stack([1 - share, share], dim=1) if soft else targets
    smooth = share * (1 - smoothing) + smoothing / 2
    expected = nn.BCEWithLogitsLoss()(logits[:, 0], smooth)
    torch.testing.assert_close(objective_of("binary", "bce", smoothing).loss(logits, given), expected)
    each = -3 * smooth * functional.logsigmoid(logits[:, 0]) - 0.5 * (1 - smooth) * functional.logsigmoid(-logits[:, 0])
    weighted = objective_of("binary", "bce", smoothing, torch.tensor([0.5, 3.0])).loss(logits, given)
    torch.testing.assert_close(weighted, each.mean())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_one_logit_is_torchvisions(gamma: float) -> None:
    logits, targets = task_case("binary", "focal")
    expected = sigmoid_focal_loss(logits[:, 0], targets.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(objective_of("binary", "focal", gamma=gamma).loss(logits, targets), expected)


def test_one_logit_gives_two_probabilities_as_two_logits_do() -> None:
    logits, targets = task_case("binary", "bce")
    expected = torch.cat([1 - logits.sigmoid(), logits.sigmoid()], dim=1)
    for loss in ("bce", "focal", "f1"):
        torch.testing.assert_close(objective_of("binary", loss).activation(logits), expected)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(objective_of("binary", "cross_entropy").activation(two), expected)
    torch.testing.assert_close(objective_of("binary", "f1").loss(logits, targets), make_objective("f1").loss(two, targets))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_bce_of_labels_is_torchs_with_weights_for_what_is_there(smoothing: float) -> None:
    logits, targets = task_case("multilabel", "bce")
    smooth, weights = targets * (1 - smoothing) + smoothing / 2, torch.tensor([1.0, 4.0, 0.25])
    torch.testing.assert_close(objective_of("multilabel", "bce", smoothing).loss(logits, targets), nn.BCEWithLogitsLoss()(logits, smooth))
    weighted = objective_of("multilabel", "bce", smoothing, weights).loss(logits, targets)
    torch.testing.assert_close(weighted, nn.BCEWithLogitsLoss(pos_weight=weights)(logits, smooth))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_labels_is_torchvisions(gamma: float) -> None:
    logits, targets = task_case("multilabel", "focal")
    expected = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(objective_of("multilabel", "focal", gamma=gamma).loss(logits, targets), expected)


def test_f1_of_certain_labels_is_scikit_learns() -> None:
    """The third label is neither there nor given: it counts as 0."""
    targets = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    given = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]])
    each = f1_score(targets, given, average=None, zero_division=0)
    found = objective_of("multilabel", "f1").loss((given * 2 - 1) * 100, targets)
    assert found.item() == pytest.approx(1 - each.mean(), abs=1e-6)
    weighted = objective_of("multilabel", "f1", weights=torch.tensor([1.0, 3.0, 2.0])).loss((given * 2 - 1) * 100, targets)
    assert weighted.item() == pytest.approx(1 - (each * [1, 3, 2]).sum() / 6, abs=1e-6)


DISTANCES = {"mse": nn.MSELoss(), "mae": nn.L1Loss(), "huber": nn.HuberLoss()}


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_numbers_are_learnt_in_units_of_their_standard_deviation(name: str) -> None:
    logits, targets = task_case("regression", name)
    objective = make_objective(name, kind="regression", sizes=[1, 1], ranges=SPANS)
    scaled = (targets - torch.tensor([50.0, -3.0])) / torch.tensor([20.0, 0.5])
    torch.testing.assert_close(objective.loss(logits, targets), DISTANCES[name](logits, scaled))
    found = objective.activation(torch.tensor([[0.5, 0.5], [100.0, 100.0], [-100.0, -100.0]]))
    torch.testing.assert_close(found, torch.tensor([[60.0, -2.75], [100.0, 47.0], [1.0, -53.0]]))  # the first is clipped to 1 to 100
    torch.testing.assert_close(objective.activation(scaled), targets)


def test_bce_of_numbers_is_of_their_way_from_low_to_high() -> None:
    logits, targets = task_case("regression", "bce")
    objective = objective_of("regression", "bce")
    shares = torch.stack([(targets[:, 0] - 1) / 99, (targets[:, 1] + 5) / 6], dim=1)
    torch.testing.assert_close(objective.loss(logits, targets), nn.BCEWithLogitsLoss()(logits, shares))
    found = objective.activation(torch.tensor([[0.0, 0.0], [1000.0, 1000.0], [-1000.0, -1000.0]]))
    assert found.tolist() == [[50.5, -2.0], [100.0, 1.0], [1.0, -5.0]]


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_ordered_classes_are_the_numbers_of_their_positions(name: str) -> None:
    logits, targets = task_case("ordinal", name)
    objective = objective_of("ordinal", name)
    torch.testing.assert_close(objective.loss(logits, targets), DISTANCES[name](logits[:, 0], (targets - 1.5) / 1.25))
    assert objective.activation(torch.tensor([[-9.0], [0.4], [9.0]])).tolist() == [[0.0], [2.0], [4.0]]
    shares = functional.one_hot(targets, 5) * 0.75 + functional.one_hot(targets.roll(1), 5) * 0.25
    means = targets * 0.75 + targets.roll(1) * 0.25
    torch.testing.assert_close(objective.loss(logits, shares), DISTANCES[name](logits[:, 0], (means - 1.5) / 1.25))


def test_cross_entropy_of_ordered_classes_predicts_their_mean() -> None:
    logits, targets = task_case("ordinal", "cross_entropy")
    objective = objective_of("ordinal", "cross_entropy", 0.1)
    torch.testing.assert_close(objective.loss(logits, targets), nn.CrossEntropyLoss(label_smoothing=0.1)(logits, targets))
    torch.testing.assert_close(objective.activation(logits)[:, 0], (logits.softmax(1) * torch.arange(5)).sum(1))
    assert objective.activation(torch.tensor([[0.0, 0, 0, 0, 1000]])).tolist() == [[4.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_bce_of_ordered_classes_is_of_the_steps_that_are_passed(smoothing: float) -> None:
    logits, targets = task_case("ordinal", "bce")
    objective = objective_of("ordinal", "bce", smoothing)
    # Of what smoothing gives each of five classes, steps 1 to 4 are passed by those of 4, 3, 2, 1 classes.
    passed = (targets[:, None] > torch.arange(4)).float() * (1 - smoothing) + smoothing * torch.tensor([0.8, 0.6, 0.4, 0.2])
    torch.testing.assert_close(objective.loss(logits, targets), nn.BCEWithLogitsLoss()(logits, passed))
    torch.testing.assert_close(objective.activation(logits)[:, 0], logits.sigmoid().sum(1))
    assert objective.activation(torch.tensor([[50.0, 50, -50, -50]])).item() == pytest.approx(2)


@pytest.mark.parametrize("loss", LOSSES)
def test_several_outputs_are_the_sum_of_their_losses_and_their_predictions_side_by_side(loss: str) -> None:
    logits, targets = task_case("multioutput", loss)
    objective, one = objective_of("multioutput", loss, 0.1), make_objective(loss, 0.1)
    expected = one.loss(logits[:, :3], targets[:, 0]) + one.loss(logits[:, 3:], targets[:, 1])
    torch.testing.assert_close(objective.loss(logits, targets), expected)
    torch.testing.assert_close(objective.activation(logits), torch.cat([one.activation(logits[:, :3]), one.activation(logits[:, 3:])], 1))


def products(logits: torch.Tensor) -> torch.Tensor:
    """(N, 12): class = 4 * first + 2 * second + third, its probability the product of theirs."""
    first, second, third = (part.softmax(1) for part in logits.split([3, 2, 2], dim=1))
    return torch.stack([first[:, c // 4] * second[:, c // 2 % 2] * third[:, c % 2] for c in range(12)], dim=1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_of_composite_classes_is_that_of_the_products(weighted: bool, soft: bool) -> None:
    logits, targets = task_case("composite", "cross_entropy")
    weights = torch.linspace(0.5, 3, 12) if weighted else None
    one = targets if not soft else functional.one_hot(targets, 12) * 0.75 + functional.one_hot(targets.roll(4), 12) * 0.25
    found = objective_of("composite", "cross_entropy", weights=weights)
    shares = functional.one_hot(targets, 12).float() if not soft else one
    each = -(shares * products(logits).log()).sum(1)
    expected = each if weights is None else each * (shares * weights).sum(1)
    torch.testing.assert_close(found.loss(logits, one), expected.mean())
    torch.testing.assert_close(found.activation(logits), products(logits))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "bce"])
@pytest.mark.parametrize("weights", [None, torch.linspace(0.5, 3, 12)])
def test_composite_classes_are_the_sum_of_the_losses_of_their_factors(loss: str, weights: torch.Tensor | None) -> None:
    logits, targets = task_case("composite", loss)
    one = make_objective(loss, 0.1)
    factors = [targets // 4, targets // 2 % 2, targets % 2]
    parts = logits.split([3, 2, 2], dim=1)
    each = torch.stack(
        [sum(one.loss(part[[row]], factor[[row]]) for part, factor in zip(parts, factors, strict=True)) for row in range(12)]  # type: ignore[misc]
    )
    expected = each if weights is None else each * weights[targets]
    torch.testing.assert_close(objective_of("composite", loss, 0.1, weights).loss(logits, targets), expected.mean())


def test_f1_of_composite_classes_is_that_of_the_products() -> None:
    logits, targets = task_case("composite", "f1")
    weights = torch.linspace(0.5, 3, 12)
    expected = make_objective("f1", 0.1, class_weights=weights).loss(products(logits).log(), targets)
    torch.testing.assert_close(objective_of("composite", "f1", 0.1, weights).loss(logits, targets), expected)


@pytest.mark.parametrize(("kind", "loss"), [each for each in EVERY if each[0] not in ("regression", "multilabel")])
def test_classes_of_every_kind_are_shares_of_one(kind: str, loss: str) -> None:
    logits, targets = task_case(kind, loss)
    objective = objective_of(kind, loss)
    torch.testing.assert_close(objective.loss(logits, targets), objective.loss(logits, as_floats(kind, targets)))


@pytest.mark.parametrize(("kind", "loss"), [each for each in EVERY if each[1] in ("cross_entropy", "focal", "bce")])
def test_the_loss_of_mixed_targets_of_every_kind_is_the_mix_of_the_losses(kind: str, loss: str) -> None:
    """Also of numbers, as far as the loss is linear in them."""
    logits, targets = task_case(kind, loss)
    objective, floats = objective_of(kind, loss), as_floats(kind, targets)
    mixed = 0.7 * objective.loss(logits, floats) + 0.3 * objective.loss(logits, floats.roll(1, 0))
    torch.testing.assert_close(objective.loss(logits, 0.7 * floats + 0.3 * floats.roll(1, 0)), mixed)


@pytest.mark.parametrize(("kind", "loss"), [each for each in EVERY if each[1] != "f1"])
def test_batches_of_every_kind_add_up_to_the_mean_over_their_images(kind: str, loss: str) -> None:
    logits, targets = task_case(kind, loss)
    objective = objective_of(kind, loss)
    parts = [objective.loss(logits[start:stop], targets[start:stop]) * (stop - start) for start, stop in ((0, 5), (5, 6), (6, 12))]
    torch.testing.assert_close(objective.loss(logits, targets), torch.stack(parts).sum() / 12)


@pytest.mark.parametrize(("kind", "loss"), EVERY)
@pytest.mark.parametrize("scale", [0.0, 50.0, 1e4])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_every_kind_has_finite_losses_and_gradients_and_predictions_in_their_range(
    kind: str, loss: str, scale: float, gamma: float
) -> None:
    logits, targets = task_case(kind, loss)
    certain = (logits.sign() * scale).requires_grad_()
    objective = objective_of(kind, loss, gamma=gamma)
    value = objective.loss(certain, targets)
    value.backward()
    assert bool(torch.isfinite(value)) and certain.grad is not None and bool(torch.isfinite(certain.grad).all())
    found = objective.activation(certain)
    lows, highs = {"ordinal": ([0.0], [4.0]), "regression": ([1.0, -5.0], [100.0, 1.0])}.get(kind, ([0.0], [1.0]))
    assert found.dtype == torch.float32 and bool(((found >= torch.tensor(lows)) & (found <= torch.tensor(highs))).all())
    exclusive: Sequence[int] = {"multioutput": [3, 2], "composite": [12], "binary": [2], "multiclass": [5]}.get(kind, [])
    for part in torch.split(found, list(exclusive), dim=1) if exclusive else ():
        torch.testing.assert_close(part.sum(1), torch.ones(12))


@pytest.mark.parametrize(("kind", "loss"), EVERY)
def test_every_kind_computes_in_full_precision_under_autocast(kind: str, loss: str) -> None:
    logits, targets = task_case(kind, loss)
    targets = as_floats(kind, targets)
    halves, objective = logits.to(torch.bfloat16), objective_of(kind, loss)
    expected = both(objective, halves.float(), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = both(objective, halves, targets)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("kind", "loss"), EVERY)
def test_every_kind_learns_its_targets(kind: str, loss: str) -> None:
    """Predictions come near to the targets, each in the form that decisions read."""
    logits, targets = task_case(kind, loss)
    learnt = torch.zeros_like(logits, requires_grad=True)
    objective = objective_of(kind, loss)
    for _ in range(4):
        descend(lambda: objective.loss(learnt, targets), learnt)
    found = objective.activation(learnt.detach())
    if kind in ("ordinal", "regression"):
        truth = targets.float().reshape(12, -1)
        scale = torch.tensor([20.0, 0.5]) if kind == "regression" else torch.tensor([1.25])
        assert bool(((found - truth).abs() < scale / 2).all())
    else:
        assert float((found - as_floats(kind, targets)).abs().max()) < 0.5
