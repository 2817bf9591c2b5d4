"""Images that are the same to the byte: the score is too good where one of them trains and another one is validated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modules.config.errors import counted
from modules.data.images import Images
from modules.data.samples import Rows, Samples
from modules.data.splits import Fold

TOLD = 3


def number_contents(*parts: Images) -> Rows:
    """(N,) a number for each image of all parts, one after another: equal for those that are the same to the byte.

    Only what has its size in common with another image is read.
    """
    sizes = np.concatenate([images.sizes() for images in parts])
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    doubtful = (counts[inverse] > 1) & (sizes >= 0)
    numbers = np.arange(len(sizes))
    first: dict[bytes, int] = {}
    start = 0
    for images in parts:
        rows = np.flatnonzero(doubtful[start : start + len(images)])
        for row, digest in zip(rows.tolist(), images.digests(rows), strict=True):
            if digest is not None:
                numbers[start + row] = first.setdefault(digest, start + row)
        start += len(images)
    return numbers


def describe_duplicates(samples: Samples, folds: Sequence[Fold], test: Samples | None) -> list[str]:
    """Warnings, a line each, of images that are the same: with different labels, in training and validation, in the test set."""
    assert samples.targets is not None
    parts = (samples.images,) if test is None else (samples.images, test.images)
    numbers = number_contents(*parts)
    own, of_test = numbers[: len(samples)], numbers[len(samples) :]
    _, first, inverse = np.unique(own, return_index=True, return_inverse=True)
    apart = samples.targets != samples.targets[first][inverse]
    differ = np.unique(own[apart.reshape(len(own), -1).any(axis=1)])
    shared = [np.intersect1d(own[fold.train_rows], own[fold.valid_rows]) for fold in folds]
    divided = np.unique(np.concatenate(shared)) if shared else np.array([], dtype=np.int64)
    tested = np.intersect1d(own, of_test)

    def told(number: int) -> str:
        names = [samples.images.name(row) for row in np.flatnonzero(own == number).tolist()]
        if test is not None:
            names += [f"{test.images.name(row)} of the test" for row in np.flatnonzero(of_test == number).tolist()]
        names = list(dict.fromkeys(names))
        return " = ".join(names[:TOLD]) + (f" = {len(names) - TOLD} others" if len(names) > TOLD else "")

    faults = (
        (differ, "with a copy of another label"),
        (divided, "training a fold that validates a copy, so that scores are too good"),
        (tested, "with a copy in the test set"),
    )
    lines = []
    for found, what in faults:
        more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
        if len(found):
            lines.append(
                f"warning: {counted(len(found), 'image')} {what} (the same bytes): {', '.join(map(told, found[:TOLD].tolist()))}{more}"
            )
    return lines
