"""Images whose channels are files: what is read, what is told of them, and that they are joined and found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.config.errors import DataError
from modules.config.schema import Data
from modules.data.images import ImageChannels
from modules.data.samples import Samples
from modules.data.sources import load_test, load_train
from modules.data.task import classification

HERE = Path()
COLOURS = ("_red", "_green", "_blue", "_yellow")
TASK = classification("Target", ("a", "b"))


def write(folder: str, *names: str, size: tuple[int, int] = (6, 5), suffix: str = ".png") -> dict[str, np.ndarray]:
    """Four files an image; returns the (height, width, 4) pixels."""
    rng = np.random.default_rng(len(folder))
    Path(folder).mkdir(exist_ok=True)
    found = {name: rng.integers(0, 256, (*size, 4), dtype=np.uint8) for name in names}
    for name, pixels in found.items():
        for place, colour in enumerate(COLOURS):
            Image.fromarray(pixels[..., place]).save(Path(folder, f"{name}{colour}{suffix}"))
    return found


def contest(ids: str = "i1,a\ni2,b\n", **options: Any) -> Samples:
    Path("train.csv").write_text(f"Id,label\n{ids}", encoding="utf-8")
    Path("sample_submission.csv").write_text("Id,label\nt1,a\n", encoding="utf-8")
    return load_train(Data(**{"source": "csv", "channels": 4, "channel_suffixes": COLOURS, "image_suffix": ".png", **options}), HERE)


def test_each_file_is_a_channel_in_the_order_of_the_suffixes() -> None:
    pixels = write("train", "i1", "i2")
    samples = contest()
    assert all(np.array_equal(samples.images.read(row, 4), pixels[name]) for row, name in enumerate(("i1", "i2")))
    turned = contest(channel_suffixes=("_blue", "_red", "_green"), channels=3)
    assert np.array_equal(turned.images.read(0, 3), pixels["i1"][..., [2, 0, 1]])
    assert np.array_equal(turned.images.read(0, 1)[..., 0], np.rint(pixels["i1"][..., :3].astype(float).mean(axis=2)))
    write("test", "t1")
    test = load_test(Data(source="csv", channels=4, channel_suffixes=COLOURS, image_suffix="png"), HERE, TASK)
    assert isinstance(test.images, ImageChannels) and test.images.paths(0)[3] == Path("test/t1_yellow.png")


def test_coloured_files_are_read_as_grey() -> None:
    write("train", "i1", "i2")
    colours = np.random.default_rng(1).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(colours).save("train/i1_red.png")
    assert np.array_equal(contest().images.read(0, 4)[..., 0], np.array(Image.fromarray(colours).convert("L")))


@pytest.mark.parametrize(
    ("name", "suffix", "file"),
    [
        ("i1", ".png", "i1_red.png"),
        ("i1.png", None, "i1_red.png"),
        ("i1.JPG", ".png", "i1_red.JPG"),
        ("v1.5", "png", "v1.5_red.png"),
        ("a/b", "png", "a/b_red.png"),
        ("x", None, "x_red"),
    ],
)
def test_the_suffix_of_a_channel_stands_before_that_of_the_file(name: str, suffix: str | None, file: str) -> None:
    samples = contest(f"{name},a\nz,b\n", image_suffix=suffix, channel_suffixes=("_red",), channels=1)
    assert isinstance(samples.images, ImageChannels) and samples.images.files[0].tolist() == [file]
    assert samples.ids[0] == name and samples.images.name(0) == name


def test_a_path_out_of_the_folder_is_refused() -> None:
    with pytest.raises(DataError, match=r"^train: 1 image path leads out of the folder: '\.\./i1_red\.png'$"):
        contest("../i1,a\nz,b\n")


def test_missing_files_damaged_files_and_files_of_another_size_are_told_by_their_names() -> None:
    write("train", "i1", "i2", "i3", "i4")
    samples = contest("i1,a\ni2,b\ni3,a\ni4,b\n")
    assert samples.images.header_faults() == samples.images.pixel_faults() == [None] * 4
    Path("train/i2_blue.png").unlink()
    Path("train/i3_red.png").write_bytes(b"")
    Image.new("L", (9, 9)).save("train/i4_green.png")
    faults = samples.images.header_faults()
    assert faults == [None, "train/i2_blue.png: no such file", "train/i3_red.png: the file is empty (zero bytes)", None]
    faults = samples.images.pixel_faults()
    assert faults[:1] == [None] and faults[3] == "train/i4_green.png: 9 x 9, and i4_red.png, another channel of the same image, is 6 x 5"
    assert [fault is None for fault in faults] == [True, False, False, False]
    assert samples.images.sizes()[1] == -1 and samples.images.digests(np.arange(2))[1] is None


def test_copies_are_those_whose_every_channel_is_the_same() -> None:
    write("train", "i1", "i2", "i3")
    for colour in COLOURS:
        Path(f"train/i2{colour}.png").write_bytes(Path(f"train/i1{colour}.png").read_bytes())
    Path("train/i3_red.png").write_bytes(Path("train/i1_red.png").read_bytes())
    images = contest("i1,a\ni2,b\ni3,b\n").images
    first, second, third = images.digests(np.arange(3))
    assert first == second != third and first is not None
    assert images.sizes()[0] == sum(Path(f"train/i1{colour}.png").stat().st_size for colour in COLOURS)
    assert images.take(np.array([], dtype=np.int64)).sizes().tolist() == []


def test_a_small_look_is_the_mean_of_the_channels_and_its_stamp_changes_with_any_of_them(tmp_path: Path) -> None:
    for name, level in (("a_r", 30), ("a_g", 60), ("a_b", 90)):
        Image.fromarray(np.full((4, 6), level, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    images = ImageChannels(tmp_path, np.array(["a"]), np.array([["a_r.png", "a_g.png", "a_b.png"]]))
    assert images.read_small(0, 2).tolist() == [[60] * 6] * 4
    before = images.stamp(0)
    Image.fromarray(np.full((4, 7), 90, dtype=np.uint8)).save(tmp_path / "a_b.png")
    assert images.stamp(0) != before


def test_a_resumed_run_finds_another_channel_out() -> None:
    write("train", "i1", "i2")
    images = contest().images
    before = images.identity(0)
    Path("train/i1_yellow.png").write_bytes(b"more" * 1000)
    assert images.identity(0) != before
    assert contest(channel_suffixes=("_red", "_green", "_blue"), channels=3).images.identity(1) != images.identity(1)


def test_extra_images_have_channels_too() -> None:
    write("train", "i1", "i2")
    pixels = write("more", "x1")
    Path("extra.csv").write_text("Id,label\nx1,b\n", encoding="utf-8")
    samples = contest(extra_csv="extra.csv", extra_images="more")
    assert samples.ids.tolist() == ["i1", "i2", "x1"] and np.array_equal(samples.images.read(2, 4), pixels["x1"])
    assert [samples.images.take(np.array([2])).name(0), len(samples.images.shapes())] == ["x1", 3]
