"""A decision fitted on out-of-fold predictions, and what it is worth on rows that it was not fitted on.

Cross-fitted: for each fold, what was fitted on the other folds' rows decides this fold's rows; the score is of all rows at
once. What is kept and stored is fitted on all rows. `auto` keeps a fit only where its gain is real:

1. it is more than DEVIATIONS times its standard deviation over DRAWS bootstrap draws of the samples, both decisions scored
   on the same draw (a paired bootstrap);
2. the labels score better than the same labels shuffled among the samples, by more than SHUFFLED standard deviations: under F1
   giving more labels gains a little even where predictions know nothing, and that is no reason to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.compute.seeding import derive_seed
from modules.config.errors import DataError
from modules.data.task import Targets, Task, classification
from modules.prediction.class_weights import search_weights
from modules.prediction.cuts import search_cuts
from modules.prediction.decisions import HALF, PLAIN, Decision
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Values
from modules.prediction.tallies import Judge, Numbers
from modules.prediction.thresholds import search_below, search_global, search_labels

Rows = NDArray[np.int64]
DEVIATIONS = 2.5
SHUFFLED = 3.0
DRAWS = 200
DRAWS_OF_OTHERS = 40  # of a metric that is not counted
SHUFFLES = 30
PARTS = 5  # where there are no folds to fit across
FEWEST_SAMPLES = 40  # with fewer nothing is fitted by itself
CHANCE = "no more than predictions that are shuffled among the images gain"
WEIGHED = ("macro_f1", "balanced_accuracy", "macro_recall", "qwk")  # scores that gain by weights of classes


@dataclass(frozen=True)
class Fitted:
    """decision: what is applied. what: what was tried, in words; none where nothing was. kept: whether it is in the decision.

    plain_score: of what is decided plainly. fitted_score: cross-fitted, of what was tried. why: what speaks against it.
    """

    decision: Decision
    what: str | None
    kept: bool
    plain_score: float
    fitted_score: float
    why: str = ""

    @property
    def score(self) -> float:
        """The honest score of what is applied."""
        return self.fitted_score if self.kept else self.plain_score

    def describe(self, metric: str) -> str | None:
        """One line; None where there was nothing to decide."""
        gain = self.fitted_score - self.plain_score
        if self.what is None:
            return None
        if not self.kept:
            reason = self.why if self.why == CHANCE else f"{gain:+.4f}, {self.why}"
            return f"plain: fitting {self.what} gains nothing out of fold ({reason})"
        scores = f"{metric} {self.fitted_score:.4f} cross-fitted, {self.plain_score:.4f} plainly: {gain:+.4f}"
        return f"{self.decision.describe()}: {scores}"

    def to_dict(self) -> dict[str, Any]:
        """Of what JSON has: read back from there it is the same."""
        return {**asdict(self), "decision": self.decision.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Fitted:
        return cls(**{**content, "decision": Decision.from_dict(content["decision"])})


@dataclass(frozen=True)
class _Trial:
    """decision: fitted on all rows. labels: cross-fitted."""

    decision: Decision
    labels: Targets
    why: str


def what_is_fitted(kind: str, how: str, metric: Metric) -> str | None:
    """What [inference] decision fits, for a kind of task; None: nothing, or nothing that makes sense."""
    if how == "plain" or metric.takes != "labels":
        return None
    if kind == "multilabel":
        return "a threshold for each label" if how == "per_class" else "one threshold for all labels"
    if kind == "binary":
        return "the threshold"
    if how == "global":
        return None
    if kind == "ordinal":
        return "cut points"
    if kind in ("multiclass", "multioutput") and (how == "per_class" or metric.name in WEIGHED):
        return "class weights"
    return None


def fit_decision(
    task: Task,
    how: str,
    metric: Metric,
    targets: Targets,
    values: Values,
    folds: Rows,
    base: Decision = PLAIN,
    fit_unknown: bool = False,
    units: Rows | None = None,
    seed: int = 0,
) -> Fitted:
    """How (N, columns) out-of-fold values become labels, for (N,) fold numbers.

    how: as [inference] decision; `auto` keeps what gains, anything else is applied whatever it gains. base: empty_labels and an
    unknown class with its bound, which are taken as they are. fit_unknown: the bound is fitted. units: (N,) numbers of what is
    drawn and divided together: rows of one sample, or one person; None: each row by itself. Raises what the metric raises.
    """
    if metric.takes != "labels":
        score = metric.measure(task, targets, values)
        return Fitted(base, None, False, score, score)
    judge = Judge.of(task, metric, targets)
    known = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1]
    rows = _Rows(judge, values, _parts(folds, known, seed), known, seed)
    bare = replace(base, unknown_below=None)
    labels, decision = bare.decide(task, values), bare
    plain_score = _measure(judge, labels)
    what, why, kept, score = what_is_fitted(task.kind, how, metric), "", False, plain_score
    if what is not None and how == "auto" and len(np.unique(known)) < FEWEST_SAMPLES:
        what = None
    tried = []
    if what is not None:
        trial = _try_outputs(rows, how, bare) if task.kind == "multioutput" else _try(rows, what, bare, labels)
        tried, why, score = [what], trial.why, _measure(judge, trial.labels)
        if how != "auto" or not why:
            kept, labels, decision = True, trial.labels, trial.decision
    if fit_unknown:
        trial = _try(rows, what if kept else None, replace(decision, unknown_class=base.unknown_class), labels, unknown=True)
        tried.append(f"the confidence below which {base.unknown_class} is given")
        if not trial.why:
            kept, labels, decision, why = True, trial.labels, trial.decision, ""
        elif not kept:
            why, score = trial.why, _measure(judge, trial.labels)
    elif base.unknown_below is not None:
        decision = replace(decision, unknown_below=base.unknown_below)
        labels, kept = decision.or_unknown(task, values, labels), True
        tried.append(f"{base.unknown_class} below {base.unknown_below:g}")
    if kept:
        score = _measure(judge, labels)
    return Fitted(decision, " and ".join(tried) or None, kept, plain_score, score, "" if kept else why)


@dataclass(frozen=True)
class _Rows:
    """What is fitted on. parts: (N,) what is left out together. units: (N,) what is drawn together."""

    judge: Judge
    values: Values
    parts: Rows
    units: Rows
    seed: int


def _measure(judge: Judge, labels: Targets) -> float:
    """The score as the metric has it: smaller may be better."""
    score = judge.score(labels)
    return score if judge.metric.greater_is_better or judge.is_counted else -score


def _parts(folds: Rows, units: Rows, seed: int) -> Rows:
    """The fold of each unit's first row (repeats validate a sample in several); where that is one fold for all, drawn PARTS."""
    _, first = np.unique(units, return_index=True)
    parts = folds[first][units]
    if len(np.unique(parts)) > 1:
        return np.asarray(parts)
    drawn = np.random.default_rng(derive_seed(seed, "decision", "parts")).permutation(len(first)) % PARTS
    return np.asarray(drawn[units])


