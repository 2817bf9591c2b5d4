"""A model of one's own: what `package.module:name` is called with, and what it must give."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from torch import nn

from modules.compute.own_code import FAILURES, explain, load, signature_of
from modules.config.errors import OptionError, hint
from modules.config.schema import Model
from modules.config.values import Size

OFFERED = ("num_classes", "in_chans", "image_size", "pretrained")
GIVEN = f"Foldini gives {', '.join(OFFERED)}, by these names"
MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
# What changes the inside of a library's model, as its library has it.
LIBRARIES_ONLY = {"pooling": "auto", "drop_path": 0.0, "grad_checkpointing": False}


def check_own_model(model: Model) -> None:
    """Raises OptionError where there is no such code, or Foldini cannot call it, or an option is not for models of one's own."""
    takes(model)
    for option, value in LIBRARIES_ONLY.items():
        if getattr(model, option) != value:
            message = f"only for models of timm and torchvision; {model.name} has its own way, so use {str(value).lower()}"
            raise OptionError("model", option, message)


def takes(model: Model) -> tuple[str, ...]:
    """Which of the offered arguments it takes. Raises OptionError where it must have others too, or takes no num_classes."""
    function = load(model.name, "model", "name")
    try:
        signature = signature_of(function, model.name)
    except ValueError as error:
        raise OptionError("model", "name", str(error)) from None
    shown = f"{model.name}{_plain(signature)}"
    parameters = signature.parameters.values()
    needed = [each.name for each in parameters if each.default is Parameter.empty and each.kind not in MANY]
    if model.head == "append" and "num_classes" in needed:
        fault = f"append follows all that a model gives by itself, and {shown} needs num_classes; give that a default, or use replace"
        raise OptionError("model", "head", fault)
    unknown = [name for name in needed if name not in OFFERED]
    if unknown:
        alike = hint(unknown[0], OFFERED)
        raise OptionError("model", "name", f"{shown} wants '{unknown[0]}'{alike}; {GIVEN}; give what else there is a default")
    by_name = [each.name for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    anything = any(each.kind == each.VAR_KEYWORD for each in parameters)
    found = tuple(name for name in OFFERED if anything or name in by_name)
    if "num_classes" not in found and model.head != "append":
        raise OptionError("model", "name", f"{shown} takes no num_classes, and a model has as many outputs as there are classes; {GIVEN}")
    return found


def own_arguments(model: Model, classes: int | None, channels: int, size: Size, pretrained: bool) -> dict[str, Any]:
    """What it is called with. classes: None leaves them to its default."""
    offered = dict(zip(OFFERED, (classes, channels, (size.height, size.width), pretrained), strict=True))
    return {name: offered[name] for name in takes(model) if offered[name] is not None}


def make_own_model(model: Model, classes: int | None, channels: int, size: Size, pretrained: bool) -> nn.Module:
    """The module that it gives. Raises OptionError where it fails, or gives no module."""
    function: Callable[..., Any] = load(model.name, "model", "name")
    arguments = own_arguments(model, classes, channels, size, pretrained)
    try:
        module = function(**arguments)
    except FAILURES as error:
        called = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise OptionError("model", "name", f"{model.name}({called}) fails: {explain(error)}") from None
    if not isinstance(module, nn.Module):
        raise OptionError("model", "name", f"{model.name} gives {_kind(module)}; expected a torch.nn.Module")
    return module


def _plain(signature: Signature) -> str:
    """Without annotations, which may be long."""
    bare = [each.replace(annotation=Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=Signature.empty))


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}, not yet called"
    return "nothing" if value is None else f"a {type(value).__name__}"
