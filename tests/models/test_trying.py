"""What is found out about a model by calling it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modules.models.trying import some_idle


class Aside(nn.Module):
    """With a layer that nothing depends on."""

    def __init__(self, idle: bool) -> None:
        super().__init__()
        self.used = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        if idle:
            self.idle = nn.Linear(4, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.used(inputs)
        return found


@pytest.mark.parametrize("idle", [True, False])
def test_a_layer_that_the_output_does_not_depend_on_is_found_and_nothing_changes(idle: bool) -> None:
    model = Aside(idle).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert some_idle(model, model, torch.randn(2, 4)) == idle
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_layer_that_nothing_depends_on_does_not_matter() -> None:
    model = Aside(idle=True)
    model.idle.requires_grad_(False)
    assert not some_idle(model, model, torch.randn(2, 4))
