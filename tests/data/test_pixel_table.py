"""Tables of pixels: what they hold comes out as images, ids that are not there are made, and wrong cells are told with their lines."""

from __future__ import annotations

import csv as standard_csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import DataError, OptionError, UserError
from modules.config.schema import Data
from modules.config.values import Size
from modules.data.images import ImageArrays
from modules.data.labels import read_task
from modules.data.samples import Samples
from modules.data.sources import declared_folds, load_test, load_train
from modules.data.sources.pixel_table import read_pixel_table
from modules.data.task import classification

HERE = Path()
TASK = classification("label", ("a", "b"))


def table(text: str, columns: str = "pixel", **options: Any) -> np.ndarray:
    Path("train.csv").write_bytes(text.encode())
    return read_pixel_table(Path("train.csv"), "train_csv", Data(source="csv", pixel_columns=columns, **options)).pixels


def contest(train: str, test: str = "pixel0,pixel1,pixel2,pixel3\n0,1,2,3\n4,5,6,7\n", template: str = "ImageId,Label\n1,0\n2,0\n") -> Data:
    for name, text in (("train", train), ("test", test), ("sample_submission", template)):
        Path(f"{name}.csv").write_text(text, encoding="utf-8")
    return Data(source="csv", pixel_columns="pixel", test_csv="test.csv")


def told(error: type[UserError], text: str, columns: str = "pixel", **options: Any) -> str:
    with pytest.raises(error) as caught:
        table(text, columns, **options)
    (line,) = caught.value.lines
    return line


def pixels_of(samples: Samples) -> list[Any]:
    assert isinstance(samples.images, ImageArrays)
    return samples.images.pixels.tolist()


def test_digit_recognizer_has_no_ids_and_gets_row_numbers_and_the_templates_ids() -> None:
    data = contest("label,pixel0,pixel1,pixel2,pixel3\n1,0,255,7,8\n0,9,10,11,12\n1,1,1,1,1\n")
    train = load_train(data, HERE)
    assert train.ids.tolist() == ["1", "2", "3"] and train.task.classes == ("0", "1")
    assert train.targets is not None and train.targets.tolist() == [1, 0, 1]
    assert pixels_of(train)[0] == [[0, 255], [7, 8]] and train.images.name(1) == "train.csv:3"
    test = load_test(data, HERE, train.task)
    assert test.ids.tolist() == ["1", "2"] and pixels_of(test) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert test.images.read(1, 3).tolist() == [[[4] * 3, [5] * 3], [[6] * 3, [7] * 3]]


def test_columns_are_ordered_by_their_numbers_wherever_they_stand() -> None:
    header = [f"pixel{number}" for number in (10, 2, 0, 1, 3, 5, 4, 7, 6, 9, 8, 11)]
    row = dict(zip(header, (100, 20, 0, 10, 30, 50, 40, 70, 60, 90, 80, 110), strict=True))
    text = f"{','.join([*header[:5], 'label', *header[5:]])}\n" + ",".join(
        str(row.get(name, "x")) for name in [*header[:5], "label", *header[5:]]
    )
    assert table(text, pixel_size=Size(3, 4)).tolist() == [[[0, 10, 20, 30], [40, 50, 60, 70], [80, 90, 100, 110]]]


@pytest.mark.parametrize("first", [0, 1, 17])
def test_numbers_may_begin_anywhere_and_have_leading_zeros(first: int) -> None:
    header = ",".join(f"pixel{number:04d}" for number in range(first, first + 4))
    assert table(f"{header}\n1,2,3,4\n").tolist() == [[[1, 2], [3, 4]]]


def test_all_pixels_of_an_image_may_be_one_cell_of_any_length() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 200, 200))
    rows = "".join(f'{row},"{" ".join(map(str, image.ravel()))}",Training\n' for row, image in enumerate(images))
    before = standard_csv.field_size_limit()
    assert np.array_equal(table(f"emotion,pixels,Usage\n{rows}", "pixels"), images)
    assert standard_csv.field_size_limit() == before
    assert table('pixels\n"1 2  3 4"\n', "pixels").tolist() == [[[1, 2], [3, 4]]]


def test_three_numbers_a_pixel_are_colours_side_by_side() -> None:
    colours = np.arange(12).reshape(1, 2, 2, 3)
    header = ",".join(f"p{number}" for number in range(12))
    text = f"{header}\n{','.join(map(str, colours.ravel()))}\n"
    assert table(text, "p").tolist() == colours.tolist()
    assert table(text, "p", pixel_size=Size(1, 4)).shape == (1, 1, 4, 3)
    assert table(text, "p", pixel_size=Size(3, 4)).shape == (1, 3, 4)


@pytest.mark.parametrize("cell", ["12", "12.0", " 12", "012", "12.00", "1.2e1", "+12"])
def test_a_whole_number_may_be_written_in_several_ways(cell: str) -> None:
    assert table(f"pixel0\n{cell}\n").tolist() == [[[12]]]


