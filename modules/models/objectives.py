"""A loss together with the activation that turns its logits into predictions, so that the two cannot part.

A loss takes (batch, logits) and targets of the form that the kind of task gives them: (batch,) int64 classes, or (batch,
classes) float shares that sum to one a row, which mixup and cutmix make; multilabel (batch, labels) and regression (batch,
numbers) float; multioutput (batch, outputs) int64, or the shares of all outputs side by side. It computes in float32, also
under autocast, and is the mean over the images of a loss an image, whatever the class weights: so the mean over batches, or
over batches that are accumulated to one step, is that over their images. torch's own division by the sum of the weights
would not add up so. f1 alone looks at a whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch.nn import functional

from modules.models.losses import (
    DISTANCES,
    TINY,
    against_zero,
    binary_cross_entropy,
    cross_entropy,
    focal,
    mean_position,
    scaled_sigmoid,
    shares_of,
    smooth,
    smoothed,
    soft_f1,
    softmax,
)
from modules.models.own_losses import OwnLoss

Tensor = torch.Tensor


@dataclass(frozen=True)
class Objective:
    """loss: logits and targets, as the module says, to a scalar. activation: (batch, logits) to (batch, columns) predictions."""

    loss: Callable[[Tensor, Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]


class Range(NamedTuple):
    """Of numbers that are learnt: mean and standard deviation, and the bounds of predictions, if any."""

    mean: float
    std: float
    low: float | None
    high: float | None


def count_logits(loss: str | OwnLoss, kind: str, sizes: Sequence[int]) -> int:
    """How many numbers a network gives an image. sizes: classes of each output; of labels and numbers one for each, of size 1."""
    if isinstance(loss, OwnLoss):  # as many as Foldini's own loss with that activation has
        loss = {"softmax": "cross_entropy", "sigmoid": "", "identity": "mse"}[loss.activation]
    if kind == "binary":
        return 2 if loss == "cross_entropy" else 1
    if kind == "ordinal":
        return sizes[0] if loss == "cross_entropy" else sizes[0] - 1 if loss == "bce" else 1
    return sum(sizes)


def make_objective(
    loss: str | OwnLoss,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    class_weights: Tensor | None = None,
    kind: str = "multiclass",
    sizes: Sequence[int] = (),
    ranges: Sequence[Range] = (),
) -> Objective:
    """The objective of a loss, by its name in LOSSES_OF, for a kind of task. Smoothing: Szegedy et al. 2016.

    class_weights: (classes,) float32 on the device of the logits, or None for all alike; multilabel: of what is there.
    sizes: as for count_logits. ranges: of each number, for ordinal of the position of the class. composite is a multiclass
    task whose classes are made of as many factors as there are sizes, each predicted by itself.
    """
    if isinstance(loss, OwnLoss):
        return _of_own(loss, kind, sizes, ranges)
    smoothing, weights = label_smoothing, class_weights
    if kind == "multilabel":
        return _of_labels(loss, smoothing, weights, focal_gamma)
    if kind == "regression":
        return _of_numbers(loss, ranges)
    if kind == "ordinal" and loss == "bce":
        return _of_steps(sizes[0], smoothing)
    if kind == "ordinal" and loss in DISTANCES:
        return _of_positions(loss, ranges[0])
    if kind == "binary" and loss != "cross_entropy":
        # Of two classes whose logits are 0 and x, cross entropy is binary cross entropy of x.
        of_two = _of_classes("cross_entropy" if loss == "bce" else loss, smoothing, weights, focal_gamma)
        return Objective(
            lambda logits, targets: of_two.loss(against_zero(logits), targets), lambda logits: of_two.activation(against_zero(logits))
        )
    if kind == "composite" and loss == "f1":
        product = _product(softmax, sizes)
        return Objective(
            lambda logits, targets: soft_f1(product(logits), smoothed(shares_of(targets, prod(sizes)), smoothing), weights), product
        )
    if kind == "composite":
        each = _loss_of_each(loss, smoothing, None, focal_gamma)
        return _of_factors(each, scaled_sigmoid if loss == "bce" else softmax, sizes, weights)
    return _of_several(_of_classes(loss, smoothing, weights, focal_gamma), kind, sizes)


def _of_own(loss: OwnLoss, kind: str, sizes: Sequence[int], ranges: Sequence[Range]) -> Objective:
    """A loss of one's own in the place of Foldini's, with the targets that it would have, and its activation."""
    if kind == "regression":
        return _of_numbers(loss, ranges)
    if kind == "ordinal" and loss.activation == "identity":
        return _of_positions(loss, ranges[0])
    if kind == "multilabel":
        return Objective(loss, lambda logits: logits.float().sigmoid())
    if kind == "binary" and loss.activation == "sigmoid":
        return Objective(loss, lambda logits: softmax(against_zero(logits)))
    one = Objective(loss, scaled_sigmoid if loss.activation == "sigmoid" else softmax)
    return _of_factors(loss, one.activation, sizes) if kind == "composite" else _of_several(one, kind, sizes)


def _of_several(one: Objective, kind: str, sizes: Sequence[int]) -> Objective:
    """Of one objective of classes that of a kind of task that is made of them."""
    if kind == "ordinal":
        return Objective(one.loss, lambda logits: mean_position(softmax(logits)))
    return _of_outputs(one, sizes) if kind == "multioutput" else one


def _of_classes(loss: str, smoothing: float, weights: Tensor | None, gamma: float) -> Objective:
    """One class an image."""
    activation = scaled_sigmoid if loss == "bce" else softmax
    if loss == "f1":
        return Objective(lambda logits, targets: soft_f1(softmax(logits), smooth(logits, targets, smoothing), weights), activation)
    each = _loss_of_each(loss, smoothing, weights, gamma)
    return Objective(lambda logits, targets: each(logits, targets).mean(), activation)


def _loss_of_each(loss: str, smoothing: float, weights: Tensor | None, gamma: float) -> Callable[[Tensor, Tensor], Tensor]:
    """(batch,) the loss of each image."""
    losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
        "cross_entropy": lambda logits, targets: cross_entropy(logits, targets, smoothing, weights),
        "focal": lambda logits, targets: focal(logits, targets, smoothing, weights, gamma),
        "bce": lambda logits, targets: binary_cross_entropy(logits, targets, smoothing, weights),
    }
    return losses[loss]


def _of_labels(loss: str, smoothing: float, weights: Tensor | None, gamma: float) -> Objective:
    """Each label by itself, there or not there; the mean over the labels. Smoothing moves both towards one half."""

    def soften(targets: Tensor) -> Tensor:
        return targets.float() * (1 - smoothing) + smoothing / 2

    def bce(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits.float(), soften(targets), pos_weight=weights)

    def focal_of_each(logits: Tensor, targets: Tensor) -> Tensor:
        """Lin et al. 2017, without its alpha."""
        shares, there, absent = soften(targets), functional.logsigmoid(logits.float()), functional.logsigmoid(-logits.float())
        terms = -shares * absent.exp().clamp(min=TINY) ** gamma * there * (1 if weights is None else weights)
        return (terms - (1 - shares) * there.exp().clamp(min=TINY) ** gamma * absent).mean()

    def f1(logits: Tensor, targets: Tensor) -> Tensor:
        return soft_f1(logits.float().sigmoid(), soften(targets), weights)

    losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": bce, "focal": focal_of_each, "f1": f1}
    return Objective(losses[loss], lambda logits: logits.float().sigmoid())


def _of_numbers(loss: str | OwnLoss, ranges: Sequence[Range]) -> Objective:
    """Numbers less their mean, over their standard deviation; for bce shares of the way from low to high, by a sigmoid."""

    def row(name: str, logits: Tensor, absent: float = 0.0) -> Tensor:
        found = [getattr(each, name) for each in ranges]
        return torch.tensor([absent if value is None else value for value in found], dtype=torch.float32, device=logits.device)

    def clip(values: Tensor) -> Tensor:
        return values.clamp(row("low", values, -torch.inf), row("high", values, torch.inf))

    if loss == "bce":

        def share_of(targets: Tensor) -> Tensor:
            low = row("low", targets)
            return ((targets.float() - low) / (row("high", targets) - low)).clamp(0, 1)

        return Objective(
            lambda logits, targets: functional.binary_cross_entropy_with_logits(logits.float(), share_of(targets)),
            lambda logits: clip(row("low", logits) + logits.float().sigmoid() * (row("high", logits) - row("low", logits))),
        )
    distance = loss if isinstance(loss, OwnLoss) else DISTANCES[loss]
    return Objective(
        lambda logits, targets: distance(logits.float(), (targets.float() - row("mean", logits)) / row("std", logits)),
        lambda logits: clip(logits.float() * row("std", logits) + row("mean", logits)),
    )


def _of_positions(loss: str | OwnLoss, span: Range) -> Objective:
    """Ordered classes as the numbers 0, 1, 2, ...; of shares their mean."""
    numbers = _of_numbers(loss, [span])

    def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
        return numbers.loss(logits, targets[:, None] if targets.ndim == 1 else mean_position(targets.float()))

    return Objective(loss_of, numbers.activation)


def _of_steps(classes: int, smoothing: float) -> Objective:
    """Ordered classes by a logit for each step that is passed: class k has passed k of them (Frank and Hall 2001)."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        passed = 1 - smoothed(shares_of(targets, classes), smoothing).cumsum(dim=1)[:, :-1]
        return functional.binary_cross_entropy_with_logits(logits.float(), passed.clamp(0, 1))

    return Objective(loss, lambda logits: logits.float().sigmoid().sum(dim=1, keepdim=True))


