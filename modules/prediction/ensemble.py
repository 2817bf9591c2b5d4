"""Members to one: the probabilities of several models, averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.prediction.predictions import Probabilities


def combine(members: NDArray[np.float32], how: str) -> Probabilities:
    """(members, N, classes) to (N, classes)."""
    return {"mean": _mean}[how](members)


def _mean(members: NDArray[np.float32]) -> Probabilities:
    return np.asarray(members.mean(axis=0, dtype=np.float64), dtype=np.float32)
