"""Optimisers by name, from timm's factory, and the learning rate of each layer."""

from __future__ import annotations

from typing import Any

import timm.optim
import torch
from timm.models import group_parameters
from torch import nn

from modules.config.errors import OptionError, nearest
from modules.config.schema import HyperParams
from modules.models.heads import APPENDED

SECOND_ORDER = ("adahessian",)  # wants gradients of gradients, which a step here does not compute
FUSED = ("sgd", "momentum", "adam", "adamw")  # torch's, by timm's names
TENSORS_PER_LAYER = 12  # timm's own number, for models that do not say what a layer of theirs is


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


def make_optimizer(module: nn.Module, hyper: HyperParams, head: tuple[str, ...] = ()) -> torch.optim.Optimizer:
    """The optimiser of everything in `module` that trains; weight decay spares norms and biases.

    head: the names of the layers that have head_learning_rate. Each group remembers the rate that the schedule
    multiplies, as `initial_lr`. Raises OptionError where the optimiser needs a package that is not installed, or takes
    no such arguments.
    """
    try:
        optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            module,
            opt=hyper.optimizer.lower(),
            lr=hyper.learning_rate,
            weight_decay=hyper.weight_decay,
            momentum=hyper.momentum,
            **_fused(hyper.optimizer.lower(), module),
            param_group_fn=lambda module: _groups(module, hyper, head),
        )
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OptionError("hyper_params", "optimizer", f"{hyper.optimizer} cannot be made: {reason}") from None
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    _begin_momentum(optimizer)
    return optimizer


def _fused(name: str, module: nn.Module) -> dict[str, bool]:
    """torch's own optimisers update all tensors in one go where they are asked to: two to eight times as fast on a CPU.

    They walk through memory, and take for granted that a parameter lies there without gaps, as its gradient does: a part
    of a larger tensor would be updated with the gradients of other numbers.
    """
    whole = all(_is_whole(parameter) for parameter in module.parameters() if parameter.requires_grad)
    return {"fused": True} if name in FUSED and whole else {}


def _is_whole(parameter: torch.Tensor) -> bool:
    return parameter.is_contiguous() or (parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last))


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """From zeros, which comes to the same: torch's fused SGD fails where a parameter has its first gradient after others had theirs."""
    if isinstance(optimizer, torch.optim.SGD):
        for group in optimizer.param_groups:
            for parameter in group["params"] if group["fused"] and group["momentum"] else ():
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def layer_depths(module: nn.Module, head: tuple[str, ...]) -> dict[str, int]:
    """Each parameter's distance from the head, which is 0, counted in layers.

    What a layer is, timm's models say themselves. Of others, every twelve tensors in the order of the parameters are
    one, as in timm.optim.auto_group_layers.
    """
    names = [name for name, _ in module.named_parameters()]
    group_matcher: Any = getattr(module, "group_matcher", None)
    if group_matcher is not None:
        layers: dict[str, int] = group_parameters(module, group_matcher(coarse=False), reverse=True)
        last = max(layers.values()) + (head == (APPENDED,))  # a layer of its own, above the library's last
    else:
        body = [name for name in names if not _inside(name, head)]
        layers = {name: index // TENSORS_PER_LAYER for index, name in enumerate(body)}
        last = max(layers.values(), default=-1) + 1
    return {name: 0 if _inside(name, head) else last - layers.get(name, last) for name in names}


def _groups(module: nn.Module, hyper: HyperParams, head: tuple[str, ...]) -> list[dict[str, Any]]:
    """timm's groups, with and without weight decay, each divided by the rate that its parameters have."""
    no_weight_decay: Any = getattr(module, "no_weight_decay", tuple)
    rates = _rates(module, hyper, head)
    found = []
    for group in timm.optim.param_groups_weight_decay(module, weight_decay=hyper.weight_decay, no_weight_decay_list=no_weight_decay()):
        by_rate: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_rate.setdefault(rates[id(parameter)], []).append(parameter)
        found += [{**group, "params": parameters, "lr": rate} for rate, parameters in by_rate.items()]
    return found


def _rates(module: nn.Module, hyper: HyperParams, head: tuple[str, ...]) -> dict[int, float]:
    """By a parameter's id: learning_rate * layer_decay ** depth (Clark et al. 2020); of the head, head_learning_rate."""
    depths = layer_depths(module, head) if hyper.layer_decay < 1 else {}
    rate_of_head = hyper.head_learning_rate or hyper.learning_rate
    return {
        id(parameter): rate_of_head if _inside(name, head) else hyper.learning_rate * hyper.layer_decay ** depths.get(name, 0)
        for name, parameter in module.named_parameters()
    }


def _inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{other}.") for other in modules)
