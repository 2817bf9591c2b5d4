"""The out-of-fold predictions of a contest's runs beside each other: how alike they are, and which two are worth blending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from modules.config.errors import UserError
from modules.jobs.out_of_fold import OutOfFold, read_own_rows
from modules.jobs.own_code import load_own_code
from modules.jobs.shared_rows import one_row_an_id
from modules.jobs.trained import TrainedRun
from modules.prediction.likeness import measure_pairs
from modules.prediction.predictions import Predictions, check_predictions
from modules.prediction.weighting import correlate
from modules.reporting.comparison import Likeness

COMPARED = 20  # runs, the best: no screen holds the matrix of more
READ = 120e6  # bytes of oof.csv, of all of them: reading more takes more than half a minute; two runs are compared however large
PAIRED = 10  # of these, each with each other: 45 blends are scored


def compare_predictions(runs: Sequence[TrainedRun]) -> tuple[Likeness | None, list[str]]:
    """Of the best of `runs`, which are of one task and metric, the best first; and a line for each that is left out, with the cause.

    The rows are those that most of the runs have. None where fewer than two have the same.
    """
    few = _as_many_as_are_read(runs)
    remarks = [f"The {len(few)} best of {len(runs)} runs are compared."] if len(few) < len(runs) else []
    read: list[tuple[TrainedRun, OutOfFold]] = []
    for run in few:
        try:
            read.append((run, _read(run)))
        except (UserError, OSError, ValueError) as error:
            remarks.append(f"{run.name} is left out: {str(error).splitlines()[0]}")
    shared = _of_the_same_rows(read, remarks)
    if len(shared) < 2:
        return None, remarks
    try:
        return _measure(*zip(*shared, strict=True)), remarks
    except UserError as error:
        return None, [*remarks, f"Their predictions cannot be compared: {str(error).splitlines()[0]}"]


def _as_many_as_are_read(runs: Sequence[TrainedRun]) -> Sequence[TrainedRun]:
    sizes = [run.directory.oof.stat().st_size if run.directory.oof.is_file() else 0 for run in runs[:COMPARED]]
    return runs[: max(2, sum(total <= READ for total in accumulate(sizes)))]


def _read(run: TrainedRun) -> OutOfFold:
    """One row a sample, by id. Raises UserError."""
    found = one_row_an_id(read_own_rows(run))
    order = np.argsort(found.predictions.ids, kind="stable")
    predictions = Predictions(found.predictions.ids[order], run.task, found.predictions.values[order])
    check_predictions(predictions, str(run.directory.oof))
    return OutOfFold(predictions, found.targets[order], found.folds[order], found.tta)


def _of_the_same_rows(read: Sequence[tuple[TrainedRun, OutOfFold]], remarks: list[str]) -> list[tuple[TrainedRun, OutOfFold]]:
    """Those with the rows and labels that most of them have; what is said of the others goes to `remarks`."""
    if not read:
        return []
    keys = [(found.predictions.ids.tobytes(), found.targets.tobytes()) for _, found in read]
    (ids, labels), _ = Counter(keys).most_common(1)[0]
    count = next(len(found.folds) for (_, found), key in zip(read, keys, strict=True) if key == (ids, labels))
    for (run, found), key in zip(read, keys, strict=True):
        if key[0] != ids:
            remarks.append(f"{run.name} is left out: it predicted other rows ({len(found.folds):,}) than most runs have ({count:,}).")
        elif key[1] != labels:
            remarks.append(f"{run.name} is left out: the same rows had other labels when it was trained.")
    return [each for each, key in zip(read, keys, strict=True) if key == (ids, labels)]


def _measure(runs: Sequence[TrainedRun], found: Sequence[OutOfFold]) -> Likeness:
    load_own_code(runs[0].config, runs[0].directory)  # the metric may be of one's own
    task, metric, targets = runs[0].task, runs[0].metric, found[0].targets
    members = np.stack([each.predictions.values for each in found])
    correlations = correlate(members)
    scores = tuple(metric.measure(task, targets, each) for each in members)
    pairs = measure_pairs(members[:PAIRED], correlations, scores, task, targets, metric)
    apart = frozenset(place for place, each in enumerate(found) if not np.array_equal(each.folds, found[0].folds))
    return Likeness(tuple(run.name for run in runs), correlations, scores, len(targets), tuple(pairs), min(PAIRED, len(runs)), apart)
