"""Folds as Ray tasks, on this machine or a cluster: the same folds, in the same folder, several at a time.

A worker gets no data: it reads the run's own config, tables and images, which must be where they are for this process, on a
disk that all machines share. What it says of its epochs comes back through a queue. One that dies is started again by Ray,
and goes on from the fold's last epoch.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue

from modules.config.command_line import located
from modules.config.errors import ConfigError, DataError, UserError, shorten
from modules.config.reader import read_config
from modules.jobs.failures import short_of_memory, told
from modules.jobs.preparation import prepare
from modules.jobs.ray_start import ray_running
from modules.jobs.remarks import say
from modules.runs.directory import RunDirectory
from modules.runs.records import EpochRecord, FoldResult, Sight, Sink
from modules.training.fold import train_fold
from modules.training.plan import Plan

RESTARTS = 3  # of a fold whose worker dies
SECONDS_BETWEEN_LOOKS = 0.2


def train_on_ray(plan: Plan, run: RunDirectory, sink: Sink) -> list[FoldResult]:
    """Every fold of the plan, several at a time; the sink is told of each epoch as it ends.

    Raises UserError for what folds find wrong, once the others have come to their end; all are kept.
    """
    compute = plan.config.compute
    cpus = compute.cpus_per_fold or plan.process.threads
    with ray_running(compute.address, max(cpus, os.cpu_count() or 1)):
        events = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(_train_fold).options(num_cpus=cpus, num_gpus=compute.gpus_per_fold, max_retries=RESTARTS)
        waiting = [fold.number for fold in plan.folds]
        places = str(run.path.absolute()), os.getcwd(), plan.process.threads
        most = len(waiting) if compute.parallel_folds == "auto" else compute.parallel_folds
        running: dict[Any, int] = {}
        results: dict[int, FoldResult] = {}
        mistakes: dict[int, UserError] = {}
        while waiting or running:
            while waiting and len(running) < most:
                number = waiting.pop(0)
                running[task.remote(number, *places, events)] = number
            done, _ = ray.wait(list(running), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
            _pass_on(events, sink)
            for reference in done:
                number = running.pop(reference)
                outcome = _outcome_of(reference)
                if isinstance(outcome, UserError):
                    mistakes[number] = outcome
                    continue
                results[number], warnings = outcome
                sink.end_fold(results[number])
                say(*warnings)
    if mistakes:
        raise UserError(*_named(mistakes))
    return [results[fold.number] for fold in plan.folds]


def _outcome_of(reference: Any) -> tuple[FoldResult, list[str]] | UserError:
    """What a fold that is over came to. Raises what is no mistake of the person's."""
    try:
        outcome: tuple[FoldResult, list[str]] = ray.get(reference)
        return outcome
    except RayTaskError as error:
        if not isinstance(error.cause, UserError):
            raise
        return error.cause
    except RayError as error:
        return DataError(f"its worker died {RESTARTS + 1} times; the last time: {' '.join(str(error).split())[:200]}")


def _named(mistakes: Mapping[int, UserError]) -> list[str]:
    """A line each, with its fold; what several folds find wrong is told once."""
    found: dict[str, list[int]] = {}
    for number, mistake in sorted(mistakes.items()):
        for line in map(str, mistake.args):
            found.setdefault(line, []).append(number)
    return [
        line if line.startswith("fold ") else f"{'fold' if len(folds) == 1 else 'folds'} {shorten(folds)}: {line}"
        for line, folds in found.items()
    ]


def _train_fold(number: int, path: str, home: str, threads: int, events: Queue) -> tuple[FoldResult, list[str]]:
    """In a worker, whose own remarks are those that were made where the folds were started."""
    run = RunDirectory(Path(path))
    if not (run.config.is_file() and Path(home).is_dir()):
        raise DataError(f"{path} is not on {platform.node()}: all machines of a cluster must share the disk (docs/scaling.md)")
    os.chdir(home)
    config, _ = read_config([run.config])
    config = replace(config, compute=replace(config.compute, engine="local", threads=threads))
    try:
        plan = prepare(config, run)
        fold = next(each for each in plan.folds if each.number == number)
        with told(short_of_memory(config.hyper_params.batch_size, *plan.preprocessing.size)):
            return train_fold(plan, fold, run.fold(number), _Sent(events))
    except UserError as error:
        raise ConfigError(*located(error, config)) from None


def _pass_on(events: Queue, sink: Sink) -> None:
    for begun, ended in events.get_nowait_batch(events.qsize()):
        if ended is None:
            sink.start_epoch(*begun)
        else:
            sink.end_epoch(*ended)


class _Sent:
    """A Sink that sends epochs to where the folds were started."""

    def __init__(self, events: Queue) -> None:
        self.events = events

    def start_fold(self, sight: Sight) -> None: ...

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self.events.put(((fold, epoch, epochs, steps), None))

    def step(self, loss: Callable[[], float]) -> None: ...

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return steps

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self.events.put((None, (record, epochs)))

    def end_fold(self, result: FoldResult) -> None: ...
