"""Dealing rows that have several labels, or groups of such rows, into parts that have as much of every label as they should."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from modules.data.samples import Rows, Text
from modules.data.task import Targets, Task

DIGITS = 9  # so that sums are equal whose terms came in another order


def mark_labels(task: Task, targets: Targets) -> csr_array:
    """(N, labels) 1 where a row has a label; of several outputs, where it has one of their classes."""
    if task.kind == "multilabel":
        return csr_array(targets > 0, dtype=np.int64)
    starts = np.array([part.start for part in task.parts])
    rows = np.repeat(np.arange(len(targets)), len(starts))
    return csr_array((np.ones(len(rows), dtype=np.int64), (rows, (targets + starts).reshape(-1))), (len(targets), len(task.columns)))


def deal(marks: csr_array, shares: Sequence[float], seed: int, groups: Text | None = None) -> Rows:
    """(N,) the part that each row is dealt into, groups whole. marks: as above; shares: of each part, which sum to 1.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): the label that the fewest undealt rows have is next,
    each of its rows goes to the part that needs it most, of those that need it as much to the one that lacks most rows, and
    rows without a label come last. What a part lacks of all labels of the row counts, each as a share of what it should
    have, halfway between before and after it got the row: a small part would end above its share otherwise. In the paper that
    one label alone counts, which leaves outputs of common classes uneven. Groups are dealt like rows, those with
    more of the label first. What is left equal is drawn by `seed`. No part stays without a group where shares are alike and
    there are as many groups as parts.
    """
    rng = np.random.default_rng(seed)
    marks = _by_occurrence(marks)
    names, members = np.unique(np.arange(marks.shape[0]) if groups is None else groups, return_inverse=True)
    count = len(names)
    order = rng.permutation(count)
    members = np.argsort(order)[members]  # the groups in an order of chance, as equal ones are dealt in their order
    totals = csr_array((np.ones(len(members), dtype=np.int64), (members, np.arange(len(members)))), (count, len(members))) @ marks
    parts = _deal_groups(totals, np.bincount(members, minlength=count), shares, random.Random(int(rng.integers(2**32))))
    return np.asarray(parts[members])


def _by_occurrence(marks: csr_array) -> csr_array:
    """With the labels in the order of the rows that have them: what they are called changes no part."""
    columns = marks.tocsc()
    columns.sort_indices()
    rows = _lists(columns.indices, columns)
    return csr_array(columns[:, sorted(range(len(rows)), key=rows.__getitem__)])


def _deal_groups(totals: csr_array, sizes: Rows, shares: Sequence[float], chance: random.Random) -> Rows:
    """(groups,) parts, for (groups, labels) counts. Plain lists: numpy would take longer for a handful of parts."""
    has = [list(zip(*pair, strict=True)) for pair in zip(_lists(totals.indices, totals), _lists(totals.data, totals), strict=True)]
    by_label = totals.tocsc()
    having, much = _lists(by_label.indices, by_label), _lists(by_label.data, by_label)
    parts = range(len(shares))
    whole: list[int] = np.asarray(totals.sum(axis=0)).tolist()
    lacking = [[1.0] * len(shares) for _ in whole]  # of each label, as a share of what the part should have
    room, size_of = [share * float(sizes.sum()) for share in shares], sizes.tolist()
    left = {label: len(rows) for label, rows in enumerate(having) if rows}
    part_of: NDArray[np.int64] = np.full(len(sizes), -1, dtype=np.int64)

    def step(label: int, number: int, part: int) -> float:
        return number / (whole[label] * shares[part])

    def need(group: int, part: int) -> float:
        return round(sum(number * (lacking[label][part] - step(label, number, part) / 2) for label, number in has[group]), DIGITS)

    def put(group: int) -> None:
        needs = [need(group, part) for part in parts]
        part = _neediest(needs, room, chance)
        part_of[group] = part
        room[part] -= size_of[group]
        for label, number in has[group]:
            lacking[label][part] -= step(label, number, part)
            left[label] -= 1

    while left:
        label = min(left, key=left.__getitem__)
        for _, group in sorted(zip((-number for number in much[label]), having[label], strict=True)):
            if part_of[group] < 0:
                put(group)
        del left[label]
    for group in sorted(np.flatnonzero(part_of < 0).tolist(), key=lambda each: -size_of[each]):
        put(group)
    return part_of


def _neediest(wanted: Sequence[float], room: Sequence[float], chance: random.Random) -> int:
    """The part that wants most; of equal ones the one with most room; of equal ones any."""
    most = max(wanted)
    found = [part for part, each in enumerate(wanted) if each == most]
    if len(found) > 1:
        widest = max(room[part] for part in found)
        found = [part for part in found if room[part] == widest]
    return found[0] if len(found) == 1 else found[chance.randrange(len(found))]


def _lists(values: NDArray[np.int64], table: csr_array) -> list[list[int]]:
    """The compressed values of each row (or column) of a table."""
    return [part.tolist() for part in np.split(values, table.indptr[1:-1])]
