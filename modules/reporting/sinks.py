"""Who takes what training says: the console. Handed to train_fold from above, in the main process only."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from modules.compute.progress import make_follow
from modules.prediction.metrics import tell_score
from modules.runs.records import EpochRecord, FoldResult, Sink
from modules.training.plan import Plan

SECONDS_BETWEEN_LOSSES = 0.5  # asking for the loss makes the device wait


class Console:
    """A line an epoch, a line a fold, and where the output is a terminal a bar inside the epoch."""

    def __init__(self, metric: str, bar: bool) -> None:
        self.metric = metric
        self.bar = bar and sys.stderr.isatty()
        self.steps: tqdm[Any] | None = None
        self.shown_at = 0.0
        self.last_score = ""
        self.best: float | None = None

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        if self.bar:
            self.steps = tqdm(total=steps, desc=f"fold {fold} epoch {epoch}/{epochs}{self.last_score}", leave=False)

    def step(self, loss: Callable[[], float]) -> None:
        if self.steps is None:
            return
        if time.monotonic() - self.shown_at > SECONDS_BETWEEN_LOSSES:
            self.steps.set_postfix(loss=f"{loss():.4f}", refresh=False)
            self.shown_at = time.monotonic()
        self.steps.update()

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return make_follow(self.bar)(steps, total, what)

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self._close_bar()
        if math.isnan(record.score):
            print(
                f"fold {record.fold}  epoch {record.epoch:>3}/{epochs}  train loss {record.train_loss:.4f}"
                f"  lr {record.learning_rate:.2e}  {record.images_per_second:,.0f} images/s",
                flush=True,
            )
            return
        improved = "  " if record.best == self.best else " *"
        self.best = record.best
        self.last_score = f" ({self.metric} {tell_score(record.score)}, best {tell_score(record.best)})"
        print(
            f"fold {record.fold}  epoch {record.epoch:>3}/{epochs}  train loss {record.train_loss:.4f}  valid loss {record.valid_loss:.4f}"
            f"  {self.metric} {tell_score(record.score)}{improved} lr {record.learning_rate:.2e}  {record.images_per_second:,.0f} images/s",
            flush=True,
        )

    def end_fold(self, result: FoldResult) -> None:
        self._close_bar()
        self.last_score, self.best = "", None
        if not math.isnan(result.score):
            print(
                f"fold {result.fold}  {self.metric} {tell_score(result.score)}, of epoch {result.best_epoch} of {result.epochs}", flush=True
            )

    def _close_bar(self) -> None:
        if self.steps is not None:
            self.steps.close()
            self.steps = None


class Silence:
    """For --quiet."""

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self, loss: Callable[[], float]) -> None: ...

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return steps

    def end_epoch(self, record: EpochRecord, epochs: int) -> None: ...

    def end_fold(self, result: FoldResult) -> None: ...


def make_sink(plan: Plan, quiet: bool) -> Sink:
    """The console as [logging] asks for it, or with `quiet` nobody."""
    return Silence() if quiet else Console(plan.metric.name, plan.config.logging.progress)
