"""inference.py's options on finished runs: ensembles, blends, weights, TTA, the copy under a fixed name."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gmean, rankdata
from sklearn.metrics import roc_auc_score

from modules.data.task import classification
from modules.reporting.summary import describe_result
from modules.runs.checkpoint import load_checkpoint, save_checkpoint
from tests.making import CLASSES, write_config
from tests.scripts.running import known, make_runs, read, refusal, run_inference

NOT_FOR_INFERENCE = shutil.ignore_patterns("last*.pt")
PROBABILITIES = [f"p:{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest of probabilities, scored by AUC, and the runs `one`, `two` (another rate and size), `flip` (one with hflip)."""
    root = tmp_path_factory.mktemp("made")
    runs = {"one": (), "two": ("hyper_params.learning_rate=0.002", "data.image_size=40"), "flip": ("inference.tta=hflip",)}
    return make_runs(root, {name: ("hyper_params.metric=roc_auc", *more) for name, more in runs.items()})


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The runs and their contest, to be changed; the runs find the contest at its first place."""
    shutil.copytree(made / "runs", tmp_path / "runs", ignore=NOT_FOR_INFERENCE)
    shutil.copytree(made / "contest", tmp_path / "contest")
    write_config(tmp_path / "config.ini", "[settings]\n")
    return tmp_path


def test_what_members_differ_in_is_not_held_against_them_by_the_config(root: Path) -> None:
    """One run is refused where the config says another image size; two that differ cannot both be as it says."""
    said = ("data.image_size=32", "data.mean=0.5", "inference.submission_path=out")
    assert run_inference(*known(root, *said, "inference.run=two")) == 2
    assert run_inference(*known(root, *said, "inference.run=one,two")) == 0
    assert run_inference(*known(root, "data.source=folder", "inference.run=one,two")) == 2


def test_the_score_of_a_blend_says_how_many_samples_it_is_of(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = read(root / "runs/two/oof.csv")
    whole[whole["fold"] == "1"].to_csv(root / "runs/two/oof.csv", index=False)
    _, manifest = submit(root, "part", "inference.run=one,two")
    assert "out-of-fold, of 50.0% of the samples, which all runs have (" in capsys.readouterr().out
    assert manifest["cv_coverage"] == 0.5
    _, manifest = submit(root, "whole", "inference.run=one,flip")
    assert "of the samples" not in capsys.readouterr().out and manifest["cv_coverage"] == 1


def submit(root: Path, name: str, *more: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The (N, 3) probabilities that were submitted, and the manifest."""
    folder = root / "submissions" / name
    assert run_inference(*known(root, f"inference.submission_path={folder}", *more)) == 0
    (path,) = [each for each in folder.glob("*.csv") if each.name != "ledger.csv"]
    return read(path)[list(CLASSES)].to_numpy(dtype=np.float64), json.loads(path.with_suffix(".json").read_text())


def edit_result(run: Path, **changes: Any) -> None:
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, **changes}))


def one_fold(root: Path, run: str, number: int) -> str:
    """A copy of the run that has one of its folds' models only."""
    name = f"{run}_fold{number}"
    if not (root / "runs" / name).exists():
        shutil.copytree(root / "runs" / run, root / "runs" / name)
        best = load_checkpoint(root / "runs" / name / f"fold{number}" / "best.pt")["epoch"]
        edit_result(root / "runs" / name, fold_numbers=[number], best_epochs=[best])
    return name


