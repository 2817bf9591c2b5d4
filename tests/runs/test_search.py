"""The folder of a search, whatever writing it is interrupted by."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.config.errors import DataError
from modules.runs import search as module
from modules.runs.search import SearchDirectory, find_search


@pytest.fixture
def search() -> SearchDirectory:
    found = SearchDirectory(Path("runs/a"))
    found.path.mkdir(parents=True)
    return found


def refuse(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_search_whose_creation_failed_is_none(search: SearchDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be one that cannot be gone on with."""
    for name in ("write_json", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            with pytest.raises(OSError, match="No space"):
                search.keep("[settings]\n")
        with pytest.raises(DataError, match="no search"):
            find_search("runs", "a")
    search.keep("[settings]\n")
    assert not find_search("runs", "a").has_ended()


def test_a_disk_that_fails_between_the_two_files_of_a_change_leaves_the_search_as_it_was(
    search: SearchDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.keep("[settings]\n")
    for name in ("write_json", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            with pytest.raises(OSError, match="No space"):
                search.keep("[settings]\nnum_workers = 1\n")
        assert search.config.read_text() == "[settings]\n" and not search.has_ended()
    search.keep("[settings]\nnum_workers = 1\n", ended=True)
    assert search.has_ended()
    search.keep(search.config.read_text(), ended=True)
    search.config.write_text("[settings]\n")
    with pytest.raises(DataError, match="has changed since its trials were drawn"):
        search.has_ended()
