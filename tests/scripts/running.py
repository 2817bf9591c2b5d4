"""Running the scripts in this process, and reading what they leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import inference
import look
import train
from modules.runs.checkpoint import load_checkpoint
from tests.digests import digest_tensors
from tests.making import CLASSES, fast, make_contest, write_config


def run_train(*arguments: str) -> int:
    return train.main(list(arguments))


def run_inference(*arguments: str) -> int:
    return inference.main(list(arguments))


def run_look(*arguments: str) -> int:
    return look.main(list(arguments))


def refusal(script: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr of a script that must refuse: exit status 2, and no traceback."""
    capsys.readouterr()
    assert script(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines)
    return [line for line in lines if not line.startswith(("no GPU found", "warning:", "pixels:"))]


def known(root: Path, *more: str) -> list[str]:
    """Arguments that find the runs and the contest in `root`; nothing that a checkpoint carries is said again."""
    return [
        str(root / "config.ini"),
        "data.source=csv",
        "data.image_suffix=.png",
        "settings.gpu=false",
        "settings.num_workers=0",
        "compute.threads=1",
        f"settings.data_path={root / 'contest'}",
        f"settings.log_path={root / 'runs'}",
        *more,
    ]


def make_runs(root: Path, runs: Mapping[str, Sequence[str]]) -> Path:
    """In `root`: a contest that asks for probabilities, an empty config.ini, and a run of each name with those overrides."""
    contest = make_contest(root / "contest")
    template = read(contest / "sample_submission.csv")[["id"]].assign(**dict.fromkeys(CLASSES, 0))
    template.to_csv(contest / "sample_submission.csv", index=False)
    config = write_config(root / "config.ini", "[settings]\n")
    for name, more in runs.items():
        arguments = fast(contest, f"settings.log_path={root / 'runs'}", f"settings.run_name={name}", *more)
        assert run_train(str(config), *arguments, "--quiet") == 0
    return root


def digests(run: Path) -> dict[str, Any]:
    """What must be equal of two runs that learnt the same: weights, optimiser, predictions, scores."""
    found: dict[str, Any] = {}
    for fold in sorted(run.glob("fold[0-9]*")):
        for name in ("best.pt", "last.pt"):
            content = load_checkpoint(fold / name)
            found[f"{fold.name}/{name}"] = digest_tensors(content["model"])
            if name == "last.pt":
                state = content["optimizer"]["state"]
                tensors = {f"{index}.{key}": value for index, slot in state.items() for key, value in slot.items()}
                found[f"{fold.name}/optimizer"] = digest_tensors(tensors)
                found[f"{fold.name}/progress"] = content["progress"]
                found[f"{fold.name}/ema"] = digest_tensors(content["ema"] or {})
        found[f"{fold.name}/predictions"] = (fold / "predictions.csv").read_bytes()
    found["oof"] = (run / "oof.csv").read_bytes()
    result = json.loads((run / "result.json").read_text())
    return {**found, "scores": (result["folds"], result["mean"], result["std"], result["oof"], result["best_epochs"])}


def history(run: Path, fold: int) -> list[dict[str, str]]:
    with open(run / f"fold{fold}" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)
