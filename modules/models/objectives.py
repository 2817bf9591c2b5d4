"""A loss together with the activation that turns its logits into predictions, so that the two cannot part.

A loss takes (batch, classes) logits, and targets as (batch,) int64 classes or as (batch, classes) float shares that sum to
one a row, which mixup and cutmix make. It computes in float32, also under autocast, and is the mean over the images of a
loss an image, whatever the class weights: so the mean over batches, or over batches that are accumulated to one step, is
that over their images. torch's own division by the sum of the weights would not add up so. f1 alone looks at a whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

Tensor = torch.Tensor

TINY = 1e-12  # what a share or a sum of them is held away from 0 by, so that no gradient becomes NaN


@dataclass(frozen=True)
class Objective:
    """loss: logits and targets, as the module says, to a scalar. activation: (batch, classes) logits to probabilities."""

    loss: Callable[[Tensor, Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]


def make_objective(loss: str, label_smoothing: float = 0.0, focal_gamma: float = 2.0, class_weights: Tensor | None = None) -> Objective:
    """The objective that [hyper_params] loss names; auto is cross entropy. Smoothing: Szegedy et al. 2016.

    class_weights: (classes,) float32 on the device of the logits, or None for all alike.
    """
    smoothing, weights = label_smoothing, class_weights
    losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
        "cross_entropy": lambda logits, targets: cross_entropy(logits, targets, smoothing, weights),
        "focal": lambda logits, targets: focal(logits, targets, smoothing, weights, focal_gamma),
        "bce": lambda logits, targets: binary_cross_entropy(logits, targets, smoothing, weights),
        "f1": lambda logits, targets: soft_f1(logits, targets, smoothing, weights),
    }
    name = "cross_entropy" if loss == "auto" else loss
    return Objective(losses[name], scaled_sigmoid if name == "bce" else softmax)


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """torch's; a class weight multiplies that class's term of an image's loss."""
    return functional.cross_entropy(logits.float(), targets, weight=weights, label_smoothing=smoothing, reduction="none").mean()


def focal(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None, gamma: float) -> Tensor:
    """The softmax form of Lin et al. 2017: the sum over classes c of -w_c t_c (1 - p_c)^gamma log p_c; gamma 0: cross entropy."""
    logs = logits.float().log_softmax(dim=1)
    missing = (-logs.expm1()).clamp(min=TINY)
    terms = -_smooth(logits, targets, smoothing) * missing**gamma * logs
    return (terms if weights is None else terms * weights).sum(dim=1).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Each class against the others: torch's, the mean over the classes; an image weighs what its class weighs."""
    shares = _smooth(logits, targets, smoothing)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), shares, reduction="none").mean(dim=1)
    return (losses if weights is None else losses * (_smooth(logits, targets, 0.0) * weights).sum(dim=1)).mean()


def soft_f1(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """1 - the (weighted) mean over all classes of F1 = 2TP / (2TP + FP + FN), with probabilities for counts.

    0 is the F1 of a class that a batch neither has nor predicts, as for scikit-learn's zero_division=0. This is a loss of
    the batch: the mean over batches is not that of one large batch, and batches want to hold every class.
    """
    probabilities, shares = softmax(logits), _smooth(logits, targets, smoothing)
    both = (probabilities * shares).sum(dim=0)
    scores = 2 * both / (probabilities.sum(dim=0) + shares.sum(dim=0)).clamp(min=TINY)
    return 1 - (scores.mean() if weights is None else (scores * weights).sum() / weights.sum())


def softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)


def scaled_sigmoid(logits: Tensor) -> Tensor:
    """Each class's own sigmoid, divided by the sum over the classes, where all of them are nearly 0 too."""
    return functional.logsigmoid(logits.float()).softmax(dim=1)


def _smooth(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(batch, classes) float32 shares: of classes or shares, with `smoothing` of them spread over all classes."""
    classes = logits.shape[1]
    shares = functional.one_hot(targets, classes) if targets.ndim == 1 else targets
    return shares.float() * (1 - smoothing) + smoothing / classes
