"""Test tables and templates with several rows an image: each image is there once, whatever the columns are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.sources import csv
from modules.data.task import Output, Task, classification

HERE = Path()
PARTS = Task("multioutput", (Output("root", ("0", "1")), Output("vowel_diacritic", ("0", "1"))))
BLEEDS = classification("labels", ("any", "epidural"), "multilabel")
ROWS = ["T_1_vowel_diacritic", "T_0_root", "T_0_vowel_diacritic", "T_1_root"]
IDS = "image_id,root,vowel_diacritic\nTrain_0,0,1\nTrain_1,1,0\n"


def reading(task: Task, template: list[str], table: str = "", train: str = IDS, files: tuple[str, ...] = (), **options: Any) -> Samples:
    Path("sample_submission.csv").write_text("row_id,target\n" + "".join(f"{name},0\n" for name in template))
    Path("train.csv").write_text(train)
    Path("test").mkdir()
    for file in files:
        Path("test", file).touch()
    if table:
        Path("test.csv").write_text(table)
        options["test_csv"] = "test.csv"
    return csv.load_test(Data(source="csv", image_suffix=".png", label_columns=("root", "vowel_diacritic"), **options), HERE, task)


BENGALI = "row_id,image_id,component\n" + "".join(f"{name},{name[:3]},{name[4:]}\n" for name in ROWS)


@pytest.mark.parametrize("option", ["image_column", "id_column"])
def test_a_test_table_of_rows_names_each_image_once(option: str) -> None:
    samples = reading(PARTS, ROWS[::-1], BENGALI, **{option: "image_id"})
    assert samples.ids.tolist() == ["T_1", "T_0"] and samples.images.files.tolist() == ["T_1.png", "T_0.png"]
    data = Data(source="csv", label_columns=("root", "vowel_diacritic"), task="multioutput", **{option: "image_id"})
    assert csv.load_train(data, HERE).ids.tolist() == ["Train_0", "Train_1"], "train.csv has no row_id"


def test_a_test_table_of_images_is_read_as_it_is() -> None:
    samples = reading(PARTS, ROWS, "image_id\nT_0\nT_1\n", id_column="image_id")
    assert samples.ids.tolist() == ["T_0", "T_1"]


def test_without_a_test_table_images_are_found_by_the_templates_rows() -> None:
    samples = reading(BLEEDS, ["ID_7_any", "ID_3_any", "ID_7_epidural", "ID_3_epidural"], files=("ID_3.png", "ID_7.png"))
    assert samples.ids.tolist() == ["ID_7", "ID_3"] and samples.images.files.tolist() == ["ID_7.png", "ID_3.png"]


def test_ids_that_end_like_rows_by_chance_are_images_where_their_files_are() -> None:
    digits = classification("label", ("0", "1"))
    ids = ["img_0", "img_1", "pic_0", "pic_1"]
    samples = reading(digits, ids, files=tuple(f"{name}.png" for name in ids))
    assert samples.ids.tolist() == ids and samples.images.files.tolist() == [f"{name}.png" for name in ids]


def test_ids_whose_images_are_all_missing_stay_as_they_are() -> None:
    """What is then told of missing images names the table's own ids."""
    assert reading(BLEEDS, ["a_any", "a_epidural"]).ids.tolist() == ["a_any", "a_epidural"]


def test_an_image_column_with_an_image_a_row_keeps_every_row() -> None:
    table = "row_id,file\na_any,1.png\na_epidural,2.png\n"
    samples = reading(BLEEDS, ["a_any", "a_epidural"], table, train="row_id,file\n", image_column="file")
    assert samples.ids.tolist() == ["a_any", "a_epidural"] and samples.images.files.tolist() == ["1.png", "2.png"]


def test_numbers_of_rows_in_front_are_not_taken_for_ids() -> None:
    Path("sample_submission.csv").write_text(",id,label\n0,b,x\n1,a,x\n")
    assert csv.load_test(Data(source="csv"), HERE, classification("label", ("x", "y"))).ids.tolist() == ["b", "a"]
