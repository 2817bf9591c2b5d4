"""One trial of a search: what was drawn, as overrides, to a run of its own on the search's first folds, every epoch told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modules.config.command_line import Command, located
from modules.config.errors import UserError
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.jobs.folds import train_folds
from modules.jobs.runs import open_run
from modules.runs.records import EpochRecord, FoldResult, Sight, read_history
from modules.runs.search import DONE, FAILED, RUNNING, STOPPED, SearchDirectory, Trial

Report = Callable[[dict[str, Any]], None]
SCORE, RUNG = "score", "rung"  # of what is reported


def run_trial(search: SearchDirectory, drawn: Mapping[str, str], own: Sequence[str], folds: Sequence[int], report: Report) -> Trial:
    """Trains what was drawn, or goes on with it; of a trial that ended only says again what it said.

    own: further overrides, which are no part of the trial. report: is told, after each epoch, of the mean best score of the
    folds so far (`score`), and of the epoch of the first fold (`rung`), by which trials are compared; it does not come back
    where the trial is to end. What is wrong with the trial is written to its record, and nothing is reported.
    """
    with search.working_on(search.begin(drawn)) as trial:
        told, records = _Told(report, folds), list(_histories(search, trial, folds))
        last = records[-1].epoch if trial.state == DONE else 0
        for record in records:
            told.end_epoch(record, last)
        if trial.state != RUNNING:
            told.end(trial.score if trial.state == DONE else None)
            return trial
        started = time.monotonic()
        try:
            results = _train(search, trial, [*own, f"split.train_folds={', '.join(map(str, folds))}"], told)
            score = float(np.mean([result.score for result in results]))
            trial = replace(trial, state=DONE, score=score, folds=len(folds), epochs=sum(result.epochs for result in results))
        except UserError as error:
            trial = replace(trial, state=FAILED, cause=cause_of(error))
        trial = replace(trial, seconds=trial.seconds + time.monotonic() - started)
        search.write(trial)
        told.end(trial.score)
        return trial


def config_of(search: SearchDirectory, overrides: Mapping[str, str], *more: str) -> Config:
    """The search's config with a trial's overrides. Raises UserError for a combination that is wrong."""
    return read_config([search.config], [*(f"{key}={text}" for key, text in overrides.items()), *more])[0]


def cause_of(error: UserError) -> str:
    """Its lines; what was drawn is written as overrides are, and need not be told as such."""
    return "; ".join(line.removeprefix("override ") for line in error.lines)


def stopped(search: SearchDirectory, trial: Trial, folds: Sequence[int], greater_is_better: bool) -> Trial:
    """As it is recorded of a trial that the scheduler ended."""
    records = list(_histories(search, trial, folds))
    scores = [record.best for record in records]
    best = (max if greater_is_better else min)(scores) if scores else None
    seconds = sum(record.seconds for record in records)
    return replace(trial, state=STOPPED, score=best, folds=1, epochs=len(records), seconds=seconds)


def by_score(trials: Sequence[Trial], greater_is_better: bool, confirmed: bool = False) -> list[Trial]:
    """Those that came to their end, or with `confirmed` those that were confirmed, the best first; of equal ones the earlier."""
    scores = {trial.number: trial.confirmed if confirmed else trial.score for trial in trials if trial.state == DONE}
    known = {number: score for number, score in scores.items() if score is not None}
    order = sorted(known, key=lambda number: -known[number] if greater_is_better else known[number])
    return [next(trial for trial in trials if trial.number == number) for number in order]


def drop_weights(search: SearchDirectory, trial: Trial) -> None:
    """What the trial scored stays; with that a search of many trials needs the room of few."""
    for fold in search.run_of(trial).path.glob("fold[0-9]*"):
        for weights in ("best.pt", "last.pt", "last.prev.pt"):
            (fold / weights).unlink(missing_ok=True)
        shutil.rmtree(fold / "epochs", ignore_errors=True)


def _train(search: SearchDirectory, trial: Trial, own: Sequence[str], told: _Told) -> list[FoldResult]:
    run = search.run_of(trial)
    if run.config.is_file():
        command = Command(config_of(search, trial.overrides), resume=str(run.path))
    else:
        shutil.rmtree(run.path, ignore_errors=True)  # a kill while it was made
        places = (f"settings.log_path={search.trials}", f"settings.run_name={trial.name}")
        command = Command(config_of(search, trial.overrides, *own, *places), quiet=True)
    try:
        with open_run(command, alone=False) as (run, plan):
            return train_folds(plan, run, told)
    except UserError as error:
        raise UserError(*located(error, command.config)) from None


def _histories(search: SearchDirectory, trial: Trial, folds: Sequence[int]) -> Iterator[EpochRecord]:
    """The epochs that were trained, fold after fold."""
    for number in folds:
        records = read_history(search.run_of(trial).fold(number).history)
        if not records:
            return
        yield from records


class _Told:
    """A Sink that reports epochs."""

    def __init__(self, report: Report, folds: Sequence[int]) -> None:
        self.report, self.folds = report, list(folds)
        self.best: dict[int, float] = {}
        self.epochs = self.rung = 0

    def start_fold(self, sight: Sight) -> None: ...

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self, loss: Callable[[], float]) -> None: ...

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return steps

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self.best[record.fold] = record.best
        self.epochs += 1
        if record.fold == self.folds[0]:
            self.rung = record.epoch
        if record.fold == self.folds[-1] and record.epoch == epochs:
            return  # who has come so far is not ended by others: this is told once it is recorded
        self._tell(float(np.mean(list(self.best.values()))))

    def end_fold(self, result: FoldResult) -> None: ...

    def end(self, score: float | None) -> None:
        """What the trial came to, its last epoch included, which may differ from the epochs' where TTA is configured."""
        if score is not None:
            self._tell(score)

    def _tell(self, score: float) -> None:
        self.report({SCORE: score, RUNG: self.rung, "epoch": self.epochs, "fold": len(self.best)})