def _try(rows: _Rows, what: str | None, base: Decision, before: Targets, unknown: bool = False) -> _Trial:
    labels = before.copy()
    for part in np.unique(rows.parts):
        others, own = np.flatnonzero(rows.parts != part), np.flatnonzero(rows.parts == part)
        fitted = _fit(what, rows.judge.take(others), rows.values[others], base, unknown)
        labels[own] = fitted.decide(rows.judge.task, rows.values[own])
    return _Trial(_fit(what, rows.judge, rows.values, base, unknown), labels, _why_not(rows, labels, before))


def _try_outputs(rows: _Rows, how: str, base: Decision) -> _Trial:
    """Each output by itself: under `auto` those keep their weights whose own score gains."""
    task, weights, labels, reasons = rows.judge.task, [], [], []
    for output, part, truth in zip(task.outputs, task.parts, rows.judge.targets.T, strict=True):
        judge = Judge.of(classification(output.name, output.classes), rows.judge.metric, truth)
        own = replace(rows, judge=judge, values=rows.values[:, part])
        before = base.decide(judge.task, own.values)
        trial = _try(own, "class weights", base, before)
        taken = how != "auto" or not trial.why
        found = trial.decision.class_weights
        weights += list(found) if taken and found is not None else [1.0] * len(output.classes)
        labels.append(trial.labels if taken else before)
        reasons.append(trial.why)
    why = "" if "" in reasons else reasons[0]
    return _Trial(replace(base, class_weights=tuple(weights)), np.stack(labels, axis=1), why)


