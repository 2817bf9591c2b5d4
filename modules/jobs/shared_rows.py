"""The rows that several runs have out of fold, matched by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.config.errors import DataError, OptionError, shorten
from modules.config.schema import Config
from modules.data.samples import Rows
from modules.data.task import Targets
from modules.jobs.out_of_fold import OutOfFold
from modules.jobs.remarks import say
from modules.jobs.trained import TrainedRun
from modules.prediction.predictions import Predictions


@dataclass(frozen=True)
class SharedRows:
    """members: (runs, N, columns). targets: of the N rows. folds: (N,) the fold that validated each, the same in all runs,
    unless other folds are allowed. coverage: the share of the training samples.
    """

    members: NDArray[np.float32]
    targets: Targets
    folds: Rows
    coverage: float


def shared_rows(config: Config, runs: Sequence[TrainedRun], known: Sequence[OutOfFold | None]) -> SharedRows | None:
    """Matched by id; what a run predicted several times (split.repeats) has the mean. None, which is said, where there are none.

    Raises DataError where the same id has other labels, OptionError where it was in another fold, unless that is allowed.
    """
    found = [each for each in known if each is not None]
    if len(found) < len(known):
        without = [run.name for run, each in zip(runs, known, strict=True) if each is None]
        say(f"the blend's CV score is not known: {shorten(without)} was trained without validation")
        return None
    single = [one_row_an_id(each) for each in found]
    rows_of = [{str(name): row for row, name in enumerate(each.predictions.ids)} for each in single]
    ids = [name for name in rows_of[0] if all(name in rows for rows in rows_of)]
    if not ids:
        say("the blend's CV score is not known: no sample is out of fold in all of the runs")
        return None
    rows = [np.array([each[name] for name in ids]) for each in rows_of]
    targets = [each.targets[places] for each, places in zip(single, rows, strict=True)]
    for run, other in zip(runs, targets, strict=True):
        if not np.array_equal(other, targets[0]):
            raise DataError(f"{runs[0].name} and {run.name} cannot be blended: the same ids have other labels")
    folds = [each.folds[places] for each, places in zip(single, rows, strict=True)]
    for run, other in zip(runs, folds, strict=True):
        _check_folds(config, runs[0], run, int((other != folds[0]).sum()), len(ids))
    members = np.stack([each.predictions.values[places] for each, places in zip(single, rows, strict=True)])
    samples = len(single[0].predictions.ids) / runs[0].result["coverage"]
    return SharedRows(members, targets[0], folds[0], len(ids) / samples)


def _check_folds(config: Config, first: TrainedRun, other: TrainedRun, elsewhere: int, of: int) -> None:
    """Raises OptionError: weights that are fitted on some folds may not be scored on rows that a run learnt from."""
    if not elsewhere:
        return
    fault = f"{first.name} and {other.name} were divided otherwise: {elsewhere} of {of} shared samples were in another fold"
    if config.inference.weights == "oof":
        raise OptionError("inference", "weights", f"{fault}; oof needs runs with the seed and the [split] of each other, or use uniform")
    if config.inference.other_folds == "refuse":
        raise OptionError("inference", "run", f"{fault}; train with the same seed and [split], or set inference.other_folds=allow")


def one_row_an_id(found: OutOfFold) -> OutOfFold:
    """What was predicted several times (split.repeats) has the mean, the fold of the first time, and is in the order of the ids."""
    ids, first, inverse, counts = np.unique(found.predictions.ids, return_index=True, return_inverse=True, return_counts=True)
    if len(ids) == len(found.predictions.ids):
        return found
    total = np.zeros((len(ids), len(found.predictions.task.columns)))
    np.add.at(total, inverse, found.predictions.values.astype(np.float64))
    means = np.asarray(total / counts[:, None], dtype=np.float32)
    return OutOfFold(Predictions(ids, found.predictions.task, means), found.targets[first], found.folds[first], found.tta)
