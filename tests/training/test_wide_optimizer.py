"""Layers whose optimisers are one come to what each comes to by its own."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from modules.config.schema import HyperParams
from modules.training.optimizer import make_optimizer, set_learning_rate
from modules.training.wide_optimizer import WideOptimizer, step_alike

LAYERS, STEPS = 4, 30
DIFFERENT = [(1e-3, 0.0), (0.1, 0.3), (3e-2, 1.0), (1.0, 1e-3)]  # learning rate, weight decay


def make_layers() -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(37, 3) for _ in range(LAYERS)]


def optimizers_of(layers: list[nn.Linear], name: str) -> list[torch.optim.Optimizer]:
    hyper = HyperParams(optimizer=name, momentum=0.8)
    settings = [replace(hyper, learning_rate=rate, weight_decay=decay) for rate, decay in DIFFERENT]
    return [make_optimizer(layer, each) for layer, each in zip(layers, settings, strict=True)]


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(LAYERS, 3, 37, generator=generator), torch.randn(LAYERS, 3, generator=generator)]


def factors(step: int) -> torch.Tensor:
    return torch.tensor([(step + place + 1) / STEPS for place in range(LAYERS)])


def train_together(name: str, places: list[int], leave: int = STEPS, spoil: int | None = None) -> list[torch.Tensor]:
    """places: that go on after step `leave`. spoil: the place whose gradients are no numbers. The parameters of all layers at the end."""
    layers = make_layers()
    wide = WideOptimizer(optimizers_of(layers, name), [list(layer.parameters()) for layer in layers])
    parameters = [torch.stack([layer.weight.data for layer in layers]), torch.stack([layer.bias.data for layer in layers])]
    for step in range(STEPS):
        found, own = gradients(step), factors(step)
        if spoil is not None:
            for each in found:
                each[spoil] = float("nan")
        if step < leave:
            wide.step(parameters, found, own)
            continue
        if step == leave:
            wide.keep(places)
        going = [each[places] for each in parameters]
        wide.step(going, [each[places] for each in found], own[places])
        for whole, part in zip(parameters, going, strict=True):
            whole[places] = part
    return parameters


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("leave", [STEPS, 11])
def test_each_layer_comes_to_what_its_own_optimiser_makes_of_it(name: str, leave: int) -> None:
    going = [0, 2, 3]
    weight, bias = train_together(name, going, leave)
    layers = make_layers()
    for place, (layer, optimizer) in enumerate(zip(layers, optimizers_of(layers, name), strict=True)):
        begun = copy.deepcopy(layer)
        for step in range(STEPS if place in going else leave):
            layer.weight.grad, layer.bias.grad = (each[place].clone() for each in gradients(step))
            set_learning_rate(optimizer, float(factors(step)[place]))
            optimizer.step()
        torch.testing.assert_close(weight[place], layer.weight.data, rtol=2e-5, atol=2e-6)
        torch.testing.assert_close(bias[place], layer.bias.data, rtol=2e-5, atol=2e-6)
        assert not torch.allclose(layer.weight, begun.weight)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_one_that_is_no_number_leaves_every_bit_of_the_others(name: str) -> None:
    whole, spoilt = (train_together(name, [], spoil=spoil) for spoil in (None, 1))
    for one, other in zip(whole, spoilt, strict=True):
        assert other[1].isnan().all()
        assert torch.equal(one[[0, 2, 3]], other[[0, 2, 3]])


def test_optimisers_of_one_kind_step_alike_whatever_their_rates_and_decay() -> None:
    layers = make_layers()
    assert len({step_alike(each) for each in optimizers_of(layers, "adamw")}) == 1
    hypers = [HyperParams(optimizer="sgd", momentum=0.9), HyperParams(optimizer="sgd", momentum=0.5), HyperParams(optimizer="adamw")]
    assert len({step_alike(make_optimizer(layers[0], hyper)) for hyper in hypers}) == 3
    assert step_alike(make_optimizer(layers[0], HyperParams(optimizer="lamb"))) is None
