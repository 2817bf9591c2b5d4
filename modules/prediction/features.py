"""Activations where what is frozen ends: computed once an image, kept on the disk, shared by folds, epochs, runs and inference.

A row of features is found by the image's content and the way it was looked at, in a folder whose name is a digest of all
else that it depends on: the trunk's code and weights, the preprocessing, precision and versions. So a stale one is never found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b, sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from albumentations import Compose
from numpy.typing import NDArray

from modules.compute.process import Process
from modules.compute.progress import Follow
from modules.compute.row_store import KEY_BYTES, Numbers, RowStore
from modules.compute.seeding import derive_seed
from modules.config.errors import DataError, OptionError
from modules.config.schema import Augmentation
from modules.data.draws import BatchSampler, Draw, EpochSampler
from modules.data.loaders import Batch, BatchMaker, Loader, Request, Workers
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.data.samples import Rows, Samples
from modules.data.task import Targets
from modules.data.transforms import build_pipeline, describe_pipeline, make_train_pipeline
from modules.models.cutting import Trunk
from modules.prediction.tta import VIEWS, View

FOLDER = "features"  # of settings.cache_path
LAYOUT = 3  # of what is stored, and of how pixels become images: another number, and nothing stored before is found
BATCH = 64  # images that go through the trunk at a time, at most
PACKAGES = ("torch", "torchvision", "timm", "albumentations", "numpy", "Pillow")
KEPT_AT_ONCE = 1024  # images; a kill costs so many at most
HELD_BYTES = 2**28  # of features that wait to be written, where a batch alone is not more: those of an early layer are large


@dataclass(frozen=True)
class Look:
    """One way to look at an image: through the `number`-th draw of the pipeline of `way`, then through a view of TTA.

    name: what the pipeline does; blank where it does nothing.
    """

    way: str
    name: str
    number: int
    tta: str
    view: int

    def key(self, image: bytes, seed: int) -> bytes:
        """Where nothing is drawn, the seed plays no part."""
        way = (self.name, seed if self.name else 0, self.number, self.tta, self.view)
        return blake2b(image + repr(way).encode(), digest_size=KEY_BYTES).digest()


def plain_looks(preprocessing: Preprocessing, tta: str) -> tuple[Look, ...]:
    """As validation and test see an image, a look for each view."""
    name = _name(build_pipeline(preprocessing.valid, "valid"), str(preprocessing.valid))
    first = "none" if VIEWS[tta][0] is VIEWS["none"][0] else tta  # most begin with the image as it is, which all share
    return tuple(Look("valid", name, 0, tta if view else first, view) for view in range(len(VIEWS[tta])))


def augmented_looks(augmentation: Augmentation, preprocessing: Preprocessing, views: int) -> tuple[Look, ...]:
    """As training sees an image: `views` draws of the augmentation, or where that does nothing one look."""
    pipeline = make_train_pipeline(augmentation, preprocessing.size, preprocessing.channels)
    name = _name(pipeline, augmentation.preset if augmentation.train is None else str(augmentation.train))
    return tuple(Look("train" if name else "valid", name, number, "none", 0) for number in range(views if name else 1))


@dataclass(frozen=True)
class FeatureCache:
    """Where the features of these samples are kept, whatever the trunk.

    workers: who makes batches of these samples. dtype: of the numbers on the disk. batch_size: what the machine has memory for.
    """

    folder: Path
    samples: Samples
    workers: Workers
    preprocessing: Preprocessing
    process: Process
    seed: int
    dtype: str
    batch_size: int = BATCH

    @cached_property
    def images(self) -> list[bytes]:
        """A digest of each image's content. Raises DataError where there is no such file."""
        digests = self.samples.images.digests(np.arange(len(self.samples)))
        gone = [row for row, digest in enumerate(digests) if digest is None]
        if gone:
            raise DataError(f"{self.samples.images.name(gone[0])}: no such file, or it cannot be read")
        return [digest for digest in digests if digest is not None]

    def open(self, trunk: Trunk, numbers: int) -> Features:
        """The features that the trunk makes, so many an image. Raises OptionError where they cannot be kept."""
        images = replace(self.preprocessing, valid=replace(self.preprocessing.valid, calls=())).to_dict()  # a look has its pipeline
        how = (self.process.device.type, self.process.precision, self.process.channels_last, self.dtype, LAYOUT)
        versions = [f"cv2 {cv2.__version__}"]  # several packages bring it; which one is here is not known
        versions += [f"{package} {metadata.version(package)}" for package in PACKAGES]
        name = sha256(repr((trunk.digest(), images, how, versions)).encode()).hexdigest()[:32]
        with _told_of(self.folder):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        return Features(self, trunk, RowStore(self.folder / name, numbers, self.dtype))


