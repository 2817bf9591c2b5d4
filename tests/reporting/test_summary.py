"""The lines that end a training: scores with and without views, before and after what was fitted of their decisions."""

from __future__ import annotations

from typing import Any

from modules.reporting.summary import describe_result

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
    assert describe_result(RESULT)[-1] == "CV      macro_f1 0.6500  out-of-fold with tta hflip (without 0.6000: +0.0500)"


def test_the_gain_of_views_leaves_out_what_was_fitted() -> None:
    """Both scores are decided plainly, and so neither is the CV score, which a fitted decision made."""
    line = describe_result({**RESULT, "oof": 0.72})[-1]
    assert line == "CV      macro_f1 0.7200  out-of-fold with tta hflip (decided plainly 0.6500, without views 0.6000: +0.0500)"
