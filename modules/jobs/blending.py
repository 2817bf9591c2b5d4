"""Finished runs to one ensemble: how much each model counts, and the CV score of all of them together.

All folds' models of all runs are combined at once. A model's weight is its run's weight times its fold's; out of fold a
row has one prediction a run, so that the CV score combines the runs' out-of-fold predictions with the runs' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from modules.compute.process import Process
from modules.config.errors import OptionError, shorten
from modules.config.schema import Config
from modules.data.samples import Rows
from modules.data.task import Task
from modules.jobs.deciding import decide_found, decide_run, decide_shared, plain_decision
from modules.jobs.out_of_fold import OutOfFold, out_of_fold
from modules.jobs.remarks import say
from modules.jobs.restoring import Member
from modules.jobs.shared_rows import SharedRows, shared_rows
from modules.jobs.trained import TrainedRun
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.ensemble import combine
from modules.prediction.fitting import Fitted
from modules.prediction.metrics import Metric, tell_score
from modules.prediction.weighting import correlate, cross_fitted, select, weigh_by_score


@dataclass(frozen=True)
class Measured:
    """A run's score out of fold, decided plainly too, and the TTA that it was measured with; None for a run without validation."""

    score: float | None
    plain: float | None
    tta: str | None


@dataclass(frozen=True)
class Together:
    """What several runs say of the samples that all of them have out of fold.

    correlations: (runs, runs). scores: each run's own. fitted: the blend's with its weights as they are, which fitted ones
    make too good.
    """

    correlations: NDArray[np.float64]
    scores: list[float]
    fitted: float


@dataclass(frozen=True)
class Blend:
    """weights: one a member, in the order of `members`, summing to 1. cv_score: None where it is not known; with fitted
    weights cross-fitted: each fold's rows by weights that were fitted on the other folds.

    cv_coverage: the share of the training samples that it is of, 0 where it is not known. fitted: how its values become
    labels; None: as `undecided` says, since there is nothing to fit on.
    """

    runs: tuple[TrainedRun, ...]
    weights: tuple[float, ...]
    measured: tuple[Measured, ...]
    cv_score: float | None
    cv_coverage: float
    together: Together | None = None
    fitted: Fitted | None = None
    undecided: Decision = PLAIN

    @property
    def decision(self) -> Decision:
        return self.undecided if self.fitted is None else self.fitted.decision

    @property
    def plain_score(self) -> float | None:
        """The CV score without a fitted decision."""
        return self.cv_score if self.fitted is None else self.fitted.plain_score

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


def make_blend(config: Config, runs: tuple[TrainedRun, ...], process: Process, quiet: bool) -> Blend:
    """The ensemble that [inference] weights and ensemble ask for.

    Raises UserError where the weights need scores, or out-of-fold predictions, that a run has not.
    """
    _check_weights(config, runs)
    metric, how = runs[0].metric, config.inference.ensemble
    known = [_own_or_again(config, run, process, quiet, len(runs) > 1) for run in runs]
    if len(runs) == 1:
        return _alone(config, runs[0], known[0], process, quiet)
    measured = tuple(_measure(config, run, found) for run, found in zip(runs, known, strict=True))
    shared = shared_rows(config, runs, known)
    weights = _member_weights(config, runs, shared)
    if shared is None:
        return Blend(runs, weights, measured, None, 0.0, undecided=plain_decision(config, runs[0]))
    task = runs[0].task
    by_run = _run_weights(runs, weights)
    values = combine(shared.members, how, task, by_run)
    plain = metric.measure(task, shared.targets, values)
    together = Together(correlate(shared.members), [metric.measure(task, shared.targets, each) for each in shared.members], plain)
    if config.inference.weights == "oof" and len(np.unique(shared.folds)) > 1:
        values = cross_fitted(shared.members, how, task, shared.folds, lambda rows: _fit(config, runs, shared, rows))
    fitted = decide_shared(config, runs[0], shared, values)
    return Blend(runs, weights, measured, fitted.score, shared.coverage, together, fitted)


def _alone(config: Config, run: TrainedRun, found: OutOfFold | None, process: Process, quiet: bool) -> Blend:
    fitted = decide_run(config, run, found, process, quiet)
    tta = run.result["tta"] if found is None else found.tta
    measured = Measured(None, None, None) if fitted is None else Measured(fitted.score, fitted.plain_score, tta)
    weights, undecided = _member_weights(config, (run,), None), plain_decision(config, run) if fitted is None else PLAIN
    return Blend((run,), weights, (measured,), measured.score, run.result["coverage"], fitted=fitted, undecided=undecided)


