"""What the scripts print before and after the work, a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.config.errors import counted, shorten
from modules.models.names import full_name
from modules.prediction.fitting import Fitted
from modules.prediction.metrics import tell_score
from modules.prediction.template import Template
from modules.reporting.columns import align
from modules.runs.directory import RunDirectory
from modules.runs.records import EpochRecord, read_histories
from modules.training.plan import Plan
from modules.training.warm_start import WarmStart


def describe_start(run: RunDirectory, plan: Plan) -> str:
    model, samples = plan.config.model, plan.samples
    start = f" from {plan.pretrained}" if isinstance(plan.pretrained, WarmStart) else ""
    return (
        f"{run.path}: {len(samples)} samples of {samples.task.describe()}, {count_folds(len(plan.folds))},"
        f" {full_name(model)}{start}, {plan.process.describe()}"
    )


def describe_run(run: RunDirectory) -> list[str]:
    """What a finished run came to. Raises DataError where its files are damaged."""
    result = run.read_result()
    return describe_result(result, read_histories(run, result))


def describe_result(result: Mapping[str, Any], histories: Mapping[int, Sequence[EpochRecord]]) -> list[str]:
    """A table with a line a fold, the folds' mean and spread, and the score of all out-of-fold rows at once.

    result: the content of result.json. histories: by the fold's number; a fold that has none is told without losses and time.
    """
    metric, covered = result["metric"], result["coverage"]
    if not covered:
        return [f"trained on all samples for {shorten(result['best_epochs'])} epochs; nothing was validated, so that there is no score"]
    lines = [*_tabulate(result, histories), f"mean    {metric} {tell_score(result['mean'])} +- {tell_score(result['std'])}"]
    part = "" if covered == 1 else f"  of {covered:.1%} of the samples"
    tta = "" if result["tta"] == "none" else f" with tta {result['tta']}{_gain(result)}"
    return [
        *lines,
        f"CV      {metric} {tell_score(result['oof'])}  out-of-fold{part}{tta}",
        *describe_decision(result.get("decision"), metric),
    ]


def _tabulate(result: Mapping[str, Any], histories: Mapping[int, Sequence[EpochRecord]]) -> list[str]:
    rows = [["", result["metric"], "best epoch", "train loss", "valid loss", "time"]]
    for number, score, best in zip(result["fold_numbers"], result["folds"], result["best_epochs"], strict=True):
        records = histories.get(number, ())
        losses = next(([f"{each.train_loss:.4f}", f"{each.valid_loss:.4f}"] for each in records if each.epoch == best), ["", ""])
        time = tell_clock(sum(each.seconds for each in records)) if records else ""
        rows.append([f"fold {number}", tell_score(score), f"{best} of {len(records)}" if records else str(best), *losses, time])
    return align(rows, names=(0,))


def describe_decision(content: Mapping[str, Any] | None, metric: str) -> list[str]:
    """What was fitted of how predictions become labels, and what it gains; nothing where there was nothing to fit."""
    line = None if content is None else Fitted.from_dict(content).describe(metric)
    return [] if line is None else [f"decision  {line}"]


def describe_trained(run: RunDirectory, result: Mapping[str, Any]) -> str:
    debug = ", a debug run" if result["debug"] else ""
    part = "" if result["coverage"] == 1 else f" of {result['coverage']:.1%} of the samples"
    score = f"CV {result['metric']} {tell_score(result['oof'])}{part}" if result["coverage"] else "no CV score: nothing was validated"
    return f"{run.path}{debug}: {count_folds(len(result['fold_numbers']))}, {score}"


def tell_clock(seconds: float) -> str:
    """Hours where there are some, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def count_folds(count: int) -> str:
    return "1 fold" if count == 1 else f"{count} folds"


def describe_submission(path: Path, template: Template, score: float | None, metric: str, output: Path | None = None) -> list[str]:
    lines = [f"submission: {path}, {counted(len(template.ids), 'row')}, {template.form}"]
    lines += [f"copied to: {output}"] if output is not None else []
    return lines if score is None else [*lines, f"score against the answers: {metric} {tell_score(score)}"]


def _gain(result: Mapping[str, Any]) -> str:
    """What the views did to the score, of rows that were predicted both ways; without what was fitted upon one of them."""
    before, plain = result.get("oof_without_tta"), result.get("oof_plain", result["oof"])
    if before is None:
        return ""
    if plain == result["oof"]:
        return f" (without {tell_score(before)}: {plain - before:+.4f})"
    return f" (decided plainly {tell_score(plain)}, without views {tell_score(before)}: {plain - before:+.4f})"
