"""The arithmetic of a learning-rate range test: which rates are tried, and what the curve of their losses says.

Smith 2017, Cyclical Learning Rates for Training Neural Networks. Knows nothing of weights or batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 1e-7, 10.0
SPAN = 0.1  # share of the steps that an average is over: shorter ones follow single batches, longer ones lag decades behind
WORSE = 3.0  # of the best loss: what the average may be above it, so that it ends at four times the best
ABOVE_NOISE = 4.0  # standard errors of the average that a fall is, at least: the least of a hundred averages is some below their mean
LEAST_FALL = 0.01  # of the loss: what a batch without noise, the same in every step, must fall by


@dataclass(frozen=True)
class Suggestion:
    """Rates that the curve suggests. steepest: where the loss fell fastest. lowest: where it was least."""

    steepest: float
    lowest: float

    @property
    def tenth(self) -> float:
        """A tenth of the rate of the least loss, where it is about to grow: training stays at its rate for longer than the test did."""
        return self.lowest / 10

    @property
    def recommended(self) -> float:
        return self.tenth


def rates_of(steps: int) -> list[float]:
    """The rate of each step: from LOWEST to HIGHEST, each the same multiple of the one before."""
    return [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, steps)]


def smooth(losses: Sequence[float], steps: int) -> NDArray[np.float64]:
    """(losses,) their exponential average so far, over a tenth of the test's `steps`.

    Bias-corrected as in Adam (Kingma and Ba 2015): the first is the first loss itself, not a part of it.
    """
    decay = _decay(steps)
    average, found = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        found.append(average / (1 - decay**count))
    return np.array(found)


def is_over(losses: Sequence[float], steps: int) -> bool:
    """Whether the average of the losses so far is four times the best there was; never while it is over too few to be one.

    Of a loss that may be negative, as one's own may, it is what lies as far above.
    """
    known = smooth(losses, steps)[_settling(steps) :]
    return len(known) > 0 and bool(known[-1] > known.min() + WORSE * abs(known.min()))


def suggest(rates: Sequence[float], losses: Sequence[float], steps: int) -> Suggestion | None:
    """What the curve of a test of `steps` steps suggests, which may have ended before the last; None where the loss never fell.

    To have fallen is to be further below the losses of the lowest rates, where nothing is learnt yet, than their noise explains.
    """
    averages, start = smooth(losses, steps), _settling(steps)
    if len(losses) <= start + 2:
        return None
    least = start + int(np.argmin(averages[start:]))
    early = np.array(losses[: max(start, steps // 4)])
    level, decay = float(early.mean()), _decay(steps)
    noise = float(early.std()) * np.sqrt((1 - decay) / (1 + decay))  # the standard error of an exponential average
    if level - averages[least] <= max(ABOVE_NOISE * noise, LEAST_FALL * abs(level)):
        return None
    # From where the average left the level of the lowest rates for good: before that all slopes are noise.
    begin = max(start, int(np.flatnonzero(averages[: least + 1] >= level - noise).max(initial=start)))
    falling = range(begin, least + 1)
    steepest = min(falling, key=lambda step: _slope(averages, step, max(1, start // 2)))
    return Suggestion(rates[steepest], rates[least])


def _slope(averages: NDArray[np.float64], step: int, reach: int) -> float:
    """Of the line from `reach` steps before to as many behind: over the logarithm of the rate, since a step is the same part of it."""
    before, behind = max(0, step - reach), min(len(averages) - 1, step + reach)
    return float(averages[behind] - averages[before]) / (behind - before)


def _decay(steps: int) -> float:
    return 1 - 1 / max(1.0, SPAN * steps)


def _settling(steps: int) -> int:
    """Averages at the start, of too few losses to be compared with others."""
    return round(SPAN * steps)
