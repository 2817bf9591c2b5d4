"""What a search came to: a table of its trials, and a picture of score against each option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from modules.config.errors import counted, shorten
from modules.config.spaces import Space
from modules.prediction.metrics import tell_score
from modules.reporting.pictures import write_figure
from modules.runs.search import DONE, FAILED, RUNNING, STOPPED, Trial

COLUMNS = 3
COLOURS = {DONE: "tab:blue", STOPPED: "tab:orange"}
TOLD = 20
NEAR = 0.03  # of the length of a range


def describe_trials(trials: Sequence[Trial], spaces: Sequence[Space], metric: str, running: str = "interrupted") -> list[str]:
    """A table of the trials in their order. What all folds together came to out of fold is in it once any trial was confirmed."""
    confirmed = any(trial.confirmed is not None for trial in trials)
    of_all = ["all folds, out-of-fold"] if confirmed else []
    rows = [["trial", *(space.name for space in spaces), *of_all, f"mean {metric}", "of folds", "trained", "seconds", ""]]
    for trial in trials[:TOLD]:
        scores = [tell_score(score) if score is not None else "" for score in (*([trial.confirmed] if confirmed else []), trial.score)]
        note = {RUNNING: running, STOPPED: "ended early", FAILED: trial.cause}.get(trial.state, "")
        drawn = [trial.overrides.get(space.key, "") for space in spaces]
        rows.append([str(trial.number), *drawn, *scores, str(trial.folds), str(trial.epochs), f"{trial.seconds:.0f}", note])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([cell.rjust(width) for cell, width in zip(row, widths, strict=False)] + [row[-1]]).rstrip() for row in rows]
    return lines + ([f"and {counted(len(trials) - TOLD, 'more trial')}, in trials.csv"] if len(trials) > TOLD else [])


def count_trials(trials: Sequence[Trial], running: str = "interrupted") -> str:
    """`10 trials: 4 to their end, 5 ended early, 1 failed`."""
    names = {DONE: "to their end", STOPPED: "ended early", FAILED: "failed", RUNNING: running}
    counts = [(sum(trial.state == state for trial in trials), told) for state, told in names.items()]
    return f"{counted(len(trials), 'trial')}: {shorten(f'{count} {told}' for count, told in counts if count)}"


def at_the_ends(spaces: Sequence[Space], best: Trial) -> list[str]:
    """A line for each range at whose end the best trial is: what lies beyond may be better."""
    return [
        f"{space.key} = {best.overrides[space.key]} is at the end of {space}: a wider range may hold a better one"
        for space in spaces
        if space.numbers and not NEAR < _place(space, float(best.overrides[space.key])) < 1 - NEAR
    ]


def _place(space: Space, number: float) -> float:
    """Of the number in its range, from 0 to 1."""
    low, high = space.numbers[:2]
    if space.kind == "loguniform":
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low)


def draw_trials(path: Path, trials: Sequence[Trial], spaces: Sequence[Space], metric: str) -> None:
    """Score against each option that was searched, a picture each; trials that failed have no score, and are not in it."""
    scored = [trial for trial in trials if trial.score is not None]
    if not scored or not spaces:
        return
    rows = -(-len(spaces) // COLUMNS)
    columns = min(len(spaces), COLUMNS)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axis, space in zip(grid.flat, spaces, strict=False):
        for state, colour in COLOURS.items():
            part = [trial for trial in scored if trial.state == state]
            drawn = [trial.overrides[space.key] for trial in part]
            places = [space.texts.index(text) for text in drawn] if space.texts else [float(text) for text in drawn]
            if part:
                told = "ended early" if state == STOPPED else "to its end"
                axis.scatter(places, [trial.score for trial in part], s=18, color=colour, label=told)
        if space.texts:
            axis.set_xticks(range(len(space.texts)), space.texts, rotation=30 if len(space.texts) > 4 else 0, parse_math=False)
        elif space.kind == "loguniform":
            axis.set_xscale("log")
        axis.set_xlabel(space.key, parse_math=False)
        axis.set_ylabel(metric)
    for axis in list(grid.flat)[len(spaces) :]:
        axis.set_axis_off()
    grid.flat[0].legend(fontsize=7)
    write_figure(path, figure)
