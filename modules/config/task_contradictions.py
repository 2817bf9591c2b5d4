"""Options that are wrong with the task: losses, metrics, heads, folds and decisions that go with some kinds of task alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modules.config.errors import counted
from modules.config.own_code import OwnCode
from modules.config.schema import Config
from modules.config.tasks import LOSSES_OF, METRICS_OF, OF_VALUES, choose_loss, choose_metric


@dataclass(frozen=True)
class Contradiction:
    """Options that are right alone and wrong together; the first of them is the one that is told."""

    options: tuple[tuple[str, str], ...]
    message: str


def of_tasks(config: Config) -> Iterator[Contradiction]:
    """Losses, metrics, columns and whatever else goes with some tasks alone."""
    data, hyper = config.data, config.hyper_params
    task = ("data", "task")
    for name, value, known in (("loss", hyper.loss, LOSSES_OF), ("metric", hyper.metric, METRICS_OF)):
        if value != "auto" and not isinstance(value, OwnCode) and value not in known[data.task]:
            message = f"expected one of auto, {', '.join(known[data.task])} for task = {data.task}, got '{value}'"
            yield Contradiction((("hyper_params", name), task), message)
    count = len(data.label_columns)
    if count > 1 and data.task in ("binary", "ordinal"):
        yield Contradiction((("data", "label_columns"), task), f"expected one column for task = {data.task}, got {count}")
    if count == 1 and data.task == "multioutput":
        yield Contradiction((("data", "label_columns"), task), "expected a column for each output, got one; with one it is multiclass")
    if len(set(data.label_columns)) < count:
        yield Contradiction((("data", "label_columns"),), f"expected different columns, got '{', '.join(data.label_columns)}'")
    if data.task == "multilabel" and count == 1 and data.label_separator is None:
        message = "task = multilabel needs what stands between the labels of a cell, such as space, or several label_columns"
        yield Contradiction((("data", "label_separator"), task), message)
    if data.label_separator is not None and (data.task != "multilabel" or count > 1):
        message = "only task = multilabel with one of label_columns has several labels in a cell"
        yield Contradiction((("data", "label_separator"), task, ("data", "label_columns")), message)
    if data.source in ("folder", "torchvision", "digits") and data.label_pattern is None and data.task not in ("multiclass", "binary"):
        advice = "use multiclass, or source = csv" if data.source == "digits" else "use multiclass, binary, or source = csv"
        yield Contradiction((task, ("data", "source")), f"source = {data.source} has a class an image, and no {data.task} labels; {advice}")
    if data.target_range != "auto" and data.task != "regression":
        yield Contradiction((("data", "target_range"), task), f"only task = regression has one, and task is {data.task}")
    if data.target_range == "none" and data.task == "regression" and hyper.loss == "bce":
        message = "loss = bce learns where a number lies in its range; use auto, or low, high"
        yield Contradiction((("data", "target_range"), ("hyper_params", "loss")), message)
    if isinstance(data.target_range, tuple) and (len(data.target_range) != 2 or data.target_range[0] >= data.target_range[1]):
        yield Contradiction((("data", "target_range"),), "expected low, high, with low below high")
    if hyper.metric_weights is not None and (data.task != "multioutput" or len(hyper.metric_weights) != count):
        message = (
            f"expected {counted(count, 'number')}, one for each of label_columns"
            if data.task == "multioutput"
            else "only task = multioutput has them"
        )
        yield Contradiction((("hyper_params", "metric_weights"), task, ("data", "label_columns")), message)
    yield from _of_heads(config)
    yield from _of_targets(config)
    yield from _of_own_loss(config)


def _of_own_loss(config: Config) -> Iterator[Contradiction]:
    """What Foldini's own losses do, and one of the person's own would have to do by itself."""
    hyper, loss = config.hyper_params, ("hyper_params", "loss")
    if not isinstance(hyper.loss, OwnCode):
        return
    if hyper.label_smoothing > 0:
        yield Contradiction((("hyper_params", "label_smoothing"), loss), f"{hyper.loss} would have to do that by itself; use 0")
    if hyper.class_weights != "none":
        yield Contradiction((("hyper_params", "class_weights"), loss), f"{hyper.loss} would have to weigh classes by itself; use none")


def _of_heads(config: Config) -> Iterator[Contradiction]:
    data, head = config.data, ("model", "head")
    if config.model.head != "separate":
        return
    if data.task != "multioutput" and data.source != "mask":
        message = "separate needs classes that are made of several things: source = mask, or task = multioutput"
        yield Contradiction((head, ("data", "source"), ("data", "task")), message)


def _of_targets(config: Config) -> Iterator[Contradiction]:
    """What needs classes, where a task has none."""
    data, hyper = config.data, config.hyper_params
    task = ("data", "task")
    if data.task in ("regression", "multioutput", "ordinal") and hyper.class_weights != "none":
        yield Contradiction((("hyper_params", "class_weights"), task), f"task = {data.task} has no class weights; use none")
    if data.task in ("regression", "multioutput", "multilabel") and hyper.sampler == "balanced":
        yield Contradiction((("hyper_params", "sampler"), task), f"balanced needs one class an image, and task is {data.task}; use shuffle")
    if hyper.label_smoothing > 0 and (data.task == "regression" or choose_loss(hyper.loss, data.task) in ("mse", "mae", "huber")):
        yield Contradiction(
            (("hyper_params", "label_smoothing"), ("hyper_params", "loss"), task), "a loss of numbers has no classes to smooth; use 0"
        )
    for name in ("geometric", "logit", "rank", "vote"):
        if config.inference.ensemble == name and data.task in ("ordinal", "regression"):
            yield Contradiction(
                (("inference", "ensemble"), task), f"{name} is made of probabilities, and task = {data.task} has none; use mean"
            )
    if config.split.method == "multilabel_stratified" and data.task not in ("multilabel", "multioutput"):
        message = f"multilabel_stratified goes with task = multilabel and multioutput, and task is {data.task}; use stratified"
        yield Contradiction((("split", "method"), task), message)
    if config.split.method == "stratified" and data.task in ("multilabel", "multioutput"):
        yield Contradiction((("split", "method"), task), "stratified needs one class an image, or a number; use multilabel_stratified")
    yield from _of_decisions(config)
    if config.inference.empty_labels != "best" and data.task != "multilabel":
        yield Contradiction(
            (("inference", "empty_labels"), task), f"only task = multilabel has rows without a label, and task is {data.task}"
        )
    if config.inference.unknown_class is not None and data.task not in ("multiclass", "binary"):
        yield Contradiction((("inference", "unknown_class"), task), f"goes with task = multiclass, and task is {data.task}")
    if config.inference.unknown_class is not None and hyper.metric == "qwk":
        message = "a class that is unknown has no place in an order, and metric = qwk goes by places; use another metric"
        yield Contradiction((("inference", "unknown_class"), ("hyper_params", "metric")), message)


def _of_decisions(config: Config) -> Iterator[Contradiction]:
    """What is fitted of how probabilities become labels, where a task or its metric has no such thing."""
    data, inference = config.data, config.inference
    task, decision = ("data", "task"), ("inference", "decision")
    metric = choose_metric(config.hyper_params.metric, data.task)
    if inference.decision == "global" and data.task not in ("multilabel", "binary"):
        yield Contradiction((decision, task), f"global is one threshold, and task = {data.task} has none; use auto, plain or per_class")
    elif inference.decision == "per_class" and data.task == "regression":
        yield Contradiction((decision, task), "task = regression decides nothing; use auto or plain")
    elif inference.decision in ("global", "per_class") and metric in OF_VALUES:
        message = f"{inference.decision} is fitted to a score of labels, and metric = {metric} takes none; use auto or plain"
        yield Contradiction((decision, ("hyper_params", "metric"), task), message)
    if inference.unknown_class is None and inference.unknown_below != "auto":
        yield Contradiction(
            (("inference", "unknown_below"), ("inference", "unknown_class")), "nothing is given below it without unknown_class"
        )
