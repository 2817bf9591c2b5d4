"""The comparison of runs as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from modules.config.errors import shorten
from modules.prediction.ledger import BOARDS, Submission
from modules.prediction.metrics import tell_score
from modules.reporting.columns import align
from modules.reporting.comparison import Comparison, Contest, Standing, tell_agreement, tell_blend
from modules.reporting.page import tell_time

SUBMISSIONS_SHOWN = 15  # the newest; the page has them all
NOTED = 8  # runs, by their names


def describe_comparison(found: Comparison) -> list[str]:
    """A table a contest, its submissions, and what they say; then what is unfinished or damaged."""
    parts = [[f"{found.log_path}: {found.headline}"]]
    for contest in found.contests:
        parts += [[f"{contest.title}: {contest.order}", *_table_of_runs(contest)], _table_of_submissions(contest.submissions)]
        parts += [[line for board in BOARDS for line in tell_agreement(contest, board)]]
        parts += [[*([] if contest.likeness is None else tell_blend(contest.likeness, contest.metric)), *contest.remarks]]
    parts += [["submissions of runs that are gone", *_table_of_submissions(found.strays)]] if found.strays else []
    for title, told in (("not finished", found.unfinished), ("searches", found.searches), ("damaged", found.damaged)):
        parts += [[title, *(f"  {line}" for line in told)]] if told else []
    parts += [list(found.remarks), [found.to_fill_in] if found.to_fill_in else []]
    return "\n\n".join("\n".join(part) for part in parts if part).splitlines()


def _table_of_runs(contest: Contest) -> list[str]:
    head = ["run", "model", "px", "CV", "+- of folds", "time", "MB", "public", "private", "ended UTC"]
    noted: dict[str, list[str]] = {}
    for run in contest.runs:
        for note in run.notes:
            noted.setdefault(note, []).append(run.name)
    lines = [f"{note}: {shorten(names, NOTED)}" for note, names in noted.items()]
    return [*align([head, *(_row(run) for run in contest.runs)], names=(0, 1)), *lines]


def _row(run: Standing) -> list[str]:
    return [
        run.name,
        run.model,
        run.told_size,
        _told(run.score),
        f"{run.folds}" if run.spread is None else f"{tell_score(run.spread)} of {run.folds}",
        tell_time(run.seconds),
        run.told_weights,
        _told(run.public),
        _told(run.private),
        run.ended[5:16].replace("T", " "),
    ]


def _table_of_submissions(submissions: Sequence[Submission]) -> list[str]:
    if not submissions:
        return []
    head = ["submission", "of the runs", "CV", *BOARDS, "date"]
    rows = [
        [each.file, " + ".join(each.runs), _told(each.cv), *(_told(each.on(board)) for board in BOARDS), each.date[:16]]
        for each in submissions[:SUBMISSIONS_SHOWN]
    ]
    left = len(submissions) - SUBMISSIONS_SHOWN
    return [*align([head, *rows], names=(0, 1)), *([f"and {left} older ones"] if left > 0 else [])]


def _told(score: float | None) -> str:
    return "" if score is None else tell_score(score)