@pytest.mark.parametrize("cell", ["-1", "256", "0.5", "x", "", "nan", "inf", "0x10", "1e9", "1 2"])
def test_a_cell_that_is_no_pixel_is_told_with_its_line_and_column(cell: str) -> None:
    line = told(DataError, f"label,pixel0,pixel1,pixel2,pixel3\na,1,2,3,4\n\nb,1,2,{cell},4\n")
    rule = "pixels are whole numbers from 0 to 255, as many in each row"
    assert line == f"train.csv: {rule}; 1 row is not: {cell!r} in line 4, column pixel2"


def test_short_rows_and_cells_with_other_counts_are_told_with_their_lines() -> None:
    assert told(DataError, "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n1,2,3\n").endswith("1 row is not: '' in line 3, column pixel3")
    assert told(DataError, "pixel0,pixel1\n1,2\n1,2,3\n") == "train.csv: not a table: expected 2 cells in line 3, got 3"
    assert told(DataError, 'pixels\n1 2 3 4\n1 2 3\n""\n', "pixels").endswith(
        "rows are not: 3 numbers in line 3, 4 in line 2, 0 numbers in line 4, 4 in line 2"
    )
    assert told(DataError, "pixels,x\n1 2 z 4,1\n", "pixels").endswith("1 row is not: 'z' in line 2, number 3")
    assert told(DataError, "pixels,x\n,1\n", "pixels").endswith("1 row is not: 0 numbers in line 2")


def test_what_is_no_table_of_pixels_is_told_in_a_line() -> None:
    line = told(OptionError, "label,Pixel0,Pixel1\n1,2,3\n")
    assert line.startswith("[data] pixel_columns: train.csv has no column pixel, nor pixel0, pixel1, ... (did you mean Pixel?); it has")
    assert told(OptionError, "pixel0,pixel1,pixel3\n1,2,3\n") == "[data] pixel_columns: train.csv has no column pixel2"
    assert (
        told(OptionError, "pixel0,pixel1,pixel01\n1,2,3\n")
        == "[data] pixel_columns: train.csv has two columns of number 1: pixel1, pixel01"
    )
    assert told(DataError, "pixel0,pixel0\n1,2\n") == "train.csv: not a table: column 'pixel0' stands more than once in its header"
    assert told(DataError, "pixel0,pixel1\n") == "train.csv: the table has no rows"
    assert told(OptionError, "pixel0,pixel99999999\n1,2\n") == "[data] pixel_columns: train.csv has no column pixel1"
    line = told(OptionError, "pixel0,pixel1,pixel2,pixel3,pixel4\n1,2,3,4,5\n")
    assert line == "[data] pixel_size: train.csv has 5 pixels a row, which is no square; give height and width"
    line = told(OptionError, "pixel0,pixel1\n1,2\n", pixel_size=Size(2, 2))
    assert line == "[data] pixel_size: 2 x 2 has 4 pixels, 12 numbers in colour, and train.csv has 2 a row"
    with pytest.raises(OptionError, match=r"nowhere\.csv: no such file"):
        read_pixel_table(Path("nowhere.csv"), "train_csv", Data(source="csv", pixel_columns="pixel"))


@pytest.mark.parametrize("separates", [",", ";", "\t"])
def test_a_byte_order_mark_quotes_and_other_separators_are_read(separates: str) -> None:
    text = (
        "\ufeff"
        + separates.join(["label", "pixel0"])
        + "\r\n"
        + separates.join(['"a\nb"', '"7"'])
        + "\r\n\r\n"
        + separates.join(["c", "8"])
    )
    Path("t.csv").write_bytes(text.encode())
    read = read_pixel_table(Path("t.csv"), "train_csv", Data(source="csv", pixel_columns="pixel"))
    assert read.pixels.tolist() == [[[7]], [[8]]] and read.table["label"].tolist() == ["a\nb", "c"] and read.table.index.tolist() == [2, 5]


def test_ids_of_the_tables_are_taken_where_they_are_there() -> None:
    data = contest("ImageId,label,pixel0\nx,a,1\ny,b,2\n", test="pixel0,ImageId\n5,t2\n6,t1\n", template="ImageId,Label\nt1,a\nt2,a\n")
    assert load_train(data, HERE).ids.tolist() == ["x", "y"]
    test = load_test(data, HERE, TASK)
    assert test.ids.tolist() == ["t2", "t1"] and pixels_of(test) == [[[5]], [[6]]]


@pytest.mark.parametrize(
    ("stand", "read"),
    [("2,1,3", "1,2,3"), ("3,2,1", "1,2,3"), ("1,0,2", "0,1,2"), ("c,a,b", "c,a,b"), ("2,1,4", "2,1,4"), ("01,2,3", "01,2,3")],
)
def test_ids_that_count_the_rows_are_those_of_their_number_in_whatever_order_they_stand(stand: str, read: str) -> None:
    template = "ImageId,Label\n" + "".join(f"{each},0\n" for each in stand.split(","))
    data = contest("label,pixel0\na,1\nb,2\n", test="pixel0\n5\n6\n7\n", template=template)
    test = load_test(data, HERE, load_train(data, HERE).task)
    assert test.ids.tolist() == read.split(",") and [int(test.images.read(row, 1)[0, 0, 0]) for row in range(3)] == [5, 6, 7]


