"""What there is to learn, in numbers: a line or a table of the classes, labels or values of the samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from modules.data.samples import Samples
from modules.data.splits import Fold
from modules.data.task import Targets, Task, positions

TOLD = 12
CLASSES_SHOWN = 40
FOLDS_SHOWN = 10
QUANTILES = {"lowest": 0.0, "median": 0.5, "highest": 1.0}


def describe_targets(samples: Samples) -> list[str]:
    """How many samples each class, label or output has, a line; of numbers their range."""
    assert samples.targets is not None
    task, targets = samples.task, samples.targets
    if task.kind == "regression":
        return [
            f"numbers   {name}: {values.min():g} to {values.max():g}, mean {values.mean():g}"
            for name, values in zip(task.columns, targets.T, strict=True)
        ]
    if task.kind == "multioutput":
        counted = [np.bincount(column, minlength=len(output.classes)) for output, column in zip(task.outputs, targets.T, strict=True)]
        return [
            f"output    {output.name}, {len(output.classes)} classes: {_list(output.classes, counts)}"
            for output, counts in zip(task.outputs, counted, strict=True)
        ]
    what = "labels" if task.kind == "multilabel" else "classes"
    return [f"{what:9s} {len(task.classes)}: {_list(task.classes, count_targets(task, targets))}"]


def count_targets(task: Task, targets: Targets) -> np.ndarray:
    """(columns,) how many rows have each class or label; of several outputs side by side."""
    if task.kind == "multioutput":
        pairs = zip(task.outputs, targets.T, strict=True)
        return np.concatenate([np.bincount(column, minlength=len(output.classes)) for output, column in pairs])
    if task.kind == "multilabel":
        return np.asarray(targets.sum(axis=0), dtype=np.int64)
    return np.bincount(positions(targets), minlength=len(task.classes))


def tabulate_folds(samples: Samples, folds: Sequence[Fold]) -> list[str]:
    """A table of the classes or labels: how many samples there are, and how many each fold validates; of numbers their quantiles."""
    assert samples.targets is not None
    task, targets = samples.task, samples.targets
    parts = {"samples": targets} | {f"fold {fold.number}": targets[fold.valid_rows] for fold in folds[:FOLDS_SHOWN]}
    if task.kind == "regression":
        rows = pd.MultiIndex.from_product([task.columns, QUANTILES]).map(" ".join)
        values = {name: np.quantile(part, list(QUANTILES.values()), axis=0).T.ravel() for name, part in parts.items() if len(part)}
        return pd.DataFrame(values, index=rows).to_string(float_format="%.4g").splitlines()
    names = task.classes if task.kind == "ordinal" else task.columns
    table = pd.DataFrame({name: count_targets(task, part) for name, part in parts.items()}, index=pd.Index(names))
    total = pd.DataFrame({name: [len(part)] for name, part in parts.items()}, index=["all"])
    lines = pd.concat([table, total]).to_string().splitlines()  # not table.loc["all"]: a class may be called that
    if len(names) > CLASSES_SHOWN:
        half = CLASSES_SHOWN // 2
        lines = [*lines[: half + 1], f"... {len(names) - 2 * half} more", *lines[-half - 1 :]]
    return lines


def _list(names: Sequence[str], counts: np.ndarray) -> str:
    more = " ..." if len(names) > TOLD else ""
    return ", ".join(f"{name} {count}" for name, count in list(zip(names, counts, strict=True))[:TOLD]) + more
