"""A head that takes more than the image: what a table says of it, beside the model's features."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

import torch
from torch import nn

from modules.config.errors import OptionError
from modules.models.compiling import Compiled

JOINED = "joined"
HIDDEN = 64  # numbers that stand for the metadata beside the features


class JoinedHead(nn.Module):
    """(batch, features) and (batch, metadata) to (batch, outputs): the metadata through a layer of their own, both through the last."""

    def __init__(self, features: int, metadata: int, outputs: int, dropout: float) -> None:
        super().__init__()
        layers = {"layer": nn.Linear(metadata, HIDDEN), "act": nn.SiLU(), "drop": nn.Dropout(dropout)}
        self.metadata = nn.Sequential(OrderedDict(layers))
        self.output = nn.Linear(features + HIDDEN, outputs)
        self.width = metadata

    def forward(self, features: torch.Tensor, metadata: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.cat([features, self.metadata(metadata)], dim=1))
        return logits


class Joined(nn.Module):
    """Mixed into a model's own class, like Appended, and for its reasons: `joined` takes what the model gave, and the metadata."""

    joined: JoinedHead

    def forward(self, images: torch.Tensor, metadata: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.joined(super().forward(images), metadata)
        return logits


def remove_head(module: nn.Module, names: tuple[str, ...]) -> None:
    """Has the model give what went into these layers. What happened to that on its way in, such as dropout, still does."""
    for name in names:
        nothing, old = nn.Identity(), module.get_submodule(name)
        nothing._forward_pre_hooks = old._forward_pre_hooks
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, nothing)


def join_head(module: nn.Module, features: Any, name: str, metadata: int, outputs: int, dropout: float) -> None:
    """Lets a new head, `joined`, follow the model, which takes `metadata` numbers an image from now on.

    features: what the model gives for one image. Raises OptionError where that is no row of numbers.
    """
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != 1:
        shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        fault = f"{name} without its head gives {shape} for one image, and metadata are joined to a row of numbers"
        raise OptionError("data", "metadata_columns", f"{fault}; use another model")
    if type(module) is nn.Sequential:  # it would call the new head as one of its own
        fault = f"{name} gives a bare torch.nn.Sequential, which calls all of its layers by itself; give a class of your own"
        raise OptionError("data", "metadata_columns", fault)
    assert not hasattr(module, JOINED)
    module.add_module(JOINED, JoinedHead(features.shape[1], metadata, outputs, dropout))
    own: Any = type(module)
    module.__class__ = _joined(own)


@cache
def _joined(own: type[nn.Module]) -> type[nn.Module]:
    """One class for all folds, so that they share compiled code."""
    return type(own.__name__, (Joined, own), {"__module__": own.__module__})


def metadata_width(model: nn.Module) -> int:
    """How many numbers of metadata the model takes an image."""
    if isinstance(model, Compiled):
        model = model.model
    return model.joined.width if isinstance(model, Joined) else 0


def call(model: nn.Module, images: torch.Tensor, metadata: torch.Tensor | None) -> Any:
    """What the model gives."""
    return model(*inputs_of(model, images, metadata))


def inputs_of(model: nn.Module, images: torch.Tensor, metadata: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """What it is called with. The metadata go to one that takes them, on the device of the images; another has no use for them."""
    if not metadata_width(model):
        return (images,)
    assert metadata is not None
    return images, metadata.to(images.device, non_blocking=True)


def try_out(model: nn.Module, images: torch.Tensor) -> Any:
    """What the model gives for images of which nothing else is known: to see whether and how it works."""
    return call(model, images, images.new_zeros(len(images), metadata_width(model)))
