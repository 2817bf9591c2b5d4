"""What benchmarks of speed stand on: photos that can be told apart, clocks that take turns, ratios the right way round."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2

from benchmarks.measuring import Row, contest_config, in_turn, make_photos, settle


def test_photos_are_of_two_classes_and_of_the_size_that_was_asked_for(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos", 6, 64)
    with open(folder / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["red", "green"] * 3
    images = [cv2.imread(str(folder / "train" / row["id"])) for row in rows]
    assert all(image is not None and image.shape == (64, 64, 3) for image in images)
    assert len({image.tobytes() for image in images if image is not None}) == 6


def test_copies_of_photos_are_changed_and_keep_their_label(tmp_path: Path) -> None:
    first = make_photos(tmp_path / "first", 4, 96)
    (tmp_path / "originals").mkdir()
    (first / "train").rename(tmp_path / "originals/images")
    (tmp_path / "originals/labels.csv").write_text("file,label\n00000.jpg,a\n00001.jpg,b\n")
    folder = make_photos(tmp_path / "second", 4, 48, tmp_path / "originals")
    with open(folder / "train.csv", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert sorted(labels) == ["a", "a", "b", "b"]
    assert len({(folder / f"train/{number:05d}.jpg").read_bytes() for number in range(4)}) == 4


def test_works_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    found = in_turn({"one": lambda: order.append("one"), "two": lambda: order.append("two")}, times=3)
    assert order == ["one", "two"] * 4 and set(found) == {"one", "two"}


def test_the_ratio_is_the_figure_over_the_floor() -> None:
    row = Row("what", 2.0, 3.0, "<= 1.05")
    assert row.ratio == 1.5 and str(row).endswith("1.500  <= 1.05")


def test_words_for_the_benchmark_and_overrides_are_told_apart(tmp_path: Path) -> None:
    words, said = settle(["count=10", "data.cache=off", "photos=a/b.c", "epoch"])
    assert words == ["data.cache=off", "epoch"] and said == {"count": "10", "photos": "a/b.c"}
    config = contest_config(tmp_path, tmp_path / "work", words[0])
    assert config.data.cache == "off" and config.settings.data_path == str(tmp_path)
