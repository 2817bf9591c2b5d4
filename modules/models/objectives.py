"""A loss together with the activation that turns its logits into predictions, so that the two cannot part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

Tensor = torch.Tensor


@dataclass(frozen=True)
class Objective:
    """loss: (batch, classes) logits and (batch,) targets to a scalar, the mean over the batch. activation: logits to probabilities."""

    loss: Callable[[Tensor, Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]


def make_objective(loss: str, label_smoothing: float) -> Objective:
    """The objective that [hyper_params] loss names; auto is cross entropy. Smoothing: Szegedy et al. 2016."""

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)

    return {"auto": Objective(cross_entropy, _softmax), "cross_entropy": Objective(cross_entropy, _softmax)}[loss]


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)
