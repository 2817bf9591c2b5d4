"""`look.py export`: the bare weights of a run's best models, and how timm or torchvision loads them without Foldini."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modules.compute.own_code import files_of, is_installed, load
from modules.compute.process import Process
from modules.compute.storage import write_atomically, write_json
from modules.config.command_line import Command
from modules.config.own_code import OwnCode, own_code
from modules.config.schema import Config, Inference
from modules.config.tasks import choose_loss
from modules.config.values import Size
from modules.jobs.trained import Checkpoint, TrainedRun, open_trained, restore_member
from modules.models.heads import APPENDED, find_stem
from modules.models.names import WITH_AUXILIARY, is_own
from modules.models.own_models import own_arguments
from modules.prediction.logits import network_outputs

# timm's own words for what [model] pooling names; torchvision has no such argument.
TIMM_POOLINGS = ("avg", "max", "avgmax")


@dataclass(frozen=True)
class Recipe:
    """How a library, or code of one's own, builds the model.

    layers: those that are added, or put in another's place, before the weights are loaded, by name. appended: one of them
    follows the library's model.
    """

    library: str
    name: str
    arguments: Mapping[str, Any]
    layers: Mapping[str, nn.Module] = field(default_factory=dict)

    @property
    def own(self) -> OwnCode | None:
        return own_code(self.name)

    @property
    def appended(self) -> bool:
        return APPENDED in self.layers

    def build(self, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """The library's own model with these weights, and what follows it."""
        module: nn.Module
        if self.own is not None:
            module = load(self.own, "model", "name")(**self.arguments)
        elif self.library == "timm":
            import timm

            module = timm.create_model(self.name, **self.arguments)
        else:
            import torchvision

            module = torchvision.models.get_model(self.name, weights=None, **self.arguments)
        for name, layer in self.layers.items():
            module.set_submodule(name, deepcopy(layer))
        module.load_state_dict(state)
        return nn.Sequential(module, module.get_submodule(APPENDED)) if self.appended else module

    def code(self, path: Path) -> str:
        """The line of Python that does the same, and loads the weights in `path`."""
        arguments = [f"{name}={value!r}" for name, value in self.arguments.items()]
        if self.own is not None:
            parts = ["import torch", f"from {self.own.module} import {self.own.attribute}"]
            parts += [f"model = {self.own.attribute}({', '.join(arguments)})"]
        else:
            function = "timm.create_model" if self.library == "timm" else "torchvision.models.get_model"
            named = [repr(self.name), *([] if self.library == "timm" else ["weights=None"]), *arguments]
            parts = [f"import torch, {self.library}", f"model = {function}({', '.join(named)})"]
        parts += [f"model.set_submodule({name!r}, torch.nn.{layer})" for name, layer in self.layers.items()]
        parts += [f"model.load_state_dict(torch.load({str(path)!r}, weights_only=True))"]
        parts += [f"model = torch.nn.Sequential(model, model.{APPENDED})"] * self.appended
        parts += ["model.eval()"]
        return "; ".join(parts)


def export(command: Command) -> list[str]:
    """Writes runs/NAME/export/foldK.pth and model.json; returns what to print.

    The INI's other options play no part: what a checkpoint carries is not asked for again.
    """
    inference = Inference(run=command.runs or command.config.inference.run)
    runs = open_trained(Config(settings=command.config.settings, inference=inference))
    return [line for run in runs for line in _export_run(run, command.quiet)]


def _export_run(run: TrainedRun, quiet: bool) -> list[str]:
    folder = run.directory.export
    folder.mkdir(exist_ok=True)
    recipe = _recipe(run)
    files = []
    for checkpoint in run.checkpoints:
        path = folder / f"fold{checkpoint['fold']}.pth"
        _save_weights(path, checkpoint)
        files.append(path)
    if recipe.own is not None:
        files += _copy_own_files(recipe.own, folder)
    fault = _compare(run, recipe)
    code = recipe.code(files[0])
    write_json(folder / "model.json", _describe(run, recipe, [path.name for path in files], recipe.code(Path(files[0].name)), fault))
    lines = [str(path) for path in (*files, folder / "model.json")]
    if fault is not None:
        return [*lines, f"note: {recipe.library} alone does not build this model: {fault}; the line in model.json is only a beginning"]
    return lines if quiet else [*lines, code]


