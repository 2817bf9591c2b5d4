"""Which images an epoch consists of, in which order and batches: functions of the seed, the fold and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Sampler

from modules.compute.seeding import derive_seed
from modules.data.samples import Rows


class Draw(NamedTuple):
    """One image of an epoch: everything that its augmentation may depend on, and its row."""

    epoch: int
    position: int
    row: int


class EpochSampler(Protocol):
    """The batches of an epoch, as lists of draws of these rows."""

    rows: Rows

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Draw]]: ...


class BatchSampler(Sampler[list[Draw]]):
    """The batches of an epoch as lists of draws.

    Shuffled: the order is a function of (seed, fold, epoch), set by `set_epoch`, and a last batch of fewer than `least` images
    is left out, since BatchNorm cannot train on one alone. Otherwise: the rows as they are, all of them.
    balanced_by: (rows,) the class of each row; as many of each are then drawn, in an epoch of the usual length.
    """

    def __init__(
        self, rows: Rows, batch_size: int, shuffle_seed: tuple[int, int] | None = None, balanced_by: Rows | None = None, least: int = 2
    ) -> None:
        assert balanced_by is None or shuffle_seed is not None
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.balanced_by = balanced_by
        self.least = least
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
            yield list(map(Draw, repeat(self.epoch), range(start, stop), rows[start:stop].tolist()))

    def _used(self) -> int:
        count = len(self.rows)
        last = count % self.batch_size
        too_few = self.shuffle_seed is not None and count > last and last < min(self.least, self.batch_size)
        return count - last if too_few else count


class DealtBatches:
    """Every `world`-th of the batches, from the `rank`-th: those of one process, where several divide them. rows: theirs."""

    def __init__(self, batches: BatchSampler, rank: int, world: int) -> None:
        self.batches, self.rank, self.world = batches, rank, world
        own = [draw.row for draws in self for draw in draws]
        self.rows = np.array(own, dtype=np.int64)

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(range(self.rank, len(self.batches), self.world))

    def __iter__(self) -> Iterator[list[Draw]]:
        return islice(self.batches, self.rank, None, self.world)


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
