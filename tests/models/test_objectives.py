"""A loss and its activation, against torch's own and against the formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from modules.models.objectives import make_objective


@pytest.mark.parametrize("name", ["auto", "cross_entropy"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_with_smoothing_is_torchs(name: str, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(9, 5, generator=generator) * 3, torch.randint(0, 5, (9,), generator=generator)
    found = make_objective(name, smoothing).loss(logits, targets)
    assert torch.equal(found, nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets))
    logs = logits.double().log_softmax(1)
    by_hand = -(1 - smoothing) * logs[torch.arange(9), targets] - smoothing * logs.mean(1)
    assert float(found) == pytest.approx(float(by_hand.mean()), abs=1e-5)


def test_the_activation_is_the_softmax() -> None:
    found = make_objective("auto", 0.1).activation(torch.tensor([[0.0, math.log(3.0)], [1000.0, -1000.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))


def test_half_precision_logits_are_scored_in_full_precision() -> None:
    logits = torch.tensor([[12.0, -3.5, 0.25]], dtype=torch.bfloat16, requires_grad=True)
    objective = make_objective("auto", 0.0)
    loss = objective.loss(logits, torch.tensor([1]))
    assert loss.dtype == torch.float32 and objective.activation(logits).dtype == torch.float32
    assert loss.item() == pytest.approx(15.5 + math.log1p(math.exp(-15.5) + math.exp(-11.75)), abs=1e-5)
    loss.backward()
    assert logits.grad is not None