def _fit(what: str | None, judge: Judge, values: Values, base: Decision, unknown: bool) -> Decision:
    fitted = base if what is None else _fit_one(what, judge, values, base)
    if not unknown:
        return fitted
    exact = values.astype(np.float64)

    def score(below: float) -> float:
        return judge.score(replace(fitted, unknown_below=below).decide(judge.task, values))

    return replace(fitted, unknown_below=search_below(exact.max(axis=1), score))


def _fit_one(what: str, judge: Judge, values: Values, base: Decision) -> Decision:
    """`base` with what is fitted on these rows."""
    exact, task = values.astype(np.float64), judge.task

    def score(found: Decision) -> float:
        return judge.score(found.decide(task, values))

    def by_cuts(numbers: Numbers) -> Decision:
        return replace(base, cut_points=_plain_numbers(numbers))

    def by_thresholds(numbers: Numbers) -> Decision:
        return replace(base, thresholds=_plain_numbers(numbers))

    def by_weights(numbers: Numbers) -> Decision:
        return replace(base, class_weights=_plain_numbers(numbers))

    if what == "the threshold":
        return by_thresholds(
            search_cuts(exact[:, 1], judge.targets, 2, judge.of_counts, np.full(1, HALF), lambda cuts: score(by_thresholds(cuts)))
        )
    if what == "cut points":
        count = len(task.classes)
        plain = np.arange(count - 1, dtype=np.float64) + HALF
        return by_cuts(search_cuts(exact[:, 0], judge.targets, count, judge.of_counts, plain, lambda cuts: score(by_cuts(cuts))))
    if what == "class weights":
        return by_weights(search_weights(exact, judge.targets, judge.of_counts, lambda logs: score(by_weights(np.exp(logs)))))
    labels = len(task.classes)
    one = search_global(exact, judge.targets, lambda threshold: score(by_thresholds(np.full(labels, threshold))))
    same = by_thresholds(np.full(labels, one))
    if what == "one threshold for all labels":
        return same
    each = by_thresholds(search_labels(exact, judge.targets, one, judge, base))
    return each if score(each) > score(same) else same


def _plain_numbers(numbers: Numbers) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)


def _why_not(rows: _Rows, labels: Targets, before: Targets) -> str:
    """What speaks against the gain of `labels` over those `before`; blank: nothing."""
    judge = rows.judge
    score = judge.score(labels)
    gain = score - judge.score(before)
    if gain <= 0:
        return "within noise" if gain == 0 else "a loss"
    rng = np.random.default_rng(derive_seed(rows.seed, "decision", "draws"))
    draws = DRAWS if judge.is_counted else DRAWS_OF_OTHERS
    weights = rng.poisson(1.0, (draws, int(rows.units.max()) + 1))[:, rows.units].astype(np.float64)
    try:
        gains = judge.scores(labels, weights) - judge.scores(before, weights)
        shuffled = np.array([judge.score(labels[_shuffle(rows.units, rng)]) for _ in range(SHUFFLES)])
    except DataError:
        return "its noise cannot be measured"
    if gain <= DEVIATIONS * gains.std():
        return "within noise"
    if score <= shuffled.mean() + SHUFFLED * shuffled.std():
        return CHANCE
    return ""


def _shuffle(units: Rows, rng: np.random.Generator) -> Rows:
    """(N,) rows, where each unit's take the places of another's that has as many."""
    order = np.argsort(units, kind="stable")
    _, starts, sizes = np.unique(units[order], return_index=True, return_counts=True)
    taken = np.arange(len(units))
    for size in np.unique(sizes):
        members = order[starts[sizes == size][:, None] + np.arange(size)]
        taken[members] = members[rng.permutation(len(members))]
    return taken
