"""look.py data: what it tells of the samples, and the picture of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.making import fast, write_config
from tests.scripts.running import read, run_look


@pytest.fixture(autouse=True)
def _nothing_but_overrides() -> None:
    write_config(Path("config.ini"), "")


def rename_classes(contest: Path, **names: str) -> None:
    table = read(contest / "train.csv")
    table.assign(label=table["label"].replace(names)).to_csv(contest / "train.csv", index=False)


def counts_told(out: str) -> pd.DataFrame:
    """The table of classes, by position; names in it have no spaces."""
    rows = [line.split() for line in out.splitlines()]
    start = next(place for place, row in enumerate(rows) if row[:1] == ["samples"] and "fold" in row)
    return pd.DataFrame([row for row in rows[start + 1 :] if row and row[0] != "picture"])


def test_every_class_is_counted_and_one_that_is_called_all_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rename_classes(contest, cat="all")
    assert run_look("data", *fast(contest)) == 0
    table = counts_told(capsys.readouterr().out)
    assert table[0].tolist() == ["all", "dog", "eel", "all"]
    assert table[1].tolist() == ["20", "20", "20", "60"]
    assert [int(number) for number in table[2]] == [10, 10, 10, 30]


def test_names_with_signs_of_formulas_and_of_any_script_are_drawn(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rename_classes(contest, cat="$x_1^", dog="a_$b", eel="\uace0\uc591\uc774")
    assert run_look("data", *fast(contest, "augmentation.mixup=1")) == 0
    assert "Warning" not in capsys.readouterr().err
    assert Image.open("look/data.png").size > (100, 100)


def test_images_that_training_skips_are_skipped_here_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = contest / "train" / "train_003.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert run_look("data", *fast(contest, "data.bad_images=skip")) == 0
    told = capsys.readouterr()
    assert "samples   59 of 3 classes" in told.out and "train_003.png" in told.err
