"""Where the pixels of samples are: in files, or in an array in memory. Both are asked by the same methods."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.config.values import Size
from modules.data.pixels import Pixels, check_headers, check_pixels, read_image, read_sizes, read_small


@dataclass(frozen=True)
class ImageFiles:
    """files: (N,) paths relative to `root`. An array of text, so that worker processes share its memory."""

    root: Path
    files: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.files)

    def path(self, row: int) -> Path:
        return self.root / str(self.files[row])

    def read(self, row: int, channels: int) -> Pixels:
        """(height, width, channels) uint8. Raises DataError."""
        return read_image(self.path(row), channels)

    def read_small(self, row: int, least: int) -> Pixels:
        """(height, width) uint8 grey, perhaps smaller than the image, but with no side shorter than `least` by that. Raises DataError."""
        return read_small(self.path(row), least)

    def stamp(self, row: int) -> bytes:
        """16 bytes, others where the image has changed, as far as that is seen without reading it: place, size and time of change."""
        path = self.path(row)
        try:
            found = path.stat()
        except OSError:
            return blake2b(os.fsencode(path.absolute()), digest_size=16).digest()
        return blake2b(os.fsencode(path.absolute()) + f"\0{found.st_size}\0{found.st_mtime_ns}".encode(), digest_size=16).digest()

    def name(self, row: int) -> str:
        """What the image is called when a person is told of it; rows of one name are one image."""
        return str(self.files[row])

    def header_faults(self) -> list[str | None]:
        """What is wrong with each image, as far as its header tells; None where nothing is."""
        return check_headers(self.path(row) for row in range(len(self)))

    def shapes(self) -> list[Size | None]:
        """Height and width of each image; None for one that cannot be read."""
        return read_sizes(self.path(row) for row in range(len(self)))

    def pixel_faults(self) -> list[str | None]:
        """What is wrong with each image, found out by decoding it; None where nothing is."""
        return check_pixels(self.path(row) for row in range(len(self)))

    def identity(self, row: int) -> str:
        """What a resumed run must find again."""
        return f"{self.files[row]}\t{_size(self.path(row))}"

    def sizes(self) -> NDArray[np.int64]:
        """(N,) bytes; images of different sizes are different images. -1 where there is no such file."""
        return np.array([_size(self.path(row)) for row in range(len(self))], dtype=np.int64)

    def digests(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        """Equal for images that are the same to the byte; None where there is no such file."""
        with ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:
            return list(pool.map(lambda row: _digest(self.path(row)), rows.tolist()))

    def take(self, rows: NDArray[np.int64]) -> ImageFiles:
        return replace(self, files=self.files[rows])


@dataclass(frozen=True)
class ImageArrays:
    """pixels: (N, height, width) grey or (N, height, width, 3) uint8, which worker processes share. names: (N,) text."""

    names: NDArray[np.str_]
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, row: int, channels: int) -> Pixels:
        """(height, width, channels) uint8; grey to colour and back by the same rule as files."""
        image = Image.fromarray(self.pixels[row])
        mode = "L" if channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        return np.array(image).reshape(image.height, image.width, channels)

    def read_small(self, row: int, least: int) -> Pixels:
        return self.read(row, 1)[..., 0]

    def stamp(self, row: int) -> bytes:
        return blake2b(f"{self.pixels[row].shape}".encode() + self.pixels[row].tobytes(), digest_size=16).digest()

    def name(self, row: int) -> str:
        return str(self.names[row])

    def header_faults(self) -> list[str | None]:
        return [None] * len(self)

    def shapes(self) -> list[Size | None]:
        return [Size(*self.pixels.shape[1:3])] * len(self)

    def pixel_faults(self) -> list[str | None]:
        return [None] * len(self)

    def identity(self, row: int) -> str:
        return str(blake2b(self.pixels[row].tobytes(), digest_size=16).hexdigest())

    def sizes(self) -> NDArray[np.int64]:
        return np.full(len(self), self.pixels[:1].nbytes, dtype=np.int64)

    def digests(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        return [blake2b(self.pixels[row].tobytes(), digest_size=16).digest() for row in rows.tolist()]

    def take(self, rows: NDArray[np.int64]) -> ImageArrays:
        return ImageArrays(self.names[rows], self.pixels[rows])


Images = ImageFiles | ImageArrays


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> bytes | None:
    try:
        return blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return None
