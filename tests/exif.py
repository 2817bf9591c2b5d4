"""The eight ways in which EXIF turns an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# From the pixels as stored to those as seen (EXIF 2.32, tag 0x0112: where the stored row 0 and column 0 are).
TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


def exif(orientation: int) -> Image.Exif:
    """The tags of a file that is turned so."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags
