"""`look.py report`, and the end of train.py: a run's report.html."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modules.compute.process import Process, start_process
from modules.compute.storage import write_text
from modules.config.command_line import Command
from modules.config.errors import DataError, UserError
from modules.data.draws import BatchSampler
from modules.data.loaders import Batch, Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Normalizer
from modules.data.samples import Rows, Samples
from modules.data.task import positions
from modules.jobs.out_of_fold import OutOfFold, find_training_rows, read_own_rows
from modules.jobs.trained import TrainedRun, open_one, restore_member
from modules.models.evidence import find_evidence
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.diagnosis import surest_mistakes, told_columns
from modules.prediction.evidence import score_of
from modules.prediction.fitting import Fitted
from modules.prediction.logits import task_objective
from modules.prediction.predictions import Predictions, check_predictions, read_own, tell
from modules.prediction.suspects import looks_wrong
from modules.reporting.facts import Facts, Picture
from modules.reporting.report import render_report
from modules.reporting.sinks import Several
from modules.runs.directory import RunDirectory, find_run, latest_run
from modules.runs.records import read_histories
from modules.training.plan import Plan

AT_ONCE = 4  # images whose evidence is looked for
SHOWN = 12  # pictures of mistakes, and of labels to look at again


def report(command: Command) -> list[str]:
    """Makes the report of each run that the command names, or of the latest one; returns what to print."""
    settings = command.config.settings
    names = command.runs or ("latest",)
    found = [latest_run(settings.log_path, settings.debug) if name == "latest" else find_run(settings.log_path, name) for name in names]
    return [f"report: {write_report(run)}" for run in found]


def write_report(directory: RunDirectory) -> Path:
    """Writes report.html. Raises UserError where the run is not finished, or damaged."""
    write_text(directory.report, render_report(_gather(open_one(directory))))
    return directory.report


def conclude(plan: Plan, directory: RunDirectory, sinks: Several) -> list[str]:
    """The report of a run that has just come to its end, as [logging] plots has it, and what monitors show of it. What to print.

    The run is finished and kept: what stands in the way of its report is told, and stops nothing that comes after.
    """
    plots = plan.config.logging.plots
    if not plan.process.ranks.is_main or not (plots or sinks.monitors):
        return []
    try:
        facts = _gather(open_one(directory))
    except (UserError, OSError) as error:
        return [f"warning: there is no report: {' '.join(str(error).split())}"]
    lines = []
    try:
        if plots:
            write_text(directory.report, render_report(facts))
            lines = [f"report: {directory.report}"]
    except OSError as error:
        lines = [f"warning: the report is not written: {' '.join(str(error).split())}"]
    sinks.end_run(facts)
    return lines


def _gather(run: TrainedRun) -> Facts:
    result, directory, task = run.result, run.directory, run.task
    own = read_own_rows(run) if result["oof"] is not None else _nothing(run)
    check_predictions(own.predictions, str(directory.oof))
    if strange := set(own.folds.tolist()) - set(result["fold_numbers"]):
        raise DataError(f"{directory.oof}: damaged: the run has no fold {min(strange)}")
    decision = _decision(run)
    suspects = _suspects(directory.suspects)
    mistakes, suspicious, remarks = _pictures(run, own, decision, suspects)
    return Facts(
        name=run.name,
        config=run.config,
        result=result,
        environment=directory.read_environment(),
        histories=read_histories(directory, result),
        task=task,
        metric=run.metric.name,
        greater_is_better=run.metric.greater_is_better,
        decision=decision,
        targets=own.targets,
        values=own.predictions.values,
        folds=own.folds,
        suspects=suspects,
        copies=_rows(directory.duplicates),
        mistakes=mistakes,
        suspicious=suspicious,
        remarks=remarks,
    )


def _nothing(run: TrainedRun) -> OutOfFold:
    """Of a run that validated nothing."""
    empty = Predictions(np.zeros(0, dtype=np.str_), run.task, np.zeros((0, len(run.task.columns)), dtype=np.float32))
    return OutOfFold(empty, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), run.result["tta"])


def _decision(run: TrainedRun) -> Decision:
    content = run.result.get("decision")
    return PLAIN if content is None else Fitted.from_dict(content).decision


def _rows(path: Path) -> list[dict[str, str]]:
    """Of a table of the run; none where it is not there."""
    if not path.is_file():
        return []
    return [{str(name): str(cell) for name, cell in row.items()} for row in read_own(path).to_dict("records")]


def _suspects(path: Path) -> list[dict[str, str]]:
    rows = _rows(path)
    try:
        for row in rows:
            looks_wrong(row), row["id"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}") from None
    return rows


def _pictures(
    run: TrainedRun, own: OutOfFold, decision: Decision, suspects: Sequence[Mapping[str, str]]
) -> tuple[list[Picture], list[Picture], list[str]]:
    """Of the surest mistakes and of other suspects, and why there are none where there are none."""
    places = surest_mistakes(run.task, own.targets, own.predictions.values, decision, SHOWN) if len(own.folds) else np.zeros(0, np.int64)
    place_of = {name: place for place, name in enumerate(own.predictions.ids.tolist())}
    besides = [place for row in suspects if (place := place_of.get(row["id"])) is not None and place not in places]
    suspected = np.array(besides[:SHOWN], dtype=np.int64)
    try:
        samples, rows = find_training_rows(run, own)
        process, _ = start_process(run.config.settings, run.config.compute)
        pictures = _Pictures(run, own, decision, samples, rows, process)
        return pictures.of(places), pictures.of(suspected), sorted(pictures.remarks)
    except (UserError, OSError) as error:
        return [], [], [f"There are no pictures: {str(error).splitlines()[0]}"]


class _Pictures:
    """Images as the model of the fold that validated them saw them, and where it found what it said."""

    def __init__(self, run: TrainedRun, own: OutOfFold, decision: Decision, samples: Samples, rows: Rows, process: Process) -> None:
        self.run, self.own, self.decision, self.samples, self.rows, self.process = run, own, decision, samples, rows, process
        self.remarks: set[str] = set()

    def of(self, places: Rows) -> list[Picture]:
        """places: of the out-of-fold rows."""
        found: dict[int, Picture] = {}
        for run, checkpoint in self.run.members:
            mine = places[self.own.folds[places] == checkpoint["fold"]]
            if len(mine):
                module = restore_member(run, checkpoint, self.process)
                found.update(zip(mine.tolist(), self._seen_by(module, mine), strict=True))
        return [found[place] for place in places.tolist()]

    def _seen_by(self, module: torch.nn.Module, places: Rows) -> Iterator[Picture]:
        """A few at a time: gradients of every layer take more memory than training in half precision did."""
        cache = PixelCache(None, self.samples.images, self.run.preprocessing)
        workers = image_workers(self.samples, cache, None, self.process)
        batches = Loader(workers, BatchSampler(self.rows[places], AT_ONCE), "valid", (self.run.config.settings.seed, "valid"))
        for number, batch in enumerate(batches.epoch(0)):
            yield from self._explained(module, batch, places[number * AT_ONCE : (number + 1) * AT_ONCE])

    def _explained(self, module: torch.nn.Module, batch: Batch, places: Rows) -> Iterator[Picture]:
        run = self.run
        images = Normalizer(run.preprocessing, self.process.device, False)(batch.images)
        columns, signs = self._asked(places)
        objective = task_objective(run.task, run.config.model, run.config.hyper_params)
        score = score_of(run.task, objective, torch.from_numpy(columns).to(images.device), torch.from_numpy(signs).to(images.device))
        try:
            evidence = find_evidence(module, images, score, batch.metadata)
        except Exception as error:  # a model of one's own that takes no gradients, or too little memory for them: pictures tell enough
            self.remarks.add(
                f"Where the models found what they say cannot be shown: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]}"
            )
            evidence = None
        for number, place in enumerate(places.tolist()):
            where = None if evidence is None else evidence[number].cpu().numpy()
            yield Picture(str(self.own.predictions.ids[place]), batch.images[number].numpy(), where, self._captions(place))

    def _asked(self, places: Rows) -> tuple[Rows, NDArray[np.float64]]:
        return told_columns(self.run.task, self.own.targets[places], self.own.predictions.values[places].astype(np.float64), self.decision)

    def _captions(self, place: int) -> tuple[str, ...]:
        task, predictions = self.run.task, self.own.predictions
        values = predictions.values[[place]]
        is_, told = (
            "; ".join(cells[0] for cells in tell("", task, targets, decision).values())
            for targets, decision in ((self.own.targets[[place]], PLAIN), (self.decision.decide(task, values), self.decision))
        )
        own, sure = "", ""
        if task.kind in ("multiclass", "binary"):
            (column,), _ = self._asked(np.array([place]))
            own, sure = (f" ({values[0, each]:.0%})" for each in (positions(self.own.targets)[place], column))
        return str(predictions.ids[place]), f"is {is_ or 'nothing'}{own}", f"told {told or 'nothing'}{sure}", *self._looked_for(place)

    def _looked_for(self, place: int) -> Iterator[str]:
        """Of several columns, the one whose evidence is shown."""
        task = self.run.task
        if task.kind == "multilabel" or (task.kind in ("multioutput", "regression") and len(task.outputs) > 1):
            (column,), (sign,) = self._asked(np.array([place]))
            yield f"shown: what speaks {'for' if sign > 0 else 'against'} {task.columns[int(column)]}"
