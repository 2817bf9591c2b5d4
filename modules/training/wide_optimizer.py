"""The optimisers of several layers as one: by itself each is a call of torch's code a step, most of whose time is Python's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

TOGETHER = (SGD, Adam, AdamW)  # torch's own, whose moves are proportional to the learning rate
OWN = ("params", "lr", "initial_lr", "weight_decay")  # settings of a group in which the layers may differ


def step_alike(optimizer: Optimizer) -> tuple[object, ...] | None:
    """Optimisers that have the same of it can be one; None: this one cannot."""
    if type(optimizer) not in TOGETHER:
        return None
    settings = [{name: value for name, value in group.items() if name not in OWN} for group in optimizer.param_groups]
    return (type(optimizer).__name__, repr(settings[0])) if all(each == settings[0] for each in settings) else None


class WideOptimizer:
    """Of L layers of the same shapes, whose optimisers step alike. It comes to what each of those comes to, but for rounding.

    torch's optimiser moves from 0 at a rate of 1, (L, ...) numbers at a time. Each layer goes as much of its move as its
    own rate says, and its weight decay is its own. So nothing of one layer reaches another, also where it is no number.
    """

    def __init__(self, own: Sequence[Optimizer], layers: Sequence[Sequence[nn.Parameter]]) -> None:
        """layers: the parameters of each, as its optimiser has them."""
        self.rates = _of_each(own, layers, "initial_lr")
        self.decays = _of_each(own, layers, "weight_decay")
        self.moves = [nn.Parameter(torch.zeros_like(torch.stack([each.data for each in same]))) for same in zip(*layers, strict=True)]
        self.decoupled = isinstance(own[0], AdamW)
        self.optimizer = _kind(own[0])(self.moves)
        self._group.update({**own[0].param_groups[0], "params": [*self.moves], "lr": 1.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], factors: torch.Tensor) -> None:
        """parameters, gradients: (L, ...) each, the parameters changed in place. factors: (L,) that the rates are multiplied with."""
        rates = [rate * factors.view_as(rate) for rate in self.rates]
        for parameter, gradient, move, rate, decay in zip(parameters, gradients, self.moves, rates, self.decays, strict=True):
            if self.decoupled:
                parameter.addcmul_(parameter, -rate * decay)
            else:
                gradient = torch.addcmul(gradient, parameter, decay)
            move.zero_()
            move.grad = gradient
        self.optimizer.step()
        for parameter, move, rate in zip(parameters, self.moves, rates, strict=True):
            parameter.addcmul_(move, rate)

    def keep(self, places: Sequence[int]) -> None:
        """Goes on with these of the layers."""
        where = list(places)
        self.rates, self.decays = ([each[where] for each in part] for part in (self.rates, self.decays))
        for number, move in enumerate(self.moves):
            kept, state = nn.Parameter(move.data[where]), self.optimizer.state.pop(move)
            self.optimizer.state[kept] = {
                name: value[where] if isinstance(value, torch.Tensor) and value.shape == move.shape else value
                for name, value in state.items()
            }
            self.moves[number] = self._group["params"][number] = kept

    @property
    def _group(self) -> dict[str, Any]:
        group: dict[str, Any] = self.optimizer.param_groups[0]
        return group


def _kind(optimizer: Optimizer) -> Any:
    """What makes another one of it."""
    return type(optimizer)


def _of_each(own: Sequence[Optimizer], layers: Sequence[Sequence[nn.Parameter]], setting: str) -> list[torch.Tensor]:
    """Of each parameter (L, 1, ...) what the layers' optimisers have set for it."""
    known = {id(each): group[setting] for optimizer in own for group in optimizer.param_groups for each in group["params"]}
    return [
        torch.tensor([known[id(each)] for each in same], device=same[0].device).view(-1, *[1] * same[0].ndim)
        for same in zip(*layers, strict=True)
    ]
