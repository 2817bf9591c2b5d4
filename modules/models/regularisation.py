"""Dropout before the head, stochastic depth, and activations that are computed again; no parameter comes or goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from modules.config.errors import OptionError
from modules.models.metadata import try_out


def set_torchvision_dropout(module: nn.Module, head: str, rate: float) -> None:
    """Drops `rate` of what goes into the head: by the classifier's own dropout layers where it has them, else by a hook."""
    own = [
        part
        for name, part in module.named_modules()
        if isinstance(part, nn.Dropout) and (name == "dropout" or name.startswith("classifier."))
    ]
    for part in own:
        part.p = rate
    if not own:
        drop_inputs(module, head, rate)


def drop_inputs(module: nn.Module, layer: str, rate: float) -> None:
    """Drops `rate` of what goes into `layer`, while that trains."""
    module.get_submodule(layer).register_forward_pre_hook(_Dropout(rate))


class _Dropout:
    """A forward pre-hook, since a module around the head would rename its parameters."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (functional.dropout(inputs[0], self.rate, layer.training), *inputs[1:])


def check_dropout(module: nn.Module, name: str, rate: float, image: torch.Tensor) -> None:
    """Raises OptionError where no such dropout happens to `image`, (1, channels, height, width), on its way in training.

    A library may take the rate and do nothing with it, so that its word is not enough.
    """
    modes = {part: part.training for part in module.modules()}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _DropoutRates() as seen:
        try:
            for part in modes:  # one image has no statistics, and there are none to be kept
                part.training = not isinstance(part, _BatchNorm)
            try_out(module, image)
        finally:
            for part, mode in modes.items():
                part.training = mode
    if rate not in seen.rates:
        raise OptionError("model", "dropout", f"{name} takes a dropout and does not use it; use 0")


class _DropoutRates(TorchFunctionMode):
    """Notes the rate of every dropout that is called in training mode while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: set[float] = set()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(keywords or {})
        if function is functional.dropout:
            rate, training = (*arguments[1:], *(given[key] for key in ("p", "training") if key in given))[:2]
            if training:
                self.rates.add(float(rate))
        return function(*arguments, **given)


def set_torchvision_drop_path(module: nn.Module, rate: float) -> None:
    """Rescales the model's own stochastic depth, which rises linearly over its blocks, to end at `rate` (Huang et al. 2016)."""
    from torchvision.ops import StochasticDepth

    layers = [part for part in module.modules() if isinstance(part, StochasticDepth)]
    highest = max((layer.p for layer in layers), default=0.0)
    if highest > 0:
        for layer in layers:
            layer.p = layer.p * rate / highest


def check_drop_path(module: nn.Module, name: str) -> None:
    """Raises OptionError where the model has no layers of stochastic depth, or none at more than 0."""
    rates = [getattr(part, "drop_prob", getattr(part, "p", 0.0)) for part in module.modules() if type(part).__name__ in DROP_PATHS]
    if not any(rates):
        raise OptionError("model", "drop_path", f"{name} has no stochastic depth; use 0")


def set_grad_checkpointing(module: Any, library: str, name: str) -> None:
    """Has timm's model keep only the activations between its blocks, and compute the others again going back.

    BatchNorm sees every batch twice then, and would count it twice: its statistics stand still the second time.
    Raises OptionError where the model cannot.
    """
    fault = f"{library}'s {name} cannot compute its activations again; use false"
    if library != "timm" or not hasattr(module, "set_grad_checkpointing"):
        raise OptionError("model", "grad_checkpointing", fault)
    try:
        module.set_grad_checkpointing(True)
    except AssertionError:
        raise OptionError("model", "grad_checkpointing", fault) from None
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(_stand_still)
            part.register_forward_hook(_move_again, always_call=True)  # going back may stop within a layer, by an exception


def _stand_still(layer: Any, inputs: Any) -> None:
    if layer.training and torch._C._current_graph_task_id() != -1:  # going back: torch.utils.module_tracker asks the same
        layer.usual_momentum, layer.momentum = layer.momentum, 0.0
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked -= 1


def _move_again(layer: Any, inputs: Any, outputs: Any) -> None:
    if hasattr(layer, "usual_momentum"):
        layer.momentum = layer.usual_momentum
        del layer.usual_momentum


DROP_PATHS = ("DropPath", "StochasticDepth")
