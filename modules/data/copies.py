"""All copies among the images of a contest, of the training and the test set: the table of them, and where they make a score too good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from modules.config.errors import counted
from modules.data.duplicates import TOLD
from modules.data.near_duplicates import MOST_PAIRS, Pairs
from modules.data.samples import Rows, Samples
from modules.data.splits import Fold

Flags = NDArray[np.bool_]

ACROSS, TESTED, WITHIN = "across folds", "training and test", "training"


@dataclass(frozen=True)
class Copies:
    """Pairs of images that are the same, or nearly; positions of the test set's come behind those of the training set.

    exact: (P,) the same to the byte. leaks: (P,) one trains a fold that validates the other. tested: (P,) the second is of the test set.
    """

    samples: Samples
    test: Samples | None
    pairs: Pairs
    exact: Flags
    leaks: Flags
    tested: Flags

    def table(self, labels: Sequence[str]) -> pd.DataFrame:
        """A row a pair, the surest first. labels: (N,) of the training set.

        group: the same number for all that are copies of each other, directly or through others; to be made a group_column of.
        """
        first, second = self.pairs.first, self.pairs.second
        cells = [*labels, *[""] * (0 if self.test is None else len(self.test))]
        return pd.DataFrame(
            {
                "id": self._ids(first),
                "other_id": self._ids(second),
                "where": np.select([self.tested, self.leaks], [TESTED, ACROSS], WITHIN),
                "distance": self.pairs.distance,
                "likeness": np.round(self.pairs.likeness, 4),
                "same_bytes": np.where(self.exact, "yes", "no"),
                "label": [cells[row] for row in first.tolist()],
                "other_label": [cells[row] for row in second.tolist()],
                "group": _number_groups(first, second),
            }
        )

    def describe(self, labels: Sequence[str], file: str) -> list[str]:
        """Warnings, a line each, of pairs that are nearly the same; of those that are the same to the byte others tell."""
        near, own = ~self.exact, ~self.tested
        differ = near & own
        differ[differ] = [labels[a] != labels[b] for a, b in zip(self.pairs.first[differ], self.pairs.second[differ], strict=True)]
        if self.samples.groups is None:
            remedy = f"; give such one group in [data] group_column: {file} has their groups"
        else:
            remedy = f"; let those that belong together be of one group, or leave one of each out: {file} has them"
        faults = (
            (near & self.leaks, "train folds that validate the other, so that scores are too good", remedy),
            (differ, "have different labels", f"; see {file}"),
            (near & self.tested, "are in training and test set", f"; see {file}"),
        )
        return [
            f"warning: near-duplicate images {what} ({counted(int(found.sum()), 'pair')}): {self._told(found)}{do}"
            for found, what, do in faults
            if found.any()
        ]

    def count(self) -> str:
        """How many there are, and where: for look.py data."""
        if not len(self.pairs):
            return "none found"
        whole = "" if self.pairs.complete else f"; these are the first {MOST_PAIRS:,}, and there are more"
        return (
            f"pairs of images: {int(self.exact.sum())} the same to the byte, {int((~self.exact).sum())} nearly the same;"
            f" {int(self.leaks.sum())} across folds, {int(self.tested.sum())} across training and test set{whole}"
        )

    def _told(self, found: Flags) -> str:
        places = np.flatnonzero(found)
        pairs = zip(self.pairs.first[places[:TOLD]].tolist(), self.pairs.second[places[:TOLD]].tolist(), strict=True)
        more = f" and {len(places) - TOLD} more" if len(places) > TOLD else ""
        return ", ".join(f"{self._name(first)} ~ {self._name(second)}" for first, second in pairs) + more

    def _name(self, place: int) -> str:
        if place < len(self.samples):
            return self.samples.images.name(place)
        assert self.test is not None
        return f"{self.test.images.name(place - len(self.samples))} of the test"

    def _ids(self, places: Rows) -> list[str]:
        parts = [self.samples.ids.tolist()] + ([] if self.test is None else [self.test.ids.tolist()])
        ids = [each for part in parts for each in part]
        return [ids[place] for place in places.tolist()]


def find_copies(samples: Samples, test: Samples | None, folds: Sequence[Fold], numbers: Rows, near: Pairs) -> Copies:
    """What `numbers`, of `number_contents`, and `near` tell of the images of both sets, one after another.

    Pairs of two test images are left out.
    Of images that are the same to the byte each is paired with the first, and with all others that `near` has.
    """
    exact = _star(numbers)
    first, second = np.concatenate([near.first, exact[0]]), np.concatenate([near.second, exact[1]])
    added = len(exact[0])
    distance = np.concatenate([near.distance, np.zeros(added, dtype=np.int64)])
    likeness = np.concatenate([near.likeness, np.ones(added, dtype=np.float32)])
    _, kept = np.unique(np.stack([first, second]), axis=1, return_index=True)
    kept = kept[first[kept] < len(samples)]
    kept = kept[np.lexsort((second[kept], first[kept], distance[kept], -likeness[kept]))]
    first, second = first[kept], second[kept]
    tested = second >= len(samples)
    leaks = np.zeros(len(first), dtype=bool)
    for fold in folds:
        trains, validates = np.zeros(len(numbers), dtype=bool), np.zeros(len(numbers), dtype=bool)
        trains[fold.train_rows], validates[fold.valid_rows] = True, True
        leaks |= (trains[first] & validates[second]) | (validates[first] & trains[second])
    pairs = Pairs(first, second, distance[kept], likeness[kept], near.complete)
    return Copies(samples, test, pairs, numbers[first] == numbers[second], leaks, tested)


def _star(numbers: Rows) -> tuple[Rows, Rows]:
    """Each image that is the same as an earlier one, behind the first of those."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    origin, rows = first[inverse], np.arange(len(numbers))
    return origin[rows != origin], rows[rows != origin]


def _number_groups(first: Rows, second: Rows) -> list[int]:
    """(P,) a number for each pair, from 0: the same for pairs that are joined by others."""
    if not len(first):
        return []
    count = int(max(first.max(), second.max())) + 1
    _, group = connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(count, count)), directed=False)
    _, numbered = np.unique(group[first], return_inverse=True)
    return [int(number) for number in numbered]
