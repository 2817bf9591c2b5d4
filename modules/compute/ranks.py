"""The processes that torchrun starts to train a model together: which of them this is, and what they tell each other.

Each computes a part of every batch, so that all have the same weights after every step. Only the first, the main one, writes and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from modules.config.command_line import numbers_of_torchrun
from modules.config.errors import DataError

T = TypeVar("T")

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")  # gloo's words
LONGEST = timedelta(days=7)  # that others wait while the main one decodes; of one that died torchrun itself tells the others


@dataclass(frozen=True)
class Ranks:
    """rank: this process's number. world: how many there are. local, on_machine: likewise, of those on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0
    on_machine: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        return self.world > 1

    def from_main(self, make: Callable[[], T]) -> T:
        """What the main process makes; the others wait for it, and get a copy."""
        if not self.are_several:
            return make()
        held: list[Any] = [make() if self.is_main else None]
        dist.broadcast_object_list(held, src=0)
        made: T = held[0]
        return made

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the context before the others: what it writes, or downloads, they find."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def wait(self) -> None:
        """Until all are here."""
        if self.are_several:
            self.gather(None)

    def gather(self, value: T) -> list[T]:
        """What each has, in the order of their numbers."""
        if not self.are_several:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found

    def total(self, numbers: torch.Tensor) -> torch.Tensor:
        """The sum of what each has, in place."""
        if self.are_several:
            dist.all_reduce(numbers)
        return numbers

    def take_buffers_of_main(self, *modules: nn.Module | None) -> None:
        """BatchNorm's statistics, of which each process has seen its own part only, become those of the main one everywhere."""
        if self.are_several:
            for module in modules:
                for buffer in [] if module is None else module.buffers():
                    dist.broadcast(buffer, src=0)

    def share_gradients(self, module: nn.Module, called: nn.Module, device: torch.device, some_idle: bool) -> DistributedDataParallel:
        """What to call in the place of `called`, whose parameters are those of `module`: after backward, gradients are the mean of all.

        some_idle: whether the output does not depend on some of the parameters, which takes time to find out in every step.
        """
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(_Called(module, called), device_ids=devices, find_unused_parameters=some_idle)


def find_ranks() -> Ranks:
    """As torchrun tells of them in the environment; one process where it did not start this one."""
    rank, world = numbers_of_torchrun()
    if world == 1:
        return Ranks()
    return Ranks(rank, world, int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", world)))


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The processes that train together, connected as long as the context lasts: by NCCL between GPUs, by gloo else."""
    ranks = find_ranks()
    if not ranks.are_several:
        yield ranks
        return
    between = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(between, timeout=LONGEST)
    try:
        yield ranks
    except RuntimeError as error:
        if not any(word in str(error) for word in LOST):
            raise
        raise DataError("another process of torchrun ended; its own line says why, if it could; --resume goes on") from None
    finally:
        dist.destroy_process_group()


class _Called(nn.Module):
    """Shows the parameters of one module, and calls another that computes with them."""

    called: nn.Module

    def __init__(self, module: nn.Module, called: nn.Module) -> None:
        super().__init__()
        self.module = module
        object.__setattr__(self, "called", called)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.called(*inputs)
