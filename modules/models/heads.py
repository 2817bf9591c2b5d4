"""The first and the last layer of any model: found, replaced, initialised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from modules.config.errors import OptionError, counted
from modules.models.metadata import try_out


def find_head(module: nn.Module, outputs: int) -> str:
    """The name of the last linear layer or convolution that has `outputs` outputs.

    Raises OptionError where there is none: then the model is no classifier whose head could be replaced.
    """
    names = layers_with(module, outputs)
    if not names:
        raise OptionError("model", "name", f"no layer with {counted(outputs, 'output')} was found to replace")
    return names[-1]


def layers_with(module: nn.Module, outputs: int) -> list[str]:
    """The names of all linear layers and convolutions that have `outputs` outputs."""
    return [str(name) for name, layer in module.named_modules() if _outputs_of(layer) == outputs]


def replace_head(module: nn.Module, name: str, outputs: int) -> None:
    """Puts a new layer of the same kind, with `outputs` outputs, in the place of layer `name`."""
    old: Any = module.get_submodule(name)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, outputs, bias=old.bias is not None)
    else:
        new = nn.Conv2d(old.in_channels, outputs, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
    _set_layer(module, name, new)


APPENDED = "appended"


class Appended(nn.Module):
    """Mixed into a model's own class: `appended` takes what the model gave.

    Every parameter of the model keeps the name that its library gave it, which it would lose in a module around it. And
    it is a forward pass like any other, unlike a hook, which would be lost wherever a model is traced.
    """

    appended: nn.Linear

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.appended(super().forward(images))
        return logits


def append_head(module: nn.Module, inputs: int, outputs: int) -> None:
    """Lets a new linear layer, `appended`, follow all `inputs` outputs of the model."""
    assert not hasattr(module, APPENDED)
    module.add_module(APPENDED, nn.Linear(inputs, outputs))
    own: Any = type(module)
    module.__class__ = _appended(own)


@cache
def _appended(own: type[nn.Module]) -> type[nn.Module]:
    """One class for all folds, so that they share compiled code."""
    return type(own.__name__, (Appended, own), {"__module__": own.__module__})


def init_head(module: nn.Module, names: tuple[str, ...], how: str, pretrained: bool) -> None:
    """First values of the head: weights by `how`, biases zero; `default` leaves what the library gave.

    xavier: Glorot and Bengio 2010, uniform. kaiming: He et al. 2015, normal, fan out. normal: standard deviation .01. auto:
    normal above pretrained layers, since a library's own values may be so large that the first steps only undo them.
    """
    if how == "default" or (how == "auto" and not pretrained):
        return
    how = "normal" if how == "auto" else how
    for name in names:
        for parameter_name, parameter in module.get_submodule(name).named_parameters():
            if parameter.ndim > 1:
                INITIALISATIONS[how](parameter)
            elif parameter_name.endswith("bias"):
                nn.init.zeros_(parameter)


def check_zeros(module: nn.Module, names: tuple[str, ...], image: torch.Tensor) -> None:
    """Raises OptionError where a head of zeros would never learn: behind a ReLU, zeros have no gradient.

    image: (1, channels, height, width).
    """
    layers = [module.get_submodule(name) for name in names]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.enable_grad():
            gradients = torch.autograd.grad(try_out(module.eval(), image).sum(), parameters, allow_unused=True)
    finally:
        for part, mode in modes.items():
            part.training = mode
    if not any(gradient is not None and bool(gradient.any()) for gradient in gradients):
        raise OptionError("model", "head_init", "zeros would never learn here: what comes after gives them no gradient; use normal")


def find_stem(module: nn.Module) -> str:
    """The name of the first convolution: the layer that sees the image."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            return str(name)
    raise OptionError("data", "channels", "the model has no convolution whose channels could be changed; use 3")


def replace_stem(module: nn.Module, name: str, channels: int) -> None:
    """Puts a new convolution for `channels` input channels in the place of convolution `name`."""
    old: Any = module.get_submodule(name)
    assert old.groups == 1
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        old.dilation,
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    _set_layer(module, name, new)


def adapt_stem(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A convolution's (out, 3, height, width) weights for `channels` input channels.

    For one channel the three are summed, so that a grey image gives what its copy in three channels gave. For more they are
    repeated in turn, scaled so that their sum stays about what it was: as timm's adapt_input_conv does.
    """
    if channels == weight.shape[1]:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = -(-channels // 3)
    return weight.repeat(1, turns, 1, 1)[:, :channels] * (3 / channels)


def init_stem(module: nn.Module, name: str, how: str) -> None:
    """First values of the first layer: xavier or kaiming; other words leave what the library gave."""
    if how in INITIALISATIONS:
        INITIALISATIONS[how](module.get_parameter(f"{name}.weight"))


def _kaiming(weight: torch.Tensor) -> torch.Tensor:
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def _normal(weight: torch.Tensor) -> torch.Tensor:
    return nn.init.normal_(weight, std=0.01)


INITIALISATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "kaiming": _kaiming,
    "normal": _normal,
    "zeros": nn.init.zeros_,
}


def _outputs_of(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def _set_layer(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, layer)
