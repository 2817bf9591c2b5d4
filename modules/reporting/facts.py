"""All that a report tells of a run, gathered before a line of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.config.schema import Config
from modules.data.pixels import Pixels
from modules.data.task import Targets, Task
from modules.prediction.decisions import Decision
from modules.prediction.diagnosis import Facet, facets
from modules.prediction.predictions import Values
from modules.runs.records import EpochRecord


@dataclass(frozen=True)
class Picture:
    """An image as the model saw it, (height, width, channels) uint8, and where in it what it said was found, (height, width) 0..1."""

    id: str
    pixels: Pixels
    evidence: NDArray[np.float32] | None
    captions: tuple[str, ...]

    @property
    def colours(self) -> Pixels:
        """(height, width, 3)"""
        return np.repeat(self.pixels, 3, axis=-1) if self.pixels.shape[-1] == 1 else self.pixels[..., :3]


@dataclass(frozen=True)
class Facts:
    """Of a finished run. result, environment: its files. histories: by the fold's number. trained: rows that each fold learnt from.

    ids, targets, values, folds: of the N out-of-fold rows, a row once a fold that validated it. suspects, copies: what the
    tables of the run say, a row each. mistakes, suspicious: pictures, the worst first. remarks: what the report lacks, and why.
    """

    name: str
    config: Config
    result: Mapping[str, Any]
    environment: Mapping[str, Any]
    histories: Mapping[int, Sequence[EpochRecord]]
    task: Task
    metric: str
    greater_is_better: bool
    decision: Decision
    targets: Targets
    values: Values
    folds: NDArray[np.int64]
    suspects: Sequence[Mapping[str, str]] = ()
    copies: Sequence[Mapping[str, str]] = ()
    mistakes: Sequence[Picture] = ()
    suspicious: Sequence[Picture] = ()
    remarks: Sequence[str] = field(default_factory=tuple)

    @property
    def facets(self) -> list[Facet]:
        """None where nothing was validated."""
        return facets(self.task, self.targets, self.values, self.decision) if len(self.values) else []

    @property
    def best_epochs(self) -> dict[int, int]:
        return dict(zip(self.result["fold_numbers"], self.result["best_epochs"], strict=True))

    @property
    def scores(self) -> dict[int, float]:
        """Of the folds that validated something."""
        pairs = zip(self.result["fold_numbers"], self.result["folds"], strict=True)
        return {number: score for number, score in pairs if score is not None}

    def best_record(self, fold: int) -> EpochRecord | None:
        """Of the fold's best epoch; None where its history is not there."""
        return next((each for each in self.histories.get(fold, ()) if each.epoch == self.best_epochs[fold]), None)
