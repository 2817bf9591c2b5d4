"""look.py data: what it counts is what is there, and the picture shows what the model will see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from modules.data.pixels import read_sizes
from modules.jobs import showing
from tests.making import fast, write_config
from tests.scripts.running import read, refusal, run_look, run_train


@pytest.fixture
def arguments(contest: Path) -> list[str]:
    return ["data", str(write_config(Path("config.ini"), "[settings]\n")), *fast(contest, "split.folds=3")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be drawn: (path, rows, title)."""
    calls: list[Any] = []
    monkeypatch.setattr(showing, "draw_grid", lambda *given: calls.append(given))
    return calls


@pytest.mark.slow
def test_the_counts_are_those_of_the_table_and_of_the_folds_that_training_makes(
    arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_look(*arguments, "data.group_column=person") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["samples   60 of 3 classes", "groups    15, of 4 to 4 samples", "sizes     20 x 20 (60)"]
    told = {
        line.split()[0]: [int(cell) for cell in line.split()[1:]]
        for line in lines
        if line.split()[:1] in (["cat"], ["dog"], ["eel"], ["all"])
    }
    assert run_train(*arguments[1:], "data.group_column=person", "settings.run_name=here", "settings.debug=true", "--quiet") == 0
    folds, table = read(Path("runs/here/folds.csv")), read(contest / "train.csv")
    counts = pd.crosstab(table["label"], folds["fold"])
    assert told == {
        **{name: [int(counts.loc[name].sum()), *counts.loc[name].tolist()] for name in ("cat", "dog", "eel")},
        "all": [60, *counts.sum().tolist()],
    }
    assert Image.open("look/data.png").width > 400


def test_the_picture_has_every_class_as_validated_and_in_draws_of_the_augmentation(arguments: list[str], drawn: list[Any]) -> None:
    assert run_look(*arguments, "augmentation.train=InvertImg(p=1)", "augmentation.cutmix=1") == 0
    ((path, rows, title),) = drawn
    assert path == Path("look/data.png") and title == "[augmentation] train, mixup 0, cutmix 1"
    *images, (mixed_name, mixed) = rows
    assert [name for name, _ in images[:3]] == ["cat", "dog", "eel"] and len(images) == 8
    for _, captioned in images:
        (_, validated), *draws = captioned
        assert validated.shape == (32, 32, 3) and len(draws) == 7
        assert all(np.array_equal(draw, 255 - validated) for _, draw in draws)
    assert mixed_name == "mixed" and len(mixed) == 8 and all(" " in caption for caption, _ in mixed)


def test_without_mixing_no_batch_is_drawn(arguments: list[str], drawn: list[Any]) -> None:
    assert run_look(*arguments) == 0
    assert [name for name, _ in drawn[0][1]][:3] == ["cat", "dog", "eel"] and "mixed" not in dict(drawn[0][1])


def test_nothing_is_drawn_of_a_bad_image(arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (contest / "train" / "train_007.png").write_bytes(b"")
    assert refusal(run_look, arguments, capsys) == [f"{contest / 'train' / 'train_007.png'}: the file is empty (zero bytes)"]
    assert not Path("look").exists()


def test_sizes_are_those_of_the_picture_as_it_is_shown() -> None:
    upright, turned = Image.new("RGB", (30, 20)), Image.new("RGB", (30, 20))
    upright.save("upright.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save("turned.jpg", exif=exif)
    Path("none.jpg").write_bytes(b"x")
    assert read_sizes([Path("upright.jpg"), Path("turned.jpg"), Path("none.jpg"), Path("missing.jpg")]) == [(20, 30), (30, 20), None, None]


def rename_classes(contest: Path, **names: str) -> None:
    table = read(contest / "train.csv")
    table.assign(label=table["label"].replace(names)).to_csv(contest / "train.csv", index=False)


def counts_told(out: str) -> pd.DataFrame:
    """The table of classes, by position; names in it have no spaces."""
    rows = [line.split() for line in out.splitlines()]
    start = next(place for place, row in enumerate(rows) if row[:1] == ["samples"] and "fold" in row)
    return pd.DataFrame([row for row in rows[start + 1 :] if row and row[0] != "picture"])


def test_every_class_is_counted_and_one_that_is_called_all_too(
    arguments: list[str], contest: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rename_classes(contest, cat="all")
    assert run_look("data", "config.ini", *fast(contest)) == 0
    table = counts_told(capsys.readouterr().out)
    assert table[0].tolist() == ["all", "dog", "eel", "all"]
    assert table[1].tolist() == ["20", "20", "20", "60"]
    assert [int(number) for number in table[2]] == [10, 10, 10, 30]


@pytest.mark.slow
def test_names_with_signs_of_formulas_and_of_any_script_are_drawn(
    arguments: list[str], contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename_classes(contest, cat="$x_1^", dog="a_$b", eel="\uace0\uc591\uc774")
    assert run_look("data", "config.ini", *fast(contest, "augmentation.mixup=1")) == 0
    assert "Warning" not in capsys.readouterr().err
    assert Image.open("look/data.png").size > (100, 100)


def test_images_that_training_skips_are_skipped_here_too(
    arguments: list[str], contest: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = contest / "train" / "train_003.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert run_look("data", "config.ini", *fast(contest, "data.bad_images=skip")) == 0
    told = capsys.readouterr()
    assert "samples   59 of 3 classes" in told.out and "train_003.png" in told.err
