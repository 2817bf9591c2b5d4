"""A Plan: what a run is about to do, with nothing left to choose."""

from __future__ import annotations

from dataclasses import dataclass

from modules.compute.process import Process
from modules.config.schema import Config
from modules.data.loaders import Workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.splits import Fold
from modules.prediction.decisions import Decision
from modules.prediction.features import FeatureCache
from modules.prediction.metrics import Metric, find_metric
from modules.training.phases import TrainingPhase
from modules.training.warm_start import WarmStart


@dataclass(frozen=True)
class Plan:
    """What train_fold is given.

    all_folds: as the samples were divided. folds: those that are trained, shortened in debug mode.
    pretrained: true, false, a file, or an earlier run. run_id: in every checkpoint, so that those of other runs are told apart.
    pixels: where decoded images are kept. workers: who makes batches of them, for all folds. phases: what trains when.
    features: where those that phases learn from are kept.
    """

    config: Config
    process: Process
    samples: Samples
    all_folds: tuple[Fold, ...]
    folds: tuple[Fold, ...]
    preprocessing: Preprocessing
    pretrained: bool | str | WarmStart
    run_id: str
    pixels: PixelCache
    workers: Workers
    phases: tuple[TrainingPhase, ...]
    features: FeatureCache

    def phase_of(self, epoch: int) -> TrainingPhase:
        """Epochs count from 1."""
        return next(phase for phase in self.phases if epoch <= phase.last_epoch)

    @property
    def metric(self) -> Metric:
        return find_metric(self.config.hyper_params, self.samples.task.kind)

    @property
    def plainly(self) -> Decision:
        """How predictions become labels before anything is fitted."""
        return Decision(empty_labels=self.config.inference.empty_labels)

    @property
    def epochs(self) -> int:
        """Of all phases, if patience does not end them sooner."""
        return self.phases[-1].last_epoch
