"""train.py and inference.py on every source besides the tables, and what they warn of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from modules.config.reader import read_config
from modules.jobs.preparation import prepare
from modules.runs.checkpoint import load_checkpoint
from tests import sets
from tests.making import CLASSES, fast, make_contest
from tests.scripts.running import read, refusal, run_inference, run_train
from tests.tiny import TINY

SHIPPED = Path(__file__).parents[2] / "config.ini"


@pytest.fixture(autouse=True)
def _nothing_but_overrides() -> None:
    Path("config.ini").touch()


def as_folders(contest: Path, test_too: bool = False) -> Path:
    """The contest of tables as a folder a class, without a table."""
    for part in ("train", "test") if test_too else ("train",):
        table = read(contest / ("train.csv" if part == "train" else "answers.csv"))
        for name, label in zip(table["id"], table["label"], strict=True):
            (contest / part / label).mkdir(exist_ok=True)
            shutil.move(contest / part / f"{name}.png", contest / part / label / f"{name}.png")
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        (contest / name).unlink()
    return contest


def score_printed(out: str) -> float:
    (line,) = (line for line in out.splitlines() if line.startswith("score against the answers"))
    return float(line.rsplit(" ", 1)[1])


def submission() -> Path:
    return next(path for path in sorted(Path("submissions").glob("*.csv")) if path.name != "ledger.csv")


def share_right(path: Path, answers: dict[str, str]) -> float:
    table = read(path)
    assert list(table.columns) == ["id", "label"] and set(table["id"]) == set(answers)
    return float(np.mean([answers[name] == label for name, label in zip(table["id"], table["label"], strict=True)]))


def test_fashion_mnist_from_the_shipped_config_with_no_more_than_its_name_and_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options of tables that config.ini sets do not apply, and do not disturb; nothing is written to the data."""
    sets.make_mnist(tmp_path / "data", train=60, test=12)
    named = ["data.source=torchvision", "data.dataset=FashionMNIST", f"settings.data_path={tmp_path / 'data'}", "data.image_size=28"]
    own = ["inference.answers=", "model.name=test_resnet", "model.pretrained=false", "settings.gpu=false", "compute.threads=1"]
    tiny = ["split.folds=2", "hyper_params.epochs=2", "hyper_params.batch_size=8", "settings.run_name=f"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    assert run_train(str(SHIPPED), *named, *own, *tiny, "--quiet") == 0
    capsys.readouterr()
    assert run_inference(str(SHIPPED), *named, *own) == 0
    names = ("T-shirt/top", "Trouser", "Pullover")
    answers = {f"test_{row:05d}": names[label] for row, label in enumerate(sets.labels_of(12, 3))}
    assert share_right(submission(), answers) == pytest.approx(score_printed(capsys.readouterr().out), abs=1e-4)
    assert read(submission())["id"].tolist() == list(answers)
    assert json.loads(Path("runs/f/result.json").read_text())["classes"] == list(names)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before


def test_a_set_of_torchvision_is_normalised_by_its_own_statistics_and_resumed(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path / "data", train=24, test=4)
    named = fast(tmp_path / "data", "data.source=torchvision", "data.dataset=FashionMNIST", "data.channels=1", "settings.run_name=f")
    assert run_train(*named, "--quiet") == 0
    preprocessing = load_checkpoint(Path("runs/f/fold0/best.pt"))["preprocessing"]
    assert (preprocessing["mean"], preprocessing["std"]) == ([0.2860], [0.3530])
    assert run_train(*named, "--resume", "f", "hyper_params.epochs=3", "--quiet") == 0


def test_auto_mean_and_std_are_the_pretrained_models_then_the_sets_then_a_half(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path / "data", train=24, test=4)
    torch.save(timm.create_model(TINY).state_dict(), "weights.pth")
    own = timm.get_pretrained_cfg(TINY)
    fashion = ["data.source=torchvision", "data.dataset=FashionMNIST"]

    def normalised_by(*overrides: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        config, _ = read_config([], fast(tmp_path / "data", *overrides))
        preprocessing = prepare(config).preprocessing
        return preprocessing.mean, preprocessing.std

    assert normalised_by(*fashion, "model.pretrained=weights.pth") == (tuple(own.mean), tuple(own.std))
    assert normalised_by(*fashion) == (pytest.approx((0.286,) * 3), pytest.approx((0.353,) * 3))
    assert normalised_by(*fashion, "data.std=.1, .2, .3") == (pytest.approx((0.286,) * 3), (0.1, 0.2, 0.3))
    contest = make_contest(tmp_path / "data" / "contest", train=12, test=3)
    assert normalised_by(f"settings.data_path={contest}") == ((0.5,) * 3, (0.5,) * 3)


def test_another_data_set_than_the_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets.make_mnist(tmp_path / "data", train=24, test=4)
    named = fast(tmp_path / "data", "data.source=torchvision", "settings.run_name=f", "hyper_params.epochs=1")
    assert run_train(*named, "data.dataset=FashionMNIST", "--quiet") == 0
    lines = refusal(run_inference, [*named, "data.dataset=MNIST"], capsys)
    assert lines[0].startswith("override data.dataset: MNIST, but f was trained with FashionMNIST; leave it out")


def test_folders_of_classes_train_and_predict_without_any_table(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(contest / "answers.csv")
    answers = {f"{name}.png": label for name, label in zip(table["id"], table["label"], strict=True)}
    named = fast(as_folders(contest), "data.source=folder", "settings.run_name=f")
    assert run_train(*named, "--check") == 0
    assert "60 to train with, 12 to predict" in capsys.readouterr().out
    assert run_train(*named, "--quiet") == 0
    capsys.readouterr()
    assert run_inference(*named, "--quiet") == 0
    assert read(submission())["id"].tolist() == sorted(answers)
    assert "score against" not in capsys.readouterr().out, "nobody knows the answers"
    table.assign(id=table["id"] + ".png").to_csv("answers.csv", index=False)
    assert run_inference(*named, "inference.answers=answers.csv", "--quiet") == 0
    assert share_right(submission(), answers) == pytest.approx(score_printed(capsys.readouterr().out), abs=1e-4)


def test_test_folders_of_the_classes_names_give_a_score(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(contest / "answers.csv")
    answers = {f"{label}/{name}.png": label for name, label in zip(table["id"], table["label"], strict=True)}
    named = fast(as_folders(contest, test_too=True), "data.source=folder", "settings.run_name=f")
    assert run_train(*named, "--quiet") == 0
    capsys.readouterr()
    assert run_inference(*named, "--quiet") == 0
    assert share_right(submission(), answers) == pytest.approx(score_printed(capsys.readouterr().out), abs=1e-4)


def test_a_template_decides_ids_and_order_with_folders_too(contest: Path) -> None:
    template = (contest / "sample_submission.csv").read_text()
    as_folders(contest)
    (contest / "sample_submission.csv").write_text("\n".join([template.splitlines()[0], *reversed(template.splitlines()[1:])]) + "\n")
    named = fast(contest, "data.source=folder", "settings.run_name=f", "hyper_params.epochs=1")
    assert run_train(*named, "--quiet") == 0 and run_inference(*named, "--quiet") == 0
    assert read(submission())["id"].tolist() == [f"test_{row:03d}" for row in reversed(range(12))]


def test_groups_need_a_table(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = fast(as_folders(contest), "data.source=folder", "data.group_column=person")
    lines = refusal(run_train, named, capsys)
    assert len(lines) == 1 and "a column of a table, and source = folder has no table of training samples; use csv" in lines[0]


def test_copies_are_told_with_their_names_before_training(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(contest / "train.csv")
    first = table[table["label"] == CLASSES[0]]["id"].tolist()
    other = table[table["label"] == CLASSES[1]]["id"].tolist()
    for copy in (first[1], other[0]):
        shutil.copy(contest / "train" / f"{first[0]}.png", contest / "train" / f"{copy}.png")
    shutil.copy(contest / "train" / f"{first[2]}.png", contest / "test/test_005.png")
    arguments = fast(contest, "settings.debug=true")
    assert run_train(*arguments, "--check") == 0
    err = capsys.readouterr().err.splitlines()
    names = " = ".join(f"{name}.png" for name in sorted([first[0], first[1], other[0]]))
    assert f"warning: 1 image with a copy of another label (the same bytes): {names}" in err
    assert f"warning: 1 image with a copy in the test set (the same bytes): {first[2]}.png = test_005.png of the test" in err
    (contest / "test.csv").unlink()
    (contest / "sample_submission.csv").unlink()
    assert run_train(*arguments, "data.id_column=id", "--quiet") == 0, "training needs no test set"
    assert "with a copy of another label" in capsys.readouterr().err


def test_extra_rows_train_and_are_never_validated(contest: Path, tmp_path: Path) -> None:
    """Needs what splits.py makes of Samples.extra."""
    more = make_contest(tmp_path / "more", train=12, test=3)
    extra = read(more / "train.csv").assign(id=[f"x{row}" for row in range(12)])
    extra.to_csv(contest / "extra.csv", index=False)
    (contest / "more").mkdir()
    for row in range(12):
        shutil.copy(more / "train" / f"train_{row:03d}.png", contest / "more" / f"x{row}.png")
    assert run_train(*fast(contest, "data.extra_csv=extra.csv", "data.extra_images=more", "settings.run_name=f"), "--quiet") == 0
    oof = read(Path("runs/f/oof.csv"))
    assert sorted(oof["id"]) == [f"train_{row:03d}" for row in range(60)]
