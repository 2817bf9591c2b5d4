"""Which losses and metrics go with which task: what the INI alone can tell. The first of each is what `auto` means."""

from __future__ import annotations

from collections.abc import Mapping

LOSSES_OF: Mapping[str, tuple[str, ...]] = {
    "multiclass": ("cross_entropy", "focal", "bce", "f1"),
    "binary": ("bce", "cross_entropy", "focal", "f1"),
    "multilabel": ("bce", "focal", "f1"),
    "ordinal": ("mse", "mae", "huber", "cross_entropy", "bce"),
    "regression": ("mse", "mae", "huber", "bce"),
    "multioutput": ("cross_entropy", "focal", "bce", "f1"),
}
OF_CLASSES = ("accuracy", "macro_f1", "micro_f1", "balanced_accuracy", "macro_recall", "log_loss", "roc_auc", "average_precision", "qwk")
OF_VALUES = ("log_loss", "roc_auc", "average_precision", "map", "kl", "rmse", "mae")  # what takes probabilities or numbers, no labels
METRICS_OF: Mapping[str, tuple[str, ...]] = {
    "multiclass": (*OF_CLASSES, "map", "kl"),
    "binary": (*OF_CLASSES, "f1"),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "accuracy", "log_loss", "roc_auc", "average_precision"),
    "ordinal": ("qwk", "accuracy", "macro_f1", "micro_f1", "balanced_accuracy", "macro_recall", "rmse", "mae"),
    "regression": ("rmse", "mae"),
    "multioutput": ("macro_recall", "accuracy", "macro_f1", "micro_f1", "balanced_accuracy", "log_loss"),
}


def choose_loss(loss: str, task: str) -> str:
    """The loss by its name; auto is the task's own."""
    return LOSSES_OF[task][0] if loss == "auto" else loss


def choose_metric(metric: str, task: str) -> str:
    """Likewise the metric."""
    return METRICS_OF[task][0] if metric == "auto" else metric
