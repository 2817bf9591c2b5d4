"""Training that TensorBoard and Weights & Biases are told of, against training that nobody is told of.

    python -m benchmarks.monitors [photos=FOLDER] [count=N] [times=N] [section.option=value ...]

Two folds of three epochs, in turn with all sinks and with none; Weights & Biases offline. The first row is the training itself, with all
that a fold and an epoch tell; the second one opens and closes the sinks, too, which takes as long for any number of epochs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

from benchmarks.measuring import TIMES, Row, contest_config, describe_machine, make_photos, seconds, settle, show
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import open_sinks
from modules.runs.directory import create_run
from modules.training.plan import Plan

MODEL = ("model.name=resnet18", "data.image_size=64", "split.folds=2", "hyper_params.epochs=3", "data.cache=on", "logging.progress=false")
SINKS = {"none": (), "all": ("logging.tensorboard=true", "logging.wandb=true")}


def measure(folder: Path, work: Path, times: int, *overrides: str) -> list[Row]:
    plans = {name: prepare(contest_config(folder, work, *MODEL, *asked, *overrides)) for name, asked in SINKS.items()}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
    for number in range(times + 1):
        for name, plan in plans.items():
            both = _train(plan, work)
            if number:  # the first one imports, and fills the cache
                spent[name].append(both)
    training, whole = ({name: median(each[part] for each in found) for name, found in spent.items()} for part in (0, 1))
    return [
        Row("training, all sinks against none", training["none"], training["all"], "<= 1.02"),
        Row("the same, and opening and closing them", whole["none"], whole["all"]),
    ]


def _train(plan: Plan, work: Path) -> tuple[float, float]:
    """Seconds of the training, and of that and of its sinks."""
    plan, run, training = replace(plan, run_id=uuid4().hex), create_run(str(work / "runs"), None, "told"), 0.0
    (run.path / "config.ini").touch()

    def job() -> None:
        nonlocal training
        with open_sinks(plan, run, quiet=True) as sinks:
            training = seconds(lambda: train_folds(plan, run, sinks))

    whole = seconds(job)
    return training, whole


def main() -> int:
    os.environ["WANDB_MODE"] = "offline"
    overrides, said = settle(sys.argv[1:])
    with TemporaryDirectory() as work:
        originals = Path(said["photos"]) if "photos" in said else None
        folder = make_photos(Path(work) / "photos", int(said.get("count", 640)), 256, originals)
        print(describe_machine())
        show(measure(folder, Path(work), int(said.get("times", TIMES)), *overrides))
    return 0


if __name__ == "__main__":
    sys.exit(main())
