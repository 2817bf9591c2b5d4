"""Monitors over whole runs: read back by other readers than what wrote them, resumed, and without effect on what is learnt."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb

from tests.making import fast, make_contest, write_config
from tests.reporting.reading_back import read_events, read_offline
from tests.scripts.running import digests, read, refusal, run_train
from tests.tiny import TINY

SCALARS = {"loss/train", "loss/valid", "score/accuracy", "score/best accuracy", "learning rate", "images a second"}
RUN = (
    "settings.run_name=seen",
    "logging.wandb_project=masks",
    "logging.wandb_entity=team",
    "logging.tensorboard=true",
    "logging.wandb=true",
    "hyper_params.patience=0",
    "hyper_params.epochs=3",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all monitors that was stopped in its second fold and resumed, and one with none."""
    root = tmp_path_factory.mktemp("monitors")
    contest = make_contest(root / "contest")
    config = str(write_config(root / "config.ini", "[settings]\n"))
    arguments = [config, *fast(contest, f"settings.log_path={root / 'runs'}", "--quiet")]
    exit, excepthook = sys.exit, sys.excepthook
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        with patch.context() as stopped:
            _stop_at(stopped, fold=1, epoch=2)
            assert run_train(*arguments, *RUN) == 130
        assert run_train(config, f"settings.log_path={root / 'runs'}", "--resume", "seen", "--quiet") == 0
    assert sys.exit is exit and sys.excepthook is excepthook, "errors are told as without monitors"
    assert run_train(*arguments, "settings.run_name=unseen", "hyper_params.patience=0", "hyper_params.epochs=3") == 0
    return root / "runs"


def _stop_at(patch: pytest.MonkeyPatch, fold: int, epoch: int) -> None:
    """The person presses Ctrl-C when that epoch of that fold is done and saved, and told of."""
    from modules.reporting.sinks import Several

    end_epoch = Several.end_epoch

    def stop(self: Several, record: Any, epochs: int) -> None:
        end_epoch(self, record, epochs)
        if (record.fold, record.epoch) == (fold, epoch):
            raise KeyboardInterrupt

    patch.setattr(Several, "end_epoch", stop)


def history(run: Path, fold: int) -> list[dict[str, str]]:
    with open(run / f"fold{fold}/history.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_monitors_change_nothing_that_is_learnt(root: Path) -> None:
    assert digests(root / "seen") == digests(root / "unseen")


def test_tensorboard_has_every_epoch_once_also_of_a_resumed_run(root: Path) -> None:
    events = read_events(root / "seen")
    for fold in (0, 1):
        rows, found = history(root / "seen", fold), events[f"fold{fold}"]
        assert set(found.Tags()["scalars"]) == SCALARS and len(rows) == 3
        for tag, column in (("loss/train", "train_loss"), ("score/accuracy", "score"), ("learning rate", "learning_rate")):
            told = {event.step: event.value for event in found.Scalars(tag)}
            assert told == pytest.approx({int(row["epoch"]): float(row[column]) for row in rows}, rel=1e-6), tag
            assert len(found.Scalars(tag)) == 3


def test_tensorboard_has_weights_images_the_graph_and_how_it_ended(root: Path) -> None:
    from modules.runs.checkpoint import load_checkpoint

    events, weights = read_events(root / "seen"), load_checkpoint(root / "seen/fold0/best.pt")["model"]
    first = events["fold0"]
    assert set(first.Tags()["histograms"]) == {name for name in weights if name.endswith(("weight", "bias"))}
    assert all([event.step for event in first.Histograms(name)] == [1, 2, 3] for name in first.Tags()["histograms"])
    assert first.Tags()["images"] == ["training images, augmented"]
    end = events["."]
    assert end.Tags()["graph"] and not first.Tags()["graph"] and not events["fold1"].Tags()["graph"], "one graph a run"
    wrong = int((read(root / "seen/oof.csv")["target"] != read(root / "seen/oof.csv")["prediction"]).sum())
    assert len([tag for tag in end.Tags()["images"] if tag.startswith("mistakes/")]) == min(wrong, 12)
    assert "confusion/label" in end.Tags()["images"]
    assert end.Scalars("cv/accuracy")[0].value == pytest.approx(1 - wrong / 60)


def test_offline_both_sessions_of_weights_and_biases_are_one_run(root: Path) -> None:
    sessions = read_offline(root / "seen")
    assert len(sessions) == 2 and len({each.id for each in sessions}) == 1
    assert [each.exit_code for each in sessions] == [1, 0]
    first, last = sessions
    assert (last.project, last.name) == ("masks", "seen")
    assert last.config["hyper_params"]["epochs"] == 3 and last.config["model"]["name"] == TINY
    told = {
        (fold, int(row[f"fold{fold}/epoch"])): row[f"fold{fold}/score/accuracy"]
        for session in sessions
        for row in session.history
        for fold in (0, 1)
        if f"fold{fold}/score/accuracy" in row
    }
    expected = {(fold, int(row["epoch"])): float(row["score"]) for fold in (0, 1) for row in history(root / "seen", fold)}
    assert told == pytest.approx(expected)
    assert not any(math.isnan(value) for value in told.values())
    assert any(key.startswith("fold0/weights/") for row in first.history for key in row)
    assert last.summary["cv/oof"] == pytest.approx(float((read(root / "seen/oof.csv").eval("target == prediction")).mean()))
    assert any("confusion" in name for name in last.media) and any("training images" in name for name in first.media)


@pytest.mark.parametrize("fault", [wandb.errors.UsageError, wandb.errors.CommError, ValueError])
def test_a_monitor_that_cannot_be_reached_is_one_line_and_the_run_goes_on_from_there(
    fault: type[Exception], root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise fault("no\nkey")

    with monkeypatch.context() as patch:
        patch.setattr(wandb, "init", refuse)
        arguments = fast(root.parent / "contest", "settings.run_name=alone", "logging.wandb=true", "--quiet")
        (line,) = refusal(run_train, [str(root.parent / "config.ini"), *arguments], capsys)
        hint = "wandb login, or WANDB_MODE=offline keeps it in runs/alone/wandb"
        assert line == f"override logging.wandb: Weights & Biases does not begin: no key; {hint}"
    assert run_train(str(root.parent / "config.ini"), "--resume", "alone", "logging.wandb=false", "--quiet") == 0
    assert Path("runs/alone/result.json").is_file()
