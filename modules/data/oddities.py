"""What image files say of themselves, and Pillow passes over or takes for something else."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

from modules.config.errors import DataError

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's number
KEYS = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies grey levels, and forgets to multiply the transparent one
BITS, COLOURS, PLANES, SIGNS = 258, 262, 284, 339  # tags of TIFF
ZEROS = 64  # bytes at the end of a JPEG that no image ends in


def refuse_unsure(path: Path, image: Image.Image) -> None:
    """Raises DataError for what has no agreed scale, and for what Pillow reads as other pixels than are there."""
    fault = None
    if image.mode == "F":
        fault = "floating point pixels have no agreed scale"
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        bits, signs = tuple(tags.get(BITS, (1,))), tuple(tags.get(SIGNS, (1,)))
        if set(signs) - {1}:
            fault = "signed or floating point pixels have no agreed scale"
        elif set(bits) - {1, 2, 4, 8, 16}:
            fault = f"{max(bits)} bits a pixel have no agreed scale"
        elif 16 in bits and (tags.get(COLOURS) == 0 or (tags.get(PLANES) == 2 and len(bits) > 1)):
            fault = "16 bits with white as 0, or with a plane for each colour, are not read"
    elif image.format == "PNG" and "transparency" in image.info and _raw_mode(image) == "RGB;16B":
        fault = "16-bit colours of which one is transparent are not read"
    if fault is not None:
        raise DataError(f"{path}: {fault}; save 8 bits, or 16 bits of grey")


def upright(image: Image.Image) -> Image.Image:
    """As EXIF says; and with the transparent level of a PNG on the scale of its pixels."""
    factor = KEYS.get(_raw_mode(image), 1) if image.format == "PNG" else 1
    if factor != 1 and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= factor
    if image.format == "TIFF":
        return ImageOps.exif_transpose(image)
    turn = TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def orientation_of(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 where it says none that there is. Of what else is in it nothing is asked: cameras write anything."""
    try:
        number = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def check_end(path: Path) -> None:
    """Raises ValueError for a JPEG of which the rest is zeros, as downloads that were interrupted leave it: they decode as grey."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - ZEROS))
        if any(file.read()):
            return
        file.seek(0)
        content = file.read()
    if b"\xff\xd9" not in content[content.rfind(b"\xff\xda") :]:
        raise ValueError("its end is zeros")


def check_sums(path: Path) -> None:
    """PNG is the one common format with checksums; Pillow compares those of the pixels only when it is asked to."""
    with Image.open(path) as image:
        image.verify()


def _raw_mode(image: Image.Image) -> str:
    """How a PNG's pixels lie in the file; blank of one that has none."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    return arguments if isinstance(arguments, str) else ""
