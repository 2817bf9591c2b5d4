"""Layers that are one give what each gives by itself, and have the gradients that torch finds for each."""

from __future__ import annotations

import copy

import torch
from torch import nn

from modules.training.wide_layer import OneOf, WideLayer

PLACES = [0, 0, 1, 0, 1, 1]  # of the features that each layer sees


def test_logits_and_gradients_are_those_of_each_layer_by_itself() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(7, 3) for _ in PLACES]
    alone, features = copy.deepcopy(layers), {place: torch.randn(5, 7) for place in (0, 1)}
    weights = torch.randn(5, len(PLACES), 3)  # of the logits in a made loss
    wide = WideLayer(layers, PLACES)
    assert [(part.place, part.layers, len(part)) for part in wide.parts] == [
        (0, slice(0, 2), 2), (1, slice(2, 3), 1), (0, slice(3, 4), 1), (1, slice(4, 6), 2),
    ]  # fmt: skip
    expected = torch.stack([layer(features[place]) for layer, place in zip(alone, PLACES, strict=True)], dim=1)
    torch.testing.assert_close(wide.logits(wide.parts, features), expected)
    (expected * weights).sum().backward()
    wide.learn(wide.parts, features, weights)
    torch.testing.assert_close(wide.gradients[0], torch.stack([layer.weight.grad for layer in alone]))  # type: ignore[arg-type]
    torch.testing.assert_close(wide.gradients[1], torch.stack([layer.bias.grad for layer in alone]))  # type: ignore[arg-type]
    seen = wide.seeing(1)(features[1])
    torch.testing.assert_close(OneOf(2)(seen), alone[5](features[1]))


def test_a_step_of_the_wide_layer_is_one_of_each_layer() -> None:
    layers = [nn.Linear(4, 2) for _ in range(3)]
    wide = WideLayer(layers, [0, 0, 0])
    wide.weight += 1
    wide.bias.zero_()
    assert all(torch.equal(layer.weight.data, wide.weight[number]) for number, layer in enumerate(layers))
    assert not any(layer.bias.any() for layer in layers)
