"""From the end of one fold to the first step of the next.

    python -m benchmarks.gap [photos=FOLDER] [count=N] [section.option=value ...]

Five folds of one epoch. The end of a fold is its score; the first step is over when its loss is known.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measuring import Row, contest_config, describe_machine, make_photos, settle, show
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import Silence
from modules.runs.directory import create_run
from modules.runs.records import FoldResult

MODEL = ("model.name=mobilenetv3_small_100", "data.image_size=128", "split.folds=5", "hyper_params.epochs=1", "data.cache=on")


class _Watch(Silence):
    """Notes the seconds between a fold's end and the next one's first step; and those of a step."""

    def __init__(self) -> None:
        self.ended: float | None = None
        self.gaps: list[float] = []
        self.steps: list[float] = []
        self.last: float | None = None

    def step(self, loss: Callable[[], float]) -> None:
        loss()
        now = time.perf_counter()
        if self.ended is not None:
            self.gaps.append(now - self.ended)
            self.ended = None
        elif self.last is not None:
            self.steps.append(now - self.last)
        self.last = now

    def end_fold(self, result: FoldResult) -> None:
        self.ended = time.perf_counter()
        self.last = None


def measure(folder: Path, work: Path, *overrides: str) -> list[Row]:
    """One row: the floor is a step."""
    watch, plan = _Watch(), prepare(contest_config(folder, work, *MODEL, *overrides))
    run = create_run(work / "runs", None, "gap")
    (run.path / "config.ini").touch()
    train_folds(plan, run, watch)
    return [Row("a fold's end to the next one's first step", median(watch.steps), median(watch.gaps), "<= 1 s")]


def main() -> int:
    overrides, said = settle(sys.argv[1:])
    with TemporaryDirectory() as work:
        originals = Path(said["photos"]) if "photos" in said else None
        folder = make_photos(Path(work) / "photos", int(said.get("count", 640)), 256, originals)
        print(describe_machine())
        show(measure(folder, Path(work), *overrides))
    return 0


if __name__ == "__main__":
    sys.exit(main())
