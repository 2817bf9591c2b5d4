"""The report's plots, each a matplotlib figure: learning curves, confusion, reliability, ROC and precision against recall, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from modules.prediction.diagnosis import Curve, Facet, Reliability, count_confusions
from modules.prediction.predictions import Values
from modules.runs.records import EpochRecord

SMALL, LOW, WIDE = (4.2, 3.6), (4.2, 2.9), (5.6, 2.6)  # inches; what is wider cannot be read on a phone
BOARD, LABEL = (4.8, 3.8), 8.0  # inches; points
RISES = (-3, *(sign * step - 3 for step in range(4, 60, 4) for sign in (1, -1)))  # points that a name is higher than its dot
NUMBERED = 20  # classes: of more, a table of confusions has no numbers in its cells
NAMED = 40  # and no names beside it
NUMBERS = 6  # columns of numbers that are drawn
LABELLED = 40  # dots of the leaderboard, the first ones
CURVES = 12  # that are drawn; of more, those with the smallest areas
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")


def draw_learning(histories: Mapping[int, Sequence[EpochRecord]], best_epochs: Mapping[int, int], metric: str) -> list[Figure]:
    """Losses, scores and rates of all folds over epochs; a dot where a fold was best. histories: by the fold's number."""
    figures = [Figure(figsize=LOW, layout="constrained") for _ in range(3)]
    losses, scores, rates = (figure.subplots() for figure in figures)
    for place, (fold, records) in enumerate(histories.items()):
        colour, epochs = COLOURS[place % len(COLOURS)], [record.epoch for record in records]
        losses.plot(epochs, [record.train_loss for record in records], color=colour, linestyle="--", linewidth=1)
        losses.plot(epochs, [record.valid_loss for record in records], color=colour, linewidth=1.5)
        scores.plot(epochs, [record.score for record in records], color=colour, linewidth=1.5, label=f"fold {fold}")
        rates.plot(epochs, [record.learning_rate for record in records], color=colour, linewidth=1)
        best = [record for record in records if record.epoch == best_epochs.get(fold)]
        scores.plot([record.epoch for record in best], [record.score for record in best], "o", color=colour, markersize=5)
    for axis, title in ((losses, "loss: training dashed, validation"), (scores, metric), (rates, "learning rate")):
        _finish(axis, title, "epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if 1 < len(histories) <= len(COLOURS):
        scores.legend(fontsize=7)
    return figures


def draw_confusion(facet: Facet) -> Figure:
    """Rows of what images are, columns of what they were told to be; shares of the row, counts in the cells."""
    counts = count_confusions(facet)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(9.0, 2.2 + 0.32 * len(facet.classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(facet.classes) <= NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=7, color=colour)
    if len(facet.classes) <= NAMED:
        names = [_short(name) for name in facet.classes]
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7, parse_math=False)
        axis.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    axis.set_xlabel("told", fontsize=8)
    axis.set_ylabel("is", fontsize=8)
    return figure


def draw_reliability(found: Reliability) -> Figure:
    """How often it is right against how sure it was; dots as large as the share of the predictions that they stand for."""
    figure = Figure(figsize=SMALL, layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    axis.plot(found.confidence, found.right, color=COLOURS[0], linewidth=1)
    axis.scatter(found.confidence, found.right, s=12 + 260 * found.counts / found.counts.sum(), color=COLOURS[0], alpha=0.8)
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    _finish(axis, f"right against sure; expected calibration error (ECE) {found.ece:.3f}", "probability told")
    return figure


def draw_curves(found: Sequence[Curve]) -> list[Figure]:
    """ROC and precision against recall, of those with the smallest areas where there are many."""
    shown = sorted(found, key=lambda curve: curve.auc)[:CURVES]
    figures = [Figure(figsize=SMALL, layout="constrained") for _ in range(2)]
    roc, pr = (figure.subplots() for figure in figures)
    for place, curve in enumerate(shown):
        colour = COLOURS[place % len(COLOURS)]
        roc.plot(*curve.roc, color=colour, linewidth=1.3, label=_plainly(f"{_short(curve.name)} {curve.auc:.3f}"))
        pr.plot(*curve.pr, color=colour, linewidth=1.3, label=_plainly(f"{_short(curve.name)} {curve.average_precision:.3f}"))
    roc.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    few = f", the {len(shown)} with the smallest area" if len(shown) < len(found) else ""
    _finish(roc, f"ROC, and the area below{few}", "false positive rate")
    _finish(pr, "precision against recall, and its average", "recall")
    for axis in (roc, pr):
        axis.set_xlim(0, 1.01)
        axis.set_ylim(0, 1.02)
        axis.legend(fontsize=6.5, loc="lower right" if axis is roc else "lower left")
    return figures


def draw_numbers(names: Sequence[str], targets: NDArray[np.float64], values: Values) -> list[Figure]:
    """What was predicted against what is, a plot a column, of the first few; (N, columns) both."""
    figures = []
    for place, name in list(enumerate(names))[:NUMBERS]:
        figures.append(Figure(figsize=SMALL, layout="constrained"))
        axis = figures[-1].subplots()
        low, high = (float(edge(targets[:, place])) for edge in (np.min, np.max))
        axis.plot([low, high], [low, high], color="grey", linewidth=1, linestyle=":")
        axis.scatter(targets[:, place], values[:, place], s=6, alpha=0.4, color=COLOURS[0], rasterized=True)
        _finish(axis, _plainly(_short(name)), "is")
        axis.set_ylabel("predicted", fontsize=8)
    return figures


def draw_leaderboard(names: Sequence[str], cv: Sequence[float], board: Sequence[float], metric: str, title: str) -> Figure:
    """A dot a submission, with its name: the leaderboard's score over the CV score; dotted where both are the same.

    As small as a telephone shows it without shrinking its letters too far.
    """
    figure = Figure(figsize=BOARD)
    axis = figure.add_axes((0.15, 0.13, 0.82, 0.77))
    axis.scatter(cv, board, s=26, color=COLOURS[0], zorder=3)
    axis.margins(0.12)
    axis.autoscale_view()
    axis.set_autoscale_on(False)
    axis.axline((cv[0], cv[0]), slope=1, color="grey", linewidth=1, linestyle=":", zorder=1)
    dots = axis.transData.transform(np.column_stack([cv, board])) * 72 / figure.dpi
    edges = axis.get_window_extent().get_points() * 72 / figure.dpi
    spots = zip(cv, board, strict=True)
    for name, spot, dot, (x, y) in zip(names[:LABELLED], spots, dots, _free_places(names[:LABELLED], dots, edges), strict=False):
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": "grey", "shrinkA": 0, "shrinkB": 3}
        axis.annotate(name, spot, (x - dot[0], y - dot[1]), textcoords="offset points", fontsize=LABEL, parse_math=False, arrowprops=line)
    _finish(axis, title, f"CV {metric}")
    axis.tick_params(labelsize=LABEL)
    return figure


def draw_balance(names: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> Figure:
    """The share of each class that each fold validates, dots in a colour a fold; counts: by the fold's name, (classes,)."""
    figure = Figure(figsize=WIDE, layout="constrained")
    axis = figure.subplots()
    total = np.maximum(sum(counts.values()), 1)
    for place, (fold, each) in enumerate(counts.items()):
        axis.plot(
            range(len(names)),
            each / total,
            marker="o",
            markersize=4,
            linestyle="none",
            alpha=0.7,
            color=COLOURS[place % len(COLOURS)],
            label=fold,
        )
    if len(names) <= NAMED:
        axis.set_xticks(range(len(names)), [_short(name) for name in names], rotation=90, fontsize=7, parse_math=False)
    axis.set_ylim(0, 1.15 * max(float((each / total).max()) for each in counts.values()))
    _finish(axis, "share of each class that a fold validates", "")
    return figure


def _free_places(names: Sequence[str], dots: NDArray[np.float64], edges: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Where each dot's name begins, in points: beside it, where it is in nobody's way, as far as there is such a place.

    dots: (N, 2), of which the first have names. edges: (2, 2) the lower left and the upper right corner of what may be written on.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    found = []
    for name, (x, y) in zip(names, dots, strict=False):
        wide, high = 0.56 * LABEL * len(name), LABEL
        tried = [(left, y + rise) for rise in RISES for left in (x + 7, x - 7 - wide, x - wide / 2, x + 14, x - 14 - wide)]
        inside = [
            (left, low)
            for left, low in tried
            if edges[0][0] < left and left + wide < edges[1][0] and edges[0][1] < low and low + high < edges[1][1]
        ]
        free = [(left, low) for left, low in inside if not any(_overlap((left, low, left + wide, low + high), other) for other in taken)]
        left, low = (free or inside or tried)[0]
        taken.append((left, low, left + wide, low + high))
        found.append((left, low))
    return found


def _overlap(first: Sequence[float], second: Sequence[float]) -> bool:
    """Of two boxes: left, low, right, top."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _finish(axis: Axes, title: str, below: str) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(below, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _short(name: str) -> str:
    """Without what no font can draw."""
    name = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
    return name if len(name) <= 24 else f"{name[:23]}…"


def _plainly(text: str) -> str:
    """No sign of TeX's: a class may be called $x_1$. Nor one of matplotlib's, which leaves what begins with _ out of the legend."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def draw_range_test(
    rates: Sequence[float], losses: Sequence[float], averages: Sequence[float], suggested: Mapping[str, float], present: float
) -> Figure:
    """The losses of a learning-rate range test over its rates, their average as a line; suggested: rates by what to call them."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    axis = figure.subplots()
    axis.plot(rates, losses, ".", color="grey", markersize=3, alpha=0.6, label="each step")
    axis.plot(rates, averages, color=COLOURS[0], linewidth=1.6, label="average")
    for colour, (name, rate) in zip(COLOURS[1:], suggested.items(), strict=False):
        axis.axvline(rate, color=colour, linewidth=1.2, label=f"{name}: {rate:.2g}")
    axis.axvline(present, color="black", linewidth=1, linestyle=":", label=f"now: {present:.2g}")
    axis.set_xscale("log")
    low, high = min(losses), max(averages[: max(1, len(averages) // 2)])  # how bad it was at first, not how bad it became
    room = (high - low) or 1.0
    axis.set_ylim(low - 0.1 * room, high + 0.5 * room)
    axis.legend(fontsize=7)
    axis.set_ylabel("training loss", fontsize=8)
    _finish(axis, "learning-rate range test", "learning rate")
    return figure
