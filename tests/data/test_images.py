"""Files and arrays answer the same questions alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.data.images import ImageArrays, ImageFiles, Images


def as_files(pixels: np.ndarray, folder: Path) -> ImageFiles:
    folder.mkdir()
    names = np.array([f"{row}.png" for row in range(len(pixels))])
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(folder / str(name))
    return ImageFiles(folder, names)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(4, 9, 7), (4, 9, 7, 3)])
def test_an_array_is_read_as_the_file_of_the_same_pixels_is(shape: tuple[int, ...], channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    files, arrays = as_files(pixels, tmp_path / "files"), ImageArrays(np.array(list("abcd")), pixels)
    for row in range(4):
        found = arrays.read(row, channels)
        assert found.shape == (9, 7, channels) and found.dtype == np.uint8
        assert np.array_equal(found, files.read(row, channels))
    found[:] = 0
    assert np.array_equal(arrays.pixels, pixels) and pixels.any(), "what is read is a copy: augmentation may write into it"


def test_taken_images_are_those_of_the_rows(tmp_path: Path) -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), dtype=np.uint8)
    both: list[Images] = [as_files(pixels, tmp_path / "files"), ImageArrays(np.array([f"{row}.png" for row in range(5)]), pixels)]
    for images in both:
        taken = images.take(np.array([3, 1]))
        assert len(taken) == 2 and [taken.name(0), taken.name(1)] == ["3.png", "1.png"]
        assert [int(taken.read(row, 1)[0, 0, 0]) for row in (0, 1)] == [3, 1]


def test_digests_are_equal_exactly_where_the_bytes_are_and_a_missing_file_has_none(tmp_path: Path) -> None:
    pixels = np.zeros((3, 8, 8), dtype=np.uint8)
    pixels[1] = 1
    files, arrays = as_files(pixels, tmp_path / "files"), ImageArrays(np.array(list("abc")), pixels)
    for images in (files, arrays):
        first, second, third = images.digests(np.arange(3))
        assert first == third != second and first is not None
    files.path(1).unlink()
    assert files.sizes().tolist()[1] == -1 and files.digests(np.arange(3))[1] is None


def test_a_resumed_run_finds_changed_pixels_and_changed_files_out(tmp_path: Path) -> None:
    pixels = np.zeros((2, 8, 8), dtype=np.uint8)
    files, arrays = as_files(pixels, tmp_path / "files"), ImageArrays(np.array(list("ab")), pixels)
    assert files.identity(0) == f"0.png\t{files.path(0).stat().st_size}"
    before = arrays.identity(0)
    pixels[0, 3, 3] = 1
    assert arrays.identity(0) != before == arrays.identity(1)
