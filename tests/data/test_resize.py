"""Pixels to the model's size: height and width are never swapped, and nothing is stretched that should not be."""

from __future__ import annotations

import numpy as np
import pytest

from modules.config.values import Size
from modules.data.pixels import Pixels, resize_image

MODES = ("stretch", "crop", "pad")


def thirds(height: int, width: int) -> Pixels:
    """Left third 10, middle third 100, right third 200."""
    row = np.repeat(np.array([10, 100, 200], dtype=np.uint8), width // 3)
    return np.tile(row, (height, 1))[..., np.newaxis]


@pytest.mark.parametrize("mode", MODES)
def test_the_result_has_the_height_and_width_asked_for(mode: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width, high, wide = (int(side) for side in rng.integers(1, 70, 4))
        for channels in (1, 3):
            pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
            before = pixels.copy()
            found = resize_image(pixels, Size(high + 7, wide + 7), mode)
            assert found.shape == (high + 7, wide + 7, channels) and found.dtype == np.uint8
            assert np.array_equal(pixels, before), "the image that came in is left alone"


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_the_right_size_is_not_touched(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    assert np.array_equal(resize_image(pixels, Size(24, 40), mode), pixels)


@pytest.mark.parametrize("mode", MODES)
def test_a_plain_image_stays_plain(mode: str) -> None:
    found = resize_image(np.full((33, 17, 3), 77, dtype=np.uint8), Size(20, 50), mode)
    assert set(np.unique(found)) <= ({77, 0} if mode == "pad" else {77})


def test_stretch_keeps_top_and_bottom_and_left_and_right() -> None:
    quarters = np.array([[10, 60], [120, 250]], dtype=np.uint8).repeat(20, axis=0).repeat(30, axis=1)[..., np.newaxis]
    for size in (Size(20, 10), Size(100, 40), Size(16, 90)):
        found = resize_image(quarters, size, "stretch")[..., 0]
        rows, columns = (1, size.height - 2), (1, size.width - 2)
        assert [[found[row, column] for column in columns] for row in rows] == [[10, 60], [120, 250]]


def test_shrinking_averages_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    expected = pixels.astype(float).reshape(8, 3, 12, 3, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(pixels, Size(8, 12), "stretch") - expected).max() <= 0.51


def test_growing_interpolates_between_the_pixels() -> None:
    row = np.array([[0, 200]], dtype=np.uint8)[..., np.newaxis]
    assert resize_image(row.repeat(8, axis=0), Size(8, 8), "stretch")[0, :, 0].tolist() == [0, 0, 25, 75, 125, 175, 200, 200]


def test_crop_keeps_the_middle_and_the_proportions() -> None:
    assert np.all(resize_image(thirds(10, 30), Size(10, 10), "crop") == 100)
    assert np.all(resize_image(thirds(10, 30).swapaxes(0, 1), Size(10, 10), "crop") == 100)
    found = resize_image(thirds(20, 60), Size(10, 20), "crop")[..., 0]
    assert found[0].tolist() == [10] * 5 + [100] * 10 + [200] * 5, "half as large, 5 columns lost on either side"


def test_pad_keeps_the_whole_image_in_the_middle_on_black() -> None:
    found = resize_image(thirds(10, 30), Size(30, 30), "pad")[..., 0]
    assert np.array_equal(found[10:20], thirds(10, 30)[..., 0]) and not found[:10].any() and not found[20:].any()
    found = resize_image(thirds(20, 60), Size(40, 30), "pad")[..., 0]
    assert found[15:25].tolist() == [[10] * 10 + [100] * 10 + [200] * 10] * 10 and not found[:15].any() and not found[25:].any()
    found = resize_image(thirds(20, 60).swapaxes(0, 1), Size(30, 41), "pad")[..., 0]
    assert found[:, 15:25].tolist() == [[10] * 10] * 10 + [[100] * 10] * 10 + [[200] * 10] * 10
    assert not found[:, :15].any() and not found[:, 25:].any()


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (3, 2000)])
@pytest.mark.parametrize("mode", MODES)
def test_long_thin_images_keep_at_least_a_line(shape: tuple[int, int], mode: str) -> None:
    found = resize_image(np.full((*shape, 3), 50, dtype=np.uint8), Size(16, 24), mode)
    assert found.shape == (16, 24, 3) and found.max() == 50
