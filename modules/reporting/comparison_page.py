"""runs.html: the comparison of runs as a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from modules.prediction.ledger import BOARDS, Submission
from modules.prediction.metrics import tell_score
from modules.reporting.columns import shorten_name
from modules.reporting.comparison import Comparison, Contest, Likeness, Standing, shares_of, tell_agreement, tell_blend
from modules.reporting.page import Table, embed_figure, render, tell_time
from modules.reporting.plots import draw_leaderboard

PAIRS_SHOWN = 5
SUBMISSIONS_SHOWN = 10  # the newest; the others are folded away
NAME = 20  # characters beside a dot
DARKEST = 0.55  # of a cell, so that its number is read


def render_comparison(found: Comparison) -> str:
    """The page. It asks for nothing outside of itself, and holds no script; its links lead to the runs' reports beside it."""
    return render("runs.html.jinja", _content(found))


def _content(found: Comparison) -> dict[str, Any]:
    lists = (("Not finished", found.unfinished), ("Searches", found.searches), ("Damaged", found.damaged))
    return {
        "log_path": found.log_path,
        "chips": found.headline.split(", "),
        "headline": _headline(found),
        "contests": [_contest(each) for each in found.contests],
        "strays": _submissions(found.strays) if found.strays else None,
        "lists": [(title, lines) for title, lines in lists if lines],
        "remarks": found.remarks,
        "to_fill_in": found.to_fill_in,
        "made": f"{datetime.now():%Y-%m-%d %H:%M}",
    }


def _headline(found: Comparison) -> tuple[str, str]:
    """The best of the first contest, and which that is."""
    ranked = [run for contest in found.contests[:1] for run in contest.runs if run.is_ranked]
    if not ranked or ranked[0].score is None:
        return "no CV score yet", ""
    return f"{found.contests[0].metric} {tell_score(ranked[0].score)}", ranked[0].name


def _contest(contest: Contest) -> dict[str, Any]:
    newest, older = contest.submissions[:SUBMISSIONS_SHOWN], contest.submissions[SUBMISSIONS_SHOWN:]
    return {
        "title": contest.title,
        "order": contest.order,
        "metric": contest.metric,
        "runs": [_run(each) for each in contest.runs],
        "columns": [name for name in ("public", "private") if any(getattr(run, name) is not None for run in contest.runs)],
        "submissions": _submissions(newest) if newest else None,
        "older": _submissions(older) if older else None,
        "plots": [embed_figure(_plot(contest, board)) for board in BOARDS if contest.scored(board)],
        "agreement": [line for board in BOARDS for line in tell_agreement(contest, board)],
        "likeness": None if contest.likeness is None else _likeness(contest.likeness, contest.metric),
        "remarks": contest.remarks,
    }


def _run(run: Standing) -> dict[str, Any]:
    return {
        "name": run.name,
        "report": f"./{quote(run.name)}/report.html" if run.has_report else "",
        "model": run.model,
        "size": run.told_size,
        "score": _told(run.score),
        "spread": "" if run.spread is None else f"±{tell_score(run.spread)}",
        "folds": run.folds,
        "trained": tell_time(run.seconds),
        "weights": f"{run.told_weights} MB" if run.told_weights else "",
        "public": _told(run.public),
        "private": _told(run.private),
        "ended": run.ended[:16].replace("T", " "),
        "notes": run.notes,
        "ranked": run.is_ranked,
    }


def _submissions(submissions: Sequence[Submission]) -> Table:
    boards = [board for board in BOARDS if any(each.on(board) is not None for each in submissions)]
    rows = [
        [each.file, _told(each.cv), *(_told(each.on(board)) for board in boards), " + ".join(each.runs), each.date[:16]]
        for each in submissions
    ]
    return Table(("submission", "CV", *boards, "of the runs", "date"), rows)


def _plot(contest: Contest, board: str) -> Any:
    scored = contest.scored(board)
    names = [shorten_name(each.file.removesuffix(".csv"), NAME) for each in scored]
    cv, found = [each.cv or 0.0 for each in scored], [each.on(board) or 0.0 for each in scored]
    return draw_leaderboard(names, cv, found, contest.metric, f"{board} leaderboard over CV")


def _likeness(likeness: Likeness, metric: str) -> dict[str, Any]:
    shares = shares_of(likeness.correlations) * DARKEST
    rows = []
    for place, (name, score) in enumerate(zip(likeness.names, likeness.scores, strict=True)):
        cells = [(f"{likeness.correlations[place, other]:.3f}", f"{shares[place, other]:.2f}") for other in range(place)]
        rows.append({"number": place + 1, "name": name, "score": tell_score(score), "cells": cells})
    pairs = []
    for pair in likeness.pairs[:PAIRS_SHOWN]:
        first, second = (likeness.scores[place] for place in (pair.first, pair.second))
        alone = f"{tell_score(first)}, {tell_score(second)}"
        numbers = [tell_score(pair.score), f"{pair.gain:+.4f}", alone, f"{pair.correlation:.3f}"]
        pairs.append([" + ".join(likeness.names_of(pair)), *numbers])
    best, *more = tell_blend(likeness, metric)
    return {
        "rows": rows,
        "count": f"{likeness.rows:,}",
        "best": best,
        "more": more,
        "pairs": Table(("two runs", "their mean", "gain", "alone", "correlation"), pairs),
        "paired": likeness.paired if likeness.paired < len(likeness.names) else 0,
    }


def _told(score: float | None) -> str:
    return "" if score is None else tell_score(score)
