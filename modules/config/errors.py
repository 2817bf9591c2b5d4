"""The two kinds of mistake that a person can make; anything else that is raised is a fault of the program."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class UserError(Exception):
    """One or more mistakes of the person; the scripts print them and exit with status 2.

    Every argument is one line, or another UserError.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(line for part in self.args for line in (part.lines if isinstance(part, UserError) else (str(part),)))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class ConfigError(UserError):
    """What an INI file, an override or the command line says is wrong."""


class DataError(UserError):
    """A table, an image, a checkpoint or a run is not what it should be."""


class OptionError(ConfigError):
    """A mistake in one option, found by code that knows the option but not the file that set it.

    The scripts put the file and the line in front (`Config.locate`).
    """

    def __init__(self, section: str, option: str, message: str) -> None:
        super().__init__(section, option, message)

    @property
    def lines(self) -> tuple[str, ...]:
        section, option, message = self.args
        return (f"[{section}] {option}: {message}",)


def nearest(word: str, words: Iterable[str], count: int = 1) -> list[str]:
    """The `count` words most like `word`, best first; empty where none is alike. Case does not matter."""
    by_lower = {candidate.lower(): candidate for candidate in words}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[match] for match in matches]


def hint(word: str, words: Iterable[str], count: int = 1) -> str:
    """`" (did you mean ...?)"`, or nothing where no word is alike."""
    found = nearest(word, words, count)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def shorten(items: Iterable[object], count: int = 5) -> str:
    """The first `count` items and how many more there are."""
    words = [str(item) for item in items]
    more = f" and {len(words) - count} more" if len(words) > count else ""
    return ", ".join(words[:count]) + more


def counted(count: int, one: str, more: str = "") -> str:
    """How many, and the words for so many: `1 label is`, `2 labels are`; without `more` they have an s."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def in_lines(lines: Sequence[int]) -> str:
    """`in line 6`, or `in lines 2, 6`: where in a file."""
    return f"in {'line' if len(lines) == 1 else 'lines'} {shorten(lines)}"


def gather(*steps: Callable[[], Any]) -> list[Any]:
    """The result of every step; where some of them find mistakes of the person, all of those at once.

    Raises UserError with the mistakes of all steps.
    """
    results: list[Any] = []
    mistakes: list[UserError] = []
    for step in steps:
        try:
            results.append(step())
        except UserError as error:
            mistakes.append(error)
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        raise UserError(*mistakes)
    return results
