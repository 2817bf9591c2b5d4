"""All that is told of runs beside each other: who stands where, how the leaderboard agrees, and what to blend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from modules.config.errors import counted
from modules.prediction.ledger import BOARDS, Submission
from modules.prediction.likeness import Pair, chance_of, rank_correlation
from modules.prediction.metrics import tell_score

ENOUGH = 3  # submissions with a score, of which a correlation is told


@dataclass(frozen=True)
class Standing:
    """A finished run. score, spread: out of fold, and the folds' standard deviation; None where nothing was validated.

    size: height and width, pixels. seconds: all its epochs. weights: bytes of one fold's best.pt, None where there is none any more.
    ended: ISO, UTC. refit_of: the run whose epochs it took. public, private: of its own submissions, as `own_scores` has them.
    """

    name: str
    model: str
    size: tuple[int, int]
    score: float | None
    spread: float | None
    folds: int
    seconds: float
    weights: int | None
    ended: str
    debug: bool = False
    tta: str = "none"
    coverage: float = 1.0
    refit_of: str | None = None
    has_report: bool = False
    public: float | None = None
    private: float | None = None

    @property
    def is_ranked(self) -> bool:
        return self.score is not None and not self.debug

    @property
    def notes(self) -> tuple[str, ...]:
        """What sets it apart from the others."""
        found = {
            "debug": self.debug,
            f"refit of {self.refit_of}": self.refit_of is not None,
            "not validated": self.score is None and self.refit_of is None,
            f"{self.coverage:.0%} of the rows": 0 < self.coverage < 1,
            f"tta {self.tta}": self.tta != "none",
            "weights gone": self.weights is None,
        }
        return tuple(note for note, holds in found.items() if holds)

    @property
    def told_size(self) -> str:
        height, width = self.size
        return str(height) if height == width else f"{height}x{width}"

    @property
    def told_weights(self) -> str:
        return "" if self.weights is None else f"{self.weights / 1e6:.1f}"


@dataclass(frozen=True)
class Likeness:
    """How alike the out-of-fold predictions of runs are, and how good two together.

    names: of the runs, the best first. correlations: (runs, runs). scores: of each alone, decided plainly. rows: that all of them
    have. pairs: the best first, of the first `paired` runs. apart: the places of runs whose rows were in other folds than the
    first one's.
    """

    names: tuple[str, ...]
    correlations: NDArray[np.float64]
    scores: tuple[float, ...]
    rows: int
    pairs: tuple[Pair, ...]
    paired: int
    apart: frozenset[int] = frozenset()

    def names_of(self, pair: Pair) -> tuple[str, str]:
        return self.names[pair.first], self.names[pair.second]


@dataclass(frozen=True)
class Contest:
    """Runs whose scores may be compared: of the same data, classes and metric. runs: the best first, and behind them those that
    have no place among them. submissions: the newest first. remarks: what is left out, and why."""

    metric: str
    greater_is_better: bool
    task: str
    data: str
    runs: tuple[Standing, ...]
    submissions: tuple[Submission, ...] = ()
    likeness: Likeness | None = None
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.metric} of {self.task}, {self.data}"

    @property
    def order(self) -> str:
        """What best means."""
        return f"best first ({'more' if self.greater_is_better else 'less'} is better)"

    def scored(self, board: str) -> list[Submission]:
        """Those that have both a CV score and one of that board."""
        return [each for each in self.submissions if each.cv is not None and each.on(board) is not None]


@dataclass(frozen=True)
class Comparison:
    """Of all that is in a log_path. strays: submissions of runs that are gone, and of whose metric nothing is known.

    unfinished, damaged, searches: a line each. ledger: its path.
    """

    log_path: str
    ledger: str
    contests: Sequence[Contest]
    strays: Sequence[Submission] = ()
    unfinished: Sequence[str] = ()
    searches: Sequence[str] = ()
    damaged: Sequence[str] = ()
    remarks: Sequence[str] = field(default_factory=tuple)

    @property
    def submissions(self) -> list[Submission]:
        return [*(each for contest in self.contests for each in contest.submissions), *self.strays]

    @property
    def headline(self) -> str:
        """How many there are of each kind."""
        runs = [run for contest in self.contests for run in contest.runs]
        debug = sum(run.debug for run in runs)
        counts = {
            counted(len(runs) - debug, "finished run"): True,
            counted(debug, "debug run"): debug,
            f"{len(self.unfinished)} not finished": self.unfinished,
            counted(len(self.searches), "search", "searches"): self.searches,
            f"{len(self.damaged)} damaged": self.damaged,
            counted(len(self.submissions), "submission"): self.submissions,
        }
        return ", ".join(told for told, there in counts.items() if there)

    @property
    def to_fill_in(self) -> str:
        """How the leaderboard's scores get in here; blank where there are some."""
        if not self.submissions:
            return "No submission yet: python inference.py makes one, and a row of the ledger, which takes the leaderboard's scores."
        if any(each.on(board) is not None for each in self.submissions for board in BOARDS):
            return ""
        return (
            f"No leaderboard score yet: write them into the columns public_score and private_score of {self.ledger}"
            " (a spreadsheet will do), and call look.py runs again."
        )


