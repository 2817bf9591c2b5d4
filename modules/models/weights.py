"""Weights of a file, and into a model whose first and last layer may differ."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modules.config.errors import DataError, OptionError, shorten

State = dict[str, torch.Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema")
PREFIXES = re.compile(r"^(module\.|_orig_mod\.|model\.(?=.*\.))+")


@dataclass(frozen=True)
class Trained:
    """A checkpoint of a run of Foldini: its first layer is kept as it is, its head where the classes are the same."""

    path: Path
    same_classes: bool

    def __str__(self) -> str:
        return str(self.path)


def read_weights(path: Path) -> State:
    """The tensors of a .pth, .pt or .safetensors file by name.

    Wrappers (`state_dict`, `model`, `model_state_dict`, ...) are opened, prefixes (`module.`, ...) that all names share
    are dropped. Only tensors and plain values are ever unpickled. Raises DataError where that is not enough.
    """
    check_file(str(path))
    if path.suffix == ".safetensors":
        return _strip_prefixes(_read_safetensors(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and ("Unsupported global" in str(error) or "Unsupported class" in str(error)):
            message = "holds more than tensors and plain values, which could run code; save its state_dict alone"
            raise DataError(f"{path}: {message}") from None
        raise DataError(f"{path}: not a file of weights ({' '.join(str(error).split())[:120]})") from None
    state = _unwrap(content)
    if state is None:
        raise DataError(f"{path}: no state_dict in it; expected tensors by name, or one of {', '.join(WRAPPERS)} around them")
    return _strip_prefixes(state)


def check_file(path: str) -> None:
    """Raises OptionError where there is no such file of weights."""
    if not Path(path).is_file():
        raise OptionError("model", "pretrained", f"{path}: no such file; expected auto, true, false, a file of weights or a finished run")


def load_weights(module: nn.Module, state: Mapping[str, torch.Tensor], source: str, ignored: Iterable[str] = ()) -> None:
    """Copies `state` into `module`; names that start with one of `ignored` (the old head) may be there or not.

    Raises DataError with counts and the first five names where anything else is missing, left over or of another shape.
    """
    skipped = tuple(f"{name}." for name in ignored)
    own = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(skipped)}
    given = {name: tensor for name, tensor in state.items() if not name.startswith(skipped)}
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in own]
    shapes = [
        f"{name} {_shape(given[name])} for {_shape(own[name])}" for name in own if name in given and given[name].shape != own[name].shape
    ]
    faults = ((missing, "missing"), (unexpected, "left over"), (shapes, "of another shape"))
    told = [f"{len(names)} {what} ({shorten(names)})" for names, what in faults if names]
    if told:
        raise DataError(f"{source}: the weights do not fit the model: of {len(own)} tensors {'; '.join(told)}")
    # Some modules look at the version of what they load; a file seldom has it, and it is the library's own.
    versioned = OrderedDict(given)
    versioned._metadata = getattr(module.state_dict(), "_metadata", None)  # type: ignore[attr-defined]
    module.load_state_dict(versioned, strict=False)


def restore_weights(module: nn.Module, state: Mapping[str, Any], source: str) -> None:
    """Puts a checkpoint's own weights back. Raises DataError as above: the code of an own model may be other by now."""
    try:
        module.load_state_dict(state)
    except RuntimeError:
        load_weights(module, state, source)


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from None


def _unwrap(content: Any) -> State | None:
    if not isinstance(content, Mapping):
        return None
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return dict(content)
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return _unwrap(content[name])
    return None


def _strip_prefixes(state: State) -> State:
    prefixes = {match.group() if (match := PREFIXES.match(name)) else "" for name in state}
    prefix = prefixes.pop() if len(prefixes) == 1 else ""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"
