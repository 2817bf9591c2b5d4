"""What trains when: a plan of phases, made up front. Knows nothing of weights or batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from modules.config.schema import HyperParams, Model
from modules.models.cutting import Cut


@dataclass(frozen=True)
class TrainingPhase:
    """Epochs that train the same parameters. Each phase has its own optimiser, schedule, patience and moving average.

    first_epoch: counted from 1 over the whole fold. hyper: that of the phase, so hyper.epochs is its length. freeze: what
    does not train in it, as [model] freeze says it, but for `unfrozen`. cut: of the model, where it learns from features.
    """

    first_epoch: int
    hyper: HyperParams
    freeze: Literal["none", "backbone"] | tuple[str, ...]
    unfrozen: tuple[str, ...] = ()
    cut: Cut | None = None

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + self.hyper.epochs - 1


def make_phases(model: Model, hyper: HyperParams) -> tuple[TrainingPhase, ...]:
    """One phase; with probe_epochs the head alone before it (LP-FT: Kumar et al. 2022); one more for each epoch of `unfreeze`.

    What begins behind the last epoch, as it may in a refit for the epochs that another run found best, never does.

    Only the last phase has patience, which would keep those behind it from being reached. The probe has no warm-up, which
    keeps the backbone from harm; other phases have one of half their length at most.
    """
    last = hyper.probe_epochs + hyper.epochs
    stages = [stage for stage in model.unfreeze.stages if stage[0] <= last] if model.unfreeze is not None else []
    starts = [hyper.probe_epochs + 1, *(epoch for epoch, _ in stages)]
    unfrozen = list(accumulate((names for _, names in stages), initial=()))
    ends = [*starts[1:], last + 1]
    phases = [
        TrainingPhase(start, _of_phase(hyper, end - start, last=end == ends[-1]), model.freeze, names)
        for start, end, names in zip(starts, ends, unfrozen, strict=True)
        if end > start
    ]
    if hyper.probe_epochs > 0:
        probe = replace(hyper, epochs=hyper.probe_epochs, warmup_epochs=0.0, patience=0)
        phases.insert(0, TrainingPhase(1, probe, "backbone"))
    return tuple(phases)


def _of_phase(hyper: HyperParams, epochs: int, last: bool) -> HyperParams:
    warmup = hyper.warmup_epochs if epochs == hyper.epochs else min(hyper.warmup_epochs, epochs / 2)
    return replace(hyper, epochs=epochs, warmup_epochs=warmup, patience=hyper.patience if last else 0)
