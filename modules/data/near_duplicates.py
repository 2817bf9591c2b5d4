"""Images that look the same: saved again, at another size, a little brighter. Found by their thumbnails, whatever made those.

Two images are near-duplicates where both of these hold, so that what a set of images has in common fools neither:

- their perceptual hashes differ in few bits. The hash is the usual one: which of the 63 lowest frequencies of a 32 x 32 grey
  thumbnail's cosine transform are over their median.
- their thumbnails are alike in what thumbnails of this set differ in: the correlation over the set's main directions of
  variation (PCA), all weighed alike (whitened). Two T-shirts on black are alike to a hash, and to plain correlation; of what
  tells T-shirts apart they share little.

The bounds were measured: docs/checks.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.linalg import eigh

from modules.config.errors import DataError
from modules.data.images import Images
from modules.data.pixels import Pixels
from modules.data.samples import Rows, spread

SIDE = 32  # of thumbnails
LEAST = 16  # pixels; of images with a shorter side thumbnails tell too little
FLAT = 4.0  # levels of 255, standard deviation; below that an image has nothing to be recognised by
BITS_APART = 8  # of 64, at most
ALIKE = 0.96  # correlation, at least
DIRECTIONS = 64
NOISE = 4.0  # levels of 255: what compression does to a pixel; a direction in which images differ by less counts for less
LEARNT_FROM = 2048  # thumbnails that the directions are taken from
FEWEST = 32  # images, of which what is usual can be told
MOST_PAIRS = 200_000
BLOCK = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """first, second: (P,) rows, first < second, the surest pairs first. distance: (P,) bits apart. likeness: (P,) correlation.

    complete: false where there are more than MOST_PAIRS, and the others were not looked for.
    """

    first: Rows
    second: Rows
    distance: Rows
    likeness: Floats
    complete: bool = True

    def __len__(self) -> int:
        return len(self.first)


NONE = Pairs(*(np.empty(0, dtype=np.int64),) * 3, np.empty(0, dtype=np.float32))


def make_thumbnail(images: Images, row: int) -> Pixels:
    """(SIDE, SIDE) grey; black, which is like nothing, for an image that cannot be read or is too small."""
    try:
        pixels = images.read_small(row, 2 * SIDE)
    except DataError:  # training tells of it
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    if min(pixels.shape) < LEAST:
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    method = cv2.INTER_AREA if min(pixels.shape) >= SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=method), dtype=np.uint8)


def find_near_duplicates(thumbnails: Pixels) -> Pairs:
    """All pairs among (N, SIDE, SIDE) thumbnails. Every pair of hashes is compared: 50,000 images take seconds, not minutes."""
    rows = np.flatnonzero(np.concatenate([part.std(axis=(1, 2)) >= FLAT for _, part in _blocks(thumbnails)] or [[]]))
    if len(rows) < FEWEST:
        return NONE
    kept = thumbnails[rows]
    hashes, whitened = hash_thumbnails(kept), _whiten(kept)
    found, count = [], 0
    for place in range(len(rows) - 1):
        distances = np.bitwise_count(hashes[place + 1 :] ^ hashes[place])
        near = np.flatnonzero(distances <= BITS_APART)
        if not len(near):
            continue
        likeness = whitened[place + 1 + near] @ whitened[place]
        alike = likeness >= ALIKE
        near, likeness = near[alike], likeness[alike]
        found.append((np.full(len(near), rows[place]), rows[place + 1 + near], distances[near].astype(np.int64), likeness))
        count += len(near)
        if count > MOST_PAIRS:
            return _join(found, complete=False)
    return _join(found)


def hash_thumbnails(thumbnails: Pixels) -> NDArray[np.uint64]:
    """(N,) the 64-bit hash; its last bit is 0. The lowest frequency, brightness, is left out.

    After "Looks Like It" (Krawetz, 2011) and the library ImageHash.
    """
    found = [np.empty(0, dtype=np.uint64)]
    for _, part in _blocks(thumbnails):
        waves = dctn(part.astype(np.float32), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(part), 64)[:, 1:]
        bits = np.zeros((len(part), 64), dtype=bool)
        bits[:, :63] = waves > np.median(waves, axis=1, keepdims=True)
        found.append(np.packbits(bits, axis=1).view(np.uint64)[:, 0])
    return np.concatenate(found)


def _whiten(thumbnails: Pixels) -> Floats:
    """(N, directions) of length 1, so that a product is the correlation over directions that all have the same spread.

    There are no more directions than a quarter of the images: else the small difference of two of them could be a direction
    of its own.
    """
    basis = _standardise(thumbnails[spread(np.arange(len(thumbnails)), LEARNT_FROM)])
    mean = basis.mean(axis=0)
    spreads = (basis - mean).astype(np.float64)
    count = min(DIRECTIONS, len(basis) // 4)
    sizes, directions = eigh(spreads.T @ spreads, subset_by_index=(SIDE * SIDE - count, SIDE * SIDE - 1))
    noise = (NOISE / float(np.median(thumbnails.std(axis=(1, 2)))) / SIDE) ** 2  # of a direction, in standardised thumbnails
    project = (directions / np.sqrt(np.maximum(sizes, 0) / len(basis) + noise)).astype(np.float32)
    found = np.concatenate([(_standardise(part) - mean) @ project for _, part in _blocks(thumbnails)])
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 0.1), dtype=np.float32)


def _standardise(thumbnails: Pixels) -> Floats:
    """(N, SIDE * SIDE) with mean 0 and length 1: brightness and contrast play no part."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), dtype=np.float32)


def _blocks(thumbnails: Pixels) -> Iterator[tuple[int, Pixels]]:
    for start in range(0, len(thumbnails), BLOCK):
        yield start, thumbnails[start : start + BLOCK]


def _join(found: list[tuple[Rows, Rows, Rows, Floats]], complete: bool = True) -> Pairs:
    if not found:
        return NONE
    first, second, distance, likeness = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((second, first, distance, -likeness))[:MOST_PAIRS]
    return Pairs(first[order], second[order], distance[order], likeness[order].astype(np.float32), complete)
