"""What the scripts print before and after the work, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.config.errors import counted, shorten
from modules.models.names import full_name
from modules.prediction.fitting import Fitted
from modules.prediction.metrics import tell_score
from modules.prediction.template import Template
from modules.runs.directory import RunDirectory
from modules.training.plan import Plan
from modules.training.warm_start import WarmStart


def describe_start(run: RunDirectory, plan: Plan) -> str:
    model, samples = plan.config.model, plan.samples
    start = f" from {plan.pretrained}" if isinstance(plan.pretrained, WarmStart) else ""
    return (
        f"{run.path}: {len(samples)} samples of {samples.task.describe()}, {count_folds(len(plan.folds))},"
        f" {full_name(model)}{start}, {plan.process.describe()}"
    )


def describe_result(result: Mapping[str, Any]) -> list[str]:
    """The content of result.json: a score a fold, their mean and spread, and the score of all out-of-fold rows at once."""
    metric, covered = result["metric"], result["coverage"]
    if not covered:
        return [f"trained on all samples for {shorten(result['best_epochs'])} epochs; nothing was validated, so that there is no score"]
    scores = zip(result["fold_numbers"], result["folds"], result["best_epochs"], strict=True)
    lines = [f"fold {number}  {metric} {tell_score(score)}  (epoch {epoch})" for number, score, epoch in scores]
    lines.append(f"mean    {metric} {tell_score(result['mean'])} +- {tell_score(result['std'])}")
    part = "" if covered == 1 else f"  of {covered:.1%} of the samples"
    tta = "" if result["tta"] == "none" else f" with tta {result['tta']}{_gain(result)}"
    return [
        *lines,
        f"CV      {metric} {tell_score(result['oof'])}  out-of-fold{part}{tta}",
        *describe_decision(result.get("decision"), metric),
    ]


def describe_decision(content: Mapping[str, Any] | None, metric: str) -> list[str]:
    """What was fitted of how predictions become labels, and what it gains; nothing where there was nothing to fit."""
    line = None if content is None else Fitted.from_dict(content).describe(metric)
    return [] if line is None else [f"decision  {line}"]


def describe_trained(run: RunDirectory, result: Mapping[str, Any]) -> str:
    debug = ", a debug run" if result["debug"] else ""
    part = "" if result["coverage"] == 1 else f" of {result['coverage']:.1%} of the samples"
    score = f"CV {result['metric']} {tell_score(result['oof'])}{part}" if result["coverage"] else "no CV score: nothing was validated"
    return f"{run.path}{debug}: {count_folds(len(result['fold_numbers']))}, {score}"


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
