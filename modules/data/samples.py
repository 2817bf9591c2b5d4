"""Samples: what a contest's tables say, whatever their layout. Sources make them; everything else reads them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modules.config.errors import DataError, counted, in_lines, shorten
from modules.data.images import Images
from modules.data.task import Targets, Task

Text = NDArray[np.str_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """N images with their ids, and for training their labels.

    ids: (N,) text. targets: of the form that `task` gives them, or None for a test set without answers. groups: (N,) text,
    or None. extra: (N,) true for those that train and are never validated, or None where there are none. metadata: (N, M)
    float32 what a model is given besides the image, as `task.inputs` says, or None.
    """

    ids: Text
    images: Images
    task: Task
    targets: Targets | None = None
    groups: Text | None = None
    extra: NDArray[np.bool_] | None = None
    metadata: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Rows) -> Samples:
        """The samples of these rows, in this order."""
        return replace(
            self,
            ids=self.ids[rows],
            images=self.images.take(rows),
            targets=None if self.targets is None else self.targets[rows],
            groups=None if self.groups is None else self.groups[rows],
            extra=None if self.extra is None else self.extra[rows],
            metadata=None if self.metadata is None else self.metadata[rows],
        )


def spread(rows: Rows, count: int) -> Rows:
    """At most `count` of the rows, evenly spread."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))
    return np.asarray(rows[places])


def order_classes(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels: by number where all are whole numbers ("2" before "10"), else by text."""
    distinct = set(labels)
    if all(re.fullmatch(r"-?\d+", label, re.ASCII) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def encode_labels(labels: Sequence[str], lines: Iterable[int], where: str) -> tuple[tuple[str, ...], Rows]:
    """Classes, and each label's position in them. Raises DataError for blank labels, with their `lines`, or a single class."""
    blank = [line for line, label in zip(lines, labels, strict=True) if not label.strip()]
    if blank:
        raise DataError(f"{where}: {counted(len(blank), 'label is', 'labels are')} missing, {in_lines(blank)}")
    classes = order_classes(labels)
    if len(classes) < 2:
        raise DataError(f"{where}: expected two classes or more, found only {shorten(classes) or 'none'}")
    twins = [f"'{name}'" for name in classes if name != name.strip() and name.strip() in classes]
    if twins:
        raise DataError(f"{where}: {shorten(twins)} differ from other labels by white space alone")
    if len({unicodedata.normalize("NFC", name) for name in classes}) < len(classes):
        raise DataError(f"{where}: some labels differ from others by the way that accents are encoded alone (Unicode NFC and NFD)")
    if any("\r" in name for name in classes):
        raise DataError(f"{where}: a label holds a carriage return")
    position = {name: index for index, name in enumerate(classes)}
    return classes, np.array([position[label] for label in labels], dtype=np.int64)
