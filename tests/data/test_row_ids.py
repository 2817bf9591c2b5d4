"""Row ids that are an image's id and the name of what is asked of it, taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modules.data.row_ids import asked_names, split_row_ids
from modules.data.task import Output, Scale, Task, classification

BENGALI = ("grapheme_root", "vowel_diacritic", "consonant_diacritic")


@pytest.mark.parametrize("between", ["_", "-", ":", ".", "/", "|", " ", ""])
def test_whatever_stands_between_is_found(between: str) -> None:
    ids = [f"{image}{between}{name}" for name in BENGALI for image in ("Test_1", "Test_0")]
    rows = split_row_ids(ids, BENGALI)
    assert rows is not None and (rows.between, rows.images) == (between, ("Test_1", "Test_0") * 3)
    assert rows.asked == (0, 0, 1, 1, 2, 2) and rows.first_rows() == [0, 1]


def test_of_names_that_end_alike_the_longest_is_meant() -> None:
    rows = split_row_ids(["a_b_c", "a_c"], ("c", "b_c"))
    assert rows is not None and rows.images == ("a", "a") and rows.asked == (1, 0)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["a_x", "a_y", "b_x"], "xy"),
        (["a_x", "a_y", "b_x", "b_x"], "xy"),
        (["a_x", "a_y", "b_x", "b_z"], "xy"),
        (["_x", "y"], "xy"),
        (["a", "b"], "xy"),
        (["a_x", "b_x"], "x"),
        (["a_x", "a_y"], ()),
        ([], "xy"),
    ],
)
def test_ids_of_which_an_image_lacks_a_row_or_has_one_twice_stay_whole(ids: list[str], names: Sequence[str]) -> None:
    assert split_row_ids(ids, tuple(names)) is None


def test_outputs_classes_and_numbers_can_be_asked_and_an_order_cannot() -> None:
    scale = Scale(0, 1, None, None)
    assert asked_names(Task("multioutput", (Output("u", ("a", "b")), Output("v", ("a", "b"))))) == ("u", "v")
    assert asked_names(Task("regression", (Output("u", (), scale), Output("v", (), scale)))) == ("u", "v")
    assert asked_names(classification("y", ("a", "b"), "multilabel")) == ("a", "b") == asked_names(classification("y", ("a", "b")))
    assert asked_names(Task("ordinal", (Output("y", ("0", "1"), scale),))) == ()