@dataclass(frozen=True)
class Features:
    """The features that one trunk makes of the samples' images."""

    cache: FeatureCache
    trunk: Trunk
    store: RowStore

    def provide(self, rows: Rows, looks: Sequence[Look], follow: Follow) -> None:
        """Computes what of it is not there yet; `follow` is told of batches, and of how many there will be.

        Raises DataError for an image that cannot be read, OptionError where numbers do not fit the store's type, or cannot be
        written.
        """
        with _told_of(self.cache.folder):
            self.store.lock.acquire()
        try:
            self.store.refresh()
            parts = [(look, missing) for look in looks if len(missing := self._missing(rows, look))]
            work = (step for look, missing in parts for step in self._compute(look, missing))
            batches = sum(-(-len(missing) // self._batch) for _, missing in parts)
            for _ in follow(work, batches, "features") if parts else ():
                pass
        finally:
            self.store.lock.release()

    def to_train(self, sampler: BatchSampler, looks: Sequence[Look], draw_seed: tuple[int, ...]) -> Loader:
        """Batches of (batch, numbers), each image's by one of the looks, drawn anew in every epoch."""
        ranks = self.cache.process.ranks
        return Loader(self._batches(sampler.rows, looks, draw_seed), sampler, rank=ranks.rank, world=ranks.world)

    def to_predict(self, sampler: EpochSampler, looks: Sequence[Look]) -> tuple[Loader, tuple[View, ...]]:
        """Batches of (batch, looks, numbers), and what gives each look's."""
        views = tuple(partial(_of_look, number=number) for number in range(len(looks)))
        return Loader(self._batches(sampler.rows, looks, None), sampler), views

    def to_device(self, features: torch.Tensor) -> torch.Tensor:
        """In the place of a Normalizer."""
        return features.to(self.cache.process.device, non_blocking=True).float()

    @property
    def _batch(self) -> int:
        return min(BATCH, self.cache.batch_size)

    def _keys(self, rows: Rows, look: Look) -> list[bytes]:
        return [look.key(self.cache.images[row], self.cache.seed) for row in rows.tolist()]

    def _missing(self, rows: Rows, look: Look) -> Rows:
        """In the order of their keys, so that the same images make the same batches in every run."""
        keys = self._keys(rows, look)
        return rows[sorted(self.store.missing(keys), key=lambda place: keys[place])]

    def _compute(self, look: Look, rows: Rows) -> Iterator[int]:
        step = min(KEPT_AT_ONCE, max(self._batch, HELD_BYTES // self.store.size_of(1)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            found: list[NDArray[Any]] = []
            for batch in self._images(look, part):
                found.append(self._through_trunk(batch, look))
                yield len(found)
            with _told_of(self.cache.folder):
                self.store.append(self._keys(part, look), np.concatenate(found))

    def _images(self, look: Look, rows: Rows) -> Iterator[Batch]:
        """A draw depends on the image's content, not on its place in the table."""
        draws = [Draw(look.number, int.from_bytes(self.cache.images[row][:6], "big"), row) for row in rows.tolist()]
        batches = [draws[start : start + self._batch] for start in range(0, len(draws), self._batch)]
        return self.cache.workers.make(Request(batch, look.way, (self.cache.seed, "features")) for batch in batches)

    def _through_trunk(self, batch: Batch, look: Look) -> Numbers:
        process = self.cache.process
        normalizer = Normalizer(self.cache.preprocessing, process.device, process.channels_last)
        self.trunk.eval()
        with torch.inference_mode(), process.autocast():
            features = self.trunk(VIEWS[look.tta][look.view](normalizer(batch.images)))
        numbers = features.float().cpu().numpy()
        with np.errstate(over="ignore"):
            stored: Numbers = numbers.astype(self.store.dtype)
        if not np.isfinite(stored).all():
            if not np.isfinite(numbers).all():
                image = self.cache.samples.images.name(int(batch.rows[~np.isfinite(numbers).all(axis=1)][0]))
                raise DataError(
                    f"{image}: what is frozen gives no finite numbers of it; look at the weights, or try settings.precision=float32"
                )
            fault = f"a feature of {np.abs(numbers).max():.3g} does not fit {self.cache.dtype}"
            raise OptionError("model", "feature_precision", f"{fault}; use float32, or feature_cache = off")
        return stored

    def _batches(self, rows: Rows, looks: Sequence[Look], draw_seed: tuple[int, ...] | None) -> Workers:
        self.store.refresh()
        places = np.full((len(self.cache.samples), len(looks)), -1, dtype=np.int64)
        for number, look in enumerate(looks):
            places[rows, number] = self.store.find(self._keys(rows, look))
        return Workers(_FeatureBatches(self.store, places, self.cache.samples.targets, draw_seed), 0, pin_memory=False)


class _FeatureBatches(BatchMaker):
    """places: (samples, looks) rows of the store. draw_seed: of one look an image; None: all of them."""

    def __init__(self, store: RowStore, places: NDArray[np.int64], targets: Targets | None, draw_seed: tuple[int, ...] | None) -> None:
        self.store, self.places, self.targets, self.draw_seed = store, places, targets, draw_seed

    def open(self) -> RowStore:
        return self.store  # it was read for the places already

    def __getitem__(self, request: Request) -> Batch | DataError:
        draws = request.draws
        rows = np.array([draw.row for draw in draws], dtype=np.int64)
        places = self.places[rows]
        if self.draw_seed is not None:
            places = places[np.arange(len(draws)), self._drawn(draws)]
        try:
            numbers = self.store.read(places.reshape(-1)).reshape(*places.shape, self.store.numbers)
        except DataError as error:
            return error
        targets = None if self.targets is None else torch.from_numpy(self.targets[rows])
        return Batch(torch.from_numpy(numbers), targets, torch.from_numpy(rows), of=request.of)

    def _drawn(self, draws: Sequence[Draw]) -> list[int]:
        """The number of each one's look."""
        assert self.draw_seed is not None
        looks = self.places.shape[1]
        if looks == 1:
            return [0] * len(draws)
        return [derive_seed(*self.draw_seed, draw.epoch, draw.position, "look") % looks for draw in draws]


@contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """A disk that is full, or a folder that cannot be written to, as OptionError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise OptionError("settings", "cache_path", f"features cannot be kept in {folder}: {reason}; name another folder") from None


def _name(pipeline: Compose, text: str) -> str:
    """Blank where nothing is done; albumentations' own description, and the INI's words in case that leaves something out."""
    return f"{text}\n{describe_pipeline(pipeline)}" if pipeline.transforms else ""


def _of_look(features: torch.Tensor, number: int) -> torch.Tensor:
    return features[:, number]
