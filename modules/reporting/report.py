"""report.html: one file that holds all it shows, made of a run's Facts with Jinja2."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from io import BytesIO
from statistics import median
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from modules.config.comparison import differences
from modules.config.errors import counted
from modules.config.printer import to_ini
from modules.config.schema import OPTIONS, Config
from modules.data.copies import ACROSS, TESTED
from modules.models.names import full_name
from modules.prediction.diagnosis import ClassNumbers, curves, numbers_of_classes, reliability, worst_confusions
from modules.prediction.metrics import tell_score
from modules.reporting.advice import advise
from modules.reporting.facts import Facts, Picture
from modules.reporting.page import Table, embed, embed_figure, render, tell_time
from modules.reporting.plots import draw_balance, draw_confusion, draw_curves, draw_learning, draw_numbers, draw_reliability
from modules.reporting.tables import count_targets

CLASSES_SHOWN = 100  # those of least F1
SMALL = 96  # pixels; below it an image is shown in squares
LARGEST = 224  # pixels a side
OVERLAY = 0.5  # of the evidence's colours


def render_report(facts: Facts) -> str:
    """The page. It asks for nothing outside of itself, and holds no script."""
    return render("report.html.jinja", _content(facts))


def _content(facts: Facts) -> dict[str, Any]:
    task, result = facts.task, facts.result
    scored = len(facts.values) > 0
    found = facts.facets
    trust = reliability(task, facts.targets, facts.values) if scored else None
    drawn = curves(task, facts.targets, facts.values) if scored else []
    return {
        "name": facts.name,
        "again": f"python look.py report {shlex.quote(facts.name)}",
        "scored": scored,
        "headline": f"{facts.metric} {tell_score(result['oof'])}" if scored else "nothing was validated",
        "spread": f"folds {tell_score(result['mean'])} ± {tell_score(result['std'])}" if len(facts.scores) > 1 else "",
        "chips": _chips(facts),
        "advice": advise(facts) if scored else [],
        "remarks": facts.remarks,
        "folds": _folds(facts),
        "balance": embed_figure(_balance(facts)),
        "leaks": _leaks(facts),
        "learning": [embed_figure(each) for each in _learning(facts)],
        "confusions": [{"name": each.name, "plot": embed_figure(draw_confusion(each)), "worst": worst_confusions(each)} for each in found],
        "classes": _classes(facts) if scored else [],
        "reliability": embed_figure(None if trust is None else draw_reliability(trust)),
        "curves": [embed_figure(each) for each in draw_curves(drawn)] if drawn else [],
        "numbers": [embed_figure(each) for each in _numbers(facts)],
        "mistakes": [_picture(each) for each in facts.mistakes],
        "suspicious": [_picture(each) for each in facts.suspicious],
        "evidence": any(each.evidence is not None for each in facts.mistakes),
        "suspect_count": len(facts.suspects),
        "speed": _speed(facts),
        "machine": _machine(facts),
        "differences": _differences(facts.config),
        "config": to_ini(facts.config, help=False),
        "versions": Table(("package", "version"), sorted(facts.environment.get("versions", {}).items())),
    }


def _chips(facts: Facts) -> list[str]:
    result, config = facts.result, facts.config
    size = config.data.image_size
    seconds = sum(record.seconds for records in facts.histories.values() for record in records)
    chips = [
        full_name(config.model),
        facts.task.describe(),
        counted(len(result["fold_numbers"]), "fold"),
        f"{size.height} x {size.width}",
        f"trained {tell_time(seconds)}",
        f"ended {str(result['ended'])[:16].replace('T', ' ')} UTC",
    ]
    chips += [f"tta {result['tta']}"] if result["tta"] != "none" else []
    chips += [f"{result['coverage']:.0%} of the samples validated"] if 0 < result["coverage"] < 1 else []
    return [*chips, *(["a debug run"] if result["debug"] else [])]


def _folds(facts: Facts) -> Table:
    head = ["fold", facts.metric, "best epoch", "train loss", "valid loss", "validates"]
    rows = []
    for number, best in facts.best_epochs.items():
        record = facts.best_record(number)
        losses = (
            ["", ""] if record is None else ["" if math.isnan(each) else f"{each:.4f}" for each in (record.train_loss, record.valid_loss)]
        )
        score = facts.scores.get(number)
        validated = f"{int((facts.folds == number).sum()):,}"
        rows.append(
            [str(number), "" if score is None else tell_score(score), f"{best} of {len(facts.histories[number])}", *losses, validated]
        )
    return Table(head, rows)


def _balance(facts: Facts) -> Figure | None:
    numbers = sorted(facts.scores)
    if len(numbers) < 2 or facts.task.kind == "regression":
        return None
    counts = {f"fold {number}": count_targets(facts.task, facts.targets[facts.folds == number]) for number in numbers}
    names = facts.task.classes if facts.task.kind == "ordinal" else facts.task.columns
    return draw_balance(names, counts)


def _learning(facts: Facts) -> list[Figure]:
    return draw_learning(facts.histories, facts.best_epochs, facts.metric) if any(facts.histories.values()) else []


def _numbers(facts: Facts) -> list[Figure]:
    there = facts.task.kind == "regression" and len(facts.values) > 0
    return draw_numbers(facts.task.columns, facts.targets, facts.values) if there else []


def _leaks(facts: Facts) -> list[str]:
    places = [row.get("where") for row in facts.copies]
    if not places:
        return ["No image was found that is a copy of another one."]
    across, tested = places.count(ACROSS), places.count(TESTED)
    return [
        f"{counted(len(places), 'pair')} of images that are the same, or nearly (duplicates.csv): {across} across folds,"
        f" {tested} across training and test set."
    ]


def _classes(facts: Facts) -> list[tuple[str, Table]]:
    found = numbers_of_classes(facts.task, facts.targets, facts.values, facts.decision)
    return [(name, _table_of(numbers)) for name, numbers in found.items()]


def _table_of(numbers: Sequence[ClassNumbers]) -> Table:
    there = sorted((each for each in numbers if each.support), key=lambda each: each.f1)
    rows = [[each.name, f"{each.precision:.3f}", f"{each.recall:.3f}", f"{each.f1:.3f}", f"{each.support:,}"] for each in there]
    left = len(rows) - CLASSES_SHOWN
    return Table(
        ["class", "precision", "recall", "F1", "rows"], rows[:CLASSES_SHOWN] + ([[f"{left} better ones", *[""] * 4]] if left > 0 else [])
    )


def _speed(facts: Facts) -> Table:
    rows = []
    for number, records in facts.histories.items():
        if records:
            speeds, seconds = [record.images_per_second for record in records], [record.seconds for record in records]
            rows.append([f"fold {number}", f"{median(speeds):,.0f}", f"{median(seconds):.1f} s", tell_time(sum(seconds))])
    return Table(["", "images/s trained", "an epoch", "all epochs"], rows)


def _machine(facts: Facts) -> list[str]:
    known = facts.environment
    device = known.get("device_name") or known.get("device", "")
    lines = [f"{device}, {known['precision']}, {counted(int(known['threads']), 'thread')}, {known.get('platform', '')}"]
    memory = facts.result.get("memory") or {}
    told = [
        f"{name} {memory[key] / 2**30:.2f} GiB"
        for key, name in (("process", "memory at most"), ("device", "on the GPU"))
        if memory.get(key)
    ]
    return [*lines, *([", ".join(told)] if told else [])]


def _differences(config: Config) -> Table:
    options = [(section, option.name) for section, known in OPTIONS.items() for option in known.values()]
    rows = [(f"{each.section}.{each.name}", each.texts[1], each.texts[0]) for each in differences(Config(), config, options)]
    return Table(("option", "here", "default"), rows)


def _picture(picture: Picture) -> dict[str, Any]:
    pixels = picture.colours
    sources = [_image(pixels)]
    if picture.evidence is not None:
        heat = colormaps["turbo"](picture.evidence)[..., :3] * 255
        share = OVERLAY * picture.evidence[..., None]
        sources.append(_image(((1 - share) * pixels.mean(axis=-1, keepdims=True) + share * heat).astype(np.uint8)))
    return {"id": picture.id, "sources": sources, "captions": picture.captions, "small": max(pixels.shape[:2]) < SMALL}


def _image(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    small, file = max(image.size) < SMALL, BytesIO()
    image.save(file, "PNG" if small else "JPEG", **({} if small else {"quality": 85}))
    return embed("image/png" if small else "image/jpeg", file.getvalue())
