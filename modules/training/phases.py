"""What trains when: a plan of phases, made up front. Knows nothing of weights or batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from modules.config.schema import HyperParams, Model


@dataclass(frozen=True)
class TrainingPhase:
    """Epochs that train the same parameters. Each phase has its own optimiser, schedule, patience and moving average.

    first_epoch: counted from 1 over the whole fold. hyper: that of the phase, so hyper.epochs is its length. freeze: what
    does not train in it, as [model] freeze says it.
    """

    first_epoch: int
    hyper: HyperParams
    freeze: Literal["none", "backbone"] | tuple[str, ...]

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + self.hyper.epochs - 1


def make_phases(model: Model, hyper: HyperParams) -> tuple[TrainingPhase, ...]:
    """One phase; or with probe_epochs two, the head alone first (LP-FT: Kumar et al. 2022).

    The probe has no warm-up, which keeps the backbone from harm, and no patience, which would keep it from being
    trained at all.
    """
    if hyper.probe_epochs == 0:
        return (TrainingPhase(1, hyper, model.freeze),)
    probe = replace(hyper, epochs=hyper.probe_epochs, warmup_epochs=0.0, patience=0)
    return TrainingPhase(1, probe, "backbone"), TrainingPhase(hyper.probe_epochs + 1, hyper, model.freeze)
