"""What train.py and look.py tell of leaks and of labels that look wrong, from a contest to the files in the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.making import fast, write_config
from tests.scripts.running import read, run_look, run_train

NEAR = "warning: near-duplicate images"


@pytest.fixture
def arguments(contest: Path) -> list[str]:
    """The contest, in which training image 1 is image 0 at another size, and test image 0 is training image 4, a little paler."""
    config = write_config(Path("config.ini"), "[settings]\n")
    images = contest / "train"
    Image.open(images / "train_000.png").resize((44, 44), Image.Resampling.BICUBIC).save(images / "train_001.png")
    paler = Image.open(images / "train_004.png").point(lambda level: round(20 + 0.8 * level))
    paler.save(contest / "test" / "test_000.png")
    table = read(contest / "train.csv")
    table["fold"] = ["0", "1"] * 30
    table.to_csv(contest / "train.csv", index=False)
    more = ("split.method=predefined", "split.fold_column=fold", "hyper_params.epochs=1", "settings.run_name=here", "--quiet")
    return [str(config), *fast(contest, "data.near_duplicates=auto", *more)]


def test_near_duplicates_are_told_and_listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*arguments) == 0
    err = capsys.readouterr().err.splitlines()
    assert f"{NEAR} have different labels (1 pair): train_000.png ~ train_001.png; see runs/here/duplicates.csv" in err
    assert f"{NEAR} are in training and test set (1 pair): train_004.png ~ test_000.png of the test; see runs/here/duplicates.csv" in err
    (leak,) = [line for line in err if line.startswith(f"{NEAR} train folds that validate the other")]
    assert "train_000.png ~ train_001.png; give such one group in [data] group_column" in leak
    table = read(Path("runs/here/duplicates.csv")).sort_values("id")
    columns = ["id", "other_id", "where", "same_bytes", "label", "other_label"]
    assert table[columns].values.tolist() == [
        ["train_000", "train_001", "across folds", "no", "cat", "dog"],
        ["train_004", "test_000", "training and test", "no", "dog", ""],
    ]


def test_off_looks_for_none_and_copies_to_the_byte_are_listed_all_the_same(
    arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*arguments, "data.near_duplicates=off") == 0
    assert "near-duplicate" not in capsys.readouterr().err and not Path("runs/here/duplicates.csv").exists()
    (contest / "train" / "train_007.png").write_bytes((contest / "train" / "train_010.png").read_bytes())
    assert run_train(*arguments, "data.near_duplicates=off", "settings.run_name=there") == 0
    assert read(Path("runs/there/duplicates.csv"))[["id", "other_id", "same_bytes"]].values.tolist() == [["train_007", "train_010", "yes"]]


@pytest.mark.slow
def test_check_decodes_nothing_for_it_and_look_says_the_counts(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*arguments, "--check") == 0
    assert "near-duplicate" not in capsys.readouterr().err
    assert run_look("data", *arguments) == 0
    told = "copies    pairs of images: 0 the same to the byte, 2 nearly the same; 1 across folds, 1 across training and test set"
    assert told in capsys.readouterr().out.splitlines()


def test_ids_that_begin_with_a_person_are_told_unless_the_person_is_named(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(contest / "train.csv")
    table["image"] = table["id"]
    table["id"] = table["person"] + "_" + table["id"].str[-3:]
    table.to_csv(contest / "train.csv", index=False)
    arguments = [str(write_config(Path("config.ini"), "[settings]\n")), *fast(contest, "data.image_column=image", "--check")]
    (contest / "test.csv").write_text("id,image\nx,test_000\n")
    assert run_train(*arguments) == 0
    line = "warning: ids look like groups that folds tear: 15 beginnings are shared, such as p00 (4 samples), p01 (4 samples)"
    assert line in capsys.readouterr().err
    for more in ("data.group_column=person", "split.method=none"):
        assert run_train(*arguments, more) == 0
        assert "look like groups" not in capsys.readouterr().err


def test_rows_that_are_believed_least_are_in_suspects(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(Path("config.ini"), "[settings]\n")
    assert run_train(str(config), *fast(contest, "settings.run_name=here", "split.repeats=2", "--quiet")) == 0
    told = capsys.readouterr().err
    oof, table = read(Path("runs/here/oof.csv")), read(Path("runs/here/suspects.csv"))
    own = np.array([float(row[f"p:{row['target']}"]) for _, row in oof.iterrows()])
    expected = oof.assign(own=own).groupby("id")["own"].mean().sort_values()[:6]
    assert table["id"].tolist() == expected.index.tolist() and table["image"].tolist() == [f"{name}.png" for name in expected.index]
    assert table["p_label"].astype(float).to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)
    assert all(len(folds.split()) == 2 for folds in table["fold"])
    assert "labels to look at again: runs/here/suspects.csv, 6 training images, the least believed first" in told


def test_where_nothing_is_validated_there_are_no_suspects(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(Path("config.ini"), "[settings]\n")
    assert run_train(str(config), *fast(contest, "settings.run_name=here", "split.method=none", "hyper_params.epochs=1", "--quiet")) == 0
    assert "suspects.csv" not in capsys.readouterr().err and not Path("runs/here/suspects.csv").exists()


@pytest.mark.slow
def test_the_practice_contest_has_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    assert run_look("data", "config.ini", "data.channels=1") == 0
    told = capsys.readouterr()
    assert "copies    none found" in told.out and "warning" not in told.err
