"""Many linear layers of the same shape as one: those that see the same features are one product of matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Part:
    """Layers that stand together and see the same features. place: of these features. layers: the places of the layers."""

    place: int
    layers: slice

    def __len__(self) -> int:
        return int(self.layers.stop - self.layers.start)


class WideLayer:
    """L layers: weight (L, logits, numbers), bias (L, logits), and their gradients. The layers' own tensors are parts of these."""

    def __init__(self, layers: Sequence[nn.Linear], places: Sequence[int]) -> None:
        """places: of the features that each layer sees; the fewer changes from one layer to the next, the fewer products."""
        self.weight = torch.stack([layer.weight.data for layer in layers])
        self.bias = torch.stack([layer.bias.data for layer in layers])
        for number, layer in enumerate(layers):
            layer.weight.data, layer.bias.data = self.weight[number], self.bias[number]
        self.gradients = torch.empty_like(self.weight), torch.empty_like(self.bias)
        self.parts: list[Part] = []
        for place, same in groupby(places):
            start = self.parts[-1].layers.stop if self.parts else 0
            self.parts.append(Part(place, slice(start, start + len(list(same)))))

    def logits(self, parts: Sequence[Part], features: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """(batch, layers, logits) of these parts. features: (batch, numbers) by their place."""
        found = []
        for part in parts:
            weight, bias = self.weight[part.layers], self.bias[part.layers]
            flat = nn.functional.linear(features[part.place], weight.flatten(0, 1), bias.flatten())
            found.append(flat.view(len(flat), *bias.shape))
        return torch.cat(found, dim=1)

    def learn(self, parts: Sequence[Part], features: Mapping[int, torch.Tensor], of_logits: torch.Tensor) -> None:
        """The gradients of these parts, from those of what `logits` gave; for layers this simple that takes half of autograd's time."""
        weight, bias = self.gradients
        for part, own in zip(parts, torch.split(of_logits, [len(part) for part in parts], dim=1), strict=True):
            torch.mm(own.flatten(1).t(), features[part.place], out=weight[part.layers].flatten(0, 1))
            torch.sum(own, dim=0, out=bias[part.layers])

    def seeing(self, place: int) -> _Seeing:
        """What calls the layers that see these features, and no others, in their order: (batch, numbers) to (batch, layers, logits)."""
        return _Seeing(self, place)


class OneOf(nn.Module):
    """(batch, layers, logits) to those of one layer."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, self.number]


class _Seeing(nn.Module):
    def __init__(self, wide: WideLayer, place: int) -> None:
        super().__init__()
        self.wide, self.place = wide, place
        self.parts = [part for part in wide.parts if part.place == place]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.wide.logits(self.parts, {self.place: features})
