"""The docs: their pictures can be drawn again, and what they point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from docs.pictures.make import main
from modules.config.schema import OPTIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.slow
def test_the_pictures_of_the_docs_are_drawn_again_in_their_size(tmp_path: Path) -> None:
    assert main(tmp_path) == 0
    drawn = {path.name: Image.open(path).size for path in tmp_path.glob("*.png")}
    assert drawn == {path.name: Image.open(path).size for path in (ROOT / "docs/pictures").glob("*.png")}
    assert len(drawn) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(rf"\b({'|'.join(OPTIONS)})\.(\w+)(?=[= `,;])", page.read_text(encoding="utf-8"))
    files = ("py", "ini", "md", "png", "safetensors")
    assert [f"{section}.{name}" for section, name in named if name not in OPTIONS[section] and name not in files] == []
