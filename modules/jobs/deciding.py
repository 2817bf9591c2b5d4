"""How a run's, or a blend's, predictions become labels: what [inference] asks for, fitted on their out-of-fold predictions."""

from __future__ import annotations

from dataclasses import replace

from modules.compute.process import Process
from modules.config.errors import OptionError, gather, hint
from modules.config.schema import Config, Inference
from modules.data.samples import Rows
from modules.data.task import Targets, Task
from modules.jobs.out_of_fold import OutOfFold, out_of_fold
from modules.jobs.shared_rows import SharedRows
from modules.jobs.trained import TrainedRun
from modules.prediction.decisions import Decision
from modules.prediction.ensemble import combine
from modules.prediction.fitting import Fitted, fit_decision, what_is_fitted
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Values
from modules.training.plan import Plan

OPTIONS = ("decision", "empty_labels", "unknown_class", "unknown_below")
OTHER_UNITS = ("rank", "vote")  # ensembles whose values are no longer those that each model gave


def check_decision(inference: Inference, task: Task, metric: Metric) -> None:
    """Raises OptionError for what the task's classes, or its metric, do not allow."""
    gather(
        lambda: _check_empty_labels(inference, task),
        lambda: _check_unknown(inference, task, metric),
        lambda: _check_how(inference, task, metric),
    )


def base_decision(inference: Inference) -> Decision:
    """What is taken as the config says it; unknown_below = auto is yet to be fitted."""
    below = None if inference.unknown_below == "auto" or inference.unknown_class is None else float(inference.unknown_below)
    return Decision(empty_labels=inference.empty_labels, unknown_class=inference.unknown_class, unknown_below=below)


def decide_plan(plan: Plan, rows: Rows, folds: Rows, values: Values) -> Fitted:
    """Of a run that was just trained: (N,) rows of its samples, the folds that validated them, and what was predicted.

    Rows of one sample, and of one group, are drawn together.
    """
    samples = plan.samples
    assert samples.targets is not None
    units = rows if samples.groups is None else samples.groups[rows]
    return _fit(plan.config.inference, samples.task, plan.metric, samples.targets[rows], values, folds, units, plan.config.settings.seed)


def asked_of(config: Config, run: TrainedRun) -> Inference:
    """[inference] of `config`, in which the options of the decision that nobody set are those of the run."""
    own = {name: getattr(run.config.inference, name) for name in OPTIONS if ("inference", name) not in config.origins}
    return replace(config.inference, **own)


def decide_run(config: Config, run: TrainedRun, found: OutOfFold | None, process: Process, quiet: bool) -> Fitted | None:
    """The run's own stored decision; fitted again where another is asked for, or its rows were predicted with another TTA.

    None for a run without validation. Raises OptionError where that cannot be, as what is to be fitted has nothing to be fitted on.
    """
    asked = asked_of(config, run)
    if run.result["oof"] is None:
        _without_validation(asked, run)
        return None
    stored = run.result.get("decision")
    same = all(getattr(asked, name) == getattr(run.config.inference, name) for name in OPTIONS)
    same = same and not _in_other_units(asked, run)
    if stored is not None and same and (found is None or found.tta == run.result["tta"]):
        return Fitted.from_dict(stored)
    found = found or out_of_fold(config, run, process, quiet)
    assert found is not None
    return decide_found(config, run, found)


def decide_found(config: Config, run: TrainedRun, found: OutOfFold) -> Fitted:
    """Fitted on these out-of-fold predictions of the run; rows of one id are drawn together."""
    asked, values, seed = asked_of(config, run), found.predictions.values, run.config.settings.seed
    if _in_other_units(asked, run):
        values = combine(values[None], asked.ensemble, run.task)
    return _fit(asked, run.task, run.metric, found.targets, values, found.folds, found.predictions.ids, seed)


def decide_shared(config: Config, run: TrainedRun, shared: SharedRows, values: Values) -> Fitted:
    """Fitted on a blend's predictions of the rows that all its runs have out of fold. run: the first of them."""
    seed = run.config.settings.seed
    return _fit(asked_of(config, run), run.task, run.metric, shared.targets, values, shared.folds, None, seed)


def plain_decision(config: Config, run: TrainedRun) -> Decision:
    """Where there is nothing to fit on. Raises OptionError where fitting is asked for."""
    asked = asked_of(config, run)
    _without_validation(asked, run)
    return base_decision(asked)


def _fit(
    inference: Inference, task: Task, metric: Metric, targets: Targets, values: Values, folds: Rows, units: Targets | None, seed: int
) -> Fitted:
    fit_unknown = inference.unknown_class is not None and inference.unknown_below == "auto"
    return fit_decision(task, inference.decision, metric, targets, values, folds, base_decision(inference), fit_unknown, units, seed)


def _in_other_units(asked: Inference, run: TrainedRun) -> bool:
    """Whether the score, or what is fitted, is of labels that are decided from values which are not those of the models."""
    return asked.ensemble in OTHER_UNITS and (asked.unknown_class is not None or run.metric.takes == "labels")


def _without_validation(asked: Inference, run: TrainedRun) -> None:
    if asked.decision in ("global", "per_class"):
        message = f"{asked.decision} is fitted on out-of-fold predictions, and {run.name} has none; use plain"
        raise OptionError("inference", "decision", message)
    if asked.unknown_class is not None and asked.unknown_below == "auto":
        message = f"auto is fitted on out-of-fold predictions, and {run.name} has none; give a number"
        raise OptionError("inference", "unknown_below", message)


def _check_empty_labels(inference: Inference, task: Task) -> None:
    given = inference.empty_labels
    if task.kind == "multilabel" and given not in ("best", "none", *task.classes):
        message = f"expected best, none or a label, got '{given}'{hint(given, ('best', 'none', *task.classes))}"
        raise OptionError("inference", "empty_labels", message)


def _check_unknown(inference: Inference, task: Task, metric: Metric) -> None:
    name = inference.unknown_class
    if name is None or inference.unknown_below != "auto":
        return
    if name not in task.classes:
        message = f"auto needs training samples of '{name}', and there are none; give a number{hint(name, task.classes)}"
        raise OptionError("inference", "unknown_below", message)
    if metric.takes != "labels":
        message = f"auto is fitted to a score of labels, and {metric.name} takes probabilities; give a number"
        raise OptionError("inference", "unknown_below", message)


def _check_how(inference: Inference, task: Task, metric: Metric) -> None:
    how = inference.decision
    if how in ("global", "per_class") and what_is_fitted(task.kind, how, metric) is None:
        what = f"the metric {metric.name}, which takes no labels," if metric.takes != "labels" else f"task = {task.kind}"
        raise OptionError("inference", "decision", f"{how} fits nothing for {what}; use auto or plain")
