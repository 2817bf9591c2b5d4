"""Rows to batches of uint8 images, in this process or in workers, with the same result from any number of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from modules.compute.own_code import FAILURES, explain
from modules.compute.process import Process, is_out_of_memory
from modules.config.errors import DataError
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data.draws import Draw, EpochSampler
from modules.data.pixel_cache import PixelCache, StoredPixels
from modules.data.pixels import Pixels, resize_image
from modules.data.samples import Samples
from modules.data.transforms import apply, build_pipeline, make_train_pipeline


class Batch(NamedTuple):
    """images: (batch, height, width, channels) uint8, or features. targets: a row an image, of the task's form;
    None: unknown. rows: (batch,) int64. metadata: (batch, M) float32, or None where there are none. of: images of the whole
    batch, where this is one process's part of it; 0: it is whole."""

    images: torch.Tensor
    targets: torch.Tensor | None
    rows: torch.Tensor
    metadata: torch.Tensor | None = None
    of: int = 0

    @property
    def size(self) -> int:
        """Images of the whole batch."""
        return self.of or len(self.rows)


class Way(NamedTuple):
    """How pixels become one image of a batch: brought to `size`, then drawn from the pipeline."""

    size: Size
    pipeline: A.Compose


class Request(NamedTuple):
    """The images of a batch: which way they go, and what their draws depend on besides epoch and position. of: as in Batch."""

    draws: list[Draw]
    way: str = ""
    seed: tuple[int | str, ...] = ()
    of: int = 0


class BatchMaker(Dataset[Batch | DataError], ABC):
    """Makes the batch of a Request. A DataError is returned, not raised: it would come out of a worker with that worker's
    traceback as its message."""

    @abstractmethod
    def open(self) -> object:
        """Finds what is to be found before workers begin, since they share it then."""

    @abstractmethod
    def __getitem__(self, request: Request) -> Batch | DataError: ...


class ImageBatches(BatchMaker):
    """Decodes, or finds in the cache, and augments a batch at a time.

    threads: that decode what is not in the cache; only decoding gains from them.
    """

    def __init__(self, samples: Samples, cache: PixelCache, ways: Mapping[str, Way], threads: int = 1) -> None:
        self.samples = samples
        self.cache = cache
        self.ways = ways
        self.threads = threads
        self.pixels: StoredPixels | None = None

    def open(self) -> StoredPixels:
        """Looks, once, for what is in the cache."""
        self.pixels = self.pixels or self.cache.open()
        return self.pixels

    def __getitem__(self, request: Request) -> Batch | DataError:
        try:
            pixels = self.open().read_all([draw.row for draw in request.draws], self.threads)
            images = np.stack([self._drawn(request, draw, each) for draw, each in zip(request.draws, pixels, strict=True)])
        except DataError as error:
            return error
        rows = np.array([draw.row for draw in request.draws], dtype=np.int64)
        targets = None if self.samples.targets is None else torch.from_numpy(self.samples.targets[rows])
        metadata = None if self.samples.metadata is None else torch.from_numpy(self.samples.metadata[rows])
        return Batch(torch.from_numpy(images), targets, torch.from_numpy(rows), metadata, request.of)

    def _drawn(self, request: Request, draw: Draw, pixels: Pixels) -> Pixels:
        way = self.ways[request.way]
        pixels = resize_image(pixels, way.size, "stretch")
        try:
            drawn = apply(way.pipeline, pixels, *request.seed, draw.epoch, draw.position)
        except FAILURES as error:  # code of one's own raises anything
            if is_out_of_memory(error):
                raise
            raise DataError(f"{self.samples.images.name(draw.row)}: a transform fails: {explain(error)}") from None
        shape = (*self.cache.preprocessing.size, self.cache.preprocessing.channels)
        if drawn.dtype != np.uint8 or drawn.shape != shape:
            made, expected = f"{_shape(drawn.shape)} {drawn.dtype}", f"{_shape(shape)} {pixels.dtype}"
            raise DataError(f"{self.samples.images.name(draw.row)}: transforms make {made} of it; expected {expected}")
        return drawn


class Workers:
    """Who makes batches: this process, or worker processes that outlive epochs, phases and folds; one epoch at a time."""

    def __init__(self, dataset: BatchMaker, count: int, pin_memory: bool) -> None:
        self.dataset = dataset
        self.requests = _Requests()
        self.batches = DataLoader(
            dataset,
            batch_size=None,
            sampler=self.requests,
            num_workers=count,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
            persistent_workers=count > 0,
            pin_memory=pin_memory,
            multiprocessing_context=_START if count else None,
            # Else it draws from torch's own as workers start, and dropout in a resumed run is not what it was.
            generator=torch.Generator(),
        )

    def make(self, requests: Iterable[Request]) -> Iterator[Batch]:
        """The batches that are asked for, in that order. Raises DataError for an image that cannot be read."""
        self.dataset.open()
        self.requests.now = requests
        for batch in self.batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch


class Loader:
    """The batches of one fold's part, epoch after epoch, made by workers that others may use in between.

    way, seed: as in Request. rank, world: of each batch this process's part, where several share it.
    """

    def __init__(
        self, workers: Workers, sampler: EpochSampler, way: str = "", seed: tuple[int | str, ...] = (), rank: int = 0, world: int = 1
    ) -> None:
        self.workers = workers
        self.sampler = sampler
        self.way = way
        self.seed = seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return len(self.sampler)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`. Raises DataError for an image that cannot be read."""
        self.sampler.set_epoch(number)
        return self.workers.make(
            Request(draws[self.rank :: self.world], self.way, self.seed, len(draws) if self.world > 1 else 0) for draws in self.sampler
        )


def image_workers(samples: Samples, cache: PixelCache, augmentation: Augmentation | None, process: Process) -> Workers:
    """Whoever makes batches of these images: "valid" is the way of validation and test, "train" that of training."""
    images = cache.preprocessing
    ways = {"valid": Way(images.size, build_pipeline(images.valid, "valid"))}
    if augmentation is not None:
        ways["train"] = Way(images.stored, make_train_pipeline(augmentation, images.size, images.channels))
    threads = 1 if process.workers else process.threads  # while a batch is made in this process, torch's threads have nothing to do
    return Workers(ImageBatches(samples, cache, ways, threads), process.workers, process.device.type == "cuda")


def explain_worker_death(error: BaseException) -> DataError | None:
    """What to say of an error that torch raises, anywhere in the main thread, when a worker died; None for other errors."""
    told = str(error)
    lost = isinstance(error, ConnectionResetError | EOFError)  # what was being read when it died
    if not lost and not (isinstance(error, RuntimeError) and ("DataLoader worker" in told or "shared memory" in told)):
        return None
    first = (told.splitlines() or ["it said nothing"])[0].strip()
    return DataError(f"a data worker died ({first}); try settings.num_workers=0, or a smaller hyper_params.batch_size")


# A fork shares what this process holds; a process of any other kind gets a copy.
_START = "fork" if sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods() else None


class _Requests(Sampler[Request]):
    """Those that are to be made now."""

    now: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.now)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    # A scheduler that ends a job signals the whole group. A worker that ends quietly leaves the word to the main process.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
