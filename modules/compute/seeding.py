"""Every random draw is a function of (seed, fold, epoch, position in the epoch), never of a worker or the order of calls."""

from __future__ import annotations

import random
from hashlib import blake2b

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A 64-bit seed from integers and words, the same on every machine and in every process (`hash()` is not)."""
    plain = tuple(part if isinstance(part, str) else int(part) for part in parts)
    return int.from_bytes(blake2b(repr(plain).encode(), digest_size=8).digest(), "big")


def draw_generators(*parts: int | str) -> tuple[np.random.Generator, random.Random]:
    """The two generators that albumentations' `set_random_state` takes, for one draw."""
    return np.random.default_rng(derive_seed(*parts, "numpy")), random.Random(derive_seed(*parts, "python"))


def seed_torch(*parts: int | str) -> None:
    """Seeds torch's generators on every device: dropout, initialisation and the like."""
    torch.manual_seed(derive_seed(*parts, "torch") % 2**63)
