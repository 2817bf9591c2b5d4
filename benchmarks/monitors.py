"""Training that TensorBoard and Weights & Biases are told of, against training that nobody is told of.

    python -m benchmarks.monitors [photos=FOLDER] [count=N] [times=N] [section.option=value ...]

Two folds of three epochs, in turn with all sinks and with none; Weights & Biases offline. The first row is training with all sinks, against
the same without the time that it spent in telling them: both are of one run, so that what else the machine does is in both. The
second one is training with all sinks against training with none, of runs of their own; the third opens and closes the sinks, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

from benchmarks.measuring import TIMES, Row, contest_config, describe_machine, make_photos, seconds, settle, show
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import open_sinks
from modules.runs.directory import create_run
from modules.runs.records import EpochRecord, FoldResult, Sight, Sink
from modules.training.plan import Plan

MODEL = ("model.name=resnet18", "data.image_size=64", "split.folds=2", "hyper_params.epochs=3", "data.cache=on", "logging.progress=false")
SINKS = {"none": (), "all": ("logging.tensorboard=true", "logging.wandb=true")}


class _Clock:
    """Passes on what sinks are told, and adds up the seconds that they take."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.spent = sink, 0.0

    def _tell(self, what: Callable[[], None]) -> None:
        started = time.perf_counter()
        what()
        self.spent += time.perf_counter() - started

    def start_fold(self, sight: Sight) -> None:
        self._tell(lambda: self.sink.start_fold(sight))

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self._tell(lambda: self.sink.start_epoch(fold, epoch, epochs, steps))

    def step(self, loss: Callable[[], float]) -> None:
        self._tell(lambda: self.sink.step(loss))

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return self.sink.follow(steps, total, what)

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self._tell(lambda: self.sink.end_epoch(record, epochs))

    def end_fold(self, result: FoldResult) -> None:
        self._tell(lambda: self.sink.end_fold(result))


@dataclass(frozen=True)
class _Spent:
    """Seconds of one run: its training, in that the telling, and all with the opening and closing of sinks."""

    training: float
    telling: float
    whole: float


def measure(folder: Path, work: Path, times: int, *overrides: str) -> list[Row]:
    plans = {name: prepare(contest_config(folder, work, *MODEL, *asked, *overrides)) for name, asked in SINKS.items()}
    spent: dict[str, list[_Spent]] = {name: [] for name in plans}
    for number in range(times + 1):
        for name, plan in plans.items():
            found = _train(plan, work)
            if number:  # the first one imports, and fills the cache
                spent[name].append(found)
    none, told = spent["none"], spent["all"]
    return [
        Row("training, with telling against without", *_medians(told, lambda each: each.training - each.telling, told), "<= 1.02"),
        Row("training, all sinks against none", *_medians(none, lambda each: each.training, told)),
        Row("the same, and opening and closing them", median(each.whole for each in none), median(each.whole for each in told)),
    ]


def _medians(floor: list[_Spent], seconds_of: Callable[[_Spent], float], figure: list[_Spent]) -> tuple[float, float]:
    return median(map(seconds_of, floor)), median(each.training for each in figure)


def _train(plan: Plan, work: Path) -> _Spent:
    plan, run, training, telling = replace(plan, run_id=uuid4().hex), create_run(str(work / "runs"), None, "told"), 0.0, 0.0
    (run.path / "config.ini").touch()

    def job() -> None:
        nonlocal training, telling
        with open_sinks(plan, run, quiet=True) as sinks:
            clock = _Clock(sinks)
            training = seconds(lambda: train_folds(plan, run, clock))
            telling = clock.spent

    whole = seconds(job)
    return _Spent(training, telling, whole)


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
