"""Several runs in one submission: what is printed of them, weights that are fitted, runs that do not go together."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss

from modules.config.schema import HyperParams
from modules.data.task import classification
from modules.prediction.metrics import METRICS
from modules.prediction.weighting import correlate, cross_fitted, select
from tests.making import CLASSES, write_config
from tests.scripts.running import known, make_runs, read, refusal, run_inference

PROBABILITIES = [f"p:{name}" for name in CLASSES]
TASK = classification("label", CLASSES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs scored by log loss: `a`, `b` and `c` with the same folds, `d` with others."""
    runs = {
        "a": (),
        "b": ("hyper_params.learning_rate=0.003",),
        "c": ("augmentation.preset=light", "hyper_params.learning_rate=0.01"),
        "d": ("settings.seed=7",),
    }
    root = tmp_path_factory.mktemp("made")
    return make_runs(root, {name: ("hyper_params.metric=log_loss", *more) for name, more in runs.items()})


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made / "runs", tmp_path / "runs", ignore=shutil.ignore_patterns("last*.pt"))
    shutil.copytree(made / "contest", tmp_path / "contest")
    write_config(tmp_path / "config.ini", "[settings]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def out_of_fold(root: Path, names: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(runs, N, classes) values, (N,) targets and folds, in the order of the first run's table."""
    tables = [read(root / "runs" / name / "oof.csv").set_index("id") for name in names]
    tables = [table.loc[tables[0].index] for table in tables]
    targets = np.array([CLASSES.index(label) for label in tables[0]["target"]])
    return np.stack([table[PROBABILITIES].to_numpy(np.float32) for table in tables]), targets, tables[0]["fold"].to_numpy(int)


def blend(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[list[str], dict[str, object]]:
    capsys.readouterr()
    assert run_inference(*known(root, *more)) == 0
    (manifest,) = Path("submissions").glob("*.json")
    content = json.loads(manifest.read_text())
    shutil.rmtree("submissions")
    return capsys.readouterr().out.splitlines(), content


@pytest.mark.slow
def test_a_blend_prints_each_runs_score_and_how_alike_they_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, manifest = blend(root, capsys, "inference.run=a,b,c")
    values, targets, _ = out_of_fold(root, "abc")
    start = lines.index("on the samples that all runs have: log_loss, and the correlation of predictions")
    centred = (values - values.mean(axis=1, keepdims=True)).reshape(3, -1)
    expected = np.corrcoef(centred)
    for row, name in enumerate("abc"):
        told = lines[start + 1 + row].split()
        score = log_loss(targets, values[row] / values[row].sum(axis=1, keepdims=True))
        assert told[0] == name and float(told[1]) == pytest.approx(score, abs=1e-4)
        assert [float(number) for number in told[2:]] == pytest.approx(expected[row, : row + 1].tolist(), abs=2e-3)
    mean = values.mean(axis=0)
    together = log_loss(targets, mean / mean.sum(axis=1, keepdims=True))
    assert manifest["cv_score"] == pytest.approx(together, abs=1e-5)
    best = min(log_loss(targets, each / each.sum(axis=1, keepdims=True)) for each in values)
    (gain,) = [line for line in lines if line.startswith("against the best of them, ")]
    difference, word = gain.split(": ")[1].split()
    assert float(difference) == pytest.approx(together - best, abs=2e-4) and word == ("better" if together < best else "worse")


def test_the_score_of_fitted_weights_is_of_rows_that_they_were_not_fitted_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, manifest = blend(root, capsys, "inference.run=a,b,c", "inference.weights=oof")
    values, targets, folds = out_of_fold(root, "abc")
    score = METRICS["log_loss"](HyperParams())
    blended = np.empty_like(values[0])
    for fold in (0, 1):
        own = folds == fold
        weights = select(values[:, ~own], "mean", TASK, lambda found, own=own: score.measure(TASK, targets[~own], found), False)
        blended[own] = np.average(values[:, own].astype(np.float64), axis=0, weights=weights)
    assert manifest["cv_score"] == pytest.approx(log_loss(targets, blended / blended.sum(axis=1, keepdims=True)), abs=1e-5)
    (told,) = [line for line in lines if "too good" in line]
    fitted = re.search(r"all at once ([\d.]+), too good", told)
    assert fitted and float(fitted[1]) <= float(manifest["cv_score"]) + 1e-4  # type: ignore[arg-type]


def test_runs_of_other_folds_are_refused_unless_that_is_allowed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_inference, known(root, "inference.run=a,d"), capsys)
    assert re.fullmatch(
        r"override inference\.run: a and d were divided otherwise: \d+ of 60 shared samples were in another fold;"
        r" train with the same seed and \[split\], or set inference\.other_folds=allow",
        line,
    )
    lines, _ = blend(root, capsys, "inference.run=a,d", "inference.other_folds=allow")
    assert any(line.startswith("blend of 4 models, mean: CV log_loss") for line in lines)
    (line,) = refusal(run_inference, known(root, "inference.run=a,d", "inference.other_folds=allow", "inference.weights=oof"), capsys)
    assert "oof needs runs with the seed and the [split] of each other" in line


def test_no_row_is_combined_with_weights_that_saw_it() -> None:
    rng = np.random.default_rng(0)
    members, folds = rng.random((2, 30, 3), dtype=np.float32), np.arange(30) % 3
    seen: list[set[int]] = []

    def fit(rows: np.ndarray) -> list[float]:
        seen.append(set(rows.tolist()))
        return [1.0, 0.0] if len(seen) == 2 else [0.0, 1.0]

    values = cross_fitted(members, "mean", TASK, folds, fit)
    assert seen == [set(np.flatnonzero(folds != fold).tolist()) for fold in range(3)]
    np.testing.assert_array_equal(values, np.where((folds == 1)[:, None], members[0], members[1]))


def test_a_run_that_says_the_same_of_all_rows_has_no_correlation() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((20, 2)).astype(np.float32)
    found = correlate(np.stack([first, np.full_like(first, 0.5), 1 - first]))
    assert found.diagonal().tolist() == [1, 1, 1] and found[0, 1] == 0
    assert found[0, 2] == pytest.approx(-1) and not np.isnan(found).any()
