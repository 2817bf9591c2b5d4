"""Columns of text: what belongs together stands together, and nothing is wider than it may be."""

from __future__ import annotations

from modules.reporting.columns import align, shorten_name


def test_names_begin_and_numbers_end_at_the_same_place() -> None:
    assert align([["run", "CV"], ["a", "0.5"], ["longer", "10.25"]], names=(0,)) == ["run        CV", "a         0.5", "longer  10.25"]


def test_a_column_without_a_cell_is_left_out() -> None:
    assert align([["run", "public", "CV"], ["a", "", "1"], ["b", "", "2"]], names=(0,)) == ["run  CV", "a     1", "b     2"]


def test_the_widest_name_is_cut_until_the_line_fits_and_numbers_never_are() -> None:
    lines = align([["run", "model", "CV"], ["r" * 80, "m" * 30, "0.123456"]], names=(0, 1), width=60)
    assert max(map(len, lines)) == 60 and lines[1].endswith("0.123456")
    run, model, _ = lines[1].split()
    assert (len(run), len(model)) == (24, 24) and "…" in run and "…" in model


def test_names_are_never_cut_to_nothing() -> None:
    (_, line) = align([["run", "CV"], ["abcdefghijklmnop", "0.5"]], names=(0,), width=5)
    assert line == "abcdef…nop  0.5"


def test_a_name_is_cut_in_its_middle() -> None:
    assert shorten_name("fold-of-resnet50-seed7", 12) == "fold-of-…ed7" and shorten_name("short", 5) == "short"
