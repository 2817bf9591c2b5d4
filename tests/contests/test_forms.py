"""The eyes that look at submissions see what is wrong with them."""

from __future__ import annotations

import pytest

from tests.contests.forms import Form, Lists, Names, Numbers, Table, faults

TEMPLATE = Table(["id", "label"], [["b", "0"], ["a", "0"], ["c", "0"]])
GOOD: dict[str, tuple[Form, list[list[str]]]] = {
    "names": (Names(("cat", "dog")), [["b", "dog"], ["a", "cat"], ["c", "cat"]]),
    "lists": (Lists(("7", "16")), [["b", "7 16"], ["a", "7"], ["c", "16"]]),
    "numbers": (Numbers(), [["b", "0.12345678"], ["a", "0.9"], ["c", "1.5e-07"]]),
}


@pytest.mark.parametrize("form", GOOD)
def test_what_is_right_has_no_fault(form: str) -> None:
    kind, rows = GOOD[form]
    assert faults(kind, TEMPLATE, Table(TEMPLATE.header, rows)) == []


@pytest.mark.parametrize(
    ("form", "header", "rows", "told"),
    [
        (Names("x"), ["id", "Label"], [["b", "x"], ["a", "x"], ["c", "x"]], "the header is"),
        (Names("x"), ["id", "label"], [["a", "x"], ["b", "x"], ["c", "x"]], "the ids are not"),
        (Names("x"), ["id", "label"], [["b", "x"], ["a", "x"]], "the ids are not"),
        (Names("x"), ["id", "label"], [["b", "x"], ["a", "x"], ["c"]], "more or fewer cells"),
        (Names("x"), ["id", "label"], [["b", "x"], ["a", " "], ["c", "x"]], "is blank"),
        (Names("x"), ["id", "label"], [["b", "x"], ["a", "y"], ["c", "x"]], "'y' is no class"),
        (Lists("xy"), ["id", "label"], [["b", "x"], ["a", "x,y"], ["c", "x"]], "'x,y' in 'x,y' is no label"),
        (Lists("xy"), ["id", "label"], [["b", "x"], ["a", "x x"], ["c", "x"]], "names a label twice"),
        (Numbers(), ["id", "label"], [["b", "0.12345678"], ["a", "nan"], ["c", "0.1"]], "nan is not between 0 and 1"),
        (Numbers(), ["id", "label"], [["b", "0.12345678"], ["a", "1.01"], ["c", "0.1"]], "1.01 is not between 0 and 1"),
        (Numbers(), ["id", "label"], [["b", "cat"], ["a", "1"], ["c", "0.1"]], "not all numbers"),
        (Numbers(), ["id", "label"], [["b", "0.123456"], ["a", "1"], ["c", "0.000123"]], "no number has more than six digits"),
        (Numbers(sums=True), ["id", "label"], [["b", "0.12345678"], ["a", "1"], ["c", "1"]], "sum to 0.12345678"),
    ],
)
def test_what_is_wrong_is_told(form: Form, header: list[str], rows: list[list[str]], told: str) -> None:
    assert told in " ".join(faults(form, TEMPLATE, Table(header, rows)))


def test_rows_that_went_to_other_ids_are_not_right() -> None:
    truths = [["0"], ["1"], ["0"], ["1"]]
    assert Names("01").right(truths, truths) == 1 and Names("01").right(truths[1:] + truths[:1], truths) == 0
    assert Numbers().right([[".1"], [".9"], [".2"], [".8"]], truths) == 1
    assert Numbers().right([[".9"], [".1"], [".8"], [".2"]], truths) == 0
    assert Numbers().right([[".5"]] * 4, truths) == 0.5
    assert Lists("xyz").right([["x y"], ["z"]], [["x"], ["z"]]) == 0.75
