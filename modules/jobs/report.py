"""`look.py report`, and the end of train.py: a run's report.html."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from modules.compute.process import Process, start_process
from modules.compute.storage import write_text
from modules.config.command_line import Command
from modules.config.errors import UserError
from modules.data.draws import BatchSampler
from modules.data.loaders import Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Normalizer
from modules.data.samples import Rows, Samples
from modules.data.task import VALUED, positions
from modules.jobs.out_of_fold import OutOfFold, find_training_rows, read_own_rows
from modules.jobs.trained import TrainedRun, open_one, restore_member
from modules.models.evidence import find_evidence
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.diagnosis import surest_mistakes
from modules.prediction.evidence import score_of
from modules.prediction.fitting import Fitted
from modules.prediction.logits import task_objective
from modules.prediction.predictions import Predictions, read_own, tell
from modules.reporting.facts import Facts, Picture
from modules.reporting.report import render_report
from modules.reporting.sinks import Several
from modules.runs.directory import RunDirectory, find_run, latest_run
from modules.runs.records import read_histories
from modules.training.plan import Plan

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
        if plots:
            write_text(directory.report, render_report(facts))
        sinks.end_run(facts)
    except (UserError, OSError) as error:
        return [f"warning: the report is not written: {str(error).splitlines()[0]}"]
    return [f"report: {directory.report}"] if plots else []


def _gather(run: TrainedRun) -> Facts:
    result, directory, task = run.result, run.directory, run.task
    own = read_own_rows(run) if result["oof"] is not None else _nothing(run)
    decision = _decision(run)
    suspects = _rows(directory.suspects)
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
        takes=run.metric.takes,
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
        return pictures.of(places), pictures.of(suspected), []
    except (UserError, OSError) as error:
        return [], [], [f"There are no pictures: {str(error).splitlines()[0]}"]


class _Pictures:
    """Images as the model of the fold that validated them saw them, and where it found what it said."""

    def __init__(self, run: TrainedRun, own: OutOfFold, decision: Decision, samples: Samples, rows: Rows, process: Process) -> None:
        self.run, self.own, self.decision, self.samples, self.rows, self.process = run, own, decision, samples, rows, process

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
        run = self.run
        cache = PixelCache(None, self.samples.images, run.preprocessing)
        workers = image_workers(self.samples, cache, None, self.process)
        batches = Loader(workers, BatchSampler(self.rows[places], len(places)), "valid", (run.config.settings.seed, "valid"))
        (batch,) = batches.epoch(0)
        images = Normalizer(run.preprocessing, self.process.device, False)(batch.images)
        columns, signs = self._asked(places)
        objective = task_objective(run.task, run.config.model, run.config.hyper_params)
        score = score_of(run.task, objective, columns.to(images.device), signs.to(images.device))
        evidence = find_evidence(module, images, score, batch.metadata)
        for number, place in enumerate(places.tolist()):
            where = None if evidence is None else evidence[number].cpu().numpy()
            yield Picture(str(self.own.predictions.ids[place]), batch.images[number].numpy(), where, self._captions(place))

    def _asked(self, places: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """The column of each that it is wrong about most, and whether it is too high there."""
        task, values = self.run.task, self.own.predictions.values[places].astype(np.float64)
        truth = self.own.targets[places]
        if task.kind in VALUED:
            off = values - (positions(truth)[:, None] if task.kind == "ordinal" else truth)
        elif task.kind == "multilabel":
            off = values - truth
        else:  # the class that was told
            columns = values.argmax(axis=1)
            return torch.from_numpy(columns), torch.ones(len(columns), dtype=torch.float64)
        columns = np.abs(off).argmax(axis=1)
        return torch.from_numpy(columns), torch.from_numpy(np.where(off[np.arange(len(off)), columns] < 0, -1.0, 1.0))

    def _captions(self, place: int) -> tuple[str, ...]:
        task, predictions = self.run.task, self.own.predictions
        values = predictions.values[[place]]
        is_, told = (
            "; ".join(cells[0] for cells in tell("", task, targets, decision).values())
            for targets, decision in ((self.own.targets[[place]], PLAIN), (self.decision.decide(task, values), self.decision))
        )
        own, sure = "", ""
        if task.kind in ("multiclass", "binary"):
            own, sure = f" ({values[0, positions(self.own.targets)[place]]:.0%})", f" ({values.max():.0%})"
        return str(predictions.ids[place]), f"is {is_ or 'nothing'}{own}", f"told {told or 'nothing'}{sure}", *self._looked_for(place)

    def _looked_for(self, place: int) -> Iterator[str]:
        """Of several columns, the one whose evidence is shown."""
        task = self.run.task
        if task.kind == "multilabel" or (task.kind in ("multioutput", "regression") and len(task.outputs) > 1):
            (column,), (sign,) = self._asked(np.array([place]))
            yield f"shown: what speaks {'for' if sign > 0 else 'against'} {task.columns[int(column)]}"
