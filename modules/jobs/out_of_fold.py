"""The out-of-fold predictions of a finished run, under the TTA that inference uses: those it has, or made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import loads
from pathlib import Path
from typing import Any

import numpy as np

from modules.compute.process import Process
from modules.compute.storage import write_json, write_text
from modules.config.errors import DataError, UserError, counted
from modules.config.schema import Config
from modules.data.samples import Rows, Samples
from modules.data.sources import contest_folder, load_train
from modules.data.tables import column
from modules.data.task import Targets, same_question
from modules.jobs.passes import predict_members
from modules.jobs.remarks import say
from modules.jobs.trained import TrainedRun
from modules.prediction.predictions import PROBABILITY, Predictions, check_predictions, load_predictions, load_targets, read_own, to_csv
from modules.runs.directory import RunDirectory


@dataclass(frozen=True)
class OutOfFold:
    """predictions: of N training rows, by models that were not trained on them. targets: theirs. folds: (N,) the fold that
    validated each. tta: the views.
    """

    predictions: Predictions
    targets: Targets
    folds: Rows
    tta: str


def out_of_fold(config: Config, run: TrainedRun, process: Process, quiet: bool) -> OutOfFold | None:
    """The run's out-of-fold predictions, under [inference] tta where that can be had; None for a run without validation.

    Where the run's own TTA is another, its rows are predicted again, each by the model that validated it, and kept in
    the run's folder. Where the training images cannot be found again, that is said, and the run's own are returned.
    """
    if run.result["oof"] is None:
        return None
    tta, own = config.inference.tta, read_own_rows(run)
    if tta == own.tta:
        return own
    kept = _kept(run, tta)
    try:
        again = kept or _predict_again(config, run, own, process, quiet)
    except (UserError, OSError) as error:
        reason = str(error).splitlines()[0]
        say(f"{run.name}: its CV score is that with tta {own.tta}; with {tta} it cannot be measured here: {reason}")
        return own
    if kept is None:
        _keep(run.directory, run.result, tta, again)
    return OutOfFold(again, own.targets, own.folds, tta)


def read_own_rows(run: TrainedRun) -> OutOfFold:
    """oof.csv, under the run's own TTA. Raises DataError where it is damaged."""
    return OutOfFold(_load(run, run.directory.oof), load_targets(run.directory.oof, run.task), _folds(run), run.result["tta"])


def find_training_rows(run: TrainedRun, own: OutOfFold) -> tuple[Samples, Rows]:
    """The run's training samples, read again, and the row (N,) of each of its out-of-fold predictions.

    Raises UserError or OSError where they are gone, or are not what the run learnt from.
    """
    samples = load_train(run.config.data, contest_folder(run.config.data, run.config.settings.data_path))
    row_of = {str(name): row for row, name in enumerate(samples.ids)}
    ids = own.predictions.ids.tolist()
    _check_same(samples, row_of, ids, own.targets, run)
    return samples, np.array([row_of[name] for name in ids], dtype=np.int64)


def _load(run: TrainedRun, path: Path) -> Predictions:
    return load_predictions(path, run.task)


def _predict_again(config: Config, run: TrainedRun, own: OutOfFold, process: Process, quiet: bool) -> Predictions:
    """In the order of `own`: each row by the model of the fold that it names there. Raises UserError, OSError."""
    samples, rows = find_training_rows(run, own)
    values = np.full_like(own.predictions.values, np.nan)
    for member in run.members:
        places = np.flatnonzero(own.folds == member[1]["fold"])
        values[places] = predict_members(config, [member], samples, rows[places], process, quiet)[0]
    again = Predictions(own.predictions.ids, own.predictions.task, values)
    check_predictions(again, f"{run.directory.oof}, predicted again")
    return again


def _folds(run: TrainedRun) -> Rows:
    """(N,) the fold that predicted each row of oof.csv."""
    table = read_own(run.directory.oof)
    try:
        return np.array([int(number) for number in column(table, "fold", run.directory.oof, "id_column")], dtype=np.int64)
    except ValueError:
        raise DataError(f"{run.directory.oof}: damaged: folds that are no numbers") from None


def _check_same(samples: Samples, row_of: dict[str, int], ids: Sequence[Any], targets: Targets, run: TrainedRun) -> None:
    """Raises DataError where the training table is not the one that the run was trained with."""
    assert samples.targets is not None
    missing = sum(str(name) not in row_of for name in ids)
    if missing or not same_question(samples.task, run.task):
        raise DataError(
            f"the training table has changed since ({counted(missing, 'id is', 'ids are')} gone)"
            if missing
            else "its classes have changed since"
        )
    if samples.task.inputs != run.task.inputs:
        raise DataError("its metadata columns have changed since")
    if not np.array_equal(samples.targets[[row_of[str(name)] for name in ids]], targets):
        raise DataError("labels in the training table have changed since")


def _identity(result: dict[str, Any], tta: str, text: str) -> dict[str, Any]:
    """Whose predictions these are: a run that went on to more epochs has another `ended`."""
    return {"run_id": result["run_id"], "ended": result["ended"], "tta": tta, "sha256": sha256(text.encode()).hexdigest()}


def _kept(run: TrainedRun, tta: str) -> Predictions | None:
    """What an earlier inference kept, if it is of this run as it is now."""
    path = run.directory.oof_with(tta)
    try:
        identity = loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if identity != _identity(run.result, tta, path.read_text(encoding="utf-8")):
            return None
        return _load(run, path)
    except (OSError, ValueError, DataError):
        return None


def _keep(directory: RunDirectory, result: dict[str, Any], tta: str, predictions: Predictions) -> None:
    """Writes oof.TTA.csv with the columns of oof.csv, and whose it is beside it; a folder that cannot be written to is left."""
    own = read_own(directory.oof)
    values = predictions.to_frame()
    replaced = [name for name in own.columns if name == "prediction" or str(name).startswith(PROBABILITY)]
    text = to_csv(own.assign(**{name: values[name] for name in replaced}))
    path = directory.oof_with(tta)
    try:
        with directory.lock():
            write_text(path, text)
            write_json(path.with_suffix(".json"), _identity(result, tta, text))
    except (OSError, DataError) as error:
        say(f"{path.name} is not kept: {error}")