def _of_outputs(one: Objective, sizes: Sequence[int]) -> Objective:
    """Several outputs side by side: the sum of their losses."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        each = _side_by_side(targets, sizes) if targets.is_floating_point() else targets.unbind(dim=1)
        return torch.stack([one.loss(*pair) for pair in zip(_side_by_side(logits, sizes), each, strict=True)]).sum()

    return Objective(loss, lambda logits: torch.cat([one.activation(part) for part in _side_by_side(logits, sizes)], dim=1))


def _of_factors(
    each: Callable[[Tensor, Tensor], Tensor], activate: Callable[[Tensor], Tensor], sizes: Sequence[int], weights: Tensor | None = None
) -> Objective:
    """Classes made of factors: the sum of the factors' losses; a class's probability is the product of those of its factors.

    each: (batch,) the losses of one factor, or their mean, where there are no weights. An image weighs what its class weighs.
    """
    axes = range(1, len(sizes) + 1)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        shares = shares_of(targets, prod(sizes))
        cube = shares.reshape(-1, *sizes)
        factors = [cube.sum(dim=[other for other in axes if other != axis]) for axis in axes]
        losses = torch.stack([each(*pair) for pair in zip(_side_by_side(logits, sizes), factors, strict=True)]).sum(dim=0)
        return (losses if weights is None else losses * (shares * weights).sum(dim=1)).mean()

    return Objective(loss, _product(activate, sizes))


def _product(activate: Callable[[Tensor], Tensor], sizes: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """The activation of classes made of factors."""

    def activation(logits: Tensor) -> Tensor:
        product = torch.ones(len(logits), 1, device=logits.device)
        for part in _side_by_side(logits, sizes):
            product = (product[:, :, None] * activate(part)[:, None, :]).flatten(1)
        return product

    return activation


def _side_by_side(columns: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """(batch, all columns) to those of each output."""
    return tuple(torch.split(columns, list(sizes), dim=1))
