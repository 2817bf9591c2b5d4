"""Beginning where an earlier run ended, fold by fold: only on the same folds, or what was trained on would be validated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modules.config.errors import DataError, OptionError, counted, shorten
from modules.config.own_code import own_code
from modules.config.reader import read_config
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.splits import Fold
from modules.data.tables import column, read_table
from modules.data.task import Task, same_question
from modules.models.weights import Trained
from modules.prediction.logits import network_outputs
from modules.runs.checkpoint import load_best
from modules.runs.directory import RunDirectory, seek_run, tell_runs


@dataclass(frozen=True)
class WarmStart:
    """A finished run, its result, what its images went through, and the numbers that its network gives; None: not known."""

    run: RunDirectory
    result: dict[str, Any]
    preprocessing: Preprocessing
    outputs: int | None

    @property
    def run_id(self) -> str:
        return str(self.result["run_id"])

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(self.result["fold_numbers"])

    @property
    def task(self) -> Task:
        return Task.from_dict(self.result["task"])

    def __str__(self) -> str:
        return f"{self.run.path}, fold by fold"

    def weights(self, fold: int, task: Task | None, outputs: int | None = None) -> Trained:
        """The best checkpoint of that fold; its head is kept where the task is the same, with its classes in their order and its inputs.

        outputs: the numbers that the network is to give, which are not those of the run where the loss, or the head, is another.
        """
        same = task is not None and same_question(task, self.task) and task.inputs == self.task.inputs
        return Trained(self.run.fold(fold).best, same and (None in (outputs, self.outputs) or outputs == self.outputs))

    def check_folds(self, samples: Samples, folds: Iterable[Fold]) -> None:
        """Raises OptionError where a fold is missing in the earlier run, or validates other samples there than here.

        Raises DataError where a fold's checkpoint is damaged or not its own.
        """
        folds = tuple(folds)
        missing = [fold.number for fold in folds if fold.number not in self.folds]
        if missing:
            fault = f"{self.run.path} has folds {shorten(self.folds)}, and not {shorten(missing)}"
            raise OptionError("model", "pretrained", f"{fault}; it needs the same folds")
        validated = _validated(self.run)
        for fold in folds:
            here, there = set(samples.ids[fold.valid_rows].tolist()), validated.get(fold.number, set())
            if here and here != there:
                raise OptionError("model", "pretrained", self._difference(fold.number, here, there))
            if fold.number != self.folds[0]:  # that one was looked at when the run was opened
                load_best(self.run, self.result, fold.number)

    def _difference(self, number: int, here: set[str], there: set[str]) -> str:
        counts = f"of the {counted(len(here), 'sample')} that fold {number} validates, {self.run.path} validated {len(here & there)} there"
        leaked = sorted(here - there)
        if leaked:
            counts = f"{counts}; {len(leaked)} that its model may have learnt from would be validated: {shorten(leaked)}"
        return f"{counts}; use the table, the [split] and the seed of that run"


def open_warm_start(log_path: str, name: str) -> WarmStart:
    """The run that [model] pretrained names, by its folder or its name in `log_path`.

    Raises OptionError where there is none, DataError where it is not finished, or one of its folds' checkpoints is not
    there or not its own.
    """
    run = seek_run(log_path, name)
    if run is None:
        fault = f"{name}: no such file and no such run ({tell_runs(log_path)}); expected auto, true, false, a file of weights or a run"
        raise OptionError("model", "pretrained", fault)
    result = run.read_result()
    for number in result["fold_numbers"]:
        best = run.fold(number).best
        if not best.is_file():
            raise DataError(f"{best}: missing; the run has folds {shorten(result['fold_numbers'])}")
    first = load_best(run, result, result["fold_numbers"][0])
    return WarmStart(run, result, Preprocessing.from_dict(first["preprocessing"]), _outputs(run, Task.from_dict(result["task"])))


def _outputs(run: RunDirectory, task: Task) -> int | None:
    """None for a loss of one's own, whose code may be gone."""
    own, _ = read_config([run.config])
    return network_outputs(task, own.model, own.hyper_params) if own_code(str(own.hyper_params.loss)) is None else None


def _validated(run: RunDirectory) -> dict[int, set[str]]:
    """The ids that each fold of the run validates. A row of folds.csv is a sample and a fold; -1 is no fold."""
    table = read_table(run.folds, "model", "pretrained")
    found: dict[int, set[str]] = {}
    for name, number in zip(column(table, "id", run.folds, "id_column"), column(table, "fold", run.folds, "id_column"), strict=True):
        found.setdefault(int(number), set()).add(name)
    return found
