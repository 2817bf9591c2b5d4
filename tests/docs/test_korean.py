"""README.ko.md says what README.md says: commands, options, links and outputs are the same, in the same places."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import READMES, blocks, commands_of

ENGLISH, KOREAN = (path.read_text(encoding="utf-8") for path in READMES)


def without_comments(text: str) -> list[list[str]]:
    """The words of each line of an INI, but for what stands behind a semicolon; lines that are nothing else are left out."""
    lines = [line if line.startswith("; search.ini") else re.sub(r"\s*;.*", "", line) for line in text.splitlines()]
    return [line.split() for line in lines if line.strip()]


def links(text: str) -> list[str]:
    """But for those of each to the other."""
    return sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - {path.name for path in READMES})


def spans(text: str) -> set[str]:
    """Code in running text: options, files, commands, values."""
    running = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", running)}


def test_the_commands_are_the_same_in_the_same_order() -> None:
    english, korean = (([command.settings + command.words for command in commands_of(page)]) for page in READMES)
    assert korean == english and len(english) > 20


def test_the_blocks_are_of_the_same_kinds_in_the_same_order() -> None:
    english, korean = (re.findall(r"^```(\w+)$|^<!-- (.+) -->$", text, re.MULTILINE) for text in (ENGLISH, KOREAN))
    assert korean == english


def test_the_ini_blocks_say_the_same() -> None:
    english, korean = ([without_comments(block) for block in blocks(page, "ini")] for page in READMES)
    assert korean == english and len(english) == 3


def test_what_is_printed_is_the_same() -> None:
    """All but the last, a tree of folders with what each is for, of which the names are the same."""
    english, korean = (blocks(page, "text") for page in READMES)
    assert korean[:-1] == english[:-1] and blocks(READMES[1], "python") == blocks(READMES[0], "python")
    names = [[re.match(r" *\S+( {1,2}\S+/)?", line) for line in tree[-1].splitlines()] for tree in (english, korean)]
    assert [found and found[0] for found in names[1]] == [found and found[0] for found in names[0]]


def test_the_links_are_the_same_and_each_points_to_the_other() -> None:
    assert links(KOREAN) == links(ENGLISH)
    assert KOREAN.splitlines()[2] == "[English](README.md)" and ENGLISH.splitlines()[2] == "[한국어](README.ko.md)"


@pytest.mark.parametrize("pattern", [r"^(#+) ", r"^(\|) ", r"^(- )"], ids=["headings", "rows of tables", "points"])
def test_there_are_as_many_of_each(pattern: str) -> None:
    assert re.findall(pattern, KOREAN, re.MULTILINE) == re.findall(pattern, ENGLISH, re.MULTILINE)


def test_the_options_and_files_that_are_named_are_the_same() -> None:
    assert spans(KOREAN) == spans(ENGLISH)


def test_the_numbers_of_the_one_are_in_the_other() -> None:
    english, korean = (
        set(re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))) for text in (ENGLISH, KOREAN)
    )
    assert english - korean == set()


def test_the_korean_page_is_in_korean() -> None:
    text = re.sub(r"^```.*?^```$|<!--.*?-->|^\[English.*$|^# .*$", "", KOREAN, flags=re.DOTALL | re.MULTILINE)
    for paragraph in re.split(r"\n\n+", text):
        assert not paragraph.strip() or re.search(r"[가-힣]", paragraph), paragraph
