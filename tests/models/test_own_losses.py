"""A loss of one's own: for each kind of task the logits, targets and predictions that Foldini's own loss has with that activation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from modules.compute.own_code import forget
from modules.config.errors import DataError, OptionError
from modules.config.own_code import OwnCode
from modules.config.schema import HyperParams, Model
from modules.data.task import Output, Scale, Task
from modules.models.own_losses import ACTIVATIONS_OF, load_loss
from modules.prediction.logits import check_objective, network_outputs, task_objective

ABC = ("a", "b", "c")
SCALE = Scale(50.0, 10.0, 0.0, 100.0)
TASKS = {
    "multiclass": Task("multiclass", (Output("y", ABC),)),
    "binary": Task("binary", (Output("y", ("no", "yes")),)),
    "multilabel": Task("multilabel", (Output("y", ABC),)),
    "ordinal": Task("ordinal", (Output("y", ABC, Scale(1.0, 0.8, 0.0, 2.0)),)),
    "regression": Task("regression", (Output("x", (), SCALE), Output("y", (), SCALE))),
    "multioutput": Task("multioutput", (Output("x", ABC), Output("y", ("no", "yes")))),
}
CODE = """
import torch
from torch import nn
from torch.nn import functional

def cross_entropy(logits, targets): return functional.cross_entropy(logits, targets)
cross_entropy.activation = "softmax"
def of_one(logits, targets):
    shares = targets.float() if targets.ndim == 1 else targets[:, 1]
    return functional.binary_cross_entropy_with_logits(logits[:, 0], shares)
def of_labels(logits, targets): return functional.binary_cross_entropy_with_logits(logits, targets)
def of_numbers(logits, targets): return functional.mse_loss(logits, targets)

class Weighted(nn.Module):
    activation = "softmax"
    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 2.0, 3.0]))
    def forward(self, logits, targets):
        return functional.cross_entropy(logits, targets, self.weights)

def fails_later(logits, targets):
    if len(logits) == 5:
        raise ValueError("five")
    return logits.square().mean()
"""
# (kind of task, one's own loss, Foldini's with the same activation and, but for the form, the same numbers)
SAME = [
    ("multiclass", "cross_entropy", "cross_entropy"),
    ("binary", "cross_entropy", "cross_entropy"),
    ("binary", "of_one", "bce"),
    ("multilabel", "of_labels", "bce"),
    ("ordinal", "of_numbers", "mse"),
    ("ordinal", "cross_entropy", "cross_entropy"),
    ("regression", "of_numbers", "mse"),
    ("multioutput", "cross_entropy", "cross_entropy"),
]


@pytest.fixture(autouse=True)
def _code() -> None:
    Path("my_losses.py").write_text(CODE)
    forget()


def hyper(name: str) -> HyperParams:
    return HyperParams(loss=OwnCode(f"my_losses:{name}"))


def targets_of(kind: str, count: int) -> torch.Tensor:
    rows = torch.arange(count)
    return {
        "multiclass": rows % 3,
        "binary": rows % 2,
        "multilabel": (rows[:, None] % torch.tensor([2, 3, 4]) == 0).float(),
        "ordinal": rows % 3,
        "regression": torch.stack([rows * 1.5, 90.0 - rows], dim=1),
        "multioutput": torch.stack([rows % 3, rows % 2], dim=1),
    }[kind]


@pytest.mark.parametrize(("kind", "own", "ours"), SAME)
def test_it_stands_where_foldinis_own_loss_of_that_activation_would(kind: str, own: str, ours: str) -> None:
    task, model = TASKS[kind], Model()
    mine, theirs = hyper(own), HyperParams(loss=ours)  # type: ignore[arg-type]
    check_objective(task, model, mine, shares=kind != "multioutput")
    count = network_outputs(task, model, mine)
    assert count == network_outputs(task, model, theirs)
    logits, targets = torch.randn(12, count, generator=torch.Generator().manual_seed(1)), targets_of(kind, 12)
    first, second = task_objective(task, model, mine), task_objective(task, model, theirs)
    assert first.loss(logits, targets).item() == pytest.approx(second.loss(logits, targets).item(), rel=1e-5)
    assert torch.equal(first.activation(logits), second.activation(logits))
    assert first.loss(logits.bfloat16(), targets).dtype == torch.float32, "it computes in 32 bits"


@pytest.mark.parametrize("kind", ACTIVATIONS_OF)
def test_what_says_nothing_has_the_first_activation_of_its_task(kind: str) -> None:
    assert load_loss("my_losses:of_numbers", kind).activation == ACTIVATIONS_OF[kind][0]


def test_a_module_with_buffers_is_made_and_called() -> None:
    task, own = TASKS["multiclass"], hyper("Weighted")
    check_objective(task, Model(), own, shares=True)
    logits, targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    expected = functional.cross_entropy(logits, targets, torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(task_objective(task, Model(), own).loss(logits, targets), expected)


def test_an_activation_that_does_not_go_with_the_task_is_refused() -> None:
    with pytest.raises(OptionError, match=r"my_losses:cross_entropy.activation: expected sigmoid for task = multilabel, got 'softmax'"):
        load_loss("my_losses:cross_entropy", "multilabel")


def test_one_that_fails_while_it_trains_is_one_line() -> None:
    objective = task_objective(TASKS["multiclass"], Model(), hyper("fails_later"))
    with pytest.raises(DataError, match=r"^my_losses:fails_later fails: ValueError: five \(my_losses\.py:\d+\)$"):
        objective.loss(torch.zeros(5, 3), torch.zeros(5, dtype=torch.int64))
