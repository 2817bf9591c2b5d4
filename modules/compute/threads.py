"""Many small pieces of work that wait for the disk, done by several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_A_TIME = 64  # handing one piece to a thread takes as long as many of them


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` of each, in their order."""
    everything = list(items)
    parts = [everything[start : start + AT_A_TIME] for start in range(0, len(everything), AT_A_TIME)]
    with ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:
        return [result for found in pool.map(lambda part: [work(item) for item in part], parts) for result in found]
