"""Ways to split, end to end: what a run writes of them, and what inference makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from modules.runs.checkpoint import load_checkpoint
from tests.making import fast, write_config
from tests.scripts.running import digests, history, read, refusal, run_inference, run_train


@pytest.fixture
def arguments(contest: Path) -> list[str]:
    config = write_config(Path("config.ini"), "[settings]\n")
    return [str(config), *fast(contest, "data.test_csv=test.csv", "hyper_params.epochs=1", "settings.run_name=here"), "--quiet"]


def result() -> dict[str, object]:
    content: dict[str, object] = json.loads(Path("runs/here/result.json").read_text())
    return content


def test_repeats_score_every_row_once_a_repeat_and_all_models_predict(arguments: list[str], contest: Path) -> None:
    assert run_train(*arguments, "split.repeats=2", "split.folds=3") == 0
    folds, oof, found = read(Path("runs/here/folds.csv")), read(Path("runs/here/oof.csv")), result()
    assert found["fold_numbers"] == [0, 1, 2, 3, 4, 5] and found["coverage"] == 1
    assert folds["id"].value_counts().eq(2).all() and len(folds) == 120
    assert list(zip(oof["id"], oof["fold"], strict=True)) == list(zip(folds["id"], folds["fold"], strict=True))
    assert found["oof"] == pytest.approx(accuracy_score(oof["target"], oof["prediction"]))
    assert run_inference(*arguments) == 0
    manifest = json.loads(Path("submissions/here.json").read_text())
    assert [member["fold"] for member in manifest["members"]] == [0, 1, 2, 3, 4, 5]


def test_a_holdout_covers_its_share_and_is_one_model(arguments: list[str]) -> None:
    assert run_train(*arguments, "split.method=holdout", "split.holdout=0.25") == 0
    folds, oof = read(Path("runs/here/folds.csv")), read(Path("runs/here/oof.csv"))
    assert folds["fold"].value_counts().to_dict() == {"-1": 45, "0": 15}
    assert sorted(oof["id"]) == sorted(folds.loc[folds["fold"] == "0", "id"])
    assert result()["coverage"] == 0.25 and not Path("runs/here/fold1").exists()
    assert run_inference(*arguments) == 0


def test_predefined_folds_come_from_the_table(arguments: list[str], contest: Path) -> None:
    table = read(contest / "train.csv")
    cells = np.random.default_rng(0).permutation(np.repeat(["-1", "2", "5"], 20))
    table.assign(part=cells).to_csv(contest / "train.csv", index=False)
    assert run_train(*arguments, "split.method=predefined", "split.fold_column=part") == 0
    folds = read(Path("runs/here/folds.csv"))
    assert folds["id"].tolist() == table["id"].tolist() and folds["fold"].tolist() == cells.tolist()
    assert result()["fold_numbers"] == [2, 5] and result()["coverage"] == pytest.approx(40 / 60)
    assert load_checkpoint(Path("runs/here/fold5/best.pt"))["fold"] == 5


def test_a_fold_column_that_is_not_there_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(run_train, [*arguments, "split.method=predefined", "split.fold_column=persn"], capsys)
    expected = "override split.fold_column: train.csv has no column 'persn' (did you mean person?); it has id, label, person"
    assert told == [expected]


def test_some_folds_today_and_the_others_tomorrow_are_all_folds(arguments: list[str]) -> None:
    assert run_train(*arguments, "split.folds=3") == 0
    whole = digests(Path("runs/here"))
    more = [*arguments, "split.folds=3", "settings.run_name=parts"]
    assert run_train(*more, "split.train_folds=2, 0") == 0
    assert json.loads(Path("runs/parts/result.json").read_text())["fold_numbers"] == [0, 2]
    assert not Path("runs/parts/fold1").exists() and len(read(Path("runs/parts/oof.csv"))) == 40
    assert run_train("config.ini", "--resume", "parts", "split.train_folds=all", "--quiet") == 0
    assert digests(Path("runs/parts")) == whole


def test_a_fold_that_does_not_exist_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(run_train, [*arguments, "split.train_folds=0, 2"], capsys)
    assert told == ["override split.train_folds: there is no fold 2; there are 0, 1"]
    assert not Path("runs").exists()


def test_the_refit_trains_on_everything_for_the_mean_best_epoch_and_predicts(
    arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*arguments, "hyper_params.epochs=6", "hyper_params.patience=2") == 0
    best_epochs = result()["best_epochs"]
    assert isinstance(best_epochs, list)
    epochs = round(sum(best_epochs) / len(best_epochs))
    refit = [*arguments, "split.method=none", "settings.run_name=refit", "hyper_params.epochs=6"]
    assert run_train(*refit, "split.epochs_from=latest") == 0
    assert f"epochs = {epochs}: the mean best epoch of here" in capsys.readouterr().err
    assert len(history(Path("runs/refit"), 0)) == epochs
    found = json.loads(Path("runs/refit/result.json").read_text())
    assert (found["folds"], found["mean"], found["oof"], found["coverage"], found["best_epochs"]) == ([None], None, None, 0, [epochs])
    assert read(Path("runs/refit/folds.csv"))["fold"].eq("-1").all()
    assert "epochs_from = here" in Path("runs/refit/config.ini").read_text()
    assert run_inference(*arguments, "inference.run=refit", f"inference.answers={contest / 'answers.csv'}") == 0
    ledger = read(Path("submissions/ledger.csv"))
    assert ledger.loc[0, ["run", "cv_score"]].tolist() == ["refit", ""]
    json.loads(Path("submissions/refit.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_refit_that_is_stopped_and_resumed_learns_the_same(arguments: list[str]) -> None:
    more = [*arguments, "split.method=none"]
    assert run_train(*more, "hyper_params.epochs=3", "hyper_params.scheduler=constant") == 0
    whole = digests(Path("runs/here"))
    assert run_train(*more, "hyper_params.epochs=1", "hyper_params.scheduler=constant", "settings.run_name=grown") == 0
    assert run_train("config.ini", "--resume", "grown", "hyper_params.epochs=3", "--quiet") == 0
    grown = digests(Path("runs/grown"))
    assert {name: value for name, value in grown.items() if "progress" not in name} == {
        name: value for name, value in whole.items() if "progress" not in name
    }


def test_what_a_refit_has_otherwise_than_the_run_of_its_epochs_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*arguments) == 0
    assert "may not suit" not in capsys.readouterr().err
    refit = ["split.method=none", "split.epochs_from=here", "settings.run_name=refit"]
    assert run_train("runs/here/config.ini", *refit, "--check") == 0
    assert "may not suit" not in capsys.readouterr().err
    assert run_train(*arguments, *refit, "hyper_params.batch_size=16", "data.channels=1", "--check") == 0
    told = "may not suit, since not all is as it was: data.channels = 3 there, 1 here, hyper_params.batch_size = 8 there, 16 here\n"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "no run 'nothing'; runs has no run"), ("latest", "runs: no finished run to predict with; python train.py makes one")],
)
def test_a_refit_wants_a_run_to_take_its_epochs_from(
    arguments: list[str], name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(run_train, [*arguments, "split.method=none", f"split.epochs_from={name}"], capsys)
    assert told == [f"override split.epochs_from: {message}"]


def test_a_refit_is_resumed_by_its_own_command_for_the_epochs_that_it_began_with(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*arguments, "hyper_params.patience=1") == 0
    for source in ("here", "runs/here", "latest"):
        command = [*arguments, "split.method=none", "settings.run_name=refit", "hyper_params.epochs=6", f"split.epochs_from={source}"]
        if not Path("runs/refit").exists():
            assert run_train(*command) == 0
        capsys.readouterr()
        assert run_train(*command, "--resume", "refit") == 0
        assert capsys.readouterr().out.startswith("runs/refit is finished already")
    assert len(history(Path("runs/refit"), 0)) == 1
    assert run_train("config.ini", "--resume", "refit", "hyper_params.epochs=2", "--quiet") == 0
    assert len(history(Path("runs/refit"), 0)) == 2, "asked for alone, epochs grow"


def test_a_debug_run_is_resumed_by_its_own_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = [*arguments, "settings.debug=true", "hyper_params.epochs=4", "hyper_params.warmup_epochs=1"]
    assert run_train(*command) == 0
    capsys.readouterr()
    assert run_train(*command, "--resume", "here") == 0
    assert capsys.readouterr().out.startswith("runs/here is finished already")


def test_a_resumed_run_keeps_its_groups(arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On them depends who of the extra rows trains a fold, and what is told of leaks."""
    assert run_train(*arguments, "data.group_column=person", "split.train_folds=0") == 0
    more = ["config.ini", "--resume", "here", "split.train_folds=all"]
    told = refusal(run_train, [*more, "data.group_column="], capsys)
    assert told == ["override data.group_column: the run was begun with person, not blank; start a new run for that"]
    table = read(contest / "train.csv")
    table.assign(person=np.roll(table["person"], 1)).to_csv(contest / "train.csv", index=False)
    (line,) = refusal(run_train, more, capsys)
    assert line.endswith(
        "ids, images, labels, groups or metadata in the training table have changed since this run started; start a new run"
    )
    table.to_csv(contest / "train.csv", index=False)
    assert run_train(*more, "--quiet") == 0
