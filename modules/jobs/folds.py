"""Every fold of a run, one after another, and what they came to together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modules.compute.storage import write_json
from modules.data.samples import Rows
from modules.jobs.deciding import decide_plan
from modules.jobs.failures import short_of_memory, told
from modules.jobs.remarks import say
from modules.jobs.stored_pixels import provide_pixels, rows_of
from modules.jobs.suspects import write_suspects
from modules.prediction.predictions import Predictions, Values, load_predictions, save_predictions
from modules.runs.directory import RunDirectory
from modules.runs.records import FoldResult, Sink
from modules.training.fold import train_fold
from modules.training.plan import Plan


def train_folds(plan: Plan, run: RunDirectory, sink: Sink) -> list[FoldResult]:
    """Trains every fold of the plan; those that are finished already only say their score.

    Raises DataError that names every image that cannot be read, where pixels are kept before the first of them is needed.
    """
    _warn_of_space(run)
    plan.process.ranks.from_main(lambda: provide_pixels(plan.config, plan.pixels, rows_of(plan.folds), sink.follow))
    if plan.config.compute.engine == "ray":
        from modules.jobs.ray_folds import train_on_ray  # takes seconds to import

        return train_on_ray(plan, run, sink)
    results = []
    for fold in plan.folds:
        with told(short_of_memory(plan.config.hyper_params.batch_size, *plan.preprocessing.size)):
            result, warnings = train_fold(plan, fold, run.fold(fold.number), sink)
        say(*warnings)
        results.append(result)
    return results


def finish_run(plan: Plan, run: RunDirectory, results: Sequence[FoldResult]) -> dict[str, Any]:
    """Joins the folds' predictions to oof.csv, and writes and returns result.json: scores of folds, and of all rows at once.

    A row that several folds validate (split.repeats) is in oof.csv once a fold. Where nothing is validated (split.method =
    none) scores are None. `oof` is the cross-fitted score where a decision was fitted and kept, `oof_plain` that without it.
    """
    return plan.process.ranks.from_main(lambda: _finish(plan, run, results))


def _finish(plan: Plan, run: RunDirectory, results: Sequence[FoldResult]) -> dict[str, Any]:
    assert plan.samples.targets is not None
    metric, task = plan.metric, plan.samples.task
    rows, numbers, values = _join(plan, [run.fold(fold.number).predictions for fold in plan.folds])
    oof = Predictions(plan.samples.ids[rows], task, values)
    say(*write_suspects(run.suspects, plan.samples, rows, numbers, values))
    scores = [result.score for result in results]
    scored = len(rows) > 0
    fitted = decide_plan(plan, rows, numbers, values) if scored else None
    save_predictions(run.oof, oof, plan.samples.targets[rows], numbers, plan.plainly if fitted is None else fitted.decision)
    candidates = len(plan.samples) if plan.samples.extra is None else int((~plan.samples.extra).sum())
    content = {
        "metric": metric.name,
        "greater_is_better": metric.greater_is_better,
        "folds": scores if scored else [None] * len(scores),
        "mean": float(np.mean(scores)) if scored else None,
        "std": float(np.std(scores)) if scored else None,
        "oof": None if fitted is None else fitted.score,
        "oof_plain": None if fitted is None else fitted.plain_score,
        "decision": None if fitted is None else fitted.to_dict(),
        "oof_without_tta": _oof_without_tta(plan, run) if scored else None,
        "coverage": len(np.unique(rows)) / candidates,
        "fold_numbers": [fold.number for fold in plan.folds],
        "best_epochs": [result.best_epoch for result in results],
        "classes": list(task.columns),
        "task": task.to_dict(),
        "tta": plan.config.inference.tta,
        "debug": plan.config.settings.debug,
        "run_id": plan.run_id,
        "memory": plan.process.measure_memory() if plan.config.compute.engine == "local" else {},  # workers of Ray have their own
        "ended": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    write_json(run.result, content)
    return content


def _oof_without_tta(plan: Plan, run: RunDirectory) -> float | None:
    """The score of the same rows without views; None where no views are configured, and `oof` is that score."""
    if plan.config.inference.tta == "none":
        return None
    assert plan.samples.targets is not None
    rows, _, values = _join(plan, [run.fold(fold.number).predictions_without_tta for fold in plan.folds])
    return plan.metric.measure(plan.samples.task, plan.samples.targets[rows], values, plan.plainly)


def _join(plan: Plan, files: Sequence[Path]) -> tuple[Rows, Rows, Values]:
    """Of all folds' predictions, in each fold's file, the rows (N,), the folds' numbers (N,) and the values (N, columns), by row."""
    rows = np.concatenate([fold.valid_rows for fold in plan.folds])
    numbers = np.concatenate([np.full(len(fold.valid_rows), fold.number) for fold in plan.folds])
    values = np.concatenate([load_predictions(file, plan.samples.task).values for file in files])
    order = np.lexsort((numbers, rows))
    return rows[order], numbers[order], values[order]


def _warn_of_space(run: RunDirectory) -> None:
    free = shutil.disk_usage(run.path).free
    if free < 2**30:
        say(f"warning: only {free / 2**20:,.0f} MiB are free in {run.path.parent}")
