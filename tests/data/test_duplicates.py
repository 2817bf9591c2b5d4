"""Copies of an image: found whatever they are called, and told where they make a score too good."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np

from modules.data.duplicates import describe_duplicates, number_contents
from modules.data.images import ImageArrays, ImageFiles
from modules.data.samples import Samples
from modules.data.splits import Fold
from modules.data.task import classification

CLASSES = ("x", "y")
TASK = classification("label", CLASSES)


def files_of(folder: Path, contents: list[bytes]) -> ImageFiles:
    folder.mkdir()
    names = [f"{folder.name}{row}" for row in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    return ImageFiles(folder, np.array(names))


def folds_of(numbers: list[int]) -> tuple[Fold, ...]:
    found, rows = np.array(numbers), np.arange(len(numbers))
    return tuple(Fold(number, rows[found != number], rows[found == number]) for number in sorted(set(numbers)))


def samples_of(images: ImageFiles, targets: list[int]) -> Samples:
    return Samples(images.files, images, TASK, np.array(targets))


def test_numbers_are_equal_exactly_where_the_bytes_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents = [bytes(rng.integers(0, 3, rng.integers(1, 5), dtype=np.uint8)) for _ in range(200)]
    numbers = number_contents(files_of(tmp_path / "a", contents[:150]), files_of(tmp_path / "b", contents[150:]))
    expected = [contents.index(content) for content in contents]
    assert numbers.tolist() == expected


def test_copies_in_training_and_validation_are_named_and_those_in_one_fold_are_not(tmp_path: Path) -> None:
    samples = samples_of(files_of(tmp_path / "a", [b"1", b"2", b"1", b"3", b"3", b"44"]), [0, 0, 0, 1, 1, 1])
    lines = describe_duplicates(samples, folds_of([0, 1, 1, 0, 0, 1]), None)
    assert lines == ["warning: 1 image training a fold that validates a copy, so that scores are too good (the same bytes): a0 = a2"]
    assert describe_duplicates(samples, folds_of([0, 1, 0, 1, 1, 1]), None) == []


def test_copies_that_only_train_or_only_validate_are_no_leak(tmp_path: Path) -> None:
    samples = samples_of(files_of(tmp_path / "a", [b"1", b"1", b"2", b"3"]), [0, 0, 1, 1])
    held_out = Fold(0, np.array([2]), np.array([0, 1, 3]))
    assert describe_duplicates(samples, (held_out,), None) == []
    repeated = Fold(1, np.array([0, 3]), np.array([1, 2]))
    assert len(describe_duplicates(samples, (held_out, repeated), None)) == 1


def test_copies_with_another_label_are_named(tmp_path: Path) -> None:
    samples = samples_of(files_of(tmp_path / "a", [b"1", b"1", b"2", b"2"]), [0, 1, 0, 0])
    lines = describe_duplicates(samples, folds_of([0, 0, 1, 1]), None)
    assert lines == ["warning: 1 image with a copy of another label (the same bytes): a0 = a1"]


def test_copies_in_train_and_test_are_named_and_long_lists_are_shortened(tmp_path: Path) -> None:
    contents = [str(number).encode() for number in range(10, 16)]
    samples = samples_of(files_of(tmp_path / "a", contents), [0, 1] * 3)
    images = files_of(tmp_path / "t", contents[1:])
    lines = describe_duplicates(samples, folds_of([0, 1] * 3), Samples(images.files, images, TASK))
    expected = "a1 = t0 of the test, a2 = t1 of the test, a3 = t2 of the test and 2 more"
    assert lines == [f"warning: 5 images with a copy in the test set (the same bytes): {expected}"]


def test_copies_among_arrays_are_found_by_their_pixels() -> None:
    pixels = np.zeros((4, 8, 8), dtype=np.uint8)
    pixels[1:3] = 7
    names = np.array(list("abcd"))
    samples = Samples(names, ImageArrays(names, pixels), TASK, np.array([0, 1, 1, 0]))
    (line,) = describe_duplicates(samples, folds_of([0, 0, 1, 0]), None)
    assert line.endswith("(the same bytes): b = c")


def test_a_missing_file_is_no_copy_of_another_missing_one(tmp_path: Path) -> None:
    assert number_contents(ImageFiles(tmp_path, np.array(["a", "b"]))).tolist() == [0, 1]


def test_files_of_different_sizes_are_not_read_and_20000_take_seconds(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20_000, 8, 8), dtype=np.uint8)
    started = time.perf_counter()
    numbers = number_contents(ImageArrays(np.arange(20_000).astype(str), pixels))
    assert time.perf_counter() - started < 5 and len(np.unique(numbers)) == len({hashlib.md5(image.tobytes()).digest() for image in pixels})
    images = files_of(tmp_path / "a", [b"x" * size for size in (1, 2, 3, 3)])
    read: list[int] = []

    class Watched(ImageFiles):
        def digests(self, rows: np.ndarray) -> list[bytes | None]:
            read.extend(rows.tolist())
            return super().digests(rows)

    assert number_contents(Watched(images.root, images.files)).tolist() == [0, 1, 2, 2] and read == [2, 3]


def test_of_many_copies_their_number_is_told(tmp_path: Path) -> None:
    samples = samples_of(files_of(tmp_path / "a", [b"same"] * 9 + [b"other"]), [0] * 10)
    (line,) = describe_duplicates(samples, folds_of([0, 1] * 5), None)
    assert line.endswith("(the same bytes): a0 = a1 = a2 = 6 others")
