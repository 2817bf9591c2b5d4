"""A task to the logits that a network gives for it, and to the objective that learns and reads them."""

from __future__ import annotations

import numpy as np
import torch

from modules.config.own_code import own_code
from modules.config.schema import HyperParams, Model
from modules.config.tasks import choose_loss
from modules.data.task import Targets, Task
from modules.models.objectives import Objective, Range, count_logits, make_objective
from modules.models.own_losses import OwnLoss, check_loss, load_loss
from modules.prediction.own_metrics import made_example
from modules.prediction.predictions import Values


def find_loss(hyper: HyperParams, kind: str) -> str | OwnLoss:
    """What [hyper_params] loss names, for a kind of task: Foldini's by its name. Raises OptionError."""
    name = choose_loss(hyper.loss, kind)
    return name if own_code(name) is None else load_loss(name, kind)


def network_outputs(task: Task, model: Model, hyper: HyperParams) -> int:
    """How many numbers the network gives an image."""
    return count_logits(find_loss(hyper, task.kind), _kind(task, model), _sizes(task, model))


def task_objective(
    task: Task, model: Model, hyper: HyperParams, label_smoothing: float = 0.0, class_weights: torch.Tensor | None = None
) -> Objective:
    """The loss that [hyper_params] names, and the activation that goes with it."""
    scales = [output.scale for output in task.outputs if output.scale is not None]
    return make_objective(
        find_loss(hyper, task.kind),
        label_smoothing,
        hyper.focal_gamma,
        class_weights,
        _kind(task, model),
        _sizes(task, model),
        [Range(scale.mean, scale.std, scale.low, scale.high) for scale in scales],
    )


def check_objective(task: Task, model: Model, hyper: HyperParams, shares: bool) -> None:
    """Tries a loss of one's own on a made example of the task. shares: whether targets may be such, of blended images too.

    Raises OptionError where it gives no number that could be learnt from.
    """
    loss = find_loss(hyper, task.kind)
    if not isinstance(loss, OwnLoss):
        return
    targets, _, perfect = made_example(task)
    objective, logits = task_objective(task, model, hyper), network_outputs(task, model, hyper)
    check_loss(loss, objective.loss, logits, torch.from_numpy(targets), "a made example of the task")
    if shares:
        blended = targets if task.kind in ("multilabel", "regression") else _shares(task, targets, perfect)
        check_loss(
            loss, objective.loss, logits, torch.from_numpy(blended), "targets that are shares of classes, as mixup and cutmix make them"
        )


def _shares(task: Task, targets: Targets, perfect: Values) -> Values:
    """(N, classes) for such targets."""
    return np.eye(len(task.classes), dtype=np.float32)[targets] if task.kind == "ordinal" else perfect


def _kind(task: Task, model: Model) -> str:
    return "composite" if model.head == "separate" and task.factors else task.kind


def _sizes(task: Task, model: Model) -> list[int]:
    if _kind(task, model) == "composite":
        return [len(factor.classes) for factor in task.factors]
    if task.kind == "ordinal":
        return [len(task.classes)]
    return [part.stop - part.start for part in task.parts]
