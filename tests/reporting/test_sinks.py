"""The console: a line an epoch, and a bar where somebody watches."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from modules.config.schema import Config, Logging
from modules.prediction.metrics import find_metric
from modules.reporting.sinks import Console, make_sink
from modules.runs.records import EpochRecord, FoldResult
from modules.training.plan import Plan


def record(epoch: int, score: float, best: float) -> EpochRecord:
    return EpochRecord(0, epoch, 0.5, 0.25, score, best, 1e-3, 1234.5, 2.0)


@pytest.mark.parametrize(("progress", "terminal", "shown"), [(True, True, True), (False, True, False), (True, False, False)])
def test_a_bar_is_shown_on_a_terminal_where_progress_is_asked_for(
    progress: bool, terminal: bool, shown: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    config = Config(logging=Logging(progress=progress))
    console = make_sink(cast(Plan, SimpleNamespace(config=config, metric=find_metric(config.hyper_params, "multiclass"))), quiet=False)
    console.start_epoch(0, 1, 3, 5)
    console.step(lambda: 0.75)
    console.end_epoch(record(1, 0.5, 0.5), 3)
    out, err = capsys.readouterr()
    assert ("fold 0 epoch 1/3" in err) is shown
    assert "fold 0  epoch   1/3  train loss 0.5000  valid loss 0.2500  accuracy 0.5000 *" in out


def test_an_improvement_is_marked_and_the_best_epoch_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("accuracy", bar=False)
    for epoch, score, best in ((1, 0.5, 0.5), (2, 0.4, 0.5), (3, 0.6, 0.6)):
        console.end_epoch(record(epoch, score, best), 3)
    console.end_fold(FoldResult(0, 0.6, 3, 3))
    lines = capsys.readouterr().out.splitlines()
    assert [" * lr" in line for line in lines[:3]] == [True, False, True]
    assert lines[3] == "fold 0  accuracy 0.6000, of epoch 3 of 3"


def test_without_validation_no_score_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("accuracy", bar=False)
    console.end_epoch(record(1, math.nan, math.nan), 2)
    console.end_fold(FoldResult(0, math.nan, 2, 2))
    out = capsys.readouterr().out
    assert out == "fold 0  epoch   1/2  train loss 0.5000  lr 1.00e-03  1,234 images/s\n"
