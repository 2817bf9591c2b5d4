"""Where the pixels of samples are: in a file each, in a file a channel, or in an array in memory; all are asked by the same methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.compute.threads import in_threads
from modules.config.errors import DataError, counted
from modules.config.values import Size
from modules.data.pixels import Pixels, check_headers, check_pixels, read_image, read_sizes, read_small

FAULTS_TOLD = 20


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
        """16 bytes, others where the image has changed, as far as that is seen without reading it: place, number, size and times."""
        return _stamp([self.path(row)])

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

    def digest(self, row: int) -> bytes | None:
        """16 bytes, equal for images that are the same to the byte; None where there is no such file."""
        return _digest(self.path(row))

    def digests(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        """`digest` of each, in parallel."""
        return in_threads(self.digest, rows.tolist())

    def take(self, rows: NDArray[np.int64]) -> ImageFiles:
        return replace(self, files=self.files[rows])


@dataclass(frozen=True)
class ImageChannels:
    """An image is several files, each read as grey: its channels. names: (N,) text. files: (N, channels) paths relative to `root`."""

    root: Path
    names: NDArray[np.str_]
    files: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, row: int, channels: int) -> Pixels:
        """(height, width, channels) uint8; for another number of channels than there are the mean of all, repeated. Raises DataError."""
        paths = self.paths(row)
        read = [read_image(path, 1) for path in paths]
        for path, pixels in zip(paths, read, strict=True):
            if pixels.shape != read[0].shape:
                sides = [" x ".join(map(str, each.shape[:2])) for each in (pixels, read[0])]
                raise DataError(f"{path}: {sides[0]}, and {paths[0].name}, another channel of the same image, is {sides[1]}")
        stacked = np.concatenate(read, axis=2)
        if stacked.shape[2] == channels:
            return stacked
        mean = np.rint(stacked.mean(axis=2, keepdims=True)).astype(np.uint8)
        return np.repeat(mean, channels, axis=2)

    def read_small(self, row: int, least: int) -> Pixels:
        """Likewise (height, width): the mean of the channels, which are read whole, since they must be of one size."""
        return self.read(row, 1)[:, :, 0]

    def stamp(self, row: int) -> bytes:
        return _stamp(self.paths(row))

    def paths(self, row: int) -> list[Path]:
        return [self.root / str(file) for file in self.files[row]]

    def name(self, row: int) -> str:
        return str(self.names[row])

    def header_faults(self) -> list[str | None]:
        """Of each image the first fault of its files."""
        return self._first(check_headers(path for row in range(len(self)) for path in self.paths(row)))

    def shapes(self) -> list[Size | None]:
        return read_sizes(self.paths(row)[0] for row in range(len(self)))

    def pixel_faults(self) -> list[str | None]:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(self._pixel_fault, range(len(self))))

    def identity(self, row: int) -> str:
        return f"{'|'.join(self.files[row])}\t{'|'.join(str(_size(path)) for path in self.paths(row))}"

    def sizes(self) -> NDArray[np.int64]:
        sizes = np.array([_size(path) for row in range(len(self)) for path in self.paths(row)], dtype=np.int64).reshape(self.files.shape)
        return np.asarray(np.where((sizes < 0).any(axis=1), -1, sizes.sum(axis=1)))

    def digest(self, row: int) -> bytes | None:
        parts = [_digest(path) for path in self.paths(row)]
        known = [part for part in parts if part is not None]
        return blake2b(b"".join(known), digest_size=16).digest() if len(known) == len(parts) else None

    def digests(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        return in_threads(self.digest, rows.tolist())

    def take(self, rows: NDArray[np.int64]) -> ImageChannels:
        return replace(self, names=self.names[rows], files=self.files[rows])

    def _first(self, faults: list[str | None]) -> list[str | None]:
        count = self.files.shape[1]
        return [next(filter(None, faults[start : start + count]), None) for start in range(0, len(faults), count)]

    def _pixel_fault(self, row: int) -> str | None:
        try:
            self.read(row, self.files.shape[1])
            return None
        except DataError as error:
            return str(error)


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

    def digest(self, row: int) -> bytes | None:
        return self.stamp(row)

    def digests(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        return [self.stamp(row) for row in rows.tolist()]

    def take(self, rows: NDArray[np.int64]) -> ImageArrays:
        return ImageArrays(self.names[rows], self.pixels[rows])


Images = ImageFiles | ImageChannels | ImageArrays


def join_images(first: Images, second: Images) -> Images:
    """All images of both, which are of one kind. Raises DataError for arrays of different sizes."""
    if isinstance(first, ImageFiles) and isinstance(second, ImageFiles):
        return replace(first, files=np.concatenate([first.files, _seen_from(first.root, second)]))
    if isinstance(first, ImageChannels) and isinstance(second, ImageChannels):
        files = np.concatenate([first.files, _seen_from(first.root, second)])
        return replace(first, names=np.concatenate([first.names, second.names]), files=files)
    assert isinstance(first, ImageArrays) and isinstance(second, ImageArrays)
    if first.pixels.shape[1:] != second.pixels.shape[1:]:
        sides = [" x ".join(map(str, each.pixels.shape[1:])) for each in (first, second)]
        raise DataError(f"images must have one size: {first.name(0)} has {sides[0]} pixels, {second.name(0)} has {sides[1]}")
    return ImageArrays(np.concatenate([first.names, second.names]), np.concatenate([first.pixels, second.pixels]))


def refuse_images(faults: Sequence[DataError | str]) -> None:
    """Raises DataError that tells the first of what is wrong with images, and how many more there are; nothing where there is none."""
    more = len(faults) - FAULTS_TOLD
    if faults:
        raise DataError(*faults[:FAULTS_TOLD], *([f"and {counted(more, 'more image')} like these"] if more > 0 else []))


def _seen_from(root: Path, images: ImageFiles | ImageChannels) -> NDArray[np.str_]:
    """The paths of the images' files, relative to another folder."""
    step = os.path.relpath(os.path.realpath(images.root), os.path.realpath(root))
    if step == ".":
        return images.files
    return np.array([os.path.join(step, file) for file in images.files.ravel().tolist()]).reshape(images.files.shape)


def _stamp(paths: Sequence[Path]) -> bytes:
    told = blake2b(digest_size=16)
    for path in paths:
        told.update(os.fsencode(path.absolute()))
        try:
            found = path.stat()
        except OSError:
            continue
        # The time of the last change of any kind too: a copy may be given the size and the time of what it replaces. And which
        # file it is: a folder that takes another's place changes none of its files, and clocks of file systems tick slowly.
        told.update(f"\0{found.st_ino}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n".encode())
    return told.digest()


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
