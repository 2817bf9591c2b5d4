"""Mistakes of the person: their lines, the nearest word, and several of them at once."""

from __future__ import annotations

from typing import NoReturn

import pytest

from modules.config.errors import ConfigError, DataError, OptionError, UserError, counted, gather, hint, in_lines, nearest, shorten


def fail(error: Exception) -> NoReturn:
    raise error


def test_gather_returns_the_results_in_order() -> None:
    assert gather(lambda: 1, lambda: "two", lambda: None) == [1, "two", None]


def test_gather_runs_every_step_and_reports_the_mistakes_of_all() -> None:
    ran = []
    with pytest.raises(UserError) as caught:
        gather(
            lambda: fail(OptionError("data", "train_csv", "missing")),
            lambda: ran.append("second"),
            lambda: fail(DataError("a.jpg: damaged", "b.jpg: damaged")),
            lambda: gather(lambda: fail(ConfigError("inner 1")), lambda: fail(DataError("inner 2"))),
            lambda: ran.append("last"),
        )
    assert ran == ["second", "last"]
    assert caught.value.lines == ("[data] train_csv: missing", "a.jpg: damaged", "b.jpg: damaged", "inner 1", "inner 2")
    assert str(caught.value) == "\n".join(caught.value.lines)


def test_gather_keeps_the_kind_of_a_single_mistake() -> None:
    mistake = OptionError("data", "mean", "wrong")
    with pytest.raises(OptionError) as caught:
        gather(lambda: 1, lambda: fail(mistake))
    assert caught.value is mistake


def test_gather_lets_a_fault_of_the_program_through() -> None:
    with pytest.raises(ZeroDivisionError, match=r"^ours$"):
        gather(lambda: fail(DataError("theirs")), lambda: fail(ZeroDivisionError("ours")))


def test_an_option_error_is_a_config_error_with_one_line() -> None:
    error = OptionError("data", "mean", "wrong")
    assert isinstance(error, ConfigError) and error.lines == ("[data] mean: wrong",)


def test_the_nearest_word_is_found_whatever_its_case_and_nothing_far_away() -> None:
    assert nearest("HORIZONTALFLOP", ["VerticalFlip", "HorizontalFlip"]) == ["HorizontalFlip"]
    assert hint("resnet8", ["resnet18", "vit"]) == " (did you mean resnet18?)"
    assert hint("resnet", ["resnet18", "resnet34", "vit"], count=2).count("resnet") == 2
    assert hint("zebra", ["resnet18"]) == "" and hint("x", []) == ""


def test_long_lists_are_cut_and_counted() -> None:
    assert shorten(range(5)) == "0, 1, 2, 3, 4"
    assert shorten(range(8), 3) == "0, 1, 2 and 5 more"
    assert shorten([]) == ""


def test_one_thing_is_told_as_one() -> None:
    assert [counted(count, "row") for count in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert [counted(count, "label is", "labels are") for count in (0, 1, 2)] == ["0 labels are", "1 label is", "2 labels are"]
    assert [in_lines(lines) for lines in ([6], [2, 6])] == ["in line 6", "in lines 2, 6"]
