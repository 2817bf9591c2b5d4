"""A task to the logits that a network gives for it, and to the objective that learns and reads them."""

from __future__ import annotations

import torch

from modules.config.schema import HyperParams, Model
from modules.config.tasks import choose_loss
from modules.data.task import Task
from modules.models.objectives import Objective, Range, count_logits, make_objective


def network_outputs(task: Task, model: Model, hyper: HyperParams) -> int:
    """How many numbers the network gives an image."""
    return count_logits(choose_loss(hyper.loss, task.kind), _kind(task, model), _sizes(task, model))


def task_objective(
    task: Task, model: Model, hyper: HyperParams, label_smoothing: float = 0.0, class_weights: torch.Tensor | None = None
) -> Objective:
    """The loss that [hyper_params] names, and the activation that goes with it."""
    scales = [output.scale for output in task.outputs if output.scale is not None]
    return make_objective(
        choose_loss(hyper.loss, task.kind),
        label_smoothing,
        hyper.focal_gamma,
        class_weights,
        _kind(task, model),
        _sizes(task, model),
        [Range(scale.mean, scale.std, scale.low, scale.high) for scale in scales],
    )


def _kind(task: Task, model: Model) -> str:
    return "composite" if model.head == "separate" and task.factors else task.kind


def _sizes(task: Task, model: Model) -> list[int]:
    if _kind(task, model) == "composite":
        return [len(factor.classes) for factor in task.factors]
    if task.kind == "ordinal":
        return [len(task.classes)]
    return [part.stop - part.start for part in task.parts]
