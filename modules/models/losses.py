"""The arithmetic of losses: plain functions of logits and targets, in float32, that know nothing of tasks.

targets: (batch,) int64 classes, or (batch, classes) float shares that sum to 1 a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

Tensor = torch.Tensor

TINY = 1e-12  # what a share or a sum of them is held away from 0 by, so that no gradient becomes NaN


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """torch's, (batch,) of each image; a class weight multiplies that class's term."""
    return functional.cross_entropy(logits.float(), targets, weight=weights, label_smoothing=smoothing, reduction="none")


def focal(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None, gamma: float) -> Tensor:
    """The softmax form of Lin et al. 2017, (batch,) of each image: the sum over classes c of -w_c t_c (1 - p_c)^gamma log p_c;
    gamma 0: cross entropy.
    """
    logs = logits.float().log_softmax(dim=1)
    missing = (-logs.expm1()).clamp(min=TINY)
    terms = -smooth(logits, targets, smoothing) * missing**gamma * logs
    return (terms if weights is None else terms * weights).sum(dim=1)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Each class against the others, (batch,) of each image: torch's, the mean over the classes; an image weighs what its class
    weighs.
    """
    shares = smooth(logits, targets, smoothing)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), shares, reduction="none").mean(dim=1)
    return losses if weights is None else losses * (smooth(logits, targets, 0.0) * weights).sum(dim=1)


def soft_f1(probabilities: Tensor, shares: Tensor, weights: Tensor | None) -> Tensor:
    """1 - the (weighted) mean over all classes of F1 = 2TP / (2TP + FP + FN), with probabilities for counts.

    0 is the F1 of a class that a batch neither has nor predicts, as for scikit-learn's zero_division=0. This is a loss of
    the batch: the mean over batches is not that of one large batch, and batches want to hold every class.
    """
    both = (probabilities * shares).sum(dim=0)
    scores = 2 * both / (probabilities.sum(dim=0) + shares.sum(dim=0)).clamp(min=TINY)
    return 1 - (scores.mean() if weights is None else (scores * weights).sum() / weights.sum())


def softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)


def scaled_sigmoid(logits: Tensor) -> Tensor:
    """Each class's own sigmoid, divided by the sum over the classes, where all of them are nearly 0 too."""
    return functional.logsigmoid(logits.float()).softmax(dim=1)


def against_zero(logits: Tensor) -> Tensor:
    """(batch, 1) logits to (batch, 2), of which the first is 0."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


def mean_position(shares: Tensor) -> Tensor:
    """(batch, classes) to (batch, 1); no product of matrices, which autocast would make less precise."""
    return (shares * torch.arange(shares.shape[1], device=shares.device)).sum(dim=1, keepdim=True)


def smooth(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(batch, classes) float32 shares: of classes or shares, with `smoothing` of them spread over all classes."""
    return smoothed(shares_of(targets, logits.shape[1]), smoothing)


def smoothed(shares: Tensor, smoothing: float) -> Tensor:
    return shares * (1 - smoothing) + smoothing / shares.shape[1]


def shares_of(targets: Tensor, classes: int) -> Tensor:
    """(batch, classes) float32 shares, of classes or shares."""
    return (functional.one_hot(targets, classes) if targets.ndim == 1 else targets).float()


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}
