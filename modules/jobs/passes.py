"""Images through the models of finished runs, in as few passes over the images as can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from modules.compute.process import Process
from modules.compute.progress import Follow, make_follow
from modules.config.schema import Config
from modules.data.draws import BatchSampler
from modules.data.loaders import Batch, Loader, Workers, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Normalizer, Prepare
from modules.data.samples import Rows, Samples
from modules.jobs.disk import why_not
from modules.jobs.failures import told
from modules.jobs.remarks import say
from modules.jobs.restoring import Member, Restored, restore_parts
from modules.jobs.stored_features import BYTES
from modules.jobs.stored_pixels import choose_pixels, provide_pixels
from modules.jobs.trained import TrainedRun
from modules.models.compiling import compiled
from modules.prediction.features import FOLDER, FeatureCache, plain_looks
from modules.prediction.logits import task_objective
from modules.prediction.predict import predict
from modules.prediction.tta import VIEWS, View


def predict_members(
    config: Config, members: Sequence[Member], samples: Samples, rows: Rows, process: Process, quiet: bool
) -> NDArray[np.float32]:
    """(members, rows, classes): each member's probabilities of these rows, under the views of [inference] tta.

    Members that see images alike share one pass over them, in which each image is decoded once.
    """
    values: dict[int, NDArray[np.float32]] = {}
    for places in _sharing_a_pass(members):
        found = _one_pass(config, [members[place] for place in places], samples, rows, process, quiet)
        values.update(zip(places, found, strict=True))
    return np.stack([values[place] for place in range(len(members))])


def _one_pass(
    config: Config, members: Sequence[Member], samples: Samples, rows: Rows, process: Process, quiet: bool
) -> NDArray[np.float32]:
    """(members, rows, classes), for members that see images alike.

    Those that learnt from stored features predict from such too, a trunk at a time. All others share a pass over the
    images, in which a trunk that several of them have is called once.
    """
    work = _Work(config, samples, rows, process, quiet)
    groups: dict[tuple[str, str], list[int]] = {}
    restored = restore_parts(members, process)
    for place, ((run, _), part) in enumerate(zip(members, restored, strict=True)):
        precision = run.config.model.feature_precision
        stored = part.stored and config.model.feature_cache != "off" and work.fits(run, part)
        groups.setdefault((part.digest, precision) if stored else ("", ""), []).append(place)
    found: dict[int, NDArray[np.float32]] = {}
    for (digest, _), places in groups.items():
        group, parts = [members[place] for place in places], [restored[place] for place in places]
        with told(f"not enough memory for batches of {work.batch_size(group)}; set inference.batch_size lower"):
            found.update(zip(places, (work.from_features if digest else work.from_images)(group, parts), strict=True))
    return np.stack([found[place] for place in range(len(members))])


@dataclass(frozen=True)
class _Work:
    """What is to be predicted, and with what."""

    config: Config
    samples: Samples
    rows: Rows
    process: Process
    quiet: bool

    def fits(self, run: TrainedRun, part: Restored) -> bool:
        """Whether its features may be stored."""
        assert part.trunk is not None
        numbers = len(self.rows) * len(VIEWS[self.config.inference.tta]) * part.numbers
        settings = self.config.settings
        return why_not(numbers * BYTES[run.config.model.feature_precision], settings.cache_limit * 1e9, settings.cache_path, FOLDER) is None

    def from_images(self, members: Sequence[Member], parts: Sequence[Restored]) -> NDArray[np.float32]:
        """A trunk that several members have is that of the first of them."""
        run, _ = members[0]
        digests = [part.digest for part in parts]
        shared = [bool(digest) and digests.count(digest) > 1 for digest in digests]
        trunks = [parts[digests.index(part.digest)].trunk if share else None for part, share in zip(parts, shared, strict=True)]
        wholes = [compiled(part.module, self.process.compile, self.batch_size(members)) for part in parts]
        models = [part.tail if share else whole for part, whole, share in zip(parts, wholes, shared, strict=True)]
        batches = Loader(self._workers(self._kept(run)), self._sampler(members), "valid", (run.config.settings.seed, "valid"))
        normalizer = Normalizer(run.preprocessing, self.process.device, self.process.channels_last)
        return self._predict(members, models, batches, normalizer, VIEWS[self.config.inference.tta], trunks)

    def from_features(self, members: Sequence[Member], parts: Sequence[Restored]) -> NDArray[np.float32]:
        run, _ = members[0]
        assert parts[0].trunk is not None
        folder, own = Path(self.config.settings.cache_path) / FOLDER, run.config
        cache = FeatureCache(
            folder,
            self.samples,
            self._workers(self._found(run)),  # most often all features are there
            run.preprocessing,
            self.process,
            own.settings.seed,
            own.model.feature_precision,
            self.batch_size(members),
        )
        features = cache.open(parts[0].trunk, parts[0].numbers)
        looks = plain_looks(run.preprocessing, self.config.inference.tta)
        features.provide(self.rows, looks, self._follow)
        batches, selectors = features.to_predict(self._sampler(members), looks)
        return self._predict(members, [part.tail for part in parts], batches, features.to_device, selectors, ())

    def _predict(
        self,
        members: Sequence[Member],
        models: Sequence[nn.Module | None],
        batches: Loader,
        prepare: Prepare,
        views: Sequence[View],
        trunks: Sequence[nn.Module | None],
    ) -> NDArray[np.float32]:
        run, _ = members[0]
        return predict(
            [model for model in models if model is not None],
            self._shown(batches),
            self.rows,
            len(run.task.columns),
            prepare,
            task_objective(run.task, run.config.model, run.config.hyper_params),
            views,
            self.process,
            trunks,
        ).values

    def _kept(self, run: TrainedRun) -> PixelCache:
        """The images as the run saw them; those that are to be kept are decoded now."""
        pixels, lines = choose_pixels(self.config, self.samples.images, run.preprocessing, self.rows, passes=None)
        say(*([] if self.quiet else lines))
        provide_pixels(self.config, pixels, self.rows, self._follow)
        return pixels

    def _found(self, run: TrainedRun) -> PixelCache:
        """Likewise, without decoding any before it is asked for."""
        off = self.config.data.cache == "off"
        return PixelCache(None if off else Path(self.config.settings.cache_path), self.samples.images, run.preprocessing)

    def _workers(self, pixels: PixelCache) -> Workers:
        return image_workers(self.samples, pixels, None, self.process)

    def _sampler(self, members: Sequence[Member]) -> BatchSampler:
        return BatchSampler(self.rows, self.batch_size(members))

    def batch_size(self, members: Sequence[Member]) -> int:
        return self.config.inference.batch_size or min(run.config.hyper_params.batch_size for run, _ in members)

    def _shown(self, batches: Loader) -> Iterator[Batch]:
        hidden = not self._showing or None  # None: where the output is no terminal
        shown: Iterator[Batch] = iter(tqdm(batches.epoch(0), total=len(batches), desc="predict", leave=False, disable=hidden))
        return shown

    @property
    def _follow(self) -> Follow:
        return make_follow(self._showing)

    @property
    def _showing(self) -> bool:
        return self.config.logging.progress and not self.quiet


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
    asked = run.task, run.config.model.head, run.config.hyper_params.loss
    return preprocessing, *asked, run.config.settings.seed if preprocessing.valid.calls else None
