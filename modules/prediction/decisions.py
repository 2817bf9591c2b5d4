"""Values to labels, for what a contest wants that does not take probabilities. How a decision is fitted is in fitting.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.data.task import Targets, Task

HALF = 0.5


@dataclass(frozen=True)
class Decision:
    """How values become labels. What is None is done plainly: the most probable class, one half, the nearest class.

    thresholds: of multilabel, one a label, from which on it is given; of binary one, of the second class. cut_points: of
    ordinal, rising, one less than there are classes. class_weights: of multiclass and multioutput, one a column: what each
    probability is multiplied with before the largest is taken. empty_labels: what a multilabel row without a label gets:
    best (the one nearest to its threshold), none, or the name of a label. unknown_class: given where the largest
    probability is below unknown_below, in place of what was decided; it may be none of the task's classes.
    """

    thresholds: tuple[float, ...] | None = None
    cut_points: tuple[float, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    empty_labels: str = "best"
    unknown_class: str | None = None
    unknown_below: float | None = None

    def decide(self, task: Task, values: Targets) -> Targets:
        """(N, columns) values to labels, of the form that targets of `task` have; the first of classes that are equal.

        An unknown_class that is none of the task's is the position behind the last class: wrong under every metric.
        """
        if task.kind == "regression":
            return values
        exact = values.astype(np.float64)
        if task.kind == "multilabel":
            return self._labels(task, exact)
        if task.kind == "ordinal":
            if self.cut_points is not None:
                return np.searchsorted(np.asarray(self.cut_points), exact[:, 0], side="right").astype(np.int64)
            return np.clip(np.rint(exact[:, 0]), 0, len(task.classes) - 1).astype(np.int64)
        weighted = exact if self.class_weights is None else exact * np.asarray(self.class_weights)
        if task.kind == "multioutput":
            return np.stack([weighted[:, part].argmax(axis=1) for part in task.parts], axis=1)
        if self.thresholds is not None:
            return self.or_unknown(task, exact, np.asarray(exact[:, 1] >= self.thresholds[0], dtype=np.int64))
        return self.or_unknown(task, exact, np.asarray(weighted.argmax(axis=1), dtype=np.int64))

    def or_unknown(self, task: Task, values: Targets, labels: Targets) -> Targets:
        """(N,) labels, where they are not to be the unknown class."""
        if self.unknown_class is None or self.unknown_below is None:
            return labels
        unknown = self.names(task).index(self.unknown_class)
        return np.where(values.max(axis=1).astype(np.float64) < self.unknown_below, unknown, labels)

    def names(self, task: Task) -> tuple[str, ...]:
        """What the positions that `decide` gives are called: the task's classes, and behind them an unknown_class that is none."""
        further = () if self.unknown_class is None or self.unknown_class in task.classes else (self.unknown_class,)
        return (*task.classes, *further)

    def describe(self) -> str:
        """`thresholds 0.31 (one for all labels)`, `cut points 0.6, 1.4`, `class weights 1 to 8.2`, `plain`, and what is unknown."""
        parts = []
        if self.thresholds is not None and len(set(self.thresholds)) == 1:
            one = " (one for all labels)" if len(self.thresholds) > 1 else ""
            parts.append(f"{'thresholds' if one else 'threshold'} {self.thresholds[0]:.4g}{one}")
        elif self.thresholds is not None:
            parts.append(f"thresholds {_few(self.thresholds)}")
        if self.cut_points is not None:
            parts.append(f"cut points {_few(self.cut_points)}")
        if self.class_weights is not None:
            parts.append(f"class weights {_few(self.class_weights)}")
        if self.unknown_below is not None:
            parts.append(f"{self.unknown_class} below {self.unknown_below:.4g}")
        return ", ".join(parts) or "plain"

    def to_dict(self) -> dict[str, Any]:
        """Of what JSON has: read back from there it is the same."""
        return {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Decision:
        read: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in content.items()}
        return cls(**read)

    def _labels(self, task: Task, values: NDArray[np.float64]) -> NDArray[np.float32]:
        thresholds = np.full(len(task.classes), HALF) if self.thresholds is None else np.asarray(self.thresholds)
        given = (values >= thresholds).astype(np.float32)
        rows = np.flatnonzero(~given.any(axis=1))
        if self.empty_labels == "best":
            given[rows, (values[rows] / np.maximum(thresholds, np.finfo(np.float32).tiny)).argmax(axis=1)] = 1
        elif self.empty_labels != "none":
            given[rows, task.classes.index(self.empty_labels)] = 1
        return given


def _few(numbers: tuple[float, ...]) -> str:
    """All of a few; of many the smallest and the largest."""
    if len(numbers) <= 8:
        return ", ".join(f"{number:.4g}" for number in numbers)
    return f"{min(numbers):.4g} to {max(numbers):.4g}"


PLAIN = Decision()
