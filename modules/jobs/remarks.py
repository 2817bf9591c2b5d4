"""What a job remarks beside what the script prints: to stderr."""

from __future__ import annotations

import sys

from tqdm import tqdm


def say(*lines: str) -> None:
    for line in lines:
        tqdm.write(line, file=sys.stderr)  # a bar that is there makes room
