"""Finished runs to one ensemble: how much each model counts, and the CV score of all of them together.

All folds' models of all runs are combined at once. A model's weight is its run's weight times its fold's; out of fold a
row has one prediction a run, so that the CV score combines the runs' out-of-fold predictions with the runs' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.compute.process import Process
from modules.config.errors import DataError, OptionError, shorten
from modules.config.schema import Config
from modules.data.task import Targets, Task
from modules.jobs.out_of_fold import OutOfFold, out_of_fold
from modules.jobs.remarks import say
from modules.jobs.restoring import Member
from modules.jobs.trained import TrainedRun
from modules.prediction.ensemble import combine
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Predictions
from modules.prediction.weighting import select, weigh_by_score


@dataclass(frozen=True)
class Measured:
    """A run's score out of fold, and the TTA that it was measured with; None for a run without validation."""

    score: float | None
    tta: str | None


@dataclass(frozen=True)
class Blend:
    """weights: one a member, in the order of `members`, summing to 1. cv_score: None where it is not known.

    cv_coverage: the share of the training samples that it is of, 0 where it is not known.
    """

    runs: tuple[TrainedRun, ...]
    weights: tuple[float, ...]
    measured: tuple[Measured, ...]
    cv_score: float | None
    cv_coverage: float

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(member for run in self.runs for member in run.members)

    @property
    def task(self) -> Task:
        return self.runs[0].task

    @property
    def metric(self) -> Metric:
        return self.runs[0].metric

    def run_weights(self) -> list[float]:
        """The sum of the weights of each run's models."""
        return _run_weights(self.runs, self.weights)


@dataclass(frozen=True)
class SharedRows:
    """The rows that all runs have out of fold. members: (runs, N, columns). targets: of the N rows. coverage: of the training samples."""

    members: NDArray[np.float32]
    targets: Targets
    coverage: float


def make_blend(config: Config, runs: tuple[TrainedRun, ...], process: Process, quiet: bool) -> Blend:
    """The ensemble that [inference] weights and ensemble ask for.

    Raises UserError where the weights need scores, or out-of-fold predictions, that a run has not.
    """
    _check_weights(config, runs)
    metric, how = runs[0].metric, config.inference.ensemble
    known = [_own_or_again(config, run, process, quiet, len(runs) > 1) for run in runs]
    measured = tuple(_measure(run, found) for run, found in zip(runs, known, strict=True))
    if len(runs) == 1:
        return Blend(runs, _member_weights(config, runs, None), measured, measured[0].score, runs[0].result["coverage"])
    shared = _shared_rows(runs, known)
    weights = _member_weights(config, runs, shared)
    if shared is None:
        return Blend(runs, weights, measured, None, 0.0)
    combined = combine(shared.members, how, runs[0].task, _run_weights(runs, weights))
    score = metric.measure(runs[0].task, shared.targets, combined)
    return Blend(runs, weights, measured, score, shared.coverage)


def describe_blend(config: Config, blend: Blend) -> list[str]:
    """What TTA did to the scores out of fold, and what several runs come to together."""
    lines = []
    for run, measured in zip(blend.runs, blend.measured, strict=True):
        before, tta = run.result["oof"], run.result["tta"]
        if measured.score is not None and measured.tta != tta:
            name, gain = run.result["metric"], measured.score - before
            lines.append(
                f"{run.name}: CV {name} {measured.score:.4f} out-of-fold with tta {measured.tta} (with {tta} {before:.4f}: {gain:+.4f})"
            )
    if len(blend.runs) > 1:
        shares = ", ".join(f"{run.name} {weight:.3f}" for run, weight in zip(blend.runs, blend.run_weights(), strict=True))
        part = "" if blend.cv_coverage > 0.9999 else f", of {blend.cv_coverage:.1%} of the samples, which all runs have"
        score = "CV unknown" if blend.cv_score is None else f"CV {blend.metric.name} {blend.cv_score:.4f} out-of-fold{part}"
        lines.append(f"blend of {len(blend.members)} models, {config.inference.ensemble}: {score} (weights of the runs: {shares})")
    return lines


def _check_weights(config: Config, runs: Sequence[TrainedRun]) -> None:
    weights = config.inference.weights
    if weights == "uniform":
        return
    without = [run.name for run in runs if run.result["oof"] is None or any(score is None for score in run.result["folds"])]
    if without:
        message = f"{weights} needs scores, and {shorten(without)} was trained without validation; use uniform"
        raise OptionError("inference", "weights", message)
    metrics = list(dict.fromkeys(run.metric.name for run in runs))
    if weights == "score" and len(metrics) > 1:
        message = f"scores of {' and '.join(metrics)} cannot be compared; use oof, which scores all runs by {metrics[0]}, or uniform"
        raise OptionError("inference", "weights", message)


