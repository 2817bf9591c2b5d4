"""Compiled code in the place of a model's own (torch.compile), once for all folds and inference. What it computes is the model's own.

Modules of one class share their code, since parameters are inputs of it: the next fold, with a model of its own, finds it
ready. It is made for full batches alone, once for training (for a process's part of one, where several share them) and once
for predicting. Other batches, such as an epoch's last, go through the model as it is: code for any number of images is
slower, and code for each number takes long to make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from modules.compute.compiler import explain_failure
from modules.config.errors import OptionError


def compiled(model: nn.Module, wanted: bool, *batch_sizes: int) -> nn.Module:
    """What to call for the model: its compiled code for batches of these sizes, or where that is not `wanted` the model itself."""
    return Compiled(model, *batch_sizes) if wanted else model


class Compiled(nn.Module):
    """A model whose full batches go through compiled code. No tensor is its own: they are the model's, and so is the mode."""

    model: nn.Module
    code: Callable[..., Any]

    def __init__(self, model: nn.Module, *batch_sizes: int) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "code", torch.compile(model, dynamic=False))
        self.batch_sizes = batch_sizes

    def train(self, mode: bool = True) -> Compiled:
        self.model.train(mode)
        return self

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the model gives. Raises OptionError where torch cannot make code of it."""
        if len(inputs[0]) not in self.batch_sizes:
            return self.model(*inputs)
        try:
            return self.code(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            fault = f"this model cannot be compiled: {explain_failure(error)}; use false"
            raise OptionError("settings", "compile", fault) from None
