"""Rows to batches of uint8 images, in this process or in workers, with the same result from any number of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from modules.compute.own_code import explain
from modules.compute.process import is_out_of_memory
from modules.compute.seeding import derive_seed
from modules.config.errors import DataError
from modules.data.pixels import Pixels, resize_image
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Rows, Samples
from modules.data.transforms import apply


class Draw(NamedTuple):
    """One image of an epoch: everything that its augmentation may depend on, and its row."""

    epoch: int
    position: int
    row: int


class Batch(NamedTuple):
    """images: (batch, height, width, channels) uint8, or features. targets: a row an image, of the task's form;
    None: unknown. rows: (batch,) int64. metadata: (batch, M) float32, or None where there are none."""

    images: torch.Tensor
    targets: torch.Tensor | None
    rows: torch.Tensor
    metadata: torch.Tensor | None = None


class EpochSampler(Protocol):
    """The batches of an epoch, as lists of draws."""

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Draw]]: ...


class BatchSampler(Sampler[list[Draw]]):
    """The batches of an epoch as lists of draws.

    Shuffled: the order is a function of (seed, fold, epoch), set by `set_epoch`, and a last batch of one image is left
    out, since BatchNorm cannot train on it. Otherwise: the rows as they are, all of them.
    balanced_by: (rows,) the class of each row; as many of each are then drawn, in an epoch of the usual length.
    """

    def __init__(self, rows: Rows, batch_size: int, shuffle_seed: tuple[int, int] | None = None, balanced_by: Rows | None = None) -> None:
        assert balanced_by is None or shuffle_seed is not None
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.balanced_by = balanced_by
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self._used() // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        rows = self.rows
        if self.shuffle_seed is not None:
            rng = np.random.default_rng(derive_seed(*self.shuffle_seed, self.epoch, "order"))
            places = np.arange(len(rows)) if self.balanced_by is None else _balanced_places(self.balanced_by, rng)
            rows = rows[rng.permutation(places)]
        for start in range(0, self._used(), self.batch_size):
            stop = min(start + self.batch_size, self._used())
            yield [Draw(self.epoch, position, int(rows[position])) for position in range(start, stop)]

    def _used(self) -> int:
        count = len(self.rows)
        alone = self.shuffle_seed is not None and count > 1 and count % self.batch_size == 1
        return count - 1 if alone and self.batch_size > 1 else count


def _balanced_places(classes: Rows, rng: np.random.Generator) -> Rows:
    """As many places as there are, and of each of the C classes floor(N / C) or one more, which ones by chance.

    Each place of a class comes k or k + 1 times: one random order of them follows another until there are enough.
    """
    present = rng.permutation(np.unique(classes))
    wanted, more = divmod(len(classes), len(present))
    found = []
    for number, name in enumerate(present):
        members, count = np.flatnonzero(classes == name), wanted + (number < more)
        orders = [rng.permutation(members) for _ in range(-(-count // len(members)))]
        found.append(np.concatenate(orders)[:count])
    return np.concatenate(found)


class ImageBatches(Dataset[Batch | DataError]):
    """Decodes, resizes and augments a batch at a time.

    A DataError is returned, not raised: it would come out of a worker with that worker's traceback as its message.
    """

    def __init__(self, samples: Samples, preprocessing: Preprocessing, pipeline: A.Compose, draw_seed: tuple[int | str, ...]) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.pipeline = pipeline
        self.draw_seed = draw_seed

    def __getitem__(self, draws: list[Draw]) -> Batch | DataError:
        try:
            images = np.stack([self._image(draw) for draw in draws])
        except DataError as error:
            return error
        rows = np.array([draw.row for draw in draws], dtype=np.int64)
        targets = None if self.samples.targets is None else torch.from_numpy(self.samples.targets[rows])
        metadata = None if self.samples.metadata is None else torch.from_numpy(self.samples.metadata[rows])
        return Batch(torch.from_numpy(images), targets, torch.from_numpy(rows), metadata)

    def _image(self, draw: Draw) -> Pixels:
        pixels = self.samples.images.read(draw.row, self.preprocessing.channels)
        pixels = resize_image(pixels, self.preprocessing.size, self.preprocessing.resize)
        try:
            drawn = apply(self.pipeline, pixels, *self.draw_seed, draw.epoch, draw.position)
        except Exception as error:  # code of one's own raises anything
            if is_out_of_memory(error):
                raise
            raise DataError(f"{self.samples.images.name(draw.row)}: a transform fails: {explain(error)}") from None
        if drawn.dtype != np.uint8 or drawn.shape != pixels.shape:
            found, expected = (f"{' x '.join(map(str, each.shape))} {each.dtype}" for each in (drawn, pixels))
            raise DataError(f"{self.samples.images.name(draw.row)}: transforms make {found} of it; expected {expected}")
        return drawn


class Loader:
    """Batches of one fold, epoch after epoch, from workers that outlive epochs.

    Raises DataError for an image that cannot be read.
    """

    def __init__(self, dataset: Dataset[Batch | DataError], sampler: EpochSampler, workers: int, pin_memory: bool) -> None:
        self.sampler = sampler
        self.batches = DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            # Else it draws from torch's own as workers start, and dropout in a resumed run is not what it was.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`."""
        self.sampler.set_epoch(number)
        for batch in self.batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch


def explain_worker_death(error: BaseException) -> DataError | None:
    """What to say of an error that torch raises, anywhere in the main thread, when a worker died; None for other errors."""
    told = str(error)
    lost = isinstance(error, ConnectionResetError | EOFError)  # what was being read when it died
    if not lost and not (isinstance(error, RuntimeError) and ("DataLoader worker" in told or "shared memory" in told)):
        return None
    first = (told.splitlines() or ["it said nothing"])[0].strip()
    return DataError(f"a data worker died ({first}); try settings.num_workers=0, or a smaller hyper_params.batch_size")


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    # A scheduler that ends a job signals the whole group. A worker that ends quietly leaves the word to the main process.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
