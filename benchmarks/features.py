"""Frozen training with stored features and without them, in one run, on the same machine.

    python -m benchmarks.features run   [CONFIG.ini ...] [section.option=value ...]
    python -m benchmarks.features steps [CONFIG.ini ...] [section.option=value ...]

The config is one that train.py takes, with something frozen. Nothing is left behind: runs and features go to a temporary
folder.

run: the whole training of all folds. With stored features it is done five times from an empty cache, extraction counted,
and five times with the cache as the first left it. Without, one fold is trained and its time scaled by the steps of all
folds. Start-up (imports, tables, the model that is looked at) is counted in none of them.

steps: a step of the optimiser, over five epochs of fold 0 in turn, the batches' preparation counted: everything trained; the
same frozen, from images; and from stored features. Beside them the largest difference between the weights that were learnt
from features and from images.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from modules.config.reader import read_config
from modules.config.schema import Config
from modules.jobs.folds import finish_run, train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import Silence
from modules.runs.directory import RunDirectory, create_run
from modules.training.fold import train_epoch_of
from modules.training.parts import (
    feature_feed,
    image_feed,
    make_learner,
    make_network,
    steps_per_epoch,
    stored_features,
    train_batches,
)
from modules.training.plan import Plan

TIMES = 5


def compare_runs(config: Config) -> list[str]:
    """A table: seconds and scores, with stored features and without."""
    with TemporaryDirectory() as folder:
        cold = [_train(_into(config, folder, f"cold{number}"), "on") for number in range(TIMES)]
        warm = [_train(_into(config, folder, "cold0"), "on") for _ in range(TIMES)]
        one_fold = replace(config, split=replace(config.split, train_folds=(0,)))
        seconds, plan, run = _train(_into(one_fold, folder, "none"), "off")
        _, whole, stored = cold[0]
        without = seconds * _steps(whole) / _steps(plan)
        with_cold, with_warm = median(each for each, _, _ in cold), median(each for each, _, _ in warm)
        here, there = (each.read_result() for each in (stored, run))
        metric = here["metric"]
        return [
            f"{len(whole.samples):,} images, {len(whole.folds)} folds x {whole.epochs} epochs, {_steps(whole):,} steps",
            f"on {whole.process.describe()}",
            f"without   {without:8.1f} s  (fold 0 measured: {seconds:.1f} s, scaled by {_steps(whole)} / {_steps(plan)} steps)",
            f"with      {with_cold:8.1f} s  {without / with_cold:6.1f} x, cold, extraction counted; median of {_spread(cold)}",
            f"with      {with_warm:8.1f} s  {without / with_warm:6.1f} x, warm; median of {_spread(warm)}",
            f"fold 0    {metric} {here['folds'][0]:.4f} with, {there['folds'][0]:.4f} without",
        ]


def compare_steps(config: Config) -> list[str]:
    """A table: milliseconds a step, and how far the weights are apart at the end."""
    with TemporaryDirectory() as folder:
        config = _into(config, folder, "steps")
        everything = replace(config, model=replace(config.model, freeze="none", unfreeze=None))
        ways = {
            "everything trains": _Way(_plan(everything, "off")),
            "frozen, from images": _Way(_plan(config, "off")),
            "frozen, from features": _Way(_plan(config, "on")),
        }
        for epoch in range(1, TIMES + 1):  # in turn, so that whatever else the machine does is shared by all
            for way in ways.values():
                way.train(epoch)
        full, images, features = ways.values()
        lines = [
            f"{name:22}{way.wall:8.1f} ms a step  {full.wall / way.wall:5.2f} x  {way.core:8.1f} ms of cores  {full.core / way.core:5.2f} x"
            for name, way in ways.items()
        ]
        apart = max(float((tensor - images.weights[name]).abs().max()) for name, tensor in features.weights.items())
        largest = max(float(tensor.abs().max()) for tensor in images.weights.values())
        more = f"{apart:.2e} apart at most, the largest weight {largest:.2g}"
        return [*lines, f"weights after {TIMES} epochs from features and from images: {more}"]


class _Way:
    """Fold 0 of a plan, trained by its last phase."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.fold, phase = plan, plan.folds[0], plan.phases[-1]
        self.network = make_network(plan, self.fold.number, plan.pretrained)
        features = stored_features(plan, self.network, phase)
        self.feed = image_feed(plan, self.fold) if features is None else feature_feed(plan, self.fold, features, Silence().follow)
        self.learner = make_learner(plan, self.fold, self.network, phase, steps_per_epoch(plan, self.feed.train), features)
        self.seconds: list[tuple[float, float]] = []

    def train(self, epoch: int) -> None:
        started = time.perf_counter(), time.process_time()
        first = (epoch - 1) * steps_per_epoch(self.plan, self.feed.train)
        steps = train_epoch_of(self.plan, self.fold, self.learner, self.feed.train, epoch, first, Silence()).steps
        self.seconds.append(((time.perf_counter() - started[0]) / steps, (time.process_time() - started[1]) / steps))

    @property
    def wall(self) -> float:
        """Milliseconds a step, of the median epoch."""
        return 1e3 * median(wall for wall, _ in self.seconds)

    @property
    def core(self) -> float:
        """Likewise, of user and system time."""
        return 1e3 * median(core for _, core in self.seconds)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in self.network.module.state_dict().items() if tensor.is_floating_point()}


def _into(config: Config, folder: str, cache: str) -> Config:
    return replace(config, settings=replace(config.settings, log_path=f"{folder}/runs", cache_path=f"{folder}/{cache}", run_name=None))


def _train(config: Config, feature_cache: Literal["on", "off"]) -> tuple[float, Plan, RunDirectory]:
    """Seconds from the plan to the end of the run."""
    plan = _plan(config, feature_cache)
    run = create_run(plan.config.settings.log_path, None, "benchmark")
    (run.path / "config.ini").touch()
    started = time.perf_counter()
    finish_run(plan, run, train_folds(plan, run, Silence()))
    return time.perf_counter() - started, plan, run


def _plan(config: Config, feature_cache: Literal["on", "off"]) -> Plan:
    views = config.model.feature_views if feature_cache == "on" else 1
    return prepare(replace(config, model=replace(config.model, feature_cache=feature_cache, feature_views=views)))


def _steps(plan: Plan) -> int:
    return sum(steps_per_epoch(plan, train_batches(plan, fold)) for fold in plan.folds) * plan.epochs


def _spread(measured: Sequence[tuple[float, Plan, RunDirectory]]) -> str:
    return ", ".join(f"{seconds:.1f}" for seconds, _, _ in measured)


def main() -> int:
    compare = {"run": compare_runs, "steps": compare_steps}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if compare is None:
        print(__doc__)
        return 2
    files = [each for each in sys.argv[2:] if "=" not in each]
    config, _ = read_config(files, [each for each in sys.argv[2:] if "=" in each])
    print(*compare(config), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
