"""Options of the optimising, turned on in an INI, from train.py to a submission."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import timm

from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint
from tests.making import fast, write_config
from tests.scripts.running import digests, history, run_inference, run_train
from tests.tiny import TINY

OPTIMISING = """
[settings]
keep_epochs = true
[model]
ema_decay = 0.9
[hyper_params]
probe_epochs = 1
accumulate = 2
clip_grad = 1.0
layer_decay = 0.8
head_learning_rate = 0.02
learning_rate = 0.01
scheduler = plateau
plateau_patience = 0
warmup_epochs = 0.5
patience = 3
"""


def test_all_of_it_together_trains_resumes_and_submits(contest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(Path("config.ini"), OPTIMISING)
    arguments = [str(config), *fast(contest, "data.test_csv=test.csv")]
    assert run_train(*arguments, "settings.run_name=whole", "--quiet") == 0
    for fold in (0, 1):
        rows = history(Path("runs/whole"), fold)
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert len(list(Path(f"runs/whole/fold{fold}/epochs").iterdir())) == 3
    assert json.loads(Path("runs/whole/result.json").read_text())["oof"] > 0.4
    with monkeypatch.context() as patch:
        patch.setattr(Silence, "step", _stop_at(fold=1, epoch=2, patch=patch))
        assert run_train(*arguments, "settings.run_name=stopped", "--quiet") == 130
    assert run_train("--resume", "stopped", "--quiet") == 0
    assert digests(Path("runs/stopped")) == digests(Path("runs/whole"))
    submissions = []
    for name in ("whole", "stopped"):
        assert run_inference(*arguments, f"inference.run={name}") == 0
        submissions.append(Path(f"submissions/{name}.csv").read_bytes())
    assert submissions[0] == submissions[1]


def test_check_says_what_trains_when_and_counts_the_epochs_of_all_phases(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    more = ["hyper_params.epochs=3", "hyper_params.probe_epochs=2", "hyper_params.accumulate=3", "model.freeze=conv1, layer1"]
    assert run_train(*fast(contest, *more, "model.unfreeze=4: conv1", "model.feature_cache=off"), "--check") == 0
    out = capsys.readouterr().out
    assert "steps     20: 5 epochs of 2, 2 steps, at most" in out
    module = timm.create_model(TINY, num_classes=3)
    parts = {name: sum(each.numel() for each in part.parameters()) for name, part in module.named_children()}
    total = sum(parts.values())
    assert f"trains    epochs 1 to 2: {parts['fc']:,} parameters, the head\n" in out
    assert f"trains    epoch 3: {total - parts['conv1'] - parts['layer1']:,} parameters, all but conv1, layer1\n" in out
    assert f"trains    epochs 4 to 5: {total - parts['layer1']:,} parameters, all but layer1\n" in out
    assert run_train(*fast(contest), "--check") == 0
    assert f"trains    epochs 1 to 2: {total:,} parameters, everything\n" in capsys.readouterr().out


def test_a_debug_run_trains_in_its_one_epoch_what_the_last_one_would(contest: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    more = ["settings.debug=true", "model.freeze=backbone", "model.unfreeze=4: layer4, 6: layer3", "settings.run_name=quick"]
    assert run_train(*fast(contest, *more), "--quiet") == 0
    (row,) = history(Path("runs/quick"), 0)
    module = timm.create_model(TINY, num_classes=3)
    assert int(row["trained"]) == sum(each.numel() for part in (module.fc, module.layer4, module.layer3) for each in part.parameters())
    assert run_train("--resume", "quick", "model.unfreeze=4: layer4, 6: layer3", "model.freeze=backbone") == 0


def test_a_debug_run_is_one_epoch_without_a_probe(contest: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    more = ["settings.debug=true", "hyper_params.probe_epochs=3", "settings.run_name=quick"]
    assert run_train(*fast(contest, *more), "--quiet") == 0
    assert len(history(Path("runs/quick"), 0)) == 1
    last = load_checkpoint(Path("runs/quick/fold0/last.pt"))
    assert len(last["optimizer"]["state"]) > 2  # the head alone would be its weight and its bias


def _stop_at(fold: int, epoch: int, patch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A `step` for Silence that interrupts its own process at the first step of that epoch of that fold."""
    at = [0, 0]

    def start_epoch(sink: object, fold: int, epoch: int, epochs: int, steps: int) -> None:
        at[:] = [fold, epoch]

    def step(sink: object, loss: Callable[[], float]) -> None:
        if at == [fold, epoch]:
            os.kill(os.getpid(), signal.SIGINT)

    patch.setattr(Silence, "start_epoch", start_epoch)
    return step
