"""An epoch of training against what it consists of, in one run: steps (C), preparing batches (P), decoding files (F).

    python -m benchmarks.epoch [photos=FOLDER] [count=N] [side=PIXELS] [section.option=value ...]

C: the same steps on batches that are in memory already. P: the batches alone, from decoded pixels, by as many processes as
there are cores. F: decoding and resizing all files, by as many threads. On a CPU all three share the cores, and the floor is
their sum; beside an accelerator it is the larger of C and the rest.

warm: pixels are decoded already. building: they are decoded and kept first, then the epoch. cold: data.cache = off, decoded in
the epoch. The median of five of each, in turn.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.measuring import Row, contest_config, describe_machine, in_turn, make_photos, settle, show
from modules.config.schema import Config
from modules.data.draws import BatchSampler
from modules.data.loaders import Batch, Loader, image_workers
from modules.jobs.preparation import prepare
from modules.prediction.predict import predict
from modules.prediction.tta import VIEWS
from modules.reporting.sinks import Silence
from modules.training.epoch import Learner, train_epoch
from modules.training.parts import make_learner, make_network, steps_per_epoch, train_batches
from modules.training.phases import TrainingPhase
from modules.training.plan import Plan

MODEL = ("model.name=mobilenetv3_small_100", "data.image_size=128", "split.method=none")


@dataclass
class _Epochs:
    """A plan's first fold, trained an epoch at a time."""

    plan: Plan
    learner: Learner
    number: int = 0

    @classmethod
    def of(cls, config: Config) -> _Epochs:
        plan = prepare(config)
        fold, phase = plan.folds[0], _only(plan)
        network = make_network(plan, fold.number, plan.pretrained)
        steps = steps_per_epoch(plan, train_batches(plan, fold))
        return cls(plan, make_learner(plan, fold, network, phase, steps))

    def images(self, epoch: int) -> Iterator[Batch]:
        return train_batches(self.plan, self.plan.folds[0]).epoch(epoch)

    def train(self, batches: Sequence[Batch] | None = None) -> None:
        self.number += 1
        train_epoch(self.learner, self.images(self.number) if batches is None else batches, 0, Silence())

    def anew(self, folder: Path) -> None:
        """Pixels are decoded and kept, then an epoch."""
        shutil.rmtree(folder, ignore_errors=True)
        self.plan.pixels.provide(self.plan.folds[0].train_rows, Silence().follow, lambda: None)
        workers = image_workers(self.plan.samples, self.plan.pixels, self.plan.config.augmentation, self.plan.process)
        _Epochs(replace(self.plan, workers=workers), self.learner, self.number).train()


class _Parts:
    """What an epoch of a plan's first fold consists of, each to be timed."""

    def __init__(self, epochs: _Epochs) -> None:
        plan, self.epochs = epochs.plan, epochs
        fold, cores = plan.folds[0], os.cpu_count() or 1
        self.plan, self.pool = plan, ThreadPoolExecutor(cores)
        plan.pixels.provide(fold.train_rows, Silence().follow, lambda: None)
        self.in_memory = [Batch(*(each if each is None else each.clone() for each in batch)) for batch in epochs.images(1)]
        crowd = image_workers(plan.samples, plan.pixels, plan.config.augmentation, replace(plan.process, workers=cores))
        self.train = Loader(crowd, train_batches(plan, fold).sampler, "train", (0,))
        self.valid = Loader(crowd, BatchSampler(fold.train_rows, plan.config.hyper_params.batch_size), "valid", (0,))

    def steps(self) -> None:
        self.epochs.train(self.in_memory)

    def forward(self) -> None:
        learner, rows = self.epochs.learner, np.concatenate([batch.rows.numpy() for batch in self.in_memory])
        columns = len(self.plan.samples.task.columns)
        predict([learner.model], self.in_memory, rows, columns, learner.prepare, learner.objective, VIEWS["none"], self.plan.process)

    def decode(self) -> None:
        for _ in self.pool.map(self.plan.pixels.decode, self.plan.folds[0].train_rows.tolist()):
            pass


def measure_parts(folder: Path, work: Path, *overrides: str) -> dict[str, float]:
    """Seconds, for all images: C, P, F, and of validation "forward" and "P, valid"."""
    parts = _Parts(_Epochs.of(contest_config(folder, work, *MODEL, *overrides, "split.method=none", "data.cache=on")))
    return in_turn(
        {
            "C": parts.steps,
            "P": lambda: [None for _ in parts.train.epoch(1)],
            "F": parts.decode,
            "forward": parts.forward,
            "P, valid": lambda: [None for _ in parts.valid.epoch(1)],
        }
    )


def measure(folder: Path, work: Path, *overrides: str) -> list[Row]:
    """The three epochs."""

    def epochs(*more: str) -> _Epochs:
        return _Epochs.of(contest_config(folder, work, *MODEL, *overrides, *more))

    built = work / "built"
    warm, cold, building = epochs("data.cache=on"), epochs("data.cache=off"), epochs("data.cache=on", f"settings.cache_path={built}")
    parts = _Parts(warm)
    found = in_turn(
        {
            "C": parts.steps,
            "P": lambda: [None for _ in parts.train.epoch(1)],
            "F": parts.decode,
            "warm": warm.train,
            "building": lambda: building.anew(built),
            "cold": cold.train,
        }
    )
    c, p, f = found["C"], found["P"], found["F"]
    alone = warm.plan.process.device.type == "cpu"
    floors = {"warm": c + p if alone else max(c, p), "cold": c + p + f if alone else max(c, p + f)}
    floors["building"] = floors["warm"] + f
    print(
        f"{len(warm.plan.folds[0].train_rows):,} images, {warm.plan.process.describe()}; C {c:.2f} s, P {p:.2f} s, F {f:.2f} s", flush=True
    )
    targets = {"warm": "<= 1.05", "building": "", "cold": "<= 1.15"}
    return [Row(f"epoch, {name}", floors[name], found[name], target) for name, target in targets.items()]


def _only(plan: Plan) -> TrainingPhase:
    (phase,) = plan.phases
    return phase


def main() -> int:
    overrides, said = settle(sys.argv[1:])
    with TemporaryDirectory() as work:
        originals = Path(said["photos"]) if "photos" in said else None
        folder = make_photos(Path(work) / "photos", int(said.get("count", 1000)), int(said.get("side", 512)), originals)
        print(describe_machine())
        torch.manual_seed(0)
        show(measure(folder, Path(work), *overrides))
    return 0


if __name__ == "__main__":
    sys.exit(main())
