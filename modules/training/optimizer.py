"""Optimisers by name, from timm's factory."""

from __future__ import annotations

import timm.optim
import torch
from torch import nn

from modules.config.errors import OptionError, nearest
from modules.config.schema import HyperParams

SECOND_ORDER = ("adahessian",)  # wants gradients of gradients, which a step here does not compute


def check_optimizer(hyper: HyperParams) -> None:
    """Raises OptionError where timm has no such optimiser, with the nearest names, or where it cannot be made here."""
    name = hyper.optimizer
    names = timm.optim.list_optimizers()
    if name.lower() not in names:
        close = nearest(name, names, 3)
        raise OptionError("hyper_params", "optimizer", f"timm has no optimiser '{name}'; the nearest are {', '.join(close or names[:3])}")
    if name.lower() in SECOND_ORDER:
        raise OptionError("hyper_params", "optimizer", f"{name} needs second derivatives, which are not computed here")
    make_optimizer(nn.Linear(2, 2), hyper)


def make_optimizer(module: nn.Module, hyper: HyperParams) -> torch.optim.Optimizer:
    """The optimiser of everything in `module` that trains; weight decay spares norms and biases.

    Each group remembers the rate that the schedule multiplies, as `initial_lr`. Raises OptionError where the optimiser
    needs a package that is not installed, or takes no such arguments.
    """
    try:
        optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            module, opt=hyper.optimizer.lower(), lr=hyper.learning_rate, weight_decay=hyper.weight_decay, momentum=hyper.momentum
        )
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OptionError("hyper_params", "optimizer", f"{hyper.optimizer} cannot be made: {reason}") from None
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
