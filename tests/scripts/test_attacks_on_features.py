"""Stored features, attacked through the scripts: what they cost is told truly, and what goes wrong is told in a line."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from modules.compute import row_store
from modules.prediction import features
from modules.training import fold
from tests.making import fast, make_contest, write_config
from tests.scripts.running import digests, history, known, refusal, run_inference, run_train

FROZEN = ("model.freeze=backbone", "hyper_params.learning_rate=0.01")


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 images; the current folder, where .cache and runs will be, is the one around it."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "config.ini", "[settings]\n")
    return make_contest(tmp_path / "contest")


def frozen(contest: Path, name: str, *more: str) -> list[str]:
    return ["config.ini", *fast(contest, "settings.log_path=runs", f"settings.run_name={name}", *FROZEN, *more), "--quiet"]


@pytest.mark.slow
def test_folds_that_begin_with_weights_of_their_own_are_told_to_take_a_pass_each(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights are a fold's own, and so are those that an earlier run learnt; what that froze is again every fold's."""

    def told_and_stored(*arguments: str) -> tuple[str, int]:
        before = set(Path(".cache/features").glob("*"))
        assert run_train(*arguments) == 0
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("features: "))
        passes = re.search(r"a forward pass: (.*) over 60 images in place of (\d+)", line)
        assert passes is not None
        assert ("another network in each fold" in line) == (passes[1] != "one pass")
        return passes[1], len(set(Path(".cache/features").glob("*")) - before)

    assert told_and_stored(*frozen(contest, "random")) == ("2 passes", 2)
    assert run_train(*frozen(contest, "whole", "model.freeze=none")) == 0
    assert told_and_stored(*frozen(contest, "after", "model.pretrained=runs/whole")) == ("2 passes", 2)
    weights = sorted(Path("runs/whole").glob("fold*/best.pt"))[0]
    assert told_and_stored(*frozen(contest, "one", f"model.pretrained={weights}")) == ("one pass", 0)  # fold 0 of the run before had them
    assert told_and_stored(*frozen(contest, "again", "model.pretrained=runs/one")) == ("one pass", 0)


def test_the_cache_limit_counts_the_features_of_every_folds_own_network(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """60 images of 96 numbers of 2 bytes are 11.52 kB for a network."""
    (line,) = refusal(run_train, frozen(contest, "x", "model.feature_cache=on", "settings.cache_limit=0.000015"), capsys)
    assert "23 kB are more than the 15 kB that settings.cache_limit leaves" in line


def stop_in_the_second_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, once."""
    train, epochs = fold.train_epoch_of, iter((False, True))

    def until(*arguments: Any, **named: Any) -> Any:
        if next(epochs, False):
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(fold, "train_epoch_of", until)


def test_a_run_goes_on_with_another_cache_and_with_none_and_not_where_nothing_can_be_written(
    contest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*frozen(contest, "whole")) == 0
    stop_in_the_second_epoch(monkeypatch)
    assert run_train(*frozen(contest, "cut")) == 130
    config = Path("runs/cut/config.ini").read_text()
    for place in ("config.ini", "config.ini/inside"):
        (line,) = refusal(run_train, ["--resume", "runs/cut", f"settings.cache_path={place}"], capsys)
        assert line == f"override settings.cache_path: the run learns from stored features, and {place} cannot be written to"
    assert Path("runs/cut/config.ini").read_text() == config
    shutil.rmtree(".cache")
    assert run_train("--resume", "runs/cut", "settings.cache_path=other", "--quiet") == 0
    assert digests(Path("runs/cut")) == digests(Path("runs/whole"))
    assert Path("other/features").is_dir() and not Path(".cache").exists()


def test_a_file_where_features_should_be_is_told_with_the_option(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*frozen(contest, "first")) == 0
    store = next(Path(".cache/features").iterdir())
    shutil.rmtree(store)
    store.write_text("not a folder")
    (line,) = refusal(run_train, frozen(contest, "second"), capsys)[-1:]
    assert line.endswith("cache_path: features cannot be kept in .cache/features: File exists; name another folder")
    shutil.rmtree(".cache")
    Path(".cache").mkdir()
    Path(".cache/features").write_text("not a folder")
    (line,) = refusal(run_train, frozen(contest, "third", "model.feature_cache=on"), capsys)
    assert line.endswith("features cannot be stored: settings.cache_path, .cache, cannot be written to; use auto")


def test_a_full_disk_is_told_in_a_line_and_the_run_goes_on_when_there_is_room(
    contest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*frozen(contest, "whole")) == 0
    shutil.rmtree(".cache")
    with monkeypatch.context() as full:

        def no_room(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(row_store, "write_sealed", no_room)
        (line,) = refusal(run_train, frozen(contest, "cut"), capsys)[-1:]
    assert line.endswith("cache_path: features cannot be kept in .cache/features: No space left on device; name another folder")
    assert run_train("--resume", "runs/cut", "--quiet") == 0
    assert digests(Path("runs/cut")) == digests(Path("runs/whole"))


@pytest.mark.slow
def test_a_refit_ends_where_its_run_was_best_though_more_would_have_begun_to_train_later(contest: Path) -> None:
    """And its config is read again: by inference, and by training that goes on."""
    stages = (
        "model.name=test_resnet",  # whose first epoch scores best
        "model.unfreeze=2: layer4, 4: all",
        "hyper_params.epochs=5",
        "hyper_params.learning_rate=1e-9",
        "hyper_params.warmup_epochs=0",
    )
    assert run_train(*frozen(contest, "folds", *stages)) == 0
    best = json.loads(Path("runs/folds/result.json").read_text())["best_epochs"]
    assert best == [1, 1]
    assert run_train(*frozen(contest, "refit", *stages, "split.method=none", "split.epochs_from=folds")) == 0
    assert len(history(Path("runs/refit"), 0)) == 1
    assert run_train("--resume", "runs/refit") == 0
    assert run_inference(*known(Path(), "inference.run=refit", "settings.log_path=runs", "settings.data_path=contest")) == 0


def test_features_that_wait_to_be_written_are_few_where_each_is_large(contest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of 1,024 images of an early layer of a large network are gigabytes."""
    append, written = row_store.RowStore.append, []

    def noted(store: row_store.RowStore, keys: Sequence[bytes], numbers: Any) -> None:
        written.append(len(keys))
        append(store, keys, numbers)

    monkeypatch.setattr(row_store.RowStore, "append", noted)
    one = ("split.train_folds=0", "hyper_params.batch_size=8")
    assert run_train(*frozen(contest, "small", *one)) == 0
    assert written == [60]
    monkeypatch.setattr(features, "HELD_BYTES", 20 * 96 * 2)
    assert run_train(*frozen(contest, "large", *one, "settings.cache_path=other")) == 0
    assert written[1:] == [20, 20, 20]
    monkeypatch.setattr(features, "HELD_BYTES", 1)
    assert run_train(*frozen(contest, "larger", *one, "settings.cache_path=another")) == 0
    assert written[4:] == [8, 8, 8, 8, 8, 8, 8, 4]
    assert digests(Path("runs/larger")) == digests(Path("runs/small"))


def test_a_run_predicts_where_another_package_brings_opencv(contest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a bundle is unpacked: opencv-python is there, opencv-python-headless is not."""
    assert run_train(*frozen(contest, "first")) == 0
    version = metadata.version

    def installed(package: str) -> str:
        if package.startswith("opencv"):
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(metadata, "version", installed)
    assert run_inference(*known(Path(), "inference.run=first", "settings.log_path=runs", "settings.data_path=contest")) == 0