def _own_or_again(config: Config, run: TrainedRun, process: Process, quiet: bool, blended: bool) -> OutOfFold | None:
    """Out-of-fold predictions, where something is to be made of them."""
    if blended or config.inference.tta != run.result["tta"]:
        return out_of_fold(config, run, process, quiet)
    return None


def _measure(run: TrainedRun, found: OutOfFold | None) -> Measured:
    if run.result["oof"] is None:
        return Measured(None, None)
    if found is None or found.tta == run.result["tta"]:
        return Measured(run.result["oof"], run.result["tta"])
    return Measured(run.metric.measure(run.task, found.targets, found.predictions.values), found.tta)


def _member_weights(config: Config, runs: Sequence[TrainedRun], shared: SharedRows | None) -> tuple[float, ...]:
    count, metric = sum(len(run.checkpoints) for run in runs), runs[0].metric
    uniform = (1 / count,) * count
    if config.inference.weights == "score":
        weights = weigh_by_score([score for run in runs for score in run.result["folds"]], metric.greater_is_better)
        if weights is None:
            say("warning: weights = score needs scores above 0 in every fold; all models count alike")
        return uniform if weights is None else tuple(weights)
    if config.inference.weights == "oof" and len(runs) == 1:
        say("weights = oof is fitted over several runs; with one there is nothing to fit, and all models count alike")
        return uniform
    if config.inference.weights == "oof":
        if shared is None:
            raise OptionError("inference", "weights", "oof needs samples that all runs have out of fold, and there are none; use uniform")
        fitted = select(
            shared.members,
            config.inference.ensemble,
            runs[0].task,
            lambda values: metric.measure(runs[0].task, shared.targets, values),
            metric.greater_is_better,
        )
        return tuple(share / len(run.checkpoints) for run, share in zip(runs, fitted, strict=True) for _ in run.checkpoints)
    return uniform


def _run_weights(runs: Sequence[TrainedRun], weights: Sequence[float]) -> list[float]:
    ends = np.cumsum([len(run.checkpoints) for run in runs])
    return [float(part.sum()) for part in np.split(np.asarray(weights), ends[:-1])]


def _shared_rows(runs: Sequence[TrainedRun], known: Sequence[OutOfFold | None]) -> SharedRows | None:
    """Matched by id; what a run predicted several times (split.repeats) has the mean. None, which is said, where there are none.

    Raises DataError where the same id has several classes.
    """
    found = [each for each in known if each is not None]
    if len(found) < len(known):
        without = [run.name for run, each in zip(runs, known, strict=True) if each is None]
        say(f"the blend's CV score is not known: {shorten(without)} was trained without validation")
        return None
    single = [_one_row_an_id(each) for each in found]
    rows_of = [{str(name): row for row, name in enumerate(each.predictions.ids)} for each in single]
    ids = [name for name in rows_of[0] if all(name in rows for rows in rows_of)]
    if not ids:
        say("the blend's CV score is not known: no sample is out of fold in all of the runs")
        return None
    rows = [np.array([each[name] for name in ids]) for each in rows_of]
    targets = [each.targets[places] for each, places in zip(single, rows, strict=True)]
    for run, other in zip(runs, targets, strict=True):
        if not np.array_equal(other, targets[0]):
            raise DataError(f"{runs[0].name} and {run.name} cannot be blended: the same ids have other labels")
    members = np.stack([each.predictions.values[places] for each, places in zip(single, rows, strict=True)])
    samples = len(single[0].predictions.ids) / runs[0].result["coverage"]
    return SharedRows(members, targets[0], len(ids) / samples)


def _one_row_an_id(found: OutOfFold) -> OutOfFold:
    ids, first, inverse, counts = np.unique(found.predictions.ids, return_index=True, return_inverse=True, return_counts=True)
    if len(ids) == len(found.predictions.ids):
        return found
    total = np.zeros((len(ids), len(found.predictions.task.columns)))
    np.add.at(total, inverse, found.predictions.values.astype(np.float64))
    means = np.asarray(total / counts[:, None], dtype=np.float32)
    return OutOfFold(Predictions(ids, found.predictions.task, means), found.targets[first], found.folds[first], found.tta)