def test_a_test_table_without_ids_must_have_the_templates_rows() -> None:
    data = contest("label,pixel0\na,1\nb,2\n", test="pixel0\n5\n6\n7\n")
    with pytest.raises(DataError) as caught:
        load_test(data, HERE, TASK)
    fault = "3 rows and no column 'ImageId', and sample_submission.csv has 2 rows; without ids both must have the same rows"
    assert caught.value.lines == (f"test.csv: {fault}",)


def test_an_id_column_that_no_table_has_is_a_mistake_and_no_table_without_ids() -> None:
    contest("label,pixel0\na,1\nb,2\n")
    with pytest.raises(OptionError, match=r"train\.csv has no column 'ImgId'"):
        load_train(Data(source="csv", pixel_columns="pixel", test_csv="test.csv", id_column="ImgId"), HERE)


def test_every_task_reads_its_labels_beside_pixels() -> None:
    contest("cat,dog,words,age,pixel0\n1,1,a b,1.5,3\n0,1,c,2.5,4\n")

    def loaded(**options: Any) -> Samples:
        return load_train(Data(source="csv", pixel_columns="pixel", test_csv="test.csv", **options), HERE)

    for options in (
        {"task": "multilabel", "label_columns": ("cat", "dog")},
        {"task": "multilabel", "label_columns": ("words",), "label_separator": "space"},
        {"task": "regression", "label_columns": ("age",)},
    ):
        samples = loaded(**options)
        task, targets = read_task(pd.read_csv("train.csv", dtype=str), Data(source="csv", **options), Path("train.csv"))
        assert samples.task == task and np.array_equal(samples.targets, targets)


def test_folds_and_groups_come_from_columns_beside_pixels() -> None:
    contest("label,fold,who,pixel0\na,1,p,1\nb,0,q,2\n")
    data = Data(source="csv", pixel_columns="pixel", test_csv="test.csv", group_column="who")
    samples = load_train(data, HERE)
    assert samples.groups is not None and samples.groups.tolist() == ["p", "q"]
    assert declared_folds(data, HERE, "fold", samples).tolist() == ["1", "0"]


def test_extra_rows_bring_their_own_pixels_and_numbers() -> None:
    contest("label,pixel0\na,1\nb,2\n")
    Path("more.csv").write_text("pixel0,label\n9,b\n", encoding="utf-8")
    data = Data(source="csv", pixel_columns="pixel", test_csv="test.csv", extra_csv="more.csv")
    samples = load_train(data, HERE)
    assert samples.ids.tolist() == ["1", "2", "extra:1"] and pixels_of(samples) == [[[1]], [[2]], [[9]]]
    assert samples.extra is not None and samples.extra.tolist() == [False, False, True]
    Path("more.csv").write_text("pixel0,pixel1,pixel2,pixel3,label\n9,9,9,9,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^images must have one size: train\.csv:2 has 1 x 1 pixels, more\.csv:2 has 2 x 2$"):
        load_train(data, HERE)


def test_labels_are_corrected_by_row_numbers_where_there_are_no_ids() -> None:
    contest("label,pixel0\na,1\nb,2\na,3\n")
    Path("corrections.csv").write_text("ImageId,label\n3,b\n", encoding="utf-8")
    data = Data(source="csv", pixel_columns="pixel", test_csv="test.csv", corrections="corrections.csv")
    samples = load_train(data, HERE)
    assert samples.targets is not None and samples.targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize("ids", [("b", "a"), ("2", "1")])
def test_ids_in_another_column_and_another_order_are_told_and_not_joined_by_row(ids: tuple[str, str]) -> None:
    test = "name,pixel0,pixel1,pixel2,pixel3\n{},0,1,2,3\n{},4,5,6,7\n"
    first, second = sorted(ids)
    train = "label,pixel0,pixel1,pixel2,pixel3\n1,0,255,7,8\n0,9,10,11,12\n"
    data = contest(train, test.format(first, second), f"ImageId,Label\n{first},0\n{second},0\n")
    assert load_test(data, HERE, TASK).ids.tolist() == [first, second]
    data = contest(train, test.format(second, first), f"ImageId,Label\n{first},0\n{second},0\n")
    with pytest.raises(DataError) as caught:
        load_test(data, HERE, TASK)
    fault = "no column 'ImageId', and column 'name' has the ids of sample_submission.csv in another order"
    assert caught.value.lines == (f"test.csv: {fault}; call it 'ImageId', so that rows are joined by it",)


@pytest.mark.parametrize(("brightest", "warns"), [(1, True), (31, True), (32, False), (255, False)])
def test_pixels_on_another_scale_are_told(brightest: int, warns: bool, capsys: pytest.CaptureFixture[str]) -> None:
    load_train(contest(f"label,pixel0,pixel1,pixel2,pixel3\n1,0,{brightest}.0,0,0\n0,0.0,0,1,0\n"), HERE)
    told = f"warning: train.csv: no pixel is above {brightest} of 255, so that all images are nearly black; scale them\n"
    assert capsys.readouterr().err == (told if warns else "")
