"""Seeds that are the same on every machine and in every process, and differ for whatever differs."""

from __future__ import annotations

from hashlib import blake2b
from itertools import product
from random import Random

import pytest
import torch

from modules.compute.seeding import derive_seed, draw_generators, seed_torch


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        ((), 10921603462776227407),
        ((0,), 14421525015532014153),
        ((42, 0, 1, 2), 1673602812941439427),
        ((42, 0, 1, "order"), 3666620940731520327),
        (("폴드",), 2809795125328615133),
    ],
)
def test_seeds_are_the_fixed_values_that_earlier_runs_had(parts: tuple[int | str, ...], seed: int) -> None:
    assert derive_seed(*parts) == seed == int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def test_different_parts_have_different_seeds() -> None:
    parts = [
        *((a, b) for a, b in product(range(30), repeat=2)),
        *((a, b, c) for a, b, c in product(range(8), repeat=3)),
        *((a,) for a in range(200)),
        *[(1, 23), (12, 3), (123,), ("1", 23), ("123",), ("1", "23"), (1, 2, 3), (-1, 23), ("1, 23",), (1, "23"), ("a", "b"), ("ab",), ()],
    ]
    distinct = set(parts)
    assert len({derive_seed(*part) for part in distinct}) == len(distinct) > 1500


def test_seeds_use_all_64_bits() -> None:
    seeds = [derive_seed(number) for number in range(300)]
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert all(80 < sum(seed >> bit & 1 for seed in seeds) < 220 for bit in range(64))


def test_seed_0_is_a_seed() -> None:
    assert derive_seed(0) != derive_seed() and derive_seed(0) != derive_seed(1)
    first, again = draw_generators(0), draw_generators(0)
    assert first[0].random(4).tolist() == again[0].random(4).tolist()
    assert [first[1].random() for _ in range(4)] == [again[1].random() for _ in range(4)]
    seed_torch(0)
    drawn = torch.rand(4)
    seed_torch(0)
    assert torch.equal(torch.rand(4), drawn)


def test_the_two_generators_of_a_draw_are_not_each_others_copy() -> None:
    numpy, python = draw_generators(42, 0, 1, 2)
    assert int(numpy.bit_generator.seed_seq.entropy) == derive_seed(42, 0, 1, 2, "numpy")  # type: ignore[attr-defined]
    assert python.random() == Random(derive_seed(42, 0, 1, 2, "python")).random() != numpy.random()


def test_draws_follow_from_the_parts_alone_and_not_from_other_draws() -> None:
    alone = draw_generators(42, 0, 1, 2)[0].integers(0, 2**60, 8).tolist()
    other, same = draw_generators(42, 0, 1, 3)[0], draw_generators(42, 0, 1, 2)[0]
    assert other.integers(0, 2**60, 8).tolist() != alone
    assert same.integers(0, 2**60, 8).tolist() == alone


def test_torch_draws_follow_from_the_parts_alone() -> None:
    drawn = {}
    for parts in [(42, 0, 1), (42, 0, 2), (42, 1, 1), (43, 0, 1)]:
        seed_torch(*parts)
        drawn[parts] = torch.rand(4)
        torch.rand(1000)
        seed_torch(*parts)
        assert torch.equal(torch.rand(4), drawn[parts])
    assert len({tuple(values.tolist()) for values in drawn.values()}) == 4
