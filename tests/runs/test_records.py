"""Progress, the memory of patience, and history.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from modules.runs.records import EpochRecord, Progress, record_from, write_history


def follow(scores: list[float], min_delta: float = 0.0, greater: bool = True) -> list[tuple[float | None, int, int]]:
    progress, told = Progress(), []
    for epoch, score in enumerate(scores, 1):
        progress = progress.advance(score, epoch, min_delta, greater)
        told.append((progress.best_score, progress.best_epoch, progress.waited))
    return told


def test_the_best_is_the_highest_where_greater_is_better() -> None:
    assert follow([0.3, 0.5, 0.4, 0.6]) == [(0.3, 1, 0), (0.5, 2, 0), (0.5, 2, 1), (0.6, 4, 0)]


def test_the_best_is_the_lowest_where_smaller_is_better() -> None:
    assert follow([0.6, 0.4, 0.5, 0.3], greater=False) == [(0.6, 1, 0), (0.4, 2, 0), (0.4, 2, 1), (0.3, 4, 0)]


@pytest.mark.parametrize("greater", [True, False])
def test_a_tie_is_no_improvement(greater: bool) -> None:
    assert follow([0.5, 0.5, 0.5], greater=greater)[-1] == (0.5, 1, 2)


@pytest.mark.parametrize("greater", [True, False])
def test_a_score_of_zero_is_a_score(greater: bool) -> None:
    """`if best_score:` would take every score for an improvement on 0."""
    worse = -1.0 if greater else 1.0
    assert follow([0.0, worse, 0.0], greater=greater) == [(0.0, 1, 0), (0.0, 1, 1), (0.0, 1, 2)]


def test_negative_scores_improve_towards_their_direction() -> None:
    assert follow([-3.0, -2.0])[-1] == (-2.0, 2, 0)
    assert follow([-2.0, -3.0], greater=False)[-1] == (-3.0, 2, 0)


@pytest.mark.parametrize("greater", [True, False])
def test_an_improvement_is_more_than_min_delta_over_the_best_not_over_the_last(greater: bool) -> None:
    sign = 1 if greater else -1
    creep = [sign * value for value in (0.0, 0.25, 0.5, 0.75)]
    assert [waited for _, _, waited in follow(creep, 0.5, greater)] == [0, 1, 2, 0]


def test_nan_never_becomes_the_best() -> None:
    assert follow([0.5, math.nan, 0.4]) == [(0.5, 1, 0), (0.5, 1, 1), (0.5, 1, 2)]
    assert follow([0.5, math.nan, 0.4], greater=False) == [(0.5, 1, 0), (0.5, 1, 1), (0.4, 3, 0)]


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_counts_the_epochs_without_improvement(patience: int) -> None:
    progress = Progress().advance(0.5, 1, 0.0, True)
    for epoch in range(2, patience + 2):
        assert not progress.is_over(patience)
        progress = progress.advance(0.1, epoch, 0.0, True)
    assert progress.is_over(patience)
    assert not progress.advance(0.6, 9, 0.0, True).is_over(patience)


def test_patience_zero_never_stops() -> None:
    assert not Progress(0.5, 1, 10_000).is_over(0)
    assert not Progress().is_over(1)


def test_a_new_phase_keeps_the_best_and_begins_its_patience_and_plateau_anew() -> None:
    progress = Progress()
    for epoch, score in enumerate([0.9, 0.5, 0.4], 1):
        progress = progress.advance(score, epoch, 0.0, True, plateau_patience=1)
    assert progress == Progress(0.9, 1, waited=2, phase_best=0.9, stale=0, drops=1)
    progress = progress.start_phase()
    assert progress == Progress(0.9, 1)
    assert Progress().start_phase() == Progress()


def test_patience_of_a_phase_goes_by_the_phases_own_best() -> None:
    """A phase that begins lower than the one before it, and climbs, is not stopped while it climbs."""
    progress = Progress().advance(0.9, 1, 0.0, True).start_phase()
    for epoch, score in enumerate([0.5, 0.6, 0.7], 2):
        progress = progress.advance(score, epoch, 0.0, True)
        assert (progress.best_score, progress.best_epoch, progress.waited) == (0.9, 1, 0)
    assert not progress.is_over(1)
    progress = progress.advance(0.7, 5, 0.0, True)
    assert progress.is_over(1)
    assert progress.advance(0.95, 6, 0.0, True).best_epoch == 6


def record(epoch: int, score: float) -> EpochRecord:
    return EpochRecord(0, epoch, 1 / 3, 2 / 7, score, score, 1e-3, 123.456, 0.1)


def test_history_is_a_row_an_epoch_and_read_back_to_the_bit(tmp_path: Path) -> None:
    records = [record(1, 0.1), record(2, 1e-17)]
    write_history(tmp_path / "history.csv", records)
    with open(tmp_path / "history.csv", newline="") as file:
        header, *rows = list(csv.reader(file))
    columns = ["fold", "epoch", "train_loss", "valid_loss", "score", "best", "learning_rate", "images_per_second", "seconds", "trained"]
    assert header == columns
    assert [[float(cell) for cell in row] for row in rows] == [list(record.__dict__.values()) for record in records]
    assert b"\r" not in (tmp_path / "history.csv").read_bytes()


def test_a_shorter_history_replaces_a_longer_one(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [record(1, 0.1), record(2, 0.2)])
    write_history(tmp_path / "history.csv", [record(1, 0.1)])
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.glob("*history*")] == ["history.csv"]


def test_a_record_comes_back_from_what_a_checkpoint_holds() -> None:
    assert record_from(dict(record(3, 0.5).__dict__)) == record(3, 0.5)
