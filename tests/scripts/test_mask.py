"""The mask contest, end to end, on generated people: one head or three, and the submission that its scorer reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from modules.runs.checkpoint import load_checkpoint
from tests.making import FAST
from tests.mask_layout import make_mask_contest
from tests.scripts.running import read, refusal, run_inference, run_look, run_train

ALL = tuple(str(number) for number in range(18))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mask_contest(tmp_path_factory.mktemp("contest") / "mask")


@pytest.fixture(autouse=True)
def _nothing_but_overrides() -> None:
    Path("config.ini").touch()


def arguments(people: Path, *more: str) -> list[str]:
    own = ["data.source=mask", f"settings.data_path={people}", "hyper_params.metric=macro_f1", "settings.run_name=here"]
    return [*(each for each in FAST if not each.startswith("data.source")), *own, *more]


LEARNS = ("hyper_params.epochs=8", "hyper_params.batch_size=16", "hyper_params.learning_rate=3e-3")


@pytest.mark.slow
@pytest.mark.parametrize(("head", "outputs"), [("replace", 18), ("separate", 8)])
def test_one_head_or_three_learn_the_18_classes_and_the_scorer_who_goes_by_rows_finds_them(head: str, outputs: int, people: Path) -> None:
    told = arguments(people, f"model.head={head}", *LEARNS)
    assert run_train(*told, "--quiet") == 0
    oof, folds = read(Path("runs/here/oof.csv")), read(Path("runs/here/folds.csv"))
    result = json.loads(Path("runs/here/result.json").read_text())
    score = f1_score(oof["target"], oof["prediction"], labels=ALL, average="macro", zero_division=0)
    assert result["oof"] == pytest.approx(score) and result["oof"] > 0.9 and result["metric"] == "macro_f1"
    columns = [name for name in oof.columns if name.startswith("p:")]
    assert columns == [f"p:{name}" for name in ALL]
    assert oof[columns].astype(float).sum(axis=1).to_numpy() == pytest.approx(np.ones(420), abs=1e-5)
    homes = folds.assign(person=folds["id"].str.rpartition("/")[0]).groupby("person")["fold"].nunique()
    assert len(homes) == 60 and (homes == 1).all(), "no person in two folds"
    assert load_checkpoint(Path("runs/here/fold0/best.pt"))["model"]["fc.weight"].shape[0] == outputs

    assert run_inference(*told, "--quiet") == 0
    submission, template, answers = read(Path("submissions/here.csv")), read(people / "eval/info.csv"), read(people / "answers.csv")
    assert list(submission.columns) == ["ImageID", "ans"] and set(submission["ans"]) <= set(ALL)
    assert submission["ImageID"].tolist() == template["ImageID"].tolist() != sorted(template["ImageID"])
    by_row = f1_score(answers["ans"].to_numpy(), submission["ans"].to_numpy(), labels=ALL, average="macro")
    assert by_row > 0.9 and len(set(submission["ans"])) > 15


def test_probabilities_of_three_heads_are_the_products_of_their_factors(people: Path) -> None:
    assert run_train(*arguments(people, "model.head=separate", "hyper_params.epochs=1", "split.train_folds=0"), "--quiet") == 0
    oof = read(Path("runs/here/oof.csv"))
    cube = oof[[f"p:{name}" for name in ALL]].to_numpy(dtype=np.float64).reshape(-1, 3, 2, 3)
    mask, gender, age = cube.sum(axis=(2, 3)), cube.sum(axis=(1, 3)), cube.sum(axis=(1, 2))
    assert cube == pytest.approx(np.einsum("nm,ng,na->nmga", mask, gender, age), abs=1e-5)
    assert np.ptp(cube) > 0.01


def test_corrections_and_the_boundary_are_what_is_learnt_from(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(people / "train/train.csv")
    person = table.loc[table["age"] == "58", "path"].iloc[0]
    pd.DataFrame({"path": [person], "age": ["57"]}).to_csv(people / "fix.csv", index=False)
    more = ("hyper_params.epochs=1", "split.train_folds=0", "data.age_boundary=58", "data.corrections=fix.csv")
    assert run_train(*arguments(people, *more), "--quiet") == 0
    assert f"{people}/fix.csv: 7 labels of 420 changed, by 1 row" in capsys.readouterr().err
    oof = read(Path("runs/here/oof.csv"))
    ages = table.set_index("path")["age"].astype(int).where(lambda ages: ages.index != person, 57)
    old = oof["target"].astype(int) % 3 == 2
    assert old.tolist() == [bool(ages[name.rpartition("/")[0]] >= 58) for name in oof["id"]]
    lines = refusal(run_train, [*arguments(people, *more[:-1], "data.corrections=other.csv"), "--resume", "here"], capsys)
    assert len(lines) == 1 and lines[0].startswith("override data.corrections: ")


@pytest.mark.slow
def test_look_data_and_check_know_the_layout(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_look("data", *arguments(people)) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["samples   420 of 18 classes", "groups    60, of 7 to 7 samples", "sizes     32 x 24 (420)"]
    assert run_train(*arguments(people), "--check") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "samples   420 to train with, 36 to predict" and out[2] == "groups    60"


def test_answers_in_the_templates_columns_are_read(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = arguments(people, "hyper_params.epochs=1", "split.train_folds=0")
    assert run_train(*told, "--quiet") == 0
    capsys.readouterr()
    assert run_inference(*told, f"inference.answers={people / 'answers.csv'}") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("score against the answers"))
    submission, answers = read(Path("submissions/here.csv")), read(people / "answers.csv")
    score = f1_score(answers["ans"], submission["ans"], labels=ALL, average="macro", zero_division=0)
    assert float(line.rpartition(" ")[2]) == pytest.approx(score, abs=1e-4)


def test_folds_of_ones_own_are_of_people(people: Path) -> None:
    table = read(people / "train/train.csv")
    cells = [str(row % 4 // 2) for row in range(len(table))]
    table.assign(part=cells).to_csv(people / "train/parts.csv", index=False)
    told = arguments(people, "data.train_csv=train/parts.csv", "split.method=predefined", "split.fold_column=part", "hyper_params.epochs=1")
    assert run_train(*told, "split.train_folds=1", "--quiet") == 0
    folds = read(Path("runs/here/folds.csv"))
    assert folds["fold"].tolist() == [cell for cell in cells for _ in range(7)]


def test_the_last_file_of_the_contest_is_never_written_over(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = arguments(people, "hyper_params.epochs=1", "split.train_folds=0")
    assert run_train(*told, "--quiet") == 0
    lines = refusal(run_inference, [*told, f"inference.output={people / 'eval/info.csv'}"], capsys)
    assert lines[0].endswith("eval/info.csv is a file of the contest; name another file, such as submission.csv")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.group_column=id", "source = mask keeps each person in one fold by itself"),
        ("data.image_column=path", "source = mask has a column `path` with each person's folder"),
        ("data.extra_csv=more.csv", "source = mask has people in folders; give more of them a row of train.csv and a folder"),
        ("data.task=ordinal", "source = mask has 18 classes, and no ordinal labels; use multiclass"),
    ],
)
def test_options_that_the_layout_answers_are_refused(
    override: str, expected: str, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refusal(run_train, [*arguments(people, override), "--check"], capsys)
    assert expected in line and line.startswith(f"override {override.partition('=')[0]}: ")


def test_separate_heads_learn_with_class_weights(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One batch forward and back: its loss is another than without."""

    def loss(*more: str) -> str:
        capsys.readouterr()
        assert run_train(*arguments(people, "model.head=separate", *more), "--check") == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("one batch")]
        return line

    assert loss("hyper_params.class_weights=balanced") != loss()


def test_age_boundary_is_refused_where_there_are_no_ages(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_train, [*FAST, f"settings.data_path={contest}", "data.age_boundary=58"], capsys)
    assert line == "override data.age_boundary: only source = mask has ages, and source is csv"


def test_separate_heads_are_refused_where_classes_have_one_part(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_train, [*FAST, f"settings.data_path={contest}", "model.head=separate"], capsys)
    assert line.startswith("override model.head: separate needs classes that are made of several things: source = mask")
