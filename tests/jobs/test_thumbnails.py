"""Thumbnails: made once, kept for the next run, left alone where that would take too long."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.config.schema import Config, Data, Settings
from modules.data import near_duplicates
from modules.data.images import ImageArrays, ImageFiles
from modules.data.near_duplicates import SIDE, make_thumbnail
from modules.jobs import thumbnails
from modules.jobs.thumbnails import FOLDER, Thumbnails, look_for_near_duplicates

COUNT = 40


def files(folder: Path, count: int = COUNT, seed: int = 0) -> ImageFiles:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for row in range(count):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(folder / f"{row}.png")
    return ImageFiles(folder, np.array([f"{row}.png" for row in range(count)]))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that are decoded, and all of them are worth keeping."""
    rows: list[int] = []

    def make(images: ImageFiles, row: int) -> np.ndarray:
        rows.append(row)
        return near_duplicates.make_thumbnail(images, row)

    monkeypatch.setattr(thumbnails, "make_thumbnail", make)
    monkeypatch.setattr(thumbnails, "KEPT_FROM", 0.0)
    return rows


def test_a_second_time_nothing_is_decoded_and_a_changed_file_is(tmp_path: Path, made: list[int]) -> None:
    first, second = files(tmp_path / "a"), files(tmp_path / "b", 5, seed=1)
    expected = np.stack([make_thumbnail(images, row) for images in (first, second) for row in range(len(images))])
    assert np.array_equal(Thumbnails(Path(".cache"), [first, second]).make(True, True), expected)
    assert sorted(made) == sorted([*range(COUNT), *range(5)])
    made.clear()
    again = Thumbnails(Path(".cache"), [second, first])
    assert again.missing == [] and again.seconds() == 0
    assert np.array_equal(again.make(True, True), np.concatenate([expected[COUNT:], expected[:COUNT]])) and made == []
    Image.fromarray(np.zeros((24, 24), dtype=np.uint8)).save(tmp_path / "a" / "3.png")
    os.utime(tmp_path / "a" / "3.png", (1, 1))
    changed = Thumbnails(Path(".cache"), [first, second]).make(True, True)
    assert made == [3] and not changed[3].any() and np.array_equal(np.delete(changed, 3, 0), np.delete(expected, 3, 0))


def test_arrays_are_known_by_their_pixels(made: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    pixels[4] = pixels[1]
    images = ImageArrays(np.arange(6).astype(str), pixels)
    found = Thumbnails(Path(".cache"), [images]).make(True, True)
    assert sorted(made) == [0, 1, 2, 3, 5] and np.array_equal(found[4], found[1])
    renamed = ImageArrays(np.array(list("abc")), pixels[::2].copy())
    assert Thumbnails(Path(".cache"), [renamed]).missing == []


def test_what_is_quick_is_not_kept(tmp_path: Path) -> None:
    config = Config(data=Data(near_duplicates="on"))
    assert look_for_near_duplicates(config, [files(tmp_path / "a")], True)[1] == [] and not Path(".cache").exists()


def test_auto_goes_by_the_number_of_files_and_their_bytes_and_on_does_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = files(tmp_path / "a")
    size = sum(file.stat().st_size for file in (tmp_path / "a").iterdir())
    looked = Thumbnails(Path(".cache"), [images])
    assert looked.seconds() == pytest.approx(COUNT * 0.4e-3 + size / 50e6) and looked.size() == COUNT * SIDE * SIDE
    monkeypatch.setattr(thumbnails, "BYTES_A_SECOND", size / 180)
    calls: list[int] = []
    monkeypatch.setattr(thumbnails, "find_near_duplicates", lambda found: calls.append(len(found)) or near_duplicates.NONE)
    told = {
        choice: look_for_near_duplicates(Config(data=Data(near_duplicates=choice)), [images], True)[1] for choice in ("auto", "off", "on")
    }
    what = "looking at 40 images would take about 3 minutes of one core; data.near_duplicates = on does it, once for all runs"
    assert told == {"auto": [f"near-duplicate images are not looked for: {what}"], "off": [], "on": []} and calls == [COUNT]
    assert look_for_near_duplicates(Config(), [images], True)[1] == [], "they are kept now"
    assert calls == [COUNT, COUNT]
    debug = Config(settings=replace(Settings(), debug=True))
    assert look_for_near_duplicates(debug, [images], True) == (near_duplicates.NONE, []) and calls == [COUNT, COUNT]


def test_a_cache_that_cannot_be_used_is_told_and_stops_nothing(tmp_path: Path, made: list[int]) -> None:
    images = files(tmp_path / "a")
    Path("taken").write_text("a file")
    config = Config(settings=replace(Settings(), cache_path="taken"))
    (line,) = look_for_near_duplicates(config, [images], True)[1]
    assert line.startswith("warning: near-duplicate images are not looked for: thumbnails cannot be kept in taken: ")
    assert look_for_near_duplicates(Config(), [images], True)[1] == []
    (Path(".cache") / FOLDER / "rows.bin").write_bytes(b"short")
    (line,) = look_for_near_duplicates(Config(), [images], True)[1]
    assert "damaged: rows.bin is shorter" in line
    small = Config(settings=replace(Settings(), cache_path="other", cache_limit=1e-6))
    assert look_for_near_duplicates(small, [images], True)[1] == [] and not Path("other").exists()
