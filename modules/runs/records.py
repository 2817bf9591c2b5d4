"""What training says of itself: a record an epoch, the progress that patience needs, and who takes a record."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from modules.compute.storage import write_text
from modules.config.errors import DataError
from modules.runs.directory import RunDirectory


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one fold. Epochs count from 1. Losses are means over images; `score` is that of the metric.

    trained: how many of the model's numbers had a gradient.
    """

    fold: int
    epoch: int
    train_loss: float
    valid_loss: float
    score: float
    best: float
    learning_rate: float
    images_per_second: float
    seconds: float
    trained: int = 0


@dataclass(frozen=True)
class Progress:
    """The best score so far (None before the first epoch), its epoch, and what patience and plateau remember of the phase.

    phase_best: the phase's own best score. waited: the epochs since then, which did not improve on it. stale: likewise,
    but since the last drop of the rate, if that came later. drops: of the rate, in this phase.
    """

    best_score: float | None = None
    best_epoch: int = 0
    waited: int = 0
    phase_best: float | None = None
    stale: int = 0
    drops: int = 0

    def advance(self, score: float, epoch: int, min_delta: float, greater_is_better: bool, plateau_patience: int = 0) -> Progress:
        """After `epoch` scored `score`. An improvement is strictly more than `min_delta`.

        Drops are those of torch.optim.lr_scheduler.ReduceLROnPlateau with threshold_mode "abs" and no cooldown: one when
        more than `plateau_patience` epochs went without an improvement, and then the count begins again.
        """

        def improves_on(best: float | None) -> bool:
            return best is None or (score - best) * (1 if greater_is_better else -1) > min_delta

        best = (score, epoch) if improves_on(self.best_score) else (self.best_score, self.best_epoch)
        if improves_on(self.phase_best):
            return Progress(*best, 0, score, 0, self.drops)
        drop = self.stale + 1 > plateau_patience
        return Progress(*best, self.waited + 1, self.phase_best, 0 if drop else self.stale + 1, self.drops + drop)

    def advance_unscored(self, epoch: int) -> Progress:
        """After an epoch that nothing was validated in: the latest is the best."""
        return replace(self, best_epoch=epoch)

    def start_phase(self) -> Progress:
        """The best is of all phases; patience and plateau start anew."""
        return Progress(self.best_score, self.best_epoch)

    def is_over(self, patience: int) -> bool:
        return patience > 0 and self.waited >= patience


@dataclass(frozen=True)
class FoldResult:
    """What one fold came to: the score of its best epoch's weights on the rows that it validates."""

    fold: int
    score: float
    best_epoch: int
    epochs: int


@dataclass(frozen=True)
class Sight:
    """What a fold trains, for who wants to look at it: module, whose weights change, from `epoch` on.

    first: it is the run's first fold, at its beginning. images: makes a batch as that epoch sees it, augmented, (batch, height,
    width, channels) uint8. inputs: makes what the module takes, of one image of zeros.
    """

    fold: int
    epoch: int
    first: bool
    module: nn.Module
    images: Callable[[], torch.Tensor]
    inputs: Callable[[], tuple[torch.Tensor, ...]]


class Sink(Protocol):
    """Takes what training says. Only the main process has sinks, handed to it from above."""

    def start_fold(self, sight: Sight) -> None:
        """Before the first epoch that is trained in this process; where a worker trains the fold, never."""

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self, loss: Callable[[], float]) -> None:
        """After each step; asking for the loss waits for the device, so a sink asks seldom."""

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        """The steps of work that comes before an epoch, which may take long, as they are; there will be `total`."""
        ...

    def end_epoch(self, record: EpochRecord, epochs: int) -> None: ...

    def end_fold(self, result: FoldResult) -> None: ...


def write_history(path: Path, records: Sequence[EpochRecord]) -> None:
    """history.csv: a row an epoch. One that is there already, as it must be, is left alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    if not path.is_file() or path.read_bytes() != text.getvalue().encode():
        write_text(path, text.getvalue())


def read_history(path: Path) -> list[EpochRecord]:
    """What `write_history` wrote; empty where there is none. Raises DataError where it is damaged."""
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            kinds = {field.name: int if field.type == "int" else float for field in fields(EpochRecord)}
            records = [record_from({name: kinds[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]
            if not all(math.isfinite(each.seconds) and math.isfinite(each.images_per_second) for each in records):
                raise ValueError("times that are no numbers")
            return records
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged: {error}") from None


def read_histories(run: RunDirectory, result: Mapping[str, Any]) -> dict[int, list[EpochRecord]]:
    """Of each fold of a finished run, by its number. Raises DataError where one is damaged."""
    return {number: read_history(run.fold(number).history) for number in result["fold_numbers"]}


def record_from(content: Mapping[str, Any]) -> EpochRecord:
    return EpochRecord(**content)