def tell_agreement(contest: Contest, board: str) -> list[str]:
    """How far CV and that board put submissions in the same order, of how many, and how far that is to be believed."""
    scored = contest.scored(board)
    cv, found = [each.cv or 0.0 for each in scored], [each.on(board) or 0.0 for each in scored]
    if not scored:
        return []
    many = counted(len(scored), "submission")
    if len(scored) < ENOUGH:
        return [f"CV against {board}: {many} with both scores; {ENOUGH} are wanted before their order says anything."]
    correlation = rank_correlation(cv, found)
    if correlation is None:
        return [f"CV against {board}: {many}, all with the same score on one side: no order to compare."]
    lines = [f"CV against {board}: rank correlation (Spearman) {correlation:.2f}, of {many}."]
    chance = chance_of(cv, found)
    if correlation <= -0.5:
        lines.append(f"The two go opposite ways: if less is better on one side only, {contest.metric} is not the leaderboard's metric.")
    elif chance is not None:
        share = "fewer than 1%" if chance < 0.01 else f"{chance:.0%}"
        lines.append(f"That is few: {share} of all orders that chance may make of {many} agree as well as this, or better.")
    return lines


def tell_blend(likeness: Likeness, metric: str) -> list[str]:
    """The two runs whose plain mean scores best, against each alone, and the command that blends them."""
    best, named = likeness.pairs[0], likeness.names_of(likeness.pairs[0])
    alone = " and ".join(tell_score(likeness.scores[place]) for place in (best.first, best.second))
    told = f"{named[0]} with {named[1]}: {metric} {tell_score(best.score)} of their mean, {alone} alone"
    if best.gain <= 0:
        return [f"No two of them gain by a blend. The best are {told} ({best.gain:+.4f}, correlation {best.correlation:.3f})."]
    apart = best.first in likeness.apart or best.second in likeness.apart
    allow = " inference.other_folds=allow" if apart else ""
    lines = [
        f"The best to blend: {told} ({best.gain:+.4f}, correlation {best.correlation:.3f}).",
        f"python inference.py {quote('inference.run=' + ','.join(named))}{allow}",
    ]
    count = len(likeness.pairs)
    if count > 1:
        lines.append(f"It is the best of {count} pairs on the {likeness.rows:,} rows that chose it: expect a little less elsewhere.")
    return lines


def shares_of(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(runs, runs) 0 for the most alike of different runs, 1 for the least: what a cell's colour says."""
    others = correlations[~np.eye(len(correlations), dtype=bool)]
    low, high = float(others.min()), float(others.max())
    return np.clip((high - correlations) / max(high - low, 1e-12), 0, 1)


def own_scores(submissions: Sequence[Submission], name: str, run_id: str, score: float | None) -> dict[str, float | None]:
    """Of each board, of a submission that is of this run alone: one whose CV score is the run's own, so that both are of the same
    TTA and decision, before others; then the latest. submissions: the newest first."""
    own = [each for each in submissions if each.runs == (name,) and each.run_ids in ((), (run_id,))]
    own.sort(key=lambda each: not _same(each.cv, score))
    found = {board: [each.on(board) for each in own if each.on(board) is not None] for board in BOARDS}
    return {board: scores[0] if scores else None for board, scores in found.items()}


def _same(cv: float | None, score: float | None) -> bool:
    """The ledger has six digits."""
    return cv is score is None or (cv is not None and score is not None and math.isclose(cv, score, rel_tol=1e-5))
