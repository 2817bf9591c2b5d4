"""How the last feature map becomes one vector: the model's own pooling, exchanged in place; no parameter comes or goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from modules.config.errors import OptionError

Tensor = torch.Tensor
POWER = 3.0  # of the generalised mean: what Radenovic et al. 2018 start from; not learnt, so that no parameter is added
SMALLEST = 1e-6


class Pooling(nn.Module):
    """(batch, channels, height, width) features, or with `channels_last` (batch, height, width, channels), to `size`.

    `flatten`: to (batch, channels); only for a size of 1 x 1.
    """

    def __init__(self, kind: str, size: tuple[int, int] = (1, 1), flatten: bool = False, channels_last: bool = False) -> None:
        super().__init__()
        self.kind, self.size, self.flatten, self.channels_last = kind, size, flatten, channels_last

    def forward(self, features: Tensor) -> Tensor:
        if self.channels_last:
            features = features.permute(0, 3, 1, 2)
        pooled = POOLINGS[self.kind](features, self.size)
        if self.flatten:
            return pooled.flatten(1)
        return pooled.permute(0, 2, 3, 1) if self.channels_last else pooled

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.size[0]} x {self.size[1]}"


def set_pooling(module: nn.Module, library: str, kind: str) -> None:
    """Has the model pool its last features by `kind`; auto, and what it does already, leave it as it is.

    Raises OptionError where its library gives no place to change that.
    """
    if kind != "auto":
        (_set_in_timm if library == "timm" else _set_in_torchvision)(module, kind)


def _set_in_torchvision(module: nn.Module, kind: str) -> None:
    """Exchanges the pooling before the head; those within squeeze-excitation blocks lie deeper."""
    places = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.AdaptiveAvgPool2d) and (name == "avgpool" or name.startswith("classifier."))
    ]
    if not places:
        reason = "it has no pooling layer: its own code averages, or takes the class token"
        raise OptionError("model", "pooling", f"torchvision's {type(module).__name__} cannot pool by {kind}: {reason}; use auto")
    if kind == "avg":
        return
    (place,) = places
    old: Any = module.get_submodule(place)
    height, width = old.output_size if isinstance(old.output_size, tuple) else (old.output_size, old.output_size)
    _put(module, place, Pooling(kind, (height, width)))


def _set_in_timm(module: Any, kind: str) -> None:
    from timm.layers import SelectAdaptivePool2d

    own = getattr(module, "global_pool", None)
    for place in ("global_pool", "head.global_pool"):
        layer = _part(module, place)
        if isinstance(layer, SelectAdaptivePool2d) and layer.pool_type:
            if layer.pool_type.removeprefix("fast") not in (kind, *[""] * (kind == "avg")):
                _set_layer(layer, kind)
            return
    if isinstance(own, str) and own == kind:
        return
    if _pools_tokens(module):
        if kind != "gem":
            module.global_pool = kind
            return
        reason = "its tokens may be negative, which a generalised mean cannot take; use avg, max or avgmax"
    else:
        reason = f"it pools in its own code{f' ({own})' if isinstance(own, str) and own else ''}; use auto"
    raise OptionError("model", "pooling", f"timm's {type(module).__name__} cannot pool by {kind}: {reason}")


def _set_layer(layer: Any, kind: str) -> None:
    """Exchanges what is inside of timm's SelectAdaptivePool2d, whose `flatten` follows it."""
    old = layer.pool
    dims = getattr(old, "dim", getattr(old, "dim_reduce", (2, 3)))
    layer.pool = Pooling(kind, flatten=bool(getattr(old, "flatten", False)), channels_last=tuple(dims) == (1, 2))
    layer.pool_type = kind


def _pools_tokens(module: nn.Module) -> bool:
    """Whether it is one of timm's vision transformers that ask their `global_pool` in every forward pass."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    asks = getattr(type(module), "forward_head", None) in (VisionTransformer.forward_head, Eva.forward_head)
    return asks and getattr(module, "attn_pool", None) is None


def _part(module: nn.Module, name: str) -> object:
    try:
        return module.get_submodule(name)
    except AttributeError:
        return None


def _put(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, layer)


def _average(features: Tensor, size: tuple[int, int]) -> Tensor:
    return features.mean((2, 3), keepdim=True) if size == (1, 1) else functional.adaptive_avg_pool2d(features, size)


def _maximum(features: Tensor, size: tuple[int, int]) -> Tensor:
    return features.amax((2, 3), keepdim=True) if size == (1, 1) else functional.adaptive_max_pool2d(features, size)


def _both(features: Tensor, size: tuple[int, int]) -> Tensor:
    return (_average(features, size) + _maximum(features, size)) / 2


def _generalised_mean(features: Tensor, size: tuple[int, int]) -> Tensor:
    """(mean of x^p)^(1/p), of positive numbers (Radenovic et al. 2018); in 32 bits, since a cube soon leaves 16."""
    with torch.autocast(features.device.type, enabled=False):
        powers = features.float().clamp(min=SMALLEST).pow(POWER)
        return _average(powers, size).pow(1 / POWER).to(features.dtype)


POOLINGS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "avg": _average,
    "max": _maximum,
    "avgmax": _both,
    "gem": _generalised_mean,
}
