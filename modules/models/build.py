"""A model by name, from timm or torchvision, fitted to the contest's classes, channels and image size."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modules.config.errors import DataError, OptionError, counted
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.heads import (
    APPENDED,
    adapt_stem,
    append_head,
    check_zeros,
    find_head,
    find_stem,
    init_head,
    init_stem,
    layers_with,
    replace_head,
    replace_stem,
)
from modules.models.hub import timm_file, torchvision_state
from modules.models.metadata import JOINED, join_head, remove_head
from modules.models.names import WITH_AUXILIARY, is_own
from modules.models.own_models import make_own_model
from modules.models.pooling import set_pooling
from modules.models.regularisation import (
    check_drop_path,
    check_dropout,
    drop_inputs,
    set_grad_checkpointing,
    set_torchvision_drop_path,
    set_torchvision_dropout,
)
from modules.models.trying import check_forward, look_at, shape_of
from modules.models.weights import State, Trained, load_weights, read_weights

REGULARISATION = {"drop_rate": "dropout", "drop_path_rate": "drop_path"}  # timm's arguments, our options


@dataclass(frozen=True)
class Network:
    """A model and the names of the layers that are its head. Its parameters have the library's own names.

    An appended head is a layer that the library's model has not: `appended`.
    """

    module: nn.Module
    head: tuple[str, ...]

    @property
    def last(self) -> tuple[str, ...]:
        """Of the head, the layers that give the logits."""
        return (f"{JOINED}.output",) if self.head == (JOINED,) else self.head


def build_network(model: Model, classes: int, channels: int, size: Size, pretrained: bool | str | Trained, metadata: int = 0) -> Network:
    """The model with a new head for `classes` outputs, for images of `channels` x `size`: in the old one's place, or after it.

    metadata: numbers that the new head takes besides, an image.
    `pretrained` is resolved: True (the library's hub), False, a file, or what another run trained. Draws from torch's
    generator, which the caller seeds. Raises UserError where the name, the weights, the size or the hub is at fault.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = _from_own if is_own(model) else _from_timm if model.library == "timm" else _from_torchvision
        network = make(model, classes, channels, size, _without_head(pretrained) if metadata else pretrained)
    set_pooling(network.module, model.library, model.pooling)
    if metadata:
        network = _join(network, model, classes, channels, size, metadata, pretrained)
    if model.grad_checkpointing:
        set_grad_checkpointing(network.module, model.library, model.name)
    if not _keeps_head(pretrained):
        init_head(network.module, network.last, model.head_init, pretrained is not False)
    check_forward(network.module, model, classes, channels, size)
    image = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    if model.head_init == "zeros" and not _keeps_head(pretrained):
        check_zeros(network.module, network.head, image)
    if model.dropout > 0:
        check_dropout(network.module, model.name, model.dropout, image)
    if model.drop_path > 0:
        check_drop_path(network.module, model.name)
    return network


def _from_timm(model: Model, classes: int, channels: int, size: Size, pretrained: bool | str | Trained) -> Network:
    import timm

    cfg = timm.get_pretrained_cfg(model.name)
    sizes = {"img_size": tuple(size)} if cfg is not None and cfg.fixed_input_size else {}
    keep_stem = channels == 3 or model.stem_init == "adapt" or isinstance(pretrained, Trained)
    try:
        outputs = {} if model.head == "append" else {"num_classes": classes}
        module = _create_timm(model.name, **outputs, in_chans=channels, **sizes, **_regularisation(model))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise OptionError("model", "name", f"timm cannot build {model.name} for {size.height} x {size.width}: {error}") from None
    if model.head == "append":
        names = _append(module, model, classes, channels, size)
    else:
        names = _as_names(cfg.classifier if cfg is not None else None) or (find_head(module, classes),)
    if pretrained is not False:
        state = read_weights(timm_file(model.name) if pretrained is True else Path(str(pretrained)))
        library_module = sys.modules[type(module).__module__]
        if hasattr(library_module, "checkpoint_filter_fn"):  # timm's way to other spellings and other image sizes
            state = _filtered(library_module.checkpoint_filter_fn, state, module, str(pretrained))
        stems = _as_names(cfg.first_conv if cfg is not None else None) or (find_stem(module),)
        _load_pretrained(module, state, str(pretrained), stems, channels, keep_stem, () if _keeps_head(pretrained) else names)
    if channels != 3 and not isinstance(pretrained, Trained):
        init_stem(module, find_stem(module), model.stem_init)
    return Network(module, names)


def _filtered(filter_state: Any, state: State, module: nn.Module, source: str) -> State:
    try:
        return dict(filter_state(dict(state), module))
    except Exception as error:  # made for the model's own weights; of others it may ask for what is not there
        reason = " ".join(str(error).split())
        raise DataError(f"{source}: the weights are not of this model: {type(error).__name__}: {reason}") from None


def _create_timm(name: str, **arguments: Any) -> nn.Module:
    import timm

    try:
        module: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except TypeError as error:
        refused = [argument for argument in ("img_size", *REGULARISATION) if f"'{argument}'" in str(error) and argument in arguments]
        if not refused:
            raise
        if refused[0] in REGULARISATION:
            raise OptionError("model", REGULARISATION[refused[0]], f"timm's {name} has none; use 0") from None
        arguments.pop("img_size")
        module = _create_timm(name, **arguments)
    return module


def _regularisation(model: Model) -> dict[str, float]:
    """timm's arguments for what is asked for; 0 is not passed on, so that a model with a value of its own keeps it."""
    wanted = {argument: getattr(model, option) for argument, option in REGULARISATION.items() if getattr(model, option) > 0}
    if model.head == "append":  # dropout is before the head, and so behind all that is timm's
        wanted.pop("drop_rate", None)
    return wanted


def _append(module: nn.Module, model: Model, classes: int, channels: int, size: Size) -> tuple[str, ...]:
    """Appends a head to all that the model gives for one image. Returns its name; raises OptionError where that is no row of numbers."""
    logits = look_at(module, model, 1, channels, size)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1:
        raise OptionError("model", "head", f"{model.name} gives {shape_of(logits)} for one image, which no layer can follow; use replace")
    append_head(module, logits.shape[1], classes)
    if model.dropout > 0:
        drop_inputs(module, APPENDED, model.dropout)
    return (APPENDED,)


def _join(
    network: Network, model: Model, classes: int, channels: int, size: Size, metadata: int, pretrained: bool | str | Trained
) -> Network:
    """A head that takes metadata besides, in the place of the library's; with its weights, where `pretrained` has one for these."""
    module = network.module
    remove_head(module, network.head)
    if model.dropout > 0:  # the new head has its own, which would hide that the model has none
        check_dropout(module, model.name, model.dropout, torch.zeros(1, channels, *size))
    join_head(module, look_at(module, model, 1, channels, size), model.name, metadata, classes, model.dropout)
    if _keeps_head(pretrained):
        state = read_weights(Path(str(pretrained)))
        own = {name.removeprefix(f"{JOINED}."): tensor for name, tensor in state.items() if name.startswith(f"{JOINED}.")}
        load_weights(module.get_submodule(JOINED), own, str(pretrained))
    return Network(module, (JOINED,))


def _without_head(pretrained: bool | str | Trained) -> bool | str | Trained:
    return replace(pretrained, same_classes=False) if isinstance(pretrained, Trained) else pretrained


def _keeps_head(pretrained: bool | str | Trained) -> bool:
    return isinstance(pretrained, Trained) and pretrained.same_classes


def _from_torchvision(model: Model, classes: int, channels: int, size: Size, pretrained: bool | str | Trained) -> Network:
    import torchvision

    arguments: dict[str, Any] = {}
    if model.name.startswith("vit_"):
        if size.height != size.width:
            raise OptionError("data", "image_size", f"torchvision's {model.name} takes square images only")
        arguments["image_size"] = size.height
    if model.name.startswith("maxvit"):
        arguments["input_size"] = tuple(size)
    if model.name in WITH_AUXILIARY:
        arguments.update(aux_logits=False, transform_input=False, init_weights=False)
    try:
        module = torchvision.models.get_model(model.name, weights=None, **arguments)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise OptionError("model", "name", f"torchvision cannot build {model.name} for {size.height} x {size.width}: {error}") from None
    stem = find_stem(module)
    if channels != 3:
        replace_stem(module, stem, channels)
    if model.head == "append":
        (head,) = _append(module, model, classes, channels, size)
    else:
        head = find_head(module, 1000)
        replace_head(module, head, classes)
    if pretrained is not False:
        state = torchvision_state(model.name) if pretrained is True else read_weights(Path(str(pretrained)))
        if model.name.startswith("vit_"):
            patch = module.get_parameter("conv_proj.weight").shape[-1]
            state = torchvision.models.vision_transformer.interpolate_embeddings(size.height, patch, state)
        if model.name in WITH_AUXILIARY:
            state = {name: tensor for name, tensor in state.items() if not name.startswith(("AuxLogits.", "aux1.", "aux2."))}
        keep_stem = channels == 3 or model.stem_init == "adapt" or isinstance(pretrained, Trained)
        _load_pretrained(module, state, str(pretrained), (stem,), channels, keep_stem, () if _keeps_head(pretrained) else (head,))
    if channels != 3 and not isinstance(pretrained, Trained):
        init_stem(module, stem, model.stem_init)
    if model.dropout > 0 and model.head != "append":
        set_torchvision_dropout(module, head, model.dropout)
    if model.drop_path > 0:
        set_torchvision_drop_path(module, model.drop_path)
    return Network(module, (head,))


def _from_own(model: Model, classes: int, channels: int, size: Size, pretrained: bool | str | Trained) -> Network:
    """Weights of a hub are its own business: it is asked for them by pretrained=True, and has its head already then."""
    append = model.head == "append"
    module = make_own_model(model, None if append else classes, channels, size, pretrained is True)
    if append:
        if type(module) is nn.Sequential:
            fault = f"{model.name} gives a bare torch.nn.Sequential, which calls all of its layers by itself; give a class of your own"
            raise OptionError("model", "head", f"{fault}, or use replace")
        names = _append(module, model, classes, channels, size)
    else:
        check_forward(module, model, classes, channels, size)
        names = (_own_head(module, model, classes),)
    if not isinstance(pretrained, bool):
        state = read_weights(Path(str(pretrained)))
        stems = _own_stem(module)
        keep_stem = channels == 3 or model.stem_init == "adapt" or isinstance(pretrained, Trained)
        _load_pretrained(module, state, str(pretrained), stems, channels, keep_stem, () if _keeps_head(pretrained) else names)
    if channels != 3 and model.stem_init != "adapt" and not isinstance(pretrained, Trained):
        init_stem(module, find_stem(module), model.stem_init)
    if model.dropout > 0 and not append:
        drop_inputs(module, names[0], model.dropout)
    return Network(module, names)


def _own_head(module: nn.Module, model: Model, classes: int) -> str:
    names = layers_with(module, classes)
    if not names:
        layer = f"a torch.nn.Linear or Conv2d of {counted(classes, 'output')}"
        raise OptionError("model", "name", f"{model.name} gives a model without a last layer, {layer}, that could be its head")
    return names[-1]


def _own_stem(module: nn.Module) -> tuple[str, ...]:
    try:
        return (find_stem(module),)
    except OptionError:  # there is no convolution, and none whose channels could be another's
        return ()


def _load_pretrained(
    module: nn.Module, state: State, source: str, stems: Sequence[str], channels: int, keep_stem: bool, head: tuple[str, ...]
) -> None:
    """Loads everything but `head`, the new one; the first layer's weights adapted to `channels`, or left out."""
    state = dict(state)
    if f"{APPENDED}.weight" in state and not hasattr(module, APPENDED):
        raise DataError(f"{source}: these weights were trained with [model] head = append, and it is replace")
    for stem in stems:
        name = f"{stem}.weight"
        if name in state and state[name].ndim == 4:
            state[name] = adapt_stem(state[name], channels) if state[name].shape[1] == 3 else state[name]
    source = "the library's weights" if source == "True" else source
    if hasattr(module, APPENDED):
        _check_old_head(module, state, source)
    load_weights(module, state, source, ignored=(*head, JOINED) if keep_stem else (*head, JOINED, *stems))


def _check_old_head(module: nn.Module, state: State, source: str) -> None:
    """Raises DataError where the head of the weights has another number of outputs than the model's own, which is kept."""
    outputs: Any = module.get_submodule(APPENDED).in_features
    for name in [name for name in layers_with(module, outputs) if name != APPENDED][-1:]:
        own, given = module.get_parameter(f"{name}.weight"), state.get(f"{name}.weight")
        if given is not None and len(given) != outputs and given.shape[1:] == own.shape[1:]:
            fault = f"their head {name} has {counted(len(given), 'output')}, and head = append keeps the model's own, with {outputs}"
            raise DataError(f"{source}: {fault}; use replace")


def _as_names(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
