"""Stored features, attacked through the scripts: what they cost is told truly, and what goes wrong is told in a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.making import fast, make_contest, write_config
from tests.scripts.running import refusal, run_train

FROZEN = ("model.freeze=backbone", "hyper_params.learning_rate=0.01")


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 images; the current folder, where .cache and runs will be, is the one around it."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "config.ini", "[settings]\n")
    return make_contest(tmp_path / "contest")


def frozen(contest: Path, name: str, *more: str) -> list[str]:
    return ["config.ini", *fast(contest, "settings.log_path=runs", f"settings.run_name={name}", *FROZEN, *more), "--quiet"]


def test_folds_that_begin_with_weights_of_their_own_are_told_to_take_a_pass_each(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights are a fold's own, and so are those that an earlier run learnt; what that froze is again every fold's."""

    def told_and_stored(*arguments: str) -> tuple[str, int]:
        before = set(Path(".cache/features").glob("*"))
        assert run_train(*arguments) == 0
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("features: "))
        passes = re.search(r"model's work: (.*) over 60 images in place of (\d+)", line)
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
