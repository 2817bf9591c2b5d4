"""Labels, and groups, that a regular expression finds in the paths of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.config.errors import DataError, OptionError
from modules.config.schema import Data, Split
from modules.data.samples import Samples
from modules.data.sources import load_test, load_train
from modules.data.splits import resolve_method

HERE = Path()
CATS_AND_DOGS = r"^(?P<label>cat|dog)\."


def images(*files: str, folder: str = "train") -> None:
    for file in files:
        path = Path(folder, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def loaded(pattern: str, **options: Any) -> Samples:
    return load_train(Data(source="folder", label_pattern=pattern, **options), HERE)


def test_dogs_and_cats_are_told_apart_by_the_files_names() -> None:
    images("dog.0.jpg", "cat.10.jpg", "cat.9.jpg", "._cat.1.jpg")
    samples = loaded(CATS_AND_DOGS)
    assert samples.ids.tolist() == ["cat.10.jpg", "cat.9.jpg", "dog.0.jpg"] and samples.task.classes == ("cat", "dog")
    assert samples.targets is not None and samples.targets.tolist() == [0, 0, 1] and samples.groups is None
    assert loaded(CATS_AND_DOGS, task="binary").task.kind == "binary"


def test_the_template_names_test_images_without_their_suffix() -> None:
    images("dog.0.jpg", "cat.1.jpg")
    images("1.jpg", "2.jpg", "cat.7.jpg", folder="test")
    Path("sample_submission.csv").write_text("id,label\n2,0.5\n1,0.5\n", encoding="utf-8")
    data = Data(source="folder", label_pattern=CATS_AND_DOGS)
    test = load_test(data, HERE, load_train(data, HERE).task)
    assert test.ids.tolist() == ["2", "1"] and [test.images.name(row) for row in (0, 1)] == ["2.jpg", "1.jpg"] and test.targets is None


def test_test_folders_are_no_answers_where_a_pattern_tells_labels() -> None:
    images("x_cat.png", "x_dog.png")
    images("cat/1.png", "dog/2.png", folder="test")
    data = Data(source="folder", label_pattern=r"_(?P<label>\w+)\.")
    assert load_test(data, HERE, load_train(data, HERE).task).targets is None


def test_groups_come_from_the_path_and_folds_keep_them_whole() -> None:
    images("p1/a_cat.png", "p1/b_dog.png", "p2/c_cat.png")
    samples = loaded(r"^(?P<group>\w+)/.*_(?P<label>\w+)\.png$")
    assert samples.groups is not None and samples.groups.tolist() == ["p1", "p1", "p2"]
    assert resolve_method(Split(), samples) == "stratified_group"


def test_paths_that_do_not_match_are_counted_and_named() -> None:
    images("dog.0.jpg", "cat.1.jpg", "eel.2.jpg", "sub/cat.3.jpg")
    with pytest.raises(OptionError) as caught:
        loaded(CATS_AND_DOGS)
    assert caught.value.args == ("data", "label_pattern", "train: label_pattern finds no label in 2 of 4 paths: eel.2.jpg, sub/cat.3.jpg")
    with pytest.raises(OptionError, match=r"train: label_pattern finds no group in 3 of 4 paths: cat\.1\.jpg, dog\.0\.jpg, eel\.2\.jpg$"):
        loaded(r"^(?P<group>\w+/)?(?P<label>\w+)\.")
    with pytest.raises(OptionError, match=r"finds no label in 4 of 4 paths"):
        loaded(r"(?P<label>z*)")


def test_one_class_and_no_image_are_refused_in_a_line() -> None:
    images("cat.1.jpg")
    with pytest.raises(DataError, match=r"expected two classes or more, found only cat$"):
        loaded(CATS_AND_DOGS)
    Path("train/cat.1.jpg").unlink()
    with pytest.raises(OptionError, match=r"train: no image is in it$"):
        loaded(CATS_AND_DOGS)


def test_numbers_in_names_are_targets_of_regression_and_steps() -> None:
    images("30_a.jpg", "4_b.jpg", "12_c.jpg")
    samples = loaded(r"^(?P<label>\d+)_", task="regression")
    assert np.array_equal(samples.targets, np.array([[12], [30], [4]], dtype=np.float32)), "in the order of the paths"
    assert loaded(r"^(?P<label>\d+)_", task="ordinal").task.classes == ("4", "12", "30")


def test_extra_rows_have_the_group_that_their_path_tells() -> None:
    images("p1/a_cat.png", "p2/c_dog.png")
    Path("extra.csv").write_text("id,label\np1/z_cat.png,dog\n", encoding="utf-8")
    samples = loaded(r"^(?P<group>\w+)/.*_(?P<label>\w+)\.png$", extra_csv="extra.csv")
    assert samples.groups is not None and samples.groups.tolist() == ["p1", "p2", "p1"]
    assert samples.targets is not None and samples.targets.tolist() == [0, 1, 1], "its label is the table's"
