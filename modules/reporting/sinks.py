"""Who takes what training says: the console. Handed to train_fold from above, in the main process only."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from modules.compute.progress import make_follow
from modules.config.errors import counted, shorten
from modules.prediction.metrics import tell_score
from modules.reporting.facts import Facts
from modules.reporting.summary import tell_clock
from modules.runs.directory import RunDirectory
from modules.runs.records import EpochRecord, FoldResult, Sight, Sink
from modules.training.plan import Plan

SECONDS_BETWEEN_LOSSES = 0.5  # asking for the loss makes the device wait


class Pace:
    """How many epochs of all folds are done, and how long the others take at most: folds may stop early."""

    def __init__(self, folds: int, epochs: int) -> None:
        self.total, self.epochs = folds * epochs, epochs
        self.done: dict[int, int] = {}  # epochs of each fold
        self.trained = 0  # by this process: of what was trained before it nobody knows how long it took
        self.began: float | None = None

    def start_epoch(self, fold: int, epoch: int) -> None:
        self.began = time.monotonic() if self.began is None else self.began
        self.done[fold] = epoch - 1

    def end_epoch(self, fold: int, epoch: int) -> float:
        """The seconds that are left at most."""
        self.trained += 1
        self.done[fold] = epoch
        began = time.monotonic() if self.began is None else self.began
        return (time.monotonic() - began) / self.trained * (self.total - sum(self.done.values()))

    def end_fold(self, fold: int) -> None:
        self.done[fold] = self.epochs


class Console:
    """A line an epoch, a line a fold, and where the output is a terminal a bar inside the epoch."""

    def __init__(self, metric: str, bar: bool, folds: int, epochs: int) -> None:
        self.metric = metric
        self.pace = Pace(folds, epochs)
        self.bar = bar and sys.stderr.isatty()
        self.steps: tqdm[Any] | None = None
        self.shown_at = 0.0
        self.last_score = ""
        self.best: dict[int, float] = {}

    def start_fold(self, sight: Sight) -> None: ...

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self.pace.start_epoch(fold, epoch)
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
        self.last_score = f" ({self.metric} {tell_score(record.score)}, best {tell_score(record.best)})"
        self._tell(self._line(record, epochs))

    def end_fold(self, result: FoldResult) -> None:
        self._close_bar()
        self.pace.end_fold(result.fold)
        self.last_score = ""
        if not math.isnan(result.score):
            self._tell(f"fold {result.fold}  {self.metric} {tell_score(result.score)}, of epoch {result.best_epoch} of {result.epochs}")

    def _line(self, record: EpochRecord, epochs: int) -> str:
        start = f"fold {record.fold}  epoch {record.epoch:>3}/{epochs}  train loss {record.train_loss:.4f}"
        left = self.pace.end_epoch(record.fold, record.epoch)
        end = f"  lr {record.learning_rate:.2e}  {record.images_per_second:,.0f} images/s  {tell_clock(left)} left"
        if math.isnan(record.score):
            return start + end
        improved = record.score == record.best != self.best.get(record.fold)
        self.best[record.fold] = record.best
        score = f"{self.metric} {tell_score(record.score)}{' *' if improved else '  '} best {tell_score(record.best)}"
        return f"{start}  valid loss {record.valid_loss:.4f}  {score}{end}"

    def _tell(self, line: str) -> None:
        with tqdm.external_write_mode():  # a bar that is there makes room
            print(line, flush=True)

    def _close_bar(self) -> None:
        if self.steps is not None:
            self.steps.close()
            self.steps = None


class Together(Console):
    """The same lines for folds that train several at a time, and one bar over all epochs of all of them."""

    def __init__(self, metric: str, bar: bool, folds: int, epochs: int) -> None:
        super().__init__(metric, bar, folds, epochs)
        self.folds = folds
        self.running: dict[int, str] = {}

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self.running.setdefault(fold, f"fold {fold}")
        self.pace.start_epoch(fold, epoch)
        self._move()

    def step(self, loss: Callable[[], float]) -> None: ...

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self._tell(self._line(record, epochs))
        score = "" if math.isnan(record.score) else f" {tell_score(record.score)}"
        self.running[record.fold] = f"fold {record.fold} {record.epoch}/{epochs}{score}"
        self._move()

    def end_fold(self, result: FoldResult) -> None:
        self.running.pop(result.fold, None)
        self.pace.end_fold(result.fold)
        self._move()
        if len(self.pace.done) == self.folds and not self.running:
            self._close_bar()
        if not math.isnan(result.score):
            self._tell(f"fold {result.fold}  {self.metric} {tell_score(result.score)}, of epoch {result.best_epoch} of {result.epochs}")

    def _move(self) -> None:
        """To where the folds have come; what was trained before this run, or is not at all, tells nothing of how long the rest takes."""
        if not self.bar:
            return
        if self.steps is None:
            self.steps = tqdm(total=self.pace.total, desc=counted(self.folds, "fold"), unit="epoch", leave=False, smoothing=0)
        self.steps.n = sum(self.pace.done.values())
        self.steps.initial = self.steps.n - self.pace.trained
        self.steps.set_postfix_str(shorten(self.running[each] for each in sorted(self.running)))


class Silence:
    """For --quiet, and for what is told of little."""

    def start_fold(self, sight: Sight) -> None: ...

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self, loss: Callable[[], float]) -> None: ...

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return steps

    def end_epoch(self, record: EpochRecord, epochs: int) -> None: ...

    def end_fold(self, result: FoldResult) -> None: ...


class Monitor(Sink, Protocol):
    """A sink that is told of the whole run in the end, and has something to close."""

    def end_run(self, facts: Facts) -> None: ...

    def close(self, failed: bool) -> None: ...


class Several:
    """A console, and the monitors that are told the same."""

    def __init__(self, console: Sink, monitors: Sequence[Monitor]) -> None:
        self.console, self.monitors = console, monitors

    @property
    def all(self) -> tuple[Sink, ...]:
        return (self.console, *self.monitors)

    def start_fold(self, sight: Sight) -> None:
        for sink in self.all:
            sink.start_fold(sight)

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        for sink in self.all:
            sink.start_epoch(fold, epoch, epochs, steps)

    def step(self, loss: Callable[[], float]) -> None:
        for sink in self.all:
            sink.step(loss)

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return self.console.follow(steps, total, what)

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        for sink in self.all:
            sink.end_epoch(record, epochs)

    def end_fold(self, result: FoldResult) -> None:
        for sink in self.all:
            sink.end_fold(result)

    def end_run(self, facts: Facts) -> None:
        for monitor in self.monitors:
            monitor.end_run(facts)


@contextmanager
def open_sinks(plan: Plan, run: RunDirectory, quiet: bool) -> Iterator[Several]:
    """All that [logging] asks for, in the main process. Raises OptionError for a monitor that is not installed, or not reached."""
    monitors: list[Monitor] = []
    failed = True
    try:
        if plan.process.ranks.is_main:
            monitors = list(_monitors(plan, run))
        yield Several(make_sink(plan, quiet), monitors)
        failed = False
    finally:
        for monitor in monitors:
            monitor.close(failed)


def _monitors(plan: Plan, run: RunDirectory) -> Iterator[Monitor]:
    asked = plan.config.logging
    if not (asked.tensorboard or asked.wandb):
        return
    from modules.reporting.monitors import TensorBoard, Wandb, Weights  # seconds, and packages that nothing else needs

    weights = Weights()
    if asked.tensorboard:
        yield TensorBoard(run.path, plan.metric.name, weights)
    if asked.wandb:
        yield Wandb(run.path, plan.run_id, plan.config, plan.metric.name, weights)


def make_sink(plan: Plan, quiet: bool) -> Sink:
    """The console as [logging] asks for it, or with `quiet`, and in all processes but the main one, nobody."""
    if quiet or not plan.process.ranks.is_main:
        return Silence()
    if plan.config.compute.engine == "ray":
        return Together(plan.metric.name, plan.config.logging.progress, len(plan.folds), plan.epochs)
    return Console(plan.metric.name, plan.config.logging.progress, len(plan.folds), plan.epochs)
