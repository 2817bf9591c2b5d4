"""The console: a line an epoch, and a bar where somebody watches."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from modules.compute.ranks import Ranks
from modules.config.schema import Compute, Config, Logging
from modules.prediction.metrics import find_metric
from modules.reporting.sinks import Console, Pace, Together, make_sink
from modules.runs.records import EpochRecord, FoldResult
from modules.training.plan import Plan

ALONE = SimpleNamespace(ranks=Ranks())


def record(epoch: int, score: float, best: float, fold: int = 0) -> EpochRecord:
    return EpochRecord(fold, epoch, 0.5, 0.25, score, best, 1e-3, 1234.5, 2.0)


@pytest.mark.parametrize(("progress", "terminal", "shown"), [(True, True, True), (False, True, False), (True, False, False)])
def test_a_bar_is_shown_on_a_terminal_where_progress_is_asked_for(
    progress: bool, terminal: bool, shown: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    config = Config(logging=Logging(progress=progress))
    plan = SimpleNamespace(config=config, metric=find_metric(config.hyper_params, "multiclass"), process=ALONE, folds=(0,), epochs=3)
    console = make_sink(cast(Plan, plan), quiet=False)
    console.start_epoch(0, 1, 3, 5)
    console.step(lambda: 0.75)
    console.end_epoch(record(1, 0.5, 0.5), 3)
    out, err = capsys.readouterr()
    assert ("fold 0 epoch 1/3" in err) is shown
    assert "fold 0  epoch   1/3  train loss 0.5000  valid loss 0.2500  accuracy 0.5000 * best 0.5000  lr 1.00e-03" in out


def test_an_improvement_is_marked_and_the_best_epoch_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("accuracy", False, folds=1, epochs=3)
    for epoch, score, best in ((1, 0.5, 0.5), (2, 0.4, 0.5), (3, 0.6, 0.6)):
        console.end_epoch(record(epoch, score, best), 3)
    console.end_fold(FoldResult(0, 0.6, 3, 3))
    lines = capsys.readouterr().out.splitlines()
    assert [" * best" in line for line in lines[:3]] == [True, False, True]
    assert lines[3] == "fold 0  accuracy 0.6000, of epoch 3 of 3"


def test_without_validation_no_score_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("accuracy", False, folds=1, epochs=3)
    console.start_epoch(0, 1, 2, 5)
    console.end_epoch(record(1, math.nan, math.nan), 2)
    console.end_fold(FoldResult(0, math.nan, 2, 2))
    out = capsys.readouterr().out
    assert out == "fold 0  epoch   1/2  train loss 0.5000  lr 1.00e-03  1,234 images/s  0:00 left\n"


def test_after_a_resume_only_what_improves_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("accuracy", False, folds=1, epochs=3)
    for epoch, score, best in ((4, 0.4, 0.5), (5, 0.6, 0.6)):
        console.end_epoch(record(epoch, score, best), 5)
    assert [" * best" in line for line in capsys.readouterr().out.splitlines()] == [False, True]


def test_folds_that_train_together_are_each_marked_by_their_own_best(capsys: pytest.CaptureFixture[str]) -> None:
    together = Together("accuracy", False, folds=2, epochs=3)
    for fold, epoch, score, best in (
        (0, 1, 0.9, 0.9),
        (1, 1, 0.5, 0.5),
        (0, 2, 0.8, 0.9),
        (1, 2, 0.6, 0.6),
        (1, 3, 0.6, 0.6),
        (0, 3, 0.95, 0.95),
    ):
        together.end_epoch(record(epoch, score, best, fold), 3)
    out, err = capsys.readouterr()
    assert [" * best" in line for line in out.splitlines()] == [True, True, False, True, False, True]
    assert err == "", "no terminal, no bar"


def test_one_bar_counts_the_epochs_of_all_folds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three folds of 4 epochs fold 0 was finished before, fold 1 has 2 epochs already, and fold 2 ends early by patience."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    config = Config(compute=Compute(engine="ray"))
    plan = SimpleNamespace(config=config, metric=find_metric(config.hyper_params, "multiclass"), process=ALONE, folds=(0, 1, 2), epochs=4)
    together = make_sink(cast(Plan, plan), quiet=False)
    assert isinstance(together, Together)

    def shown() -> tuple[int, int]:
        """Epochs that the bar counts, and how many of them it was watching."""
        assert together.steps is not None and together.steps.total == 12
        return together.steps.n, together.steps.n - together.steps.initial

    together.end_fold(FoldResult(0, 0.9, 2, 4))
    assert shown() == (4, 0)
    together.start_epoch(1, 3, 4, 10)
    together.start_epoch(2, 1, 4, 10)
    assert shown() == (6, 0)
    together.end_epoch(record(1, 0.7, 0.7, fold=2), 4)
    together.end_epoch(record(3, 0.8, 0.8, fold=1), 4)
    assert shown() == (8, 2)
    assert "fold 1 3/4 0.8000, fold 2 1/4 0.7000" in capsys.readouterr().err
    together.start_epoch(1, 3, 4, 10)  # its worker died, and another begins that epoch again
    assert shown() == (7, 2)
    together.end_epoch(record(3, 0.8, 0.8, fold=1), 4)
    together.start_epoch(2, 2, 4, 10)
    together.end_epoch(record(2, 0.6, 0.7, fold=2), 4)
    together.end_fold(FoldResult(2, 0.7, 1, 2))
    assert shown() == (11, 4)
    together.end_epoch(record(4, 0.8, 0.8, fold=1), 4)
    assert shown() == (12, 5)
    together.end_fold(FoldResult(1, 0.8, 3, 4))
    assert together.steps is None


def test_the_time_that_is_left_is_that_of_epochs_trained_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3 folds of 4 epochs; fold 0 was finished before, fold 1 goes on with its third epoch and stops early."""
    clock = iter((100.0, 110.0, 130.0, 145.0))
    monkeypatch.setattr("modules.reporting.sinks.time", SimpleNamespace(monotonic=lambda: next(clock)))
    pace = Pace(3, 4)
    pace.end_fold(0)
    pace.start_epoch(1, 3)  # at 100
    assert pace.end_epoch(1, 3) == pytest.approx(10 / 1 * 5)
    pace.end_fold(1)
    pace.start_epoch(2, 1)
    assert pace.end_epoch(2, 1) == pytest.approx(30 / 2 * 3)
    pace.start_epoch(2, 2)
    assert pace.end_epoch(2, 2) == pytest.approx(45 / 3 * 2)


def test_a_line_says_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1800.0))
    monkeypatch.setattr("modules.reporting.sinks.time", SimpleNamespace(monotonic=lambda: next(clock)))
    console = Console("accuracy", False, folds=2, epochs=3)
    console.start_epoch(0, 1, 3, 5)
    console.end_epoch(record(1, 0.5, 0.5), 3)
    assert capsys.readouterr().out.endswith("  1,234 images/s  2:30:00 left\n")
