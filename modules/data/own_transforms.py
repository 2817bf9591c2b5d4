"""Transforms of one's own in a pipeline: an albumentations class, or a plain function from an image to an image."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import albumentations as A
import numpy as np
import torch

from modules.compute.own_code import digest, load, signature_of
from modules.config.errors import OptionError, hint
from modules.config.pipeline import Call
from modules.data.pixels import Pixels

SECTION = "augmentation"
RNG = "rng"  # a function's argument of this name is given the draw's own generator


class OwnFunction(A.ImageOnlyTransform):  # type: ignore[misc]
    """A function of one's own: (height, width, channels) uint8 to such. p: how often it is called at all."""

    def __init__(self, code: str, function: Callable[..., Any], arguments: dict[str, Any], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.code, self.function, self.arguments = code, function, arguments
        self.draws = RNG in inspect.signature(function).parameters

    def apply(self, img: Pixels, **_: Any) -> Pixels:
        """A copy is given, since the function may work in place, and the image may be that of a cache."""
        rng = {RNG: self.random_generator} if self.draws else {}
        result = self.function(img.copy(), **self.arguments, **rng)
        if not isinstance(result, np.ndarray):
            raise TypeError(f"it gives {_kind(result)}; expected an image, a uint8 array")
        return result

    def get_transform_init_args(self) -> dict[str, Any]:
        """What albumentations writes of it."""
        return {"code": self.code, "arguments": self.arguments, "p": self.p}


def is_own(transform: Any) -> bool:
    return type(transform).__module__.partition(".")[0] != "albumentations"


def name_of(transform: Any) -> str:
    """As errors call it."""
    return transform.code if isinstance(transform, OwnFunction) else type(transform).__name__


def load_transform(call: Call, option: str) -> type | Callable[..., Any]:
    """What the call names: a class of albumentations' kind, or a function. Raises OptionError."""
    found = load(call.name, SECTION, option)
    if isinstance(found, type) and not issubclass(found, (A.BasicTransform, A.BaseCompose)):
        message = f"{call.name} is a class that albumentations does not know; derive it from albumentations.ImageOnlyTransform"
        raise OptionError(SECTION, option, message)
    return found


def make_function(call: Call, function: Callable[..., Any], option: str) -> OwnFunction:
    """The transform that calls the function with the call's arguments. Raises OptionError where it does not take them."""
    try:
        signature = signature_of(function, call.name)
    except ValueError as error:
        raise OptionError(SECTION, option, str(error)) from None
    arguments = dict(call.keywords)
    probability = 1.0 if "p" in signature.parameters else arguments.pop("p", 1.0)
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise OptionError(SECTION, option, f"{call}: p: expected a number from 0 to 1")
    if call.positional:
        raise OptionError(SECTION, option, f"{call}: the arguments of a function are written with their names, such as gap=4")
    _check_takes(signature, call, arguments, option)
    return OwnFunction(call.name, function, arguments, probability)


def _check_takes(signature: inspect.Signature, call: Call, arguments: dict[str, Any], option: str) -> None:
    """Raises OptionError where the function cannot be called with an image and these arguments."""
    takes = f"{call.name}{signature}"
    try:
        signature.bind(None)
    except TypeError as error:
        if not signature.parameters or "too many positional" in str(error):
            raise OptionError(SECTION, option, f"{takes} takes no image; expected a function whose first argument is one") from None
    names = [name for name, each in list(signature.parameters.items())[1:] if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    anything = any(each.kind == each.VAR_KEYWORD for each in signature.parameters.values())
    if RNG in arguments:
        raise OptionError(SECTION, option, f"{call}: {RNG} is given by Foldini; leave it out")
    own = [name for name in names if name != RNG]
    for name in arguments:
        if name not in own and not anything:
            there = f"it has {', '.join([*own, 'p'])}"
            raise OptionError(SECTION, option, f"{call.name} has no argument '{name}'{hint(name, own)}; {there}")
    missing = [name for name in own if signature.parameters[name].default is inspect.Parameter.empty and name not in arguments]
    if missing:
        raise OptionError(SECTION, option, f"{takes} wants {' and '.join(missing)} too, such as {call.name}({missing[0]}=1)")


def digests_in(pipeline: Any) -> dict[str, str]:
    """Of the files behind each of one's own transforms in it, by its name: what it does may change while its name does not."""
    found: dict[str, str] = {}
    for transform in getattr(pipeline, "transforms", ()):
        found |= digests_in(transform)
        if is_own(transform):
            code = transform.code if isinstance(transform, OwnFunction) else f"{type(transform).__module__}:{type(transform).__name__}"
            found[code] = digest(code, SECTION, "train")
    return found


def check_own(transform: Any, option: str, draw: Callable[[Pixels], Pixels], pixels: Pixels) -> None:
    """Tries one of one's own twice on the same draw. Raises OptionError where it cannot be repeated, or changes what it is given.

    draw: the transform's result for an image, always of the same draw.
    """
    before, states = pixels.copy(), _global_states()
    first, second = draw(pixels), draw(pixels)
    if _global_states() != states or not np.array_equal(first, second):
        how = f"the argument {RNG}" if isinstance(transform, OwnFunction) else "self.random_generator or self.py_random"
        message = f"{name_of(transform)} draws from a generator that Foldini does not seed, so that no run could be repeated; use {how}"
        raise OptionError(SECTION, option, message)
    if not np.array_equal(pixels, before):
        raise OptionError(SECTION, option, f"{name_of(transform)} changes the image that it is given; let it work on a copy")


def _global_states() -> tuple[object, ...]:
    """Of the generators that code may draw from without asking for one."""
    name, keys, place, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(keys).tobytes(), place, tuple(rest), random.getstate(), torch.get_rng_state().numpy().tobytes()


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