def _copy_own_files(code: OwnCode, folder: Path) -> list[Path]:
    """The files that build the model, beside its weights; none where it comes from an installed package."""
    if is_installed(code, "model", "name"):
        return []
    copies = {folder / place: path for place, path in files_of(code, "model", "name").items()}
    for copy, path in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return list(copies)


def _save_weights(path: Path, checkpoint: Checkpoint) -> None:
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint["model"].items()}
    write_atomically(path, lambda file: torch.save(state, file))


def _recipe(run: TrainedRun) -> Recipe:
    model = replace(run.config.model, **run.checkpoints[0]["network"])
    preprocessing = run.preprocessing
    outputs = network_outputs(run.task, run.config.model, run.config.hyper_params)
    arguments: dict[str, Any] = {} if model.head == "append" else {"num_classes": outputs}
    changed = [APPENDED] if model.head == "append" else []
    module = restore_member(run, run.checkpoints[0], _plainly())
    if is_own(model):
        arguments = own_arguments(model, arguments.get("num_classes"), preprocessing.channels, preprocessing.size, pretrained=False)
    elif model.library == "timm":
        arguments["in_chans"] = preprocessing.channels
        if model.pooling in TIMM_POOLINGS:
            arguments["global_pool"] = model.pooling
        arguments |= _timm_size(model.name, arguments, preprocessing.size)
    else:
        arguments |= _torchvision_size(model.name, preprocessing.size)
        if model.name in WITH_AUXILIARY:
            arguments |= {"aux_logits": False, "transform_input": False, "init_weights": False}
        if preprocessing.channels != 3:
            changed.append(find_stem(module))
    library = "code of your own" if is_own(model) else model.library
    return Recipe(library, model.name, arguments, {name: module.get_submodule(name) for name in changed})


def _timm_size(name: str, arguments: Mapping[str, Any], size: Size) -> dict[str, Any]:
    """img_size, for models whose layers depend on it; those that take none are built without."""
    import timm

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size:
        return {}
    try:
        timm.create_model(name, **arguments, img_size=tuple(size))
    except TypeError:
        return {}
    return {"img_size": tuple(size)}


def _torchvision_size(name: str, size: Size) -> dict[str, Any]:
    if name.startswith("vit_"):
        return {"image_size": size.height}
    return {"input_size": tuple(size)} if name.startswith("maxvit") else {}


def _compare(run: TrainedRun, recipe: Recipe) -> str | None:
    """Why the library's own model is not the run's, or None: it takes the weights, and gives the same logits."""
    if run.task.inputs:
        return f"metadata columns ({', '.join(each.name for each in run.task.inputs)}) are joined to its features"
    checkpoint, preprocessing = run.checkpoints[0], run.preprocessing
    ours = restore_member(run, checkpoint, _plainly()).eval()
    images = torch.rand(2, preprocessing.channels, *preprocessing.size, generator=torch.Generator().manual_seed(0))
    pooling = run.config.model.pooling
    reason = f"pooling = {pooling} is Foldini's own" if pooling != "auto" else "its layers are others"
    try:
        theirs = recipe.build(checkpoint["model"])
        with torch.inference_mode():
            same = torch.allclose(ours(images), theirs.eval()(images), rtol=1e-5, atol=1e-6)
    except Exception as error:  # whatever the library says of arguments or names that are not its own
        told = " ".join(str(error).split())[:160]
        return f"{reason} ({told})"
    return None if same else reason


def _describe(run: TrainedRun, recipe: Recipe, files: list[str], code: str, fault: str | None) -> dict[str, Any]:
    preprocessing = run.preprocessing
    return {
        "run": run.name,
        "library": recipe.library,
        "name": recipe.name,
        "classes": list(run.task.columns),
        "task": run.task.to_dict(),
        "loss": choose_loss(run.config.hyper_params.loss, run.task.kind),
        "channels": preprocessing.channels,
        "image_size": list(preprocessing.size),
        "resize": preprocessing.resize,
        "resized_first_to": list(preprocessing.stored),
        "valid": str(preprocessing.valid),
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "normalisation": "(pixels / 255 - mean) / std, a channel",
        "pooling": run.config.model.pooling,
        "head": run.config.model.head,
        "arguments": json.loads(json.dumps(dict(recipe.arguments))),
        "load": code,
        "library_alone_builds_it": fault is None,
        "files": files,
        "metric": run.result["metric"],
        "scores": run.result["folds"],
    }


def _plainly() -> Process:
    """The CPU, in float32."""
    return Process(torch.device("cpu"), "float32", channels_last=False, workers=0, threads=torch.get_num_threads())
