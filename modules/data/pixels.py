"""A file to pixels, by one rule for training and test, and pixels to the model's size.

The rule: the first frame; the orientation that EXIF (or XMP) tells applied; alpha over white; 16-bit grey scaled to 8 bits, of 16-bit
colours the high byte; palettes, CMYK, YCbCr and LAB converted; grey repeated for colour models, ITU-R 601 luma for grey ones.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modules.compute.threads import in_threads
from modules.config.errors import DataError
from modules.config.values import Size
from modules.data.oddities import check_end, check_sums, orientation_of, refuse_unsure, upright

Pixels = NDArray[np.uint8]

MAX_PIXELS = 178_956_970  # Pillow's own limit for what may be a decompression bomb
WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
# Pillow knows more, which nobody's contest is in: some have no agreed scale (FITS), or run another program (EPS).
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TGA",
    "TIFF", "WEBP", "XBM", "XPM",
)  # fmt: skip


def read_image(path: Path, channels: int) -> Pixels:
    """The pixels of a file, (height, width, channels) uint8; channels is 1 (grey) or 3 (RGB).

    Raises DataError with the file and what is wrong with it; a decoder's exception never gets out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, and of sizes under the limit
            with _open(path) as image:
                if image.format == "PNG":
                    check_sums(path)
                if image.format in ("JPEG", "MPO"):
                    check_end(path)
                refuse_unsure(path, image)
                return _convert(upright(image), channels)
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: not enough memory to decode it") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise DataError(f"{path}: {_reason(path, error)}") from None


def read_small(path: Path, least: int) -> Pixels:
    """(height, width) grey, by the same rule, for a look and not for learning: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size.

    No side gets shorter than `least` by that. Checksums are not compared. Raises DataError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as image:
                image.draft("L", (least, least))
                refuse_unsure(path, image)
                return _convert(upright(image), 1)[..., 0]
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: not enough memory to decode it") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise DataError(f"{path}: {_reason(path, error)}") from None


def check_header(path: Path) -> str | None:
    """What is wrong with a file, as far as its header tells; None where nothing is. No pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as image:
                refuse_unsure(path, image)
                return None
    except DataError as error:
        return str(error)
    except Exception as error:
        return f"{path}: {_reason(path, error)}"


def check_headers(paths: Iterable[Path]) -> list[str | None]:
    """`check_header` of every file, in parallel."""
    return in_threads(check_header, paths)


def read_sizes(paths: Iterable[Path]) -> list[Size | None]:
    """Height and width of every file, as its header and its EXIF orientation tell them; None for what cannot be read."""
    return in_threads(_read_size, paths)


def check_pixels(paths: Iterable[Path]) -> list[str | None]:
    """What is wrong with every file, found out by decoding it; None where nothing is."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(_check_decoding, paths))


def resize_image(pixels: Pixels, size: Size, resize: str) -> Pixels:
    """Pixels at `size`: `stretch` both sides; `crop` the middle; or `pad` evenly with black.

    Takes and returns (height, width, channels) uint8. Area averaging where the image shrinks, else bilinear.
    """
    height, width = pixels.shape[:2]
    if (height, width) == tuple(size):
        return pixels
    if resize == "stretch":
        return _scale(pixels, size)
    ratios = (size.height / height, size.width / width)
    if resize == "crop":  # before scaling: a thin image would grow without bounds
        ratio = max(ratios)
        return _scale(_crop(pixels, Size(max(1, round(size.height / ratio)), max(1, round(size.width / ratio)))), size)
    ratio = min(ratios)
    return _pad(_scale(pixels, Size(max(1, round(height * ratio)), max(1, round(width * ratio)))), size)


def _open(path: Path) -> Image.Image:
    if path.is_dir():
        raise DataError(f"{path}: a folder, not an image")
    if not path.is_file():
        raise DataError(f"{path}: no such file{_same_name(path)}")
    image = Image.open(path, formats=FORMATS)
    if image.format == "TIFF":
        image.filename = ""  # Pillow maps a file whose name it has, and takes rows for columns where EXIF turns that by a quarter
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(f"{path}: {image.width} x {image.height} pixels are over the limit of {MAX_PIXELS:,}")
    return image


def _same_name(path: Path) -> str:
    """A hint where only the suffix differs."""
    for stem in (path.name, path.stem):
        found = [other for other in sorted(path.parent.glob(f"{glob.escape(stem)}.*")) if other.name != path.name]
        if found:
            return f"; {found[0].name} is there: see [data] image_suffix"
    return ""


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if path.stat().st_size == 0:
        return "the file is empty (zero bytes)"
    if isinstance(error, Image.DecompressionBombError):
        return f"its size is over the limit of {MAX_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that can be read"
    return f"damaged: {' '.join(str(error).split()) or type(error).__name__}"


def _read_size(path: Path) -> Size | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open(path) as image:
                turned = image.format != "TIFF" and orientation_of(image) >= 5  # Pillow turned a TIFF's size
                return Size(image.width, image.height) if turned else Size(image.height, image.width)
    except Exception:  # decoders raise anything on damaged files; what is wrong with them is told elsewhere
        return None


def _check_decoding(path: Path) -> str | None:
    try:
        read_image(path, 3)
        return None
    except DataError as error:
        return str(error)


def _convert(image: Image.Image, channels: int) -> Pixels:
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray(_from_16_bits(np.asarray(image), image.info.get("transparency")))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        image = _over_white(image.convert("RGBA"))
    if image.mode != mode:
        # Only RGB knows the way to luma from every mode.
        image = image.convert("RGB") if image.mode not in ("L", "1", "RGB") else image
        image = image.convert(mode)
    return np.array(image).reshape(image.height, image.width, channels)


def _from_16_bits(values: NDArray[np.generic], transparent: int | None) -> Pixels:
    """Scaled by 255 / 65535; the value that PNG calls transparent becomes white."""
    numbers = values.astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 65535:
        raise ValueError(f"expected 16-bit pixels, got values from {numbers.min()} to {numbers.max()}")
    scaled = (numbers + 128) // 257
    if isinstance(transparent, int):
        scaled[numbers == transparent] = 255
    return np.asarray(scaled, dtype=np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _scale(pixels: Pixels, size: Size) -> Pixels:
    height, width, channels = pixels.shape
    shrinks = size.height <= height and size.width <= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, (size.width, size.height), interpolation=method)
    return np.asarray(scaled, dtype=np.uint8).reshape(size.height, size.width, channels)


def _crop(pixels: Pixels, size: Size) -> Pixels:
    top, left = (pixels.shape[0] - size.height) // 2, (pixels.shape[1] - size.width) // 2
    return np.ascontiguousarray(pixels[top : top + size.height, left : left + size.width])


def _pad(pixels: Pixels, size: Size) -> Pixels:
    height, width, channels = pixels.shape
    padded = np.zeros((size.height, size.width, channels), dtype=np.uint8)
    top, left = (size.height - height) // 2, (size.width - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded
