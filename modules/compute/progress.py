"""Bars over work that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

# Takes the steps of the work, how many there will be, and what is done in them; gives the steps as they are.
Follow = Callable[[Iterator[Any], int, str], Iterator[Any]]


def make_follow(shown: bool) -> Follow:
    """A bar, where the output is a terminal."""

    def follow(steps: Iterator[Any], total: int, what: str) -> Iterator[Any]:
        yield from tqdm(steps, total=total, desc=what, leave=False, disable=not shown or None)

    return follow
