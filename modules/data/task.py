"""What is asked of each image, and which answers there are: it travels with samples, predictions and checkpoints.

The form of targets, and of what predictions are decided to, follows from the kind of the task, for N images:

    multiclass, binary, ordinal   (N,) int64 positions in the classes; or (N, C) float32 shares that sum to 1 a row
    multilabel                    (N, L) float32, 1 where the label is there, else 0
    regression                    (N, R) float32, a column each of what is measured
    multioutput                   (N, K) int64, a column each output, positions in its classes

Predictions have a column for each of `Task.columns`: probabilities, or for ordinal and regression values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Targets = NDArray[Any]

SUM_TO_ONE = ("multiclass", "binary", "multioutput")
VALUED = ("ordinal", "regression")  # no probabilities


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the training labels, and the range that predictions are clipped to, if any."""

    mean: float
    std: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Output:
    """One thing that is told of an image: its classes in order (multilabel: its labels), or of numbers their scale.

    ordinal has both: the values of its classes are 0, 1, 2, ...
    """

    name: str
    classes: tuple[str, ...] = ()
    scale: Scale | None = None


@dataclass(frozen=True)
class Input:
    """A metadata column, as the training rows have it: its categories in order, or of numbers their mean and standard deviation.

    blanks: whether some of the numbers are blank.
    """

    name: str
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    blanks: bool = False

    @property
    def width(self) -> int:
        """How many numbers it is for a model."""
        return len(self.categories) or 1 + self.blanks


@dataclass(frozen=True)
class Task:
    """kind: as [data] task. outputs: one; of regression and multioutput one a label column.

    factors: of composite classes what they are made of: class = position in the first factor, then in the second, ...,
    as the digits of a number. head = separate predicts each factor. inputs: what is known of an image besides, in this order.
    """

    kind: str
    outputs: tuple[Output, ...]
    factors: tuple[Output, ...] = ()
    inputs: tuple[Input, ...] = ()

    @property
    def metadata(self) -> int:
        """How many numbers the inputs are for a model."""
        return sum(each.width for each in self.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of predictions: classes or labels; OUTPUT:CLASS where there are several outputs; what has a value its name."""
        if self.kind in VALUED:
            return tuple(output.name for output in self.outputs)
        if self.kind == "multioutput":
            return tuple(f"{output.name}:{name}" for output in self.outputs for name in output.classes)
        return self.outputs[0].classes

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the first output."""
        return self.outputs[0].classes

    @property
    def parts(self) -> tuple[slice, ...]:
        """The columns of each output; of values and multilabel one a column."""
        sizes = [len(output.classes) for output in self.outputs] if self.kind in SUM_TO_ONE else [1] * len(self.columns)
        ends = np.cumsum(sizes).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))

    def describe(self) -> str:
        """`10 classes`, `19 labels`, `the number score`, `3 outputs (168, 11, 7 classes)`."""
        if self.kind == "regression":
            return f"the number {self.columns[0]}" if len(self.columns) == 1 else f"{len(self.columns)} numbers"
        if self.kind == "multioutput":
            return f"{len(self.outputs)} outputs ({', '.join(str(len(output.classes)) for output in self.outputs)} classes)"
        what = {"multilabel": "labels", "ordinal": "ordered classes"}.get(self.kind, "classes")
        return f"{len(self.classes)} {what}"

    def to_dict(self) -> dict[str, Any]:
        """Of what JSON has: read back from there it is the same."""
        parts = {"outputs": self.outputs, "factors": self.factors}
        return {
            "kind": self.kind,
            **{name: [{**asdict(each), "classes": list(each.classes)} for each in part] for name, part in parts.items()},
            "inputs": [{**asdict(each), "categories": list(each.categories)} for each in self.inputs],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Task:
        inputs = tuple(Input(**{**each, "categories": tuple(each["categories"])}) for each in content.get("inputs", ()))
        outputs, factors = (tuple(map(_output, content[part])) for part in ("outputs", "factors"))
        return cls(content["kind"], outputs, factors, inputs)


def classification(name: str, classes: tuple[str, ...], kind: str = "multiclass") -> Task:
    """A task of one output with these classes."""
    return Task(kind, (Output(name, classes),))


def class_numbers(task: Task, places: Targets) -> NDArray[np.float64]:
    """Of an ordinal task the number that each place in 0 .. classes - 1 stands for: of a class its own, between two what lies between."""
    numbers = np.array([float(name) for name in task.classes])
    return np.asarray(np.interp(places.astype(np.float64), np.arange(len(numbers)), numbers))


def absent_classes(task: Task, targets: Targets) -> list[str]:
    """The classes or labels that none of these rows has, nor a share of; of several outputs OUTPUT:CLASS."""
    if task.kind == "regression":
        return []
    if task.kind == "multioutput":
        columns = [(output, set(column.tolist())) for output, column in zip(task.outputs, targets.T, strict=True)]
        return [f"{output.name}:{name}" for output, present in columns for index, name in enumerate(output.classes) if index not in present]
    if targets.ndim == 2:
        return [name for name, there in zip(task.classes, targets.sum(axis=0), strict=True) if not there]
    present = set(targets.tolist())
    return [name for index, name in enumerate(task.classes) if index not in present]


def same_question(first: Task, second: Task) -> bool:
    """Whether they ask the same and know the same classes, in the same order; the numbers of their scales may differ, and their inputs."""
    return (first.kind, first.columns, [output.classes for output in first.outputs]) == (
        second.kind,
        second.columns,
        [output.classes for output in second.outputs],
    )


def _output(content: Mapping[str, Any]) -> Output:
    scale = content["scale"]
    return Output(content["name"], tuple(content["classes"]), None if scale is None else Scale(**scale))


def positions(targets: Targets) -> NDArray[np.int64]:
    """(N,) class positions; of shares that of the largest one, the first of those that are equal."""
    return np.asarray(targets.argmax(axis=1) if targets.ndim == 2 else targets, dtype=np.int64)
