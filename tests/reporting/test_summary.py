"""The lines that end a training: scores with and without views, before and after what was fitted of their decisions."""

from __future__ import annotations

from typing import Any

from modules.reporting.summary import describe_result, tell_clock
from modules.runs.records import EpochRecord

RESULT: dict[str, Any] = {
    "metric": "macro_f1",
    "folds": [0.5, 0.7],
    "fold_numbers": [0, 1],
    "best_epochs": [2, 3],
    "mean": 0.6,
    "std": 0.1,
    "oof": 0.65,
    "oof_plain": 0.65,
    "oof_without_tta": 0.6,
    "coverage": 1.0,
    "tta": "hflip",
}


def test_the_gain_of_views_is_that_of_the_score_beside_it() -> None:
    assert describe_result(RESULT, {})[-1] == "CV      macro_f1 0.6500  out-of-fold with tta hflip (without 0.6000: +0.0500)"


def test_the_gain_of_views_leaves_out_what_was_fitted() -> None:
    """Both scores are decided plainly, and so neither is the CV score, which a fitted decision made."""
    line = describe_result({**RESULT, "oof": 0.72}, {})[-1]
    assert line == "CV      macro_f1 0.7200  out-of-fold with tta hflip (decided plainly 0.6500, without views 0.6000: +0.0500)"


def test_the_table_has_the_best_epochs_losses_and_the_time_of_all() -> None:
    first = [EpochRecord(0, epoch, loss, 2 * loss, 0.5, 0.5, 1e-3, 100.0, 40.0) for epoch, loss in ((1, 0.75), (2, 0.5), (3, 0.25))]
    assert describe_result(RESULT, {0: first, 1: []})[:4] == [
        "        macro_f1  best epoch  train loss  valid loss  time",
        "fold 0    0.5000      2 of 3      0.5000      1.0000  2:00",
        "fold 1    0.7000           3",
        "mean    macro_f1 0.6000 +- 0.1000",
    ]


def test_times_are_told_as_a_clock_does() -> None:
    assert [tell_clock(seconds) for seconds in (0.4, 59.6, 3599, 3600, 36061)] == ["0:00", "1:00", "59:59", "1:00:00", "10:01:01"]
