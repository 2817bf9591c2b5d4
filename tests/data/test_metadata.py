"""Metadata columns as numbers: hand-computed, whatever is blank, constant, unknown, or a number with zeros before it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import UserError
from modules.config.schema import Data
from modules.data.metadata import describe_inputs, encode_metadata, learn_inputs
from modules.data.sources import load_test, load_train
from modules.data.task import Input, Output, Task, same_question
from tests.making import make_contest

PATH = Path("train.csv")


def table(**columns: list[str]) -> pd.DataFrame:
    cells = pd.DataFrame(columns, dtype=str)
    return cells.set_axis(np.arange(2, len(cells) + 2))


def learn(cells: pd.DataFrame) -> tuple[Input, ...]:
    return learn_inputs(cells, Data(metadata_columns=tuple(map(str, cells.columns))), PATH, Path())


def learn_and_encode(**columns: list[str]) -> list[list[float]]:
    cells = table(**columns)
    encoded = encode_metadata(cells, learn(cells), PATH)
    assert encoded is not None and encoded.dtype == np.float32
    return encoded.tolist()


def test_numbers_are_distances_from_the_mean_in_standard_deviations() -> None:
    # mean 40, deviations -20, 0, 20: std = sqrt(800 / 3)
    step = 20 / (800 / 3) ** 0.5
    assert learn_and_encode(age=["20", " 40 ", "6e1"]) == [[pytest.approx(-step)], [0.0], [pytest.approx(step)]]


@pytest.mark.parametrize("word", ["", "  ", "NA", "nan", "N/A", "NULL", "Nan "])
def test_a_blank_number_is_the_mean_and_says_that_it_is_blank(word: str) -> None:
    assert learn_and_encode(age=["1", word, "3"]) == [[-1, 0], [0, 1], [1, 0]]


def test_where_no_training_row_is_blank_a_blank_one_is_only_the_mean() -> None:
    inputs = learn(table(age=["1", "3"]))
    assert inputs == (Input("age", (), 2.0, 1.0, False),)
    encoded = encode_metadata(table(age=["", "4"]), inputs, PATH)
    assert encoded is not None and encoded.tolist() == [[0], [2]]


def test_a_constant_column_of_numbers_is_zero_and_of_one_word_is_one() -> None:
    assert learn_and_encode(age=["7", "7", "7"], site=["here", "here", "here"]) == [[0, 1]] * 3


def test_numbers_with_zeros_before_them_are_numbers() -> None:
    assert learn_and_encode(code=["007", "9"]) == [[-1], [1]]


def test_categories_stand_in_the_order_of_their_names_and_of_numbers_where_they_are() -> None:
    assert learn_and_encode(sex=["male", "female", "male "]) == [[0, 1], [1, 0], [0, 1]]
    assert learn(table(ward=["10", "2", "x"] * 2))[0].categories == ("10", "2", "x")


def test_an_unknown_or_blank_category_is_all_zeros_and_the_unknown_ones_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    inputs = learn(table(site=["arm", "leg", "NA", "arm"]))
    assert inputs == (Input("site", ("arm", "leg")),)
    capsys.readouterr()
    encoded = encode_metadata(table(site=["leg", "", "nan", "head", "head", "Arm"]), inputs, PATH)
    assert encoded is not None and encoded.tolist() == [[0, 1], *[[0, 0]] * 5]
    told = "warning: train.csv, metadata column 'site': 3 cells count as blank, since no training row says that: 'head', 'Arm'\n"
    assert capsys.readouterr().err == told


def test_one_word_among_numbers_makes_categories_of_them_all() -> None:
    assert learn(table(age=["30", "40", "old", "30"]))[0].categories == ("30", "40", "old")


def test_columns_stand_side_by_side_in_the_order_that_was_asked_for() -> None:
    cells = table(sex=["f", "m", "m"], age=["1", "", "3"])
    encoded = [encode_metadata(cells, learn(cells[names]), PATH) for names in (["sex", "age"], ["age", "sex"])]
    assert encoded[0] is not None and encoded[0].tolist() == [[1, 0, -1, 0], [0, 1, 0, 1], [0, 1, 1, 0]]
    assert np.array_equal(encoded[0][:, [2, 3, 0, 1]], encoded[1])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["", "NA", "nan"], "train.csv, metadata column 'x': every cell is blank"),
        (
            ["a1", "a2", "a3"],
            "train.csv, metadata column 'x': 3 different values in 3 rows are no categories;"
            " as a number it would be read if all cells were, or blank, and 'a1' is none",
        ),
        ([*map(str, range(1001)), "5", "5 kg"], "train.csv, metadata column 'x': 1002 different values in 1003 rows are no categories;"),
        (["1e308", "-1e308"], "train.csv, metadata column 'x': its numbers are too large: -1e+308 to 1e+308"),
    ],
)
def test_columns_that_say_nothing_or_another_thing_in_each_row_are_refused(cells: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        learn(table(x=cells))
    assert str(caught.value).startswith(message)


def test_a_word_where_all_training_rows_have_numbers_is_told_with_its_line() -> None:
    inputs = learn(table(age=["1", "3"]))
    with pytest.raises(UserError) as caught:
        encode_metadata(table(age=["4", "old", "inf"]), inputs, Path("test.csv"))
    assert str(caught.value) == (
        "test.csv, metadata column 'age': expected a number, as in all training rows, or nothing;"
        " 2 cells are neither: 'old' in line 3, 'inf' in line 4"
    )


def test_what_was_learnt_travels_with_the_task_as_plain_values() -> None:
    task = Task("multiclass", (Output("label", ("a", "b")),), inputs=(Input("sex", ("f", "m")), Input("age", (), 0.1 + 0.2, 1 / 3, True)))
    assert task.metadata == 4
    assert Task.from_dict(task.to_dict()) == Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert same_question(task, replace(task, inputs=()))


def test_the_inputs_are_told_in_a_line() -> None:
    assert describe_inputs(()) == []
    told = describe_inputs((Input("sex", ("f", "m")), Input("age", blanks=True), Input("size")))
    assert told == ["metadata  5 numbers an image: sex (f, m), age (a number, or none), size (a number)"]


@pytest.fixture
def known(tmp_path: Path) -> tuple[Data, Path]:
    """A contest whose tables tell a number of each image, its row's, and a word."""
    contest = make_contest(tmp_path / "known", train=12, test=6)
    for name in ("train.csv", "test.csv"):
        rows = pd.read_csv(contest / name)
        rows.assign(age=np.arange(len(rows)), sex=["f", "m"] * (len(rows) // 2)).to_csv(contest / name, index=False)
    return Data(source="csv", image_suffix=".png", test_csv="test.csv", metadata_columns=("age", "sex")), contest


def test_metadata_follow_their_ids_through_any_order_of_the_tables(known: tuple[Data, Path]) -> None:
    data, contest = known
    straight = load_train(data, contest)
    test = load_test(data, contest, straight.task)
    rng = np.random.default_rng(1)
    for name in ("train.csv", "test.csv"):
        rows = pd.read_csv(contest / name, dtype=str)
        rows.iloc[rng.permutation(len(rows))].to_csv(contest / name, index=False)
    for before, after in ((straight, load_train(data, contest)), (test, load_test(data, contest, straight.task))):
        assert before.metadata is not None and after.metadata is not None and after.metadata.shape == (len(after), 3)
        assert before.ids.tolist() != after.ids.tolist()
        assert dict(zip(before.ids, before.metadata.tolist(), strict=True)) == dict(zip(after.ids, after.metadata.tolist(), strict=True))
    taken = straight.take(np.array([3, 1]))
    assert taken.metadata is not None and np.array_equal(taken.metadata, straight.metadata[[3, 1]])  # type: ignore[index]


def test_the_test_table_is_read_as_the_training_table_was(known: tuple[Data, Path]) -> None:
    """Its own mean is another; the config's columns play no part any more."""
    data, contest = known
    task = load_train(data, contest).task
    test = load_test(replace(data, metadata_columns=None), contest, task)
    ages = np.arange(12)
    assert test.metadata is not None
    assert test.metadata[:, 0] == pytest.approx((np.arange(6) - ages.mean()) / ages.std())


def test_without_metadata_columns_there_are_none(known: tuple[Data, Path]) -> None:
    data, contest = known
    samples = load_train(replace(data, metadata_columns=None), contest)
    assert samples.metadata is None and samples.task.inputs == ()


def test_extra_images_have_metadata_too_or_are_refused(known: tuple[Data, Path]) -> None:
    data, contest = known
    data = replace(data, extra_csv="extra.csv")
    extra = pd.DataFrame({"id": ["train_000"], "label": ["cat"]})
    extra.assign(id="more", age=5.5, sex="x").to_csv(contest / "extra.csv", index=False)
    samples = load_train(data, contest)
    assert samples.metadata is not None and samples.metadata[-1].tolist() == [0, 0, 0] and len(samples.metadata) == 13
    extra.assign(id="more").to_csv(contest / "extra.csv", index=False)
    with pytest.raises(UserError) as caught:
        load_train(data, contest)
    assert str(caught.value).splitlines() == [
        "[data] metadata_columns: extra.csv has no column 'age' (did you mean label?); it has id, label",
        "[data] metadata_columns: extra.csv has no column 'sex'; it has id, label",
    ]


def test_pseudo_labelled_test_images_bring_the_metadata_of_the_test_table(known: tuple[Data, Path]) -> None:
    data, contest = known
    sure = pd.DataFrame({"id": ["test_004", "test_001"], "label": ["cat", "dog"], "confidence": [1, 1]})
    sure.to_csv("pseudo.csv", index=False)
    samples = load_train(replace(data, pseudo_labels="pseudo.csv"), contest)
    test = load_test(data, contest, samples.task)
    assert (
        samples.metadata is not None and test.metadata is not None and samples.ids[-2:].tolist() == ["pseudo:test_004", "pseudo:test_001"]
    )
    assert np.array_equal(samples.metadata[-2:], test.metadata[[4, 1]]) and len(samples.metadata) == len(samples)


def test_of_several_rows_an_image_the_metadata_are_those_of_the_first(known: tuple[Data, Path]) -> None:
    data, contest = known
    task = load_train(data, contest).task
    once = load_test(data, contest, task)
    rows = pd.read_csv(contest / "test.csv").sample(frac=1, random_state=1)
    pd.concat([rows.assign(id=rows["id"] + f"_{name}") for name in task.classes]).to_csv(contest / "test.csv", index=False)
    test = load_test(data, contest, task)
    assert once.metadata is not None and test.metadata is not None and sorted(test.ids) == sorted(once.ids)
    assert dict(zip(test.ids, test.metadata.tolist(), strict=True)) == dict(zip(once.ids, once.metadata.tolist(), strict=True))


def test_a_test_table_without_the_columns_is_told_before_training(known: tuple[Data, Path]) -> None:
    data, contest = known
    pd.read_csv(contest / "test.csv").rename(columns={"age": "ages"}).to_csv(contest / "test.csv", index=False)
    with pytest.raises(UserError) as caught:
        load_train(replace(data, metadata_columns=("age", "sx")), contest)
    assert str(caught.value).splitlines() == [
        "[data] metadata_columns: train.csv has no column 'sx' (did you mean sex?); it has id, label, person, age, sex",
        "[data] metadata_columns: test.csv has no column 'age' (did you mean ages?); it has id, ages, sex",
        "[data] metadata_columns: test.csv has no column 'sx' (did you mean sex?); it has id, ages, sex",
    ]
    (contest / "test.csv").unlink()  # training needs no test set
    assert load_train(data, contest).metadata is not None


def test_at_inference_the_columns_come_from_the_test_table_alone(known: tuple[Data, Path]) -> None:
    data, contest = known
    task = load_train(data, contest).task
    with pytest.raises(UserError) as caught:
        load_test(replace(data, test_csv=None), contest, task)
    assert str(caught.value) == "[data] test_csv: the metadata columns of the test images are read from it: age, sex"
