"""A built model, tried on images of the contest's size before any is read: what it gives, and what is said where it fails."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from modules.compute.own_code import FAILURES, explain
from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.metadata import try_out
from modules.models.names import is_own


def check_forward(module: nn.Module, model: Model, classes: int, channels: int, size: Size) -> None:
    """Raises OptionError where the model fails on images, or does not give a number a class for each.

    Of a library's model one image tells enough; code of one's own may have forgotten that there are several.
    """
    for images in (1, 2) if is_own(model) else (1,):
        logits = look_at(module, model, images, channels, size)
        if not isinstance(logits, torch.Tensor) or logits.shape != (images, classes):
            number = "one image" if images == 1 else f"{images} images"
            message = f"{model.name} gives {shape_of(logits)} for {number}; expected ({images}, {classes}), a number a class"
            raise OptionError("model", "name", message)


def look_at(module: nn.Module, model: Model, images: int, channels: int, size: Size) -> Any:
    """What the model gives for so many images. Raises OptionError where it fails."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return try_out(module, torch.zeros(images, channels, *size))
    except FAILURES as error:
        shape = f"{channels} x {size.height} x {size.width}"
        fault = f"{model.name} fails on {f'a {shape} image' if images == 1 else f'{images} images of {shape}'}"
        if is_own(model):
            raise OptionError("model", "name", f"{fault}: {explain(error)}") from None
        raise OptionError("data", "image_size", f"{fault}: {' '.join(str(error).split())}") from None
    finally:
        module.train(was_training)


def shape_of(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__


def some_idle(module: nn.Module, called: nn.Module, inputs: torch.Tensor) -> bool:
    """Whether what is `called` gives the same whatever some of the module's parameters are, of those that train."""
    was_training = called.training
    called.eval()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(try_out(called, inputs).sum(), trained, allow_unused=True)
    called.train(was_training)
    return any(gradient is None for gradient in gradients)
