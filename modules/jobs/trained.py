"""Finished runs: found, looked at before they are believed, and their folds' models brought back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from modules.compute.process import Process
from modules.config.comparison import differences
from modules.config.errors import ConfigError, DataError, OptionError, UserError, shorten
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.data.preprocessing import Preprocessing
from modules.data.task import Task, same_question
from modules.jobs.own_code import load_own_code
from modules.jobs.remarks import say
from modules.models.build import Network, build_network
from modules.models.weights import restore_weights
from modules.prediction.logits import network_outputs
from modules.prediction.metrics import Metric, find_metric
from modules.prediction.tta import check_views
from modules.runs.checkpoint import load_best
from modules.runs.directory import RunDirectory, find_run, latest_run, list_runs

# What training knew and a checkpoint carries: said again, it must be the same.
CARRIED = (
    ("data", "source"),
    ("data", "dataset"),
    ("data", "task"),
    ("data", "channel_suffixes"),
    ("data", "pixel_size"),
    ("data", "metadata_columns"),
    ("data", "image_size"),
    ("data", "resize"),
    ("data", "channels"),
    ("data", "mean"),
    ("data", "std"),
    ("model", "library"),
    ("model", "name"),
    ("augmentation", "valid"),
)
SHARED = CARRIED[:5]  # the contest itself; in all else the members of a blend may differ from each other, and so from the config


Checkpoint = dict[str, Any]


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, its config and result, and its folds' best checkpoints."""

    directory: RunDirectory
    config: Config
    result: dict[str, Any]
    checkpoints: tuple[Checkpoint, ...]

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def task(self) -> Task:
        return Task.from_dict(self.result["task"])

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_dict(self.checkpoints[0]["preprocessing"])

    @property
    def metric(self) -> Metric:
        return find_metric(self.config.hyper_params, self.task.kind)

    @property
    def members(self) -> tuple[tuple[TrainedRun, Checkpoint], ...]:
        """Its folds' models, each with the run that it is of."""
        return tuple((self, checkpoint) for checkpoint in self.checkpoints)


def open_trained(config: Config) -> tuple[TrainedRun, ...]:
    """The runs that [inference] run names, in that order.

    Raises UserError for one that is not finished, that `config` contradicts, or that cannot be blended with the first.
    """
    directories = [_find(config, name) for name in config.inference.run]
    twice = {directory.name for directory in directories if [other.name for other in directories].count(directory.name) > 1}
    if twice:
        raise OptionError(
            "inference", "run", f"expected different runs, each with a name of its own; {shorten(sorted(twice))} stands twice"
        )
    runs = tuple(_open(config, directory) for directory in directories)
    for run in runs:
        check_views(config.inference.tta, run.preprocessing.size, run.name)
        if not same_question(run.task, runs[0].task):
            raise DataError(_other_classes(runs[0], run))
    joined = [run for run in runs if run.task.inputs]
    for run in joined[1:]:
        if run.task.inputs != joined[0].task.inputs:
            fault = "their metadata columns, or what the training rows have there, differ"
            raise DataError(f"{joined[0].name} and {run.name} cannot be blended: {fault}")
    return runs


def open_one(directory: RunDirectory) -> TrainedRun:
    """A run by itself, with no config but its own. Raises UserError where it is not finished, or damaged."""
    own, _ = read_config([directory.config])
    return _open(replace(own, inference=replace(own.inference, run=(directory.name,))), directory)


def restore_member(run: TrainedRun, checkpoint: Checkpoint, process: Process) -> nn.Module:
    """The model of one fold's checkpoint, with its weights, on the device."""
    return restore_network(run, checkpoint, process).module


def restore_network(run: TrainedRun, checkpoint: Checkpoint, process: Process) -> Network:
    """Likewise, with the names of its head."""
    model = replace(run.config.model, **checkpoint["network"])
    preprocessing = run.preprocessing
    network = build_network(
        model,
        network_outputs(run.task, run.config.model, run.config.hyper_params),
        preprocessing.channels,
        preprocessing.size,
        pretrained=False,
        metadata=run.task.metadata,
    )
    restore_weights(network.module, checkpoint["model"], str(run.directory.fold(checkpoint["fold"]).best))
    process.place(network.module)
    return network


def _find(config: Config, name: str) -> RunDirectory:
    """latest prefers runs of the same data: in one log_path may be those of several contests."""
    data = Path(config.settings.data_path).resolve()
    if name == "latest":
        run = latest_run(config.settings.log_path, config.settings.debug, prefer=lambda each: _data_of(each) == data)
        if _data_of(run) not in (None, data):
            say(f"warning: {run.name}, the latest run, was trained on {_data_of(run)}, and this is {data}; inference.run names another")
        _tell_unfinished(config, run, data)
        return run
    return find_run(config.settings.log_path, name)


def _tell_unfinished(config: Config, run: RunDirectory, data: Path) -> None:
    """A run of this data that was begun when the latest had ended, and has not come to its end: likely the one that is meant."""
    ended = run.result.stat().st_mtime
    begun = [(each.config.stat().st_mtime, each) for each in list_runs(config.settings.log_path) if not each.is_complete()]
    newer = [
        each.name
        for at, each in sorted(begun, key=lambda pair: pair[0])
        if at > ended and _data_of(each) == data and (config.settings.debug or not _is_debug(each))
    ]
    if newer:
        said = f"{shorten(newer)} {'is' if len(newer) == 1 else 'are'} newer and not finished"
        say(f"warning: {said}; this takes {run.name} (python train.py --resume {newer[-1]} goes on)")


def _data_of(run: RunDirectory) -> Path | None:
    """The folder that it was trained on; None where its config cannot be read, which is told where it is opened."""
    own = _config_of(run)
    return Path(own.settings.data_path).resolve() if own else None


def _is_debug(run: RunDirectory) -> bool:
    own = _config_of(run)
    return own is not None and own.settings.debug


def _config_of(run: RunDirectory) -> Config | None:
    try:
        own, _ = read_config([run.config])
    except UserError:
        return None
    return own


def _open(config: Config, directory: RunDirectory) -> TrainedRun:
    result = directory.read_result()
    own, _ = read_config([directory.config])
    _refuse_contradictions(config, own, directory, CARRIED if len(config.inference.run) == 1 else SHARED)
    say(*load_own_code(own, directory))
    checkpoints = tuple(load_best(directory, result, number) for number in result["fold_numbers"])
    first = checkpoints[0]["preprocessing"]
    if any(checkpoint["preprocessing"] != first for checkpoint in checkpoints):
        raise DataError(f"{directory.path}: its folds' checkpoints were made with different preprocessing")
    return TrainedRun(directory, own, result, checkpoints)


def _refuse_contradictions(config: Config, own: Config, directory: RunDirectory, options: Iterable[tuple[str, str]]) -> None:
    lines = []
    for each in differences(own, config, [option for option in options if option in config.origins]):
        then, now = each.texts
        advice = f"leave it out, or: python inference.py {directory.config} inference.run={directory.name}"
        lines.append(f"{config.locate(each.section, each.name)}: {now}, but {directory.name} was trained with {then}; {advice}")
    if lines:
        raise ConfigError(*lines)


def _other_classes(first: TrainedRun, other: TrainedRun) -> str:
    apart = sorted(set(first.task.columns) ^ set(other.task.columns))
    if first.task.kind != other.task.kind:
        return f"{first.name} and {other.name} cannot be blended: task = {first.task.kind} and {other.task.kind}"
    difference = f"{shorten(apart)} in one of them only" if apart else "the same ones in another order"
    return f"{first.name} and {other.name} cannot be blended: their classes differ ({difference})"
