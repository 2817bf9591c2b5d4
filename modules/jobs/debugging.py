"""A debug run: one epoch, two folds, a few batches of each."""

from __future__ import annotations

from dataclasses import replace

from modules.config.schema import Config
from modules.config.values import Unfreezing
from modules.data.samples import spread
from modules.data.splits import Fold

FOLDS = 2
BATCHES = 3


def for_debugging(config: Config) -> Config:
    """With the one epoch of a debug run, in which everything trains that would in the last epoch."""
    model, hyper = config.model, replace(config.hyper_params, epochs=1, probe_epochs=0, warmup_epochs=0.0)
    if model.unfreeze is not None:
        names = tuple(name for _, names in model.unfreeze.stages for name in names)
        model = replace(model, unfreeze=Unfreezing(((1, names),)))
    return replace(config, model=model, hyper_params=hyper)


def some_of(folds: tuple[Fold, ...], batch_size: int) -> tuple[Fold, ...]:
    """The first folds, with rows for a few batches of each part, evenly spread."""
    count = batch_size * BATCHES
    return tuple(Fold(fold.number, spread(fold.train_rows, count), spread(fold.valid_rows, count)) for fold in folds[:FOLDS])
