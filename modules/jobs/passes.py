"""Images through the models of finished runs, in as few passes over the images as can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from modules.compute.process import Process
from modules.config.schema import Config
from modules.data.loaders import Batch, BatchSampler, ImageBatches, Loader
from modules.data.preprocessing import Normalizer
from modules.data.samples import Rows, Samples
from modules.data.transforms import build_pipeline
from modules.jobs.failures import told
from modules.jobs.trained import Checkpoint, TrainedRun, restore_member
from modules.models.objectives import make_objective
from modules.prediction.predict import predict
from modules.prediction.tta import VIEWS

Member = tuple[TrainedRun, Checkpoint]


def predict_members(
    config: Config, members: Sequence[Member], samples: Samples, rows: Rows, process: Process, quiet: bool
) -> NDArray[np.float32]:
    """(members, rows, classes): each member's probabilities of these rows, under the views of [inference] tta.

    Members that see images alike share one pass over them, in which each image is decoded once.
    """
    probabilities: dict[int, NDArray[np.float32]] = {}
    for places in _sharing_a_pass(members):
        found = _one_pass(config, [members[place] for place in places], samples, rows, process, quiet)
        probabilities.update(zip(places, found, strict=True))
    return np.stack([probabilities[place] for place in range(len(members))])


def _one_pass(
    config: Config, members: Sequence[Member], samples: Samples, rows: Rows, process: Process, quiet: bool
) -> NDArray[np.float32]:
    run, _ = members[0]
    preprocessing, hyper = run.preprocessing, run.config.hyper_params
    dataset = ImageBatches(samples, preprocessing, build_pipeline(preprocessing.valid, "valid"), (run.config.settings.seed, "valid"))
    sampler = BatchSampler(rows, config.inference.batch_size or min(each.config.hyper_params.batch_size for each, _ in members))
    batches = Loader(dataset, sampler, process.workers, process.device.type == "cuda")
    with told(f"not enough memory for batches of {sampler.batch_size}; set inference.batch_size lower"):
        outcome = predict(
            [restore_member(each, checkpoint, process) for each, checkpoint in members],
            _shown(config, batches, quiet),
            rows,
            len(run.classes),
            Normalizer(preprocessing, process.device, process.channels_last),
            make_objective(hyper.loss, 0.0),
            VIEWS[config.inference.tta],
            process,
        )
    return outcome.probabilities


def _shown(config: Config, batches: Loader, quiet: bool) -> Iterator[Batch]:
    hidden = quiet or not config.logging.progress or None
    shown: Iterator[Batch] = iter(tqdm(batches.epoch(0), total=len(batches), desc="predict", leave=False, disable=hidden))
    return shown


def _sharing_a_pass(members: Sequence[Member]) -> list[list[int]]:
    """The places of members that can be fed the same batches."""
    groups: list[tuple[tuple[object, ...], list[int]]] = []
    for place, (run, _) in enumerate(members):
        way = _way(run)
        for other, places in groups:
            if other == way:
                places.append(place)
                break
        else:
            groups.append((way, [place]))
    return [places for _, places in groups]


def _way(run: TrainedRun) -> tuple[object, ...]:
    """What a run's batches, and what becomes of its logits, depend on; the seed only where transforms may draw."""
    preprocessing = run.preprocessing
    return preprocessing, run.config.hyper_params.loss, run.config.settings.seed if preprocessing.valid.calls else None