@pytest.fixture(scope="module")
def folds(made: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """(4, N, 3) what each model of `one` and `two` says alone."""
    root = tmp_path_factory.mktemp("folds")
    shutil.copytree(made / "runs", root / "runs", ignore=NOT_FOR_INFERENCE)
    shutil.copytree(made / "contest", root / "contest")
    write_config(root / "config.ini", "[settings]\n")
    alone = [one_fold(root, run, number) for run in ("one", "two") for number in (0, 1)]
    return np.stack([submit(root, name, f"inference.run={name}")[0] for name in alone])


def by_hand(how: str, folds: np.ndarray) -> np.ndarray:
    if how == "mean":
        return folds.mean(axis=0)
    if how == "rank":
        return np.stack([np.mean([rankdata(fold[:, each]) for fold in folds], axis=0) for each in range(3)], axis=1) / folds.shape[1]
    if how == "vote":
        return np.stack([(folds.argmax(axis=2) == each).mean(axis=0) for each in range(3)], axis=1)
    if how == "geometric":
        values = gmean(folds, axis=0)
    else:
        odds = np.log(folds / (1 - folds)).mean(axis=0)
        values = 1 / (1 + np.exp(-odds))
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("how", ["mean", "geometric", "logit", "rank", "vote"])
def test_a_blend_combines_every_fold_of_every_run_at_once(how: str, root: Path, folds: np.ndarray) -> None:
    found, manifest = submit(root, how, "inference.run=one, two", f"inference.ensemble={how}")
    np.testing.assert_allclose(found, by_hand(how, folds), atol=1e-5)
    assert (manifest["ensemble"], manifest["weights"], manifest["run"]) == (how, [0.25] * 4, "one+two")
    assert [(each["run"], each["fold"]) for each in manifest["members"]] == [("one", 0), ("one", 1), ("two", 0), ("two", 1)]
    assert [each["name"] for each in manifest["runs"]] == ["one", "two"]


def test_a_blend_is_called_after_its_runs_and_entered_with_its_own_score(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submit(root, "blend", "inference.run=one,two")
    row = read(root / "submissions/blend/ledger.csv").iloc[0]
    assert (row["file"], row["run"]) == ("one+two.csv", "one+two")
    one, two = (read(root / "runs" / name / "oof.csv") for name in ("one", "two"))
    assert one["id"].tolist() == two["id"].tolist()
    values = sum(table[PROBABILITIES].astype(float).to_numpy() for table in (one, two))
    score = roc_auc_score(np.array(one["target"].tolist())[:, None] == np.array(CLASSES), values)
    assert float(row["cv_score"]) == pytest.approx(score, abs=1e-6)
    assert f"blend of 4 models, mean: CV roc_auc {score:.4f} out-of-fold" in capsys.readouterr().out


def test_a_long_name_is_cut_and_told_apart(root: Path) -> None:
    for letter in "ab":
        shutil.copytree(root / "runs/one", root / "runs" / (letter * 90))
    submit(root, "long", f"inference.run={'a' * 90}, {'b' * 90}")
    row = read(root / "submissions/long/ledger.csv").iloc[0]
    assert row["run"] == f"{'a' * 90}+{'b' * 90}" and len(row["file"]) == 124 and row["file"].startswith("a" * 90 + "+b")


@pytest.mark.parametrize(("runs", "passes"), [("one, flip", 1), ("one, two", 2), ("one, two, flip", 2)])
def test_runs_that_see_images_alike_share_one_pass(runs: str, passes: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.jobs import passes as passes_module

    predict, seen = passes_module.predict, []
    monkeypatch.setattr(passes_module, "predict", lambda members, *rest: seen.append(len(members)) or predict(members, *rest))
    edit_result(root / "runs/flip", tta="none")
    submit(root, "passes", f"inference.run={runs}")
    assert len(seen) == passes and sum(seen) == 2 * len(runs.split(","))


def test_weights_by_score_are_in_proportion_to_the_folds_scores(root: Path, folds: np.ndarray) -> None:
    edit_result(root / "runs/one", folds=[0.9, 0.6])
    edit_result(root / "runs/two", folds=[0.3, 0.2])
    found, manifest = submit(root, "score", "inference.run=one,two", "inference.weights=score")
    assert manifest["weights"] == pytest.approx([0.45, 0.3, 0.15, 0.1])
    np.testing.assert_allclose(found, np.average(folds, axis=0, weights=[0.45, 0.3, 0.15, 0.1]), atol=1e-5)


def test_scores_of_0_weigh_all_alike_and_that_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_result(root / "runs/one", folds=[0.9, 0.0])
    assert submit(root, "score", "inference.run=one", "inference.weights=score")[1]["weights"] == [0.5, 0.5]
    assert "weights = score needs scores above 0 in every fold; all models count alike" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_fitted_out_of_fold_match_rows_by_id(root: Path, folds: np.ndarray) -> None:
    """`one` is made to be right everywhere and `two` to be wrong everywhere, in another order of rows."""
    for name, right in (("one", True), ("two", False)):
        path = root / "runs" / name / "oof.csv"
        table = read(path)
        truth = np.eye(3)[[CLASSES.index(label) for label in table["target"]]]
        table[PROBABILITIES] = truth if right else np.roll(truth, 1, axis=1)
        (table if right else table.iloc[::-1]).to_csv(path, index=False)
    found, manifest = submit(root, "oof", "inference.run=two,one", "inference.weights=oof")
    assert manifest["weights"] == [0, 0, 0.5, 0.5] and manifest["cv_score"] == 1
    np.testing.assert_allclose(found, folds[:2].mean(axis=0), atol=1e-5)


def test_with_one_run_there_is_nothing_to_fit(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(root, "oof", "inference.run=one", "inference.weights=oof")[1]["weights"] == [0.5, 0.5]
    assert "with one there is nothing to fit, and all models count alike" in capsys.readouterr().err


@pytest.fixture
def refitted(root: Path) -> Path:
    """`one` as a run without validation would be: models, and no score."""
    edit_result(root / "runs/one", oof=None, folds=[None, None], mean=None, std=None, coverage=0)
    (root / "runs/one/oof.csv").unlink()
    return root


def test_a_run_without_scores_predicts_and_blends_uniformly(refitted: Path, folds: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    found, manifest = submit(refitted, "alone", "inference.run=one", "inference.tta=hflip")
    assert manifest["cv_score"] is None and read(refitted / "submissions/alone/ledger.csv")["cv_score"].tolist() == [""]
    found, manifest = submit(refitted, "blend", "inference.run=one,two")
    np.testing.assert_allclose(found, folds.mean(axis=0), atol=1e-5)
    assert manifest["cv_score"] is None
    assert "the blend's CV score is not known: one was trained without validation" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["score", "oof"])
def test_a_run_without_scores_has_no_weights_by_score(weights: str, refitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = refusal(run_inference, known(refitted, "inference.run=two,one", f"inference.weights={weights}"), capsys)
    assert lines == [f"override inference.weights: {weights} needs scores, and one was trained without validation; use uniform"]


def test_what_cannot_be_blended_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*more: str) -> str:
        (line,) = refusal(run_inference, known(root, *more), capsys)
        return line

    assert "one stands twice" in refused("inference.run=one,one")
    config = root / "runs/one/config.ini"
    config.write_text(config.read_text().replace("metric = roc_auc", "metric = log_loss"))
    assert "ranks are none; use mean, geometric or logit" in refused("inference.run=one", "inference.ensemble=rank")
    assert "scores of log_loss and roc_auc cannot be compared" in refused("inference.run=one,two", "inference.weights=score")
    other = classification("label", ("cat", "eel", "dog")).to_dict()
    edit_result(root / "runs/two", task=other)
    for number in (0, 1):
        path = root / f"runs/two/fold{number}/best.pt"
        save_checkpoint(path, {**load_checkpoint(path), "task": other})
    assert refused("inference.run=one,two") == "one and two cannot be blended: their classes differ (the same ones in another order)"


def test_d4_is_refused_for_a_run_that_is_not_square(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1):
        path = root / f"runs/two/fold{number}/best.pt"
        checkpoint = load_checkpoint(path)
        save_checkpoint(path, {**checkpoint, "preprocessing": {**checkpoint["preprocessing"], "size": [32, 40]}})
    lines = refusal(run_inference, known(root, "inference.run=one,two", "inference.tta=d4"), capsys)
    assert lines == ["override inference.tta: d4 turns images by a quarter, and those of two are 32 x 40; use hvflip"]


def test_training_with_tta_says_what_it_gained(made: Path) -> None:
    one, flip = (json.loads((made / "runs" / name / "result.json").read_text()) for name in ("one", "flip"))
    assert one["oof_without_tta"] is None and flip["oof_without_tta"] == one["oof"]
    gain = flip["oof"] - one["oof"]
    assert abs(gain) > 1e-4, "a gain that is none tests nothing"
    assert (
        describe_result(flip, {})[-1]
        == f"CV      roc_auc {flip['oof']:.4f}  out-of-fold with tta hflip (without {one['oof']:.4f}: {gain:+.4f})"
    )
    assert describe_result(one, {})[-1] == f"CV      roc_auc {one['oof']:.4f}  out-of-fold"


def test_out_of_fold_under_another_tta_is_what_training_with_it_makes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`flip` is `one`, trained with the TTA: its out-of-fold predictions are the independent answer, to the bit."""
    found, manifest = submit(root, "tta", "inference.run=one", "inference.tta=hflip")
    assert (root / "runs/one/oof.hflip.csv").read_bytes() == (root / "runs/flip/oof.csv").read_bytes()
    one, flip = (json.loads((root / "runs" / name / "result.json").read_text())["oof"] for name in ("one", "flip"))
    assert f"one: CV roc_auc {flip:.4f} out-of-fold with tta hflip (with none {one:.4f}: {flip - one:+.4f})" in capsys.readouterr().out
    assert manifest["cv_score"] == flip and manifest["tta"] == manifest["runs"][0]["tta_of_cv_score"] == "hflip"
    assert read(root / "submissions/tta/ledger.csv")["cv_score"].tolist() == [f"{flip:.6g}"]
    np.testing.assert_array_equal(found, submit(root, "flip", "inference.run=flip", "inference.tta=hflip")[0])


def test_out_of_fold_under_another_tta_is_kept_and_believed_only_if_it_is_of_this_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.jobs import passes as passes_module

    predict, seen = passes_module.predict, []
    monkeypatch.setattr(passes_module, "predict", lambda members, *rest: seen.append(len(members)) or predict(members, *rest))
    more = ("inference.run=one", "inference.tta=five_crop")
    submit(root, "first", *more)
    assert seen == [1, 1, 2]  # each fold's rows by its own model, then the test set by both
    kept = (root / "runs/one/oof.five_crop.csv").read_bytes()
    for name, changed in (("as it is", False), ("resumed", True), ("damaged", True)):
        seen.clear()
        if name == "resumed":
            edit_result(root / "runs/one", ended="later")
        if name == "damaged":
            (root / "runs/one/oof.five_crop.csv").write_bytes(kept[:-20])
        submit(root, name, *more)
        assert seen == ([1, 1, 2] if changed else [2])
        assert (root / "runs/one/oof.five_crop.csv").read_bytes() == kept


@pytest.mark.parametrize("lost", ["images", "labels"])
def test_where_the_training_images_are_not_those_the_score_stays_and_that_is_said(
    lost: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = (root / "runs/one/config.ini").read_text()
    data_path = next(line for line in config.splitlines() if line.startswith("data_path"))
    (root / "runs/one/config.ini").write_text(config.replace(data_path, f"data_path = {root / 'contest'}"))
    table = read(root / "contest/train.csv")
    if lost == "images":
        shutil.rmtree(root / "contest/train")
    else:
        table.assign(label=np.roll(table["label"], 1)).to_csv(root / "contest/train.csv", index=False)
    manifest = submit(root, "lost", "inference.run=one", "inference.tta=hflip")[1]
    assert manifest["runs"][0]["tta_of_cv_score"] == "none" and not (root / "runs/one/oof.hflip.csv").exists()
    assert "one: its CV score is that with tta none; with hflip it cannot be measured here: " in capsys.readouterr().err


def test_the_copy_has_a_fixed_name_and_is_replaced_each_time(root: Path) -> None:
    more = ["inference.run=one", "inference.submission_path=sent"]
    for number, (how, output, place) in enumerate(
        [("mean", "final.csv", "sent/final.csv"), ("rank", "final.csv", "sent/final.csv"), ("mean", "a/b/final.csv", "a/b/final.csv")], 1
    ):
        assert run_inference(*known(root, *more, f"inference.output={output}", f"inference.ensemble={how}")) == 0
        written = Path("sent/one.csv" if number == 1 else f"sent/one-{number}.csv")
        assert Path(place).read_bytes() == written.read_bytes() and written.with_suffix(".json").is_file()
    assert read(Path("sent/ledger.csv"))["file"].tolist() == ["one.csv", "one-2.csv", "one-3.csv"]
    assert Path("sent/final.csv").read_bytes() == Path("sent/one-2.csv").read_bytes() != Path("sent/one.csv").read_bytes()


def test_a_copy_named_as_the_run_leaves_that_name_free(root: Path) -> None:
    for _ in range(2):
        assert run_inference(*known(root, "inference.run=one", "inference.output=one.csv")) == 0
    assert read(Path("submissions/ledger.csv"))["file"].tolist() == ["one-2.csv", "one-3.csv"]
    assert Path("submissions/one.csv").read_bytes() == Path("submissions/one-3.csv").read_bytes()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ledger.csv", "submissions/ledger.csv is the ledger"),
        ("submissions/Ledger.csv", "submissions/Ledger.csv is the ledger"),
        ("folder", "submissions/folder is a folder"),
        ("new/", "new is a folder"),
        ("old.csv", "submissions/old.csv is a submission of its own, which the ledger tells of"),
    ],
)
def test_the_copy_never_replaces_what_is_no_copy(output: str, message: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("submissions/folder").mkdir(parents=True)
    for name in ("old.csv", "old.json"):
        Path("submissions", name).write_text("mine")
    lines = refusal(run_inference, known(root, "inference.run=one", f"inference.output={output}"), capsys)
    assert lines == [f"override inference.output: {message}; name another file, such as submission.csv"]
    assert Path("submissions/old.csv").read_text() == "mine"


@pytest.mark.parametrize("file", ["sample_submission.csv", "answers.csv", "extra.csv"])
def test_the_copy_never_replaces_the_template_or_what_else_is_read(file: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, answers = root / "contest" / file, root / "contest/answers.csv"
    more = ["inference.run=one", f"inference.output={output}", f"inference.answers={answers}", "data.extra_csv=extra.csv"]
    (line,) = refusal(run_inference, known(root, *more), capsys)
    assert "is a file of the contest" in line


def test_quiet_prints_the_result_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = f"inference.answers={root / 'contest/answers.csv'}"
    assert run_inference(*known(root, "inference.run=one,flip", "inference.tta=hflip", "inference.output=x.csv", answers), "--quiet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["submission", "copied to", "score against the answers"]


def test_a_class_column_is_filled_from_ranks_with_a_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"id": read(root / "contest/sample_submission.csv")["id"], "label": "cat"}).to_csv(
        root / "contest/sample_submission.csv", index=False
    )
    assert run_inference(*known(root, "inference.run=one", "inference.ensemble=rank")) == 0
    assert "the class of the highest rank may not be the most probable" in capsys.readouterr().err
    assert set(read(Path("submissions/one.csv"))["label"]) <= set(CLASSES)


def test_a_newer_run_that_is_not_finished_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever stopped a run and predicts would otherwise submit the one before it."""

    def begin(name: str, *, debug: bool = False, old: bool = False) -> None:
        shutil.copytree(root / "runs/one", root / "runs" / name)
        (root / "runs" / name / "result.json").unlink()
        text = (root / "runs/one/config.ini").read_text()
        text = re.sub("^data_path = .*$", f"data_path = {root / 'contest'}", text, flags=re.MULTILINE)
        (root / "runs" / name / "config.ini").write_text(re.sub("^debug = .*$", f"debug = {debug}".lower(), text, flags=re.MULTILINE))
        if old:
            os.utime(root / "runs" / name / "config.ini", (0, 0))

    def told() -> list[str]:
        assert run_inference(*known(root)) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "not finished" in line]

    begin("long ago", old=True)
    begin("a trial", debug=True)
    assert told() == []
    begin("stopped")
    (line,) = told()
    assert "warning: stopped is newer and not finished; this takes " in line
    assert line.endswith(" (python train.py --resume stopped goes on)")
    begin("yesterdays")
    (line,) = told()
    assert "stopped, yesterdays are newer and not finished" in line


def test_the_latest_run_is_of_the_contest_that_the_config_names(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of several contests in one log_path: those of this one go first; where there is none, that is said."""
    for run in ("one", "two", "flip"):
        config = root / "runs" / run / "config.ini"
        lines = config.read_text().splitlines()
        own = root / "contest" if run == "one" else root / "elsewhere"
        config.write_text("\n".join(f"data_path = {own}" if line.startswith("data_path =") else line for line in lines))
    assert run_inference(*known(root)) == 0
    found = capsys.readouterr()
    assert "/runs/one: " in found.out and "warning" not in found.err
    shutil.rmtree(root / "runs/one")
    assert run_inference(*known(root)) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert f"was trained on {root / 'elsewhere'}, and this is {root / 'contest'}; inference.run names another" in line
