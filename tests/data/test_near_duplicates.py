"""Images that look the same are found whatever was done to the file, and those that only resemble each other are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import dct

from modules.data import near_duplicates
from modules.data.images import ImageArrays, ImageFiles
from modules.data.near_duplicates import ALIKE, BITS_APART, SIDE, find_near_duplicates, hash_thumbnails, make_thumbnail


def photos(count: int, size: int = 160, seed: int = 0) -> list[Image.Image]:
    """Clouds of all sizes, brightness falling with frequency as in photographs; no two have anything in common."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        layers = [cv2.resize(rng.normal(size=(n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) / n**0.5 for n in (4, 8, 16, 32)]
        pixels = np.sum(layers, axis=0)
        found.append(Image.fromarray(np.clip(128 + 60 * pixels / pixels.std(), 0, 255).astype(np.uint8)))
    return found


def of_one_motif(count: int) -> np.ndarray:
    """(count, 28, 28): the same picture with small differences of their own, as clothes or digits of one class are."""
    rng = np.random.default_rng(1)
    clouds = [cv2.resize(rng.normal(size=(7, 7)), (28, 28), interpolation=cv2.INTER_CUBIC) for _ in range(count + 1)]
    return np.stack([np.clip(128 + 35 * clouds[0] + 8 * own, 0, 255).astype(np.uint8) for own in clouds[1:]])


def thumbnails_of(images: list[Image.Image]) -> np.ndarray:
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])
    arrays = ImageArrays(np.arange(len(images)).astype(str), pixels)
    return np.stack([make_thumbnail(arrays, row) for row in range(len(arrays))])


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def pairs_of(thumbnails: np.ndarray) -> set[tuple[int, int]]:
    found = find_near_duplicates(thumbnails)
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


WAYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": lambda image: saved(image, 30),
    "half": lambda image: image.resize((80, 80), Image.Resampling.BICUBIC),
    "another shape": lambda image: saved(image.resize((120, 100)), 80),
    "double": lambda image: image.resize((320, 320)),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "paler": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_saved_again_is_found_and_nothing_else(way: str) -> None:
    images = photos(60)
    again = [WAYS[way](image) for image in images[:20]]
    thumbnails = np.concatenate([thumbnails_of(images), *(thumbnails_of([image]) for image in again)])
    assert pairs_of(thumbnails) == {(row, 60 + row) for row in range(20)}


def test_the_surest_come_first_and_are_told_with_their_distance() -> None:
    images = photos(40)
    thumbnails = thumbnails_of([*images, images[5], saved(images[3], 20).convert("RGB")])
    found = find_near_duplicates(thumbnails)
    assert (found.first.tolist(), found.second.tolist(), found.complete) == ([5, 3], [40, 41], True)
    hashes = hash_thumbnails(thumbnails)
    assert found.distance.tolist() == [0, int(hashes[3] ^ hashes[41]).bit_count()] and found.distance[1] <= BITS_APART
    assert found.likeness[0] == pytest.approx(1, abs=1e-5) and ALIKE <= found.likeness[1] < found.likeness[0]


def test_the_hash_is_that_of_its_definition() -> None:
    thumbnails = thumbnails_of(photos(10))
    for thumbnail, found in zip(thumbnails, hash_thumbnails(thumbnails), strict=True):
        waves = dct(dct(thumbnail.astype(float), axis=0, norm="ortho"), axis=1, norm="ortho")[:8, :8].ravel()[1:]
        expected = [*(waves > np.median(waves)), False]
        assert np.unpackbits(np.array([found]).view(np.uint8)).astype(bool).tolist() == expected


def test_images_of_one_motif_are_told_apart_although_their_hashes_are_alike() -> None:
    pixels = of_one_motif(400)
    images = ImageArrays(np.arange(400).astype(str), pixels)
    thumbnails = np.stack([make_thumbnail(images, row) for row in range(400)])
    hashes = hash_thumbnails(thumbnails)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= BITS_APART
    assert (near.sum() - 400) / 2 > 300, "the hash alone would find hundreds of pairs: else this tests nothing"
    assert len(pairs_of(thumbnails)) <= 2
    again = (10 + pixels[7] * 0.9).astype(np.uint8)
    thumbnails = np.concatenate([thumbnails, make_thumbnail(ImageArrays(np.array(["again"]), again[None]), 0)[None]])
    assert (7, 400) in pairs_of(thumbnails)


def test_plain_images_tiny_ones_and_few_ones_are_copies_of_nothing() -> None:
    rng = np.random.default_rng(0)
    plain = [
        Image.fromarray(np.full((64, 64, 3), shade, dtype=np.uint8) + rng.integers(0, 3, (64, 64, 3), dtype=np.uint8))
        for shade in [99] * 50
    ]
    assert pairs_of(thumbnails_of([*photos(40, 64), *plain])) == set()
    digits = ImageArrays(np.arange(50).astype(str), rng.integers(0, 255, (5, 8, 8), dtype=np.uint8).repeat(10, axis=0))
    assert not np.any([make_thumbnail(digits, row) for row in range(50)])
    assert pairs_of(thumbnails_of(photos(10) * 2)) == set()
    assert pairs_of(np.empty((0, SIDE, SIDE), dtype=np.uint8)) == set()


def test_copies_of_a_single_image_are_no_division_by_zero() -> None:
    with np.errstate(divide="raise", invalid="raise"):
        assert pairs_of(thumbnails_of(photos(1) * 40)) == set()  # those that are the same to the byte are told elsewhere


@pytest.mark.slow
def test_25000_images_are_compared_and_a_flood_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(0, 256, (25_000, SIDE, SIDE), dtype=np.uint8)
    thumbnails[[20_000, 24_999]] = thumbnails[[3, 5_000]]
    assert pairs_of(thumbnails) == {(3, 20_000), (5_000, 24_999)}
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 100)
    found = find_near_duplicates(np.concatenate([thumbnails[:40], *[thumbnails[:1]] * 40]))
    assert len(found) == 100 and not found.complete


def test_a_file_gives_the_thumbnail_of_its_pixels_and_a_bad_one_gives_none(tmp_path: Path) -> None:
    image = photos(1, 512)[0]
    image.save(tmp_path / "a.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "turned.jpg", quality=95, exif=turned)
    image.save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    images = ImageFiles(tmp_path, np.array(["a.png", "a.jpg", "turned.jpg", "bad.png", "missing.png"]))
    png, jpeg, quarter, bad, missing = (make_thumbnail(images, row).astype(int) for row in range(5))
    assert np.abs(png - jpeg).mean() < 2 and np.abs(np.rot90(png, -1) - quarter).mean() < 2
    assert not bad.any() and not missing.any()
    assert images.read_small(1, 64).shape == (64, 64), "a JPEG is decoded at an eighth of its size"