def describe_blend(config: Config, blend: Blend) -> list[str]:
    """What TTA did to the scores out of fold, and what several runs come to together."""
    lines = []
    for run, measured in zip(blend.runs, blend.measured, strict=True):
        tta = run.result["tta"]
        if measured.score is not None and measured.plain is not None and measured.tta != tta:
            before = _plain_of(run)
            plainly = "" if measured.plain == measured.score else f"decided plainly {tell_score(measured.plain)}, "
            name, gain = run.result["metric"], f"{plainly}with {tta} {tell_score(before)}: {measured.plain - before:+.4f}"
            lines.append(f"{run.name}: CV {name} {tell_score(measured.score)} out-of-fold with tta {measured.tta} ({gain})")
    if len(blend.runs) > 1:
        shares = ", ".join(f"{run.name} {weight:.3f}" for run, weight in zip(blend.runs, blend.run_weights(), strict=True))
        part = "" if blend.cv_coverage > 0.9999 else f", of {blend.cv_coverage:.1%} of the samples, which all runs have"
        score = "CV unknown" if blend.cv_score is None else f"CV {blend.metric.name} {tell_score(blend.cv_score)} out-of-fold{part}"
        lines += [] if blend.together is None else _describe_together(blend, blend.together)
        lines.append(f"blend of {len(blend.members)} models, {config.inference.ensemble}: {score} (weights of the runs: {shares})")
        lines += [] if blend.together is None else _describe_gain(config, blend, blend.together)
    return [*lines, *_describe_decision(blend)]


def _describe_decision(blend: Blend) -> list[str]:
    """What was fitted; and where it is nothing, and the run alone has something fitted, that it is not applied."""
    if blend.fitted is None:
        return []
    told, own = blend.fitted.describe(blend.metric.name), blend.runs[0].result
    if told is None and len(blend.runs) == 1 and own.get("oof_plain", own["oof"]) != own["oof"]:
        score = tell_score(blend.fitted.plain_score)
        told = f"plain, as asked: {blend.metric.name} {score} (as the run was trained, fitted: {tell_score(own['oof'])})"
    return [] if told is None else [f"decision  {told}"]


def _describe_together(blend: Blend, together: Together) -> list[str]:
    """Each run's score on the shared samples, and how alike their predictions are: the less, the more a blend gains."""
    names = [run.name for run in blend.runs]
    width = max(map(len, names))
    lines = [f"on the samples that all runs have: {blend.metric.name}, and the correlation of predictions"]
    for row, (name, score) in enumerate(zip(names, together.scores, strict=True)):
        told = " ".join(f"{value:6.3f}" for value in together.correlations[row, : row + 1])
        lines.append(f"  {name:{width}}  {tell_score(score)}  {told}")
    return lines


def _describe_gain(config: Config, blend: Blend, together: Together) -> list[str]:
    """Against the best of the runs, and of fitted weights what they score on the rows that they were fitted on."""
    assert blend.plain_score is not None
    best = int(np.argmax(together.scores) if blend.metric.greater_is_better else np.argmin(together.scores))
    gain = blend.plain_score - together.scores[best]
    better = "as good" if gain == 0 else "better" if (gain > 0) == blend.metric.greater_is_better else "worse"
    plainly = "" if blend.plain_score == blend.cv_score else f", decided plainly ({tell_score(blend.plain_score)})"
    told = f"against the best of them, {blend.runs[best].name} {tell_score(together.scores[best])}: {gain:+.4f} {better}{plainly}"
    if config.inference.weights == "oof":
        told += (
            f"; the weights are fitted on other folds than those that they score (on all at once {tell_score(together.fitted)}, too good)"
        )
    return [told]


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


def _measure(config: Config, run: TrainedRun, found: OutOfFold | None) -> Measured:
    if run.result["oof"] is None:
        return Measured(None, None, None)
    if found is None or found.tta == run.result["tta"]:
        return Measured(run.result["oof"], _plain_of(run), run.result["tta"])
    fitted = decide_found(config, run, found)
    return Measured(fitted.score, fitted.plain_score, found.tta)


def _plain_of(run: TrainedRun) -> float:
    """The run's score out of fold without a fitted decision."""
    return float(run.result.get("oof_plain", run.result["oof"]))


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
        fitted = _fit(config, runs, shared, np.arange(len(shared.folds)))
        return tuple(share / len(run.checkpoints) for run, share in zip(runs, fitted, strict=True) for _ in run.checkpoints)
    return uniform


def _fit(config: Config, runs: Sequence[TrainedRun], shared: SharedRows, rows: Rows) -> list[float]:
    """The runs' weights, fitted on these of the shared rows."""
    task, metric = runs[0].task, runs[0].metric
    score = partial(metric.measure, task, shared.targets[rows])
    return select(shared.members[:, rows], config.inference.ensemble, task, score, metric.greater_is_better)


def _run_weights(runs: Sequence[TrainedRun], weights: Sequence[float]) -> list[float]:
    ends = np.cumsum([len(run.checkpoints) for run in runs])
    return [float(part.sum()) for part in np.split(np.asarray(weights), ends[:-1])]
