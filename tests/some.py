"""Cases of a test of which some are enough for a quick look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], every: int = 2) -> list[Any]:
    """All of them; --runslow runs those between the first of every so many, too."""
    slow = pytest.mark.slow
    return [
        case if number % every == 0 else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=slow)
        for number, case in enumerate(cases)
    ]
