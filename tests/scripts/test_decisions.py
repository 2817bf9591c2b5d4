"""A fitted decision from training to the submission: stored, applied, told, and changed without training again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.decisions import metric_of
from modules.data.task import Task
from modules.prediction.decisions import Decision
from modules.prediction.ensemble import combine
from modules.prediction.fitting import fit_decision
from modules.prediction.predictions import load_predictions, load_targets
from tests.making import make_contest, write_config
from tests.scripts.running import fast, read, refusal, run_inference, run_train

LABELS = {"cat": "cat", "dog": "dog eel", "eel": "eel"}
TASK = ("data.task=multilabel", "data.label_separator=space", "hyper_params.metric=macro_f1", "split.folds=3")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run of images with one or two labels, and a template of probabilities besides that of labels."""
    root = tmp_path_factory.mktemp("decisions")
    contest = make_contest(root / "contest", train=90)
    for name in ("train.csv", "answers.csv", "sample_submission.csv"):
        table = read(contest / name)
        table.assign(label=table["label"].map(LABELS)).to_csv(contest / name, index=False)
    read(contest / "sample_submission.csv")[["id"]].assign(cat=0, dog=0, eel=0).to_csv(contest / "probabilities.csv", index=False)
    write_config(root / "config.ini", "[settings]\n")
    assert run_train(*arguments(root, "settings.run_name=one", "inference.decision=global"), "--quiet") == 0
    return root


def arguments(root: Path, *more: str) -> list[str]:
    return [
        str(root / "config.ini"),
        *fast(root / "contest", f"settings.log_path={root / 'runs'}", f"inference.submission_path={root / 'submissions'}", *TASK, *more),
    ]


def result_of(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "runs" / "one" / "result.json").read_text()))


def submitted(root: Path, *more: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    before = set((root / "submissions").glob("*.csv"))
    assert run_inference(*arguments(root, *more), "--quiet") == 0
    (path,) = {path for path in (root / "submissions").glob("*.csv") if path.name != "ledger.csv"} - before
    return read(path), json.loads(path.with_suffix(".json").read_text())


def test_the_run_keeps_the_decision_its_honest_score_and_the_plain_one(root: Path) -> None:
    result, path = result_of(root), root / "runs" / "one" / "oof.csv"
    task = Task.from_dict(result["task"])
    predictions, targets, table = load_predictions(path, task), load_targets(path, task), read(path)
    decision = Decision.from_dict(result["decision"]["decision"])
    assert decision.thresholds is not None and len(set(decision.thresholds)) == 1
    given = [set(cell.split()) for cell in table["prediction"]]
    expected = decision.decide(task, predictions.values)
    assert given == [{name for name, there in zip(task.classes, row, strict=True) if there} for row in expected]
    again = fit_decision(task, "global", metric_of("macro_f1"), targets, predictions.values, table["fold"].astype(int).to_numpy())
    assert (result["oof"], result["oof_plain"]) == pytest.approx((again.fitted_score, again.plain_score))
    assert result["oof_plain"] == pytest.approx(metric_of("macro_f1").measure(task, targets, predictions.values))


def test_inference_decides_as_the_run_does_and_the_manifest_says_how(root: Path) -> None:
    labels, manifest = submitted(root)
    probabilities, _ = submitted(root, "data.sample_submission=probabilities.csv")
    decision, task = Decision.from_dict(manifest["decision"]), Task.from_dict(result_of(root)["task"])
    assert decision.to_dict() == result_of(root)["decision"]["decision"] and manifest["cv_score"] == result_of(root)["oof"]
    values = probabilities[["cat", "dog", "eel"]].astype(float).to_numpy(dtype=np.float32)
    expected = decision.decide(task, values)
    assert [set(cell.split()) for cell in labels["label"]] == [
        {n for n, there in zip(task.classes, row, strict=True) if there} for row in expected
    ]


def test_another_decision_is_fitted_at_inference_without_training_again(root: Path) -> None:
    _, plain = submitted(root, "inference.decision=plain")
    assert plain["decision"]["thresholds"] is None and plain["cv_score"] == pytest.approx(result_of(root)["oof_plain"])
    _, each = submitted(root, "inference.decision=per_class")
    assert len(each["decision"]["thresholds"]) == 3 and each["cv_score_plain"] == pytest.approx(plain["cv_score"])


def test_a_fitted_decision_that_is_not_applied_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_inference(*arguments(root, "inference.decision=plain")) == 0
    result = result_of(root)
    told = f"decision  plain, as asked: macro_f1 {result['oof_plain']:.4f} (as the run was trained, fitted: {result['oof']:.4f})"
    assert told in capsys.readouterr().out.splitlines()


def test_a_score_of_labels_that_ranks_decide_is_of_ranks(root: Path) -> None:
    """One half of a rank gives half of the images each label, also where nothing is fitted."""
    _, manifest = submitted(root, "inference.decision=plain", "inference.ensemble=rank")
    task, path = Task.from_dict(result_of(root)["task"]), root / "runs" / "one" / "oof.csv"
    ranks = combine(load_predictions(path, task).values[None], "rank", task)
    assert manifest["cv_score"] == pytest.approx(metric_of("macro_f1").measure(task, load_targets(path, task), ranks))


def test_what_is_fitted_is_printed_with_and_without(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*arguments(root, "--resume", "one")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("decision")]
    result = result_of(root)
    gain = result["oof"] - result["oof_plain"]
    threshold = result["decision"]["decision"]["thresholds"][0]
    scores = f"macro_f1 {result['oof']:.4f} cross-fitted, {result['oof_plain']:.4f} plainly: {gain:+.4f}"
    assert line == f"decision  thresholds {threshold:.4g} (one for all labels): {scores}"


def test_a_label_that_is_none_is_told_before_anything_is_trained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "override inference.empty_labels: expected best, none or a label, got 'eeel' (did you mean eel?)"
    for script in (run_train, run_inference):
        assert refusal(script, arguments(root, "inference.empty_labels=eeel"), capsys)[-1] == told
    assert [path.name for path in (root / "runs").glob("[!.]*")] == ["one"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["inference.unknown_class=Other"], "unknown_below: auto needs training samples of 'Other', and there are none; give a number"),
        (["inference.unknown_class=ell"], "auto needs training samples of 'ell', and there are none; give a number (did you mean eel?)"),
        (
            ["inference.decision=per_class", "hyper_params.metric=log_loss"],
            "per_class is fitted to a score of labels, and metric = log_loss takes none; use auto or plain",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_line(
    more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "config.ini", "[settings]\n")
    (line,) = refusal(run_train, fast(make_contest(tmp_path / "contest"), *more), capsys)
    assert told in line


def test_an_unknown_class_reaches_the_submission_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "config.ini", "[settings]\n")
    more = ["inference.unknown_class=Other", "inference.unknown_below=0.999", "hyper_params.metric=macro_f1"]
    found = fast(make_contest(tmp_path / "contest"), *more, f"inference.answers={tmp_path / 'contest' / 'answers.csv'}")
    assert run_train(*found, "--quiet") == 0 and run_inference(*found, "--quiet") == 0
    (path,) = [path for path in Path("submissions").glob("*.csv") if path.name != "ledger.csv"]
    assert "Other" in set(read(path)["label"]) <= {"cat", "dog", "eel", "Other"}
    (oof,) = Path("runs").glob("*/oof.csv")
    assert "Other" in set(read(oof)["prediction"])
