"""What each class counts in the loss: [hyper_params] class_weights, in the order of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from modules.config.errors import OptionError, counted, hint, shorten
from modules.config.values import ClassWeights
from modules.data.task import Targets, Task, positions


def weigh_classes(asked: str | ClassWeights, task: Task, train_targets: Targets) -> NDArray[np.float32] | None:
    """(classes,) weights; None where all are alike. train_targets: of the rows that a fold trains
    on, (rows,) classes, or (rows, classes) shares or labels.

    balanced is scikit-learn's, n / (classes * count): the mean over those rows is 1, and so is the weight of a class that
    none of them has. A label's weight counts where it is there; balanced is the rows without it for each row with it.
    Raises OptionError as `order_weights` does.
    """
    if asked == "none":
        return None
    if isinstance(asked, ClassWeights):
        return np.array(order_weights(asked, task.classes), dtype=np.float32)
    weights = np.ones(len(task.classes), dtype=np.float32)
    if task.kind == "multilabel":
        with_it = train_targets.sum(axis=0)
        return np.where(with_it > 0, (len(train_targets) - with_it) / np.maximum(with_it, 1), weights).astype(np.float32)
    labels = positions(train_targets)
    present = np.unique(labels)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return weights


def order_weights(given: ClassWeights, classes: tuple[str, ...]) -> tuple[float, ...]:
    """The weights in the order of the classes. Raises OptionError where they are not of exactly these."""
    plain = [name.strip() for name in classes]
    if not given.names:
        if len(given.values) != len(classes):
            message = f"expected {counted(len(classes), 'number')}, in the order of {shorten(plain, 10)}, got {len(given.values)}"
            raise OptionError("hyper_params", "class_weights", message)
        return given.values
    unknown = [f"no class '{name}'{hint(name, plain)}" for name in given.names if name not in plain]
    missing = [f"no weight for {shorten(name for name in plain if name not in given.names)}"] if set(plain) - set(given.names) else []
    if unknown or missing:
        told = f"{'; '.join([*unknown[:5], *missing])}; the classes are {shorten(plain, 10)}"
        raise OptionError("hyper_params", "class_weights", told)
    of = dict(zip(given.names, given.values, strict=True))
    return tuple(of[name] for name in plain)
