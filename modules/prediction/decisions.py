"""Values to labels, for what a contest wants that does not take probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modules.data.task import Targets, Task

HALF = 0.5


@dataclass(frozen=True)
class Decision:
    """How values become labels. What is None is done plainly: the most probable class, one half, the nearest class.

    thresholds: of multilabel, one a label, from which on it is given; of binary one, of the second class. cut_points: of
    ordinal, rising, one less than there are classes. class_weights: of multiclass, what each class's probability is
    multiplied with before the largest is taken. empty_labels: what a multilabel row without a label gets: best (the one
    nearest to its threshold), none, or the name of a label.
    """

    thresholds: tuple[float, ...] | None = None
    cut_points: tuple[float, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    empty_labels: str = "best"

    def decide(self, task: Task, values: Targets) -> Targets:
        """(N, columns) values to labels, of the form that targets of `task` have; the first of classes that are equal."""
        if task.kind == "regression":
            return values
        if task.kind == "multioutput":
            return np.stack([values[:, part].argmax(axis=1) for part in task.parts], axis=1)
        if task.kind == "multilabel":
            return self._labels(task, values)
        if task.kind == "ordinal":
            if self.cut_points is not None:
                return np.searchsorted(np.asarray(self.cut_points), values[:, 0].astype(np.float64), side="right").astype(np.int64)
            return np.clip(np.rint(values[:, 0]), 0, len(task.classes) - 1).astype(np.int64)
        if self.thresholds is not None:
            return np.asarray(values[:, 1] >= self.thresholds[0], dtype=np.int64)
        if self.class_weights is not None:
            return np.asarray((values.astype(np.float64) * np.asarray(self.class_weights)).argmax(axis=1), dtype=np.int64)
        return np.asarray(values.argmax(axis=1), dtype=np.int64)

    def _labels(self, task: Task, values: Targets) -> Targets:
        thresholds = np.full(len(task.classes), HALF) if self.thresholds is None else np.asarray(self.thresholds)
        given = (values >= thresholds).astype(np.float32)
        rows = np.flatnonzero(given.sum(axis=1) == 0)
        if self.empty_labels == "best":
            given[rows, (values[rows] / thresholds).argmax(axis=1)] = 1
        elif self.empty_labels != "none":
            given[rows, task.classes.index(self.empty_labels)] = 1
        return given


PLAIN = Decision()
