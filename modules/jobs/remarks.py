"""What a job remarks beside what the script prints: to stderr."""

from __future__ import annotations

import sys


def say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
