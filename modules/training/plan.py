"""A Plan: what a run is about to do, with nothing left to choose."""

from __future__ import annotations

from dataclasses import dataclass

from modules.compute.process import Process
from modules.config.schema import Config
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Rows, Samples
from modules.data.splits import Fold
from modules.training.warm_start import WarmStart


@dataclass(frozen=True)
class Plan:
    """What train_fold is given.

    fold_numbers: (N,) the fold that validates each sample. folds: those that are trained, shortened in debug mode.
    pretrained: true, false, a file, or an earlier run. run_id: in every checkpoint, so that those of other runs are told apart.
    """

    config: Config
    process: Process
    samples: Samples
    fold_numbers: Rows
    folds: tuple[Fold, ...]
    preprocessing: Preprocessing
    pretrained: bool | str | WarmStart
    run_id: str

    @property
    def epochs(self) -> int:
        return self.config.hyper_params.epochs
