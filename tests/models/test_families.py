"""The table of docs/models.md: a head swap and a forward pass for one architecture of each family in both libraries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.architectures import ARCHITECTURES, CLASSES, Library, Row, look_at

QUICK: tuple[tuple[Library, str], ...] = (
    ("timm", "ghostnet_050"),
    ("timm", "mobilenetv4_conv_small_035"),
    ("timm", "edgenext_xx_small"),
    ("timm", "pit_ti_224"),
    ("torchvision", "mnasnet0_5"),
    ("torchvision", "squeezenet1_1"),
)
PAGE = Path(__file__).parents[2] / "docs/models.md"


def names(cases: tuple[tuple[Library, str], ...]) -> list[str]:
    return [f"{library}-{name}" for library, name in cases]


def published(library: str, name: str) -> list[str]:
    (row,) = re.findall(rf"^\| {library} \| `{name}` \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [cell.strip(" `") for cell in row.strip("|").split("|")]


def check(row: Row) -> None:
    assert row.shapes == {3: (2, CLASSES), 1: (2, CLASSES)}
    assert published(row.library, row.name)[2:6] == [str(row.size), f"{row.parameters:,}", row.head, row.stem]


@pytest.mark.parametrize(("library", "name"), QUICK, ids=names(QUICK))
def test_an_architecture_does_what_the_table_says(library: Library, name: str) -> None:
    check(look_at(library, name))


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name"), ARCHITECTURES, ids=names(ARCHITECTURES))
def test_every_architecture_does_what_the_table_says(library: Library, name: str) -> None:
    check(look_at(library, name))


def test_the_table_has_forty_architectures_of_both_libraries_or_more() -> None:
    assert len(set(ARCHITECTURES)) == len(ARCHITECTURES) >= 40
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("| (2, 7) | (2, 7) |") == len(ARCHITECTURES) and "failed" not in text
    assert {published(library, name)[0] for library, name in ARCHITECTURES} == {"timm", "torchvision"}
