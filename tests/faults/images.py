"""Generated images over format, mode and fault: the pixels that the declared rule gives, or one line that names the file.

python -m tests.faults.images [seed=0]
"""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modules.compute.threads import in_threads
from modules.config.errors import DataError
from modules.data.images import ImageFiles
from tests.exif import TURNS, exif

Pixels = NDArray[Any]

HEIGHT, WIDTH = 24, 36
SECONDS = 5.0  # that one file may take
MEMORY = 1 << 30  # bytes that the whole corpus may take beyond what was taken before
SCRIPTS = (
    "кошка", "猫", "고양이", "한글 이름", "ネコ", "قطة", "חתול", "แมว", "बिल्ली", "γάτα", "ծառ", "კატა", "ድመት", "🐱", "e\u0301", "\u00e9",
    "a b", " a", "a'b", 'a"b', "a,b", "a;b", "a#b", "a%20b", "a=b",
    "[a]", "{a}", "a*b", "a?b", "a&b", "a\\b", "a\tb", "a.b.c", "-a", "~a", "$HOME",
    "a" * 200, "CON", "\u202eabc", "a\u00a0b", "\ufeffa",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """kind: of the file. fault: what was done to it. expected: (height, width, 3), or None where it must be refused.

    tolerance: levels by which a pixel may differ; None: whatever pixels, since no decoder could know, or a refusal. may_be_refused: or the
    right pixels.
    """

    kind: str
    fault: str
    name: str
    content: bytes
    expected: Pixels | None
    tolerance: float | None = 0
    may_be_refused: bool = False


@dataclass
class Tried:
    """What came of the corpus. read: as declared, of which `known` were compared with pixels known from how the file was made; the
    others are those that no decoder could know. slowest: seconds. memory: bytes above what was taken before.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    read: int = 0
    known: int = 0
    refused: int = 0
    slowest: float = 0
    memory: int = 0
    faults: list[str] = field(default_factory=list)


def corpus(seed: int) -> Iterator[Case]:
    draw = random.Random(seed)
    for kind, suffix, image, options, expected, tolerance in sources(np.random.default_rng(seed)):
        content = encode(image, options)
        whole = Case(kind, "whole", f"{kind}{suffix}", content, expected, tolerance)
        yield whole
        wrong = ".jpg" if suffix != ".jpg" else ".png"
        yield replace(whole, fault="wrong suffix", name=f"{kind}-as{wrong}")
        yield replace(whole, fault="no suffix", name=f"{kind}-as-nothing")
        yield from cut(whole, suffix)
        yield from scrambled(whole, suffix, draw)
        if options["format"] in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield from turned(kind, suffix, image, options, expected, tolerance)
    yield from named(seed)
    yield from bombs()
    yield from no_images()


def sources(rng: np.random.Generator) -> Iterator[tuple[str, str, Image.Image, dict[str, Any], Pixels, float]]:
    """Kind, suffix, image, options of saving, and the pixels that must be read, found without Foldini."""
    rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    grey, alpha = rgb[..., 0], rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    smooth = np.stack([np.add.outer(np.arange(HEIGHT) * 4, np.arange(WIDTH) * c) % 200 for c in (1, 2, 3)], axis=-1).astype(np.uint8)
    bits = (grey > 127).astype(np.uint8) * 255
    palette = Image.fromarray(rgb).quantize(32)
    from_palette = np.asarray(palette.convert("RGB"))
    colour, lone = Image.fromarray(rgb), Image.fromarray(grey)
    clear = Image.fromarray(np.dstack([rgb, alpha]))
    over_white = (rgb * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)).round()
    grey_clear = Image.merge("LA", [lone, Image.fromarray(alpha)])
    grey_over_white = repeat((grey * (alpha / 255) + 255 * (1 - alpha / 255)).round())
    for suffix, form in ((".png", "PNG"), (".bmp", "BMP"), (".tif", "TIFF"), (".ppm", "PPM")):
        yield f"{form}-RGB", suffix, colour, {"format": form}, rgb, 0
        yield f"{form}-L", suffix, lone, {"format": form}, repeat(grey), 0
    for suffix, form in ((".png", "PNG"), (".bmp", "BMP"), (".tif", "TIFF")):
        yield f"{form}-1", suffix, Image.fromarray(bits).convert("1"), {"format": form}, repeat(bits), 0
        yield f"{form}-P", suffix, palette, {"format": form}, from_palette, 0
    for suffix, form, more in ((".png", "PNG", {}), (".tif", "TIFF", {}), (".webp", "WEBP", {"lossless": True, "exact": True})):
        yield f"{form}-RGBA", suffix, clear, {"format": form, **more}, over_white, 1
    yield "PNG-LA", ".png", grey_clear, {"format": "PNG"}, grey_over_white, 1
    yield "PNG-16", ".png", Image.fromarray(deep), {"format": "PNG"}, repeat((deep / 257).round()), 0
    yield "TIFF-16", ".tif", Image.fromarray(deep), {"format": "TIFF"}, repeat((deep / 257).round()), 0
    yield "PNG-P-clear", ".png", palette, {"format": "PNG", "transparency": 3}, hole(palette, 3), 0
    for method in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"TIFF-{method}", ".tiff", colour, {"format": "TIFF", "compression": method}, rgb, 0
    others = [Image.fromarray(255 - rgb), Image.fromarray(rgb[::-1])]
    yield "TIFF-pages", ".tif", colour, {"format": "TIFF", "save_all": True, "append_images": others}, rgb, 0
    yield "GIF", ".gif", palette, {"format": "GIF"}, from_palette, 0
    yield "GIF-animation", ".gif", palette, {"format": "GIF", "save_all": True, "append_images": others}, from_palette, 0
    yield "PNG-animation", ".png", colour, {"format": "PNG", "save_all": True, "append_images": others}, rgb, 0
    yield "WEBP", ".webp", colour, {"format": "WEBP", "lossless": True}, rgb, 0
    yield "WEBP-animation", ".webp", colour, {"format": "WEBP", "lossless": True, "save_all": True, "append_images": others}, rgb, 0
    even, even_grey = Image.fromarray(smooth), Image.fromarray(smooth[..., 2])
    for name, more in (
        ("", {}),
        ("-progressive", {"progressive": True}),
        ("-4:2:0", {"subsampling": 2}),
        ("-optimised", {"optimize": True}),
    ):
        yield f"JPEG{name}", ".jpg", even, {"format": "JPEG", "quality": 98, "subsampling": 0, **more}, smooth, 45 if "4:2:0" in name else 8
    yield "JPEG-L", ".jpeg", even_grey, {"format": "JPEG", "quality": 98}, repeat(smooth[..., 2]), 8
    yield "JPEG-CMYK", ".jpg", even.convert("CMYK"), {"format": "JPEG", "quality": 98, "subsampling": 0}, smooth, 10
    yield "TIFF-CMYK", ".tif", even.convert("CMYK"), {"format": "TIFF"}, smooth, 1
    yield "WEBP-lossy", ".webp", even, {"format": "WEBP", "quality": 98}, smooth, 40


def repeat(grey: Pixels) -> Pixels:
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)


def hole(palette: Image.Image, index: int) -> Pixels:
    """With the colour of that index white."""
    found = np.asarray(palette.convert("RGB")).copy()
    found[np.asarray(palette) == index] = 255
    return found


def encode(image: Image.Image, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def cut(whole: Case, suffix: str) -> Iterator[Case]:
    """Cut off: the pixels that were there, where nothing of them was lost, or a refusal; never others."""
    for share in (0, 0.02, 0.25, 0.5, 0.75, 0.95, 0.99):
        length = int(len(whole.content) * share)
        name = f"{whole.kind}-cut-{share}{suffix}"
        refused = whole.expected if length else None
        yield replace(whole, fault="cut", name=name, content=whole.content[:length], expected=refused, may_be_refused=True)


def scrambled(whole: Case, suffix: str, draw: random.Random) -> Iterator[Case]:
    """Bytes that changed. PNG has checksums; what other formats cannot know is anything, but no hang and no traceback."""
    for kind in ("zeros", "noise", "doubled"):
        content, at = bytearray(whole.content), len(whole.content) // 2
        size = min(64, len(content) // 4)
        if kind == "doubled":
            content[at:at] = content[at : at + size]
        else:
            content[at : at + size] = bytes(size) if kind == "zeros" else draw.randbytes(size)
        sure = whole.kind.startswith("PNG")
        name, tolerance = f"{whole.kind}-{kind}{suffix}", whole.tolerance if sure else None
        yield replace(whole, fault=kind, name=name, content=bytes(content), tolerance=tolerance, may_be_refused=True)


def turned(kind: str, suffix: str, image: Image.Image, options: dict[str, Any], expected: Pixels, tolerance: float) -> Iterator[Case]:
    for orientation, turn in TURNS.items():
        content = encode(image, {**options, "exif": exif(orientation)})
        yield Case(kind, "EXIF", f"{kind}-turned-{orientation}{suffix}", content, turn(expected), tolerance)


def named(seed: int) -> Iterator[Case]:
    for number, script in enumerate(SCRIPTS):
        pixels = np.random.default_rng((seed, number)).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        yield Case("PNG-RGB", "name", f"{script}.png", encode(Image.fromarray(pixels), {"format": "PNG"}), pixels)


def bombs() -> Iterator[Case]:
    """Little on the disk, and more pixels than any image has."""
    for width, height in ((60_000, 60_000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1), (20_000, 20_000)):
        yield Case("PNG-bomb", "bomb", f"bomb-{width}-{height}.png", png(width, height, b"\0" * 10_000_000), None)
    screen = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    yield Case("GIF-bomb", "bomb", "bomb.gif", screen + b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x02\x02D\x01\0;", None)
    size = struct.pack("<IiiHHIIiiII", 40, 2_000_000, 2_000_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield Case("BMP-bomb", "bomb", "bomb.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + size, None)
    yield Case("PPM-bomb", "bomb", "bomb.ppm", b"P6 2000000 2000000 255\n\0\0\0", None)
    text = b"tEXt" + b"a\0" + b"x" * 50_000_000
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    small = png(2, 2, b"\0" * 14)
    many = struct.pack(">I", 0)
    yield Case("PNG-text", "bomb", "text.png", small[:33] + chunk + small[33:] + many[:0], np.zeros((2, 2, 3)), may_be_refused=True)


def png(width: int, height: int, raw: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def no_images() -> Iterator[Case]:
    contents = {
        "empty": b"",
        "nought": bytes(1000),
        "html": b"<!doctype html><title>404</title>",
        "text": b"version https://example.invalid/spec/v1\noid sha256:0\nsize 12345\n",
        "zip": b"PK\x03\x04" + bytes(100),
        "pdf": b"%PDF-1.4\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "jpeg-head": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "png-head": b"\x89PNG\r\n\x1a\n",
        "apple": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(50),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        "float": encode(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), {"format": "TIFF"}),
    }
    for kind, content in contents.items():
        yield Case(kind, "no image", f"._{kind}.jpg" if kind == "apple" else f"none-{kind}.jpg", content, None)


def try_corpus(cases: list[Case]) -> Tried:
    """In the folder that the process stands in. Raises nothing: what is wrong is in `faults`."""
    tried = Tried()
    folder = Path("images")
    folder.mkdir()
    for case in cases:
        (folder / case.name).write_bytes(case.content)
    assert len(list(folder.iterdir())) == len(cases), "two cases have one name"
    before = _listing(folder)
    images = ImageFiles(folder, np.array([case.name for case in cases]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case, (outcome, seconds) in zip(cases, in_threads(lambda row: _read(images, row), range(len(cases))), strict=True):
        tried.kinds[case.kind] += 1
        tried.slowest = max(tried.slowest, seconds)
        tried.refused += isinstance(outcome, str)
        tried.read += not isinstance(outcome, str)
        tried.known += not isinstance(outcome, str) and case.tolerance is not None
        fault = judge(case, folder / case.name, outcome)
        if fault:
            tried.faults.append(f"{case.name}: {fault}")
    tried.memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    if tried.slowest > SECONDS:
        tried.faults.append(f"one file took {tried.slowest:.1f} s")
    if tried.memory > MEMORY:
        tried.faults.append(f"{tried.memory:,} bytes of memory")
    if _listing(folder) != before:
        tried.faults.append("the folder of images was changed")
    return tried


def _read(images: ImageFiles, row: int) -> tuple[Pixels | str | Exception, float]:
    started = time.perf_counter()
    outcome: Pixels | str | Exception
    try:
        outcome = images.read(row, 3)
    except DataError as error:
        outcome = str(error)
    except Exception as error:
        outcome = error
    return outcome, time.perf_counter() - started


def judge(case: Case, path: Path, outcome: Pixels | str | Exception) -> str | None:
    """What is wrong with what came of reading it."""
    if isinstance(outcome, Exception):
        return f"{type(outcome).__name__}: {outcome}"
    if isinstance(outcome, str):
        if not outcome.startswith(f"{path}: ") or "\n" in outcome.removeprefix(str(path)):
            return f"told as {outcome!r}"
        return None if case.may_be_refused or case.expected is None else f"refused: {outcome}"
    if case.expected is None:
        return f"read as {outcome.shape}"
    if outcome.dtype != np.uint8 or outcome.ndim != 3 or outcome.shape[2] != 3:
        return f"pixels of {outcome.dtype}, {outcome.shape}"
    if case.tolerance is None:
        return None
    if outcome.shape != case.expected.shape:
        return f"{outcome.shape}, not {case.expected.shape}"
    off = np.abs(outcome.astype(float) - case.expected).max()
    return f"off by {off:.0f}" if off > case.tolerance else None


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(folder))


def describe(cases: list[Case], tried: Tried) -> str:
    told = f"{len(cases)} images of {len(tried.kinds)} kinds: {tried.refused} refused by name, {tried.known} read as declared"
    told += f", {tried.read - tried.known} read as no decoder could know"
    return "\n".join(
        [f"{told}, {len(tried.faults)} not; the slowest {tried.slowest:.2f} s, {tried.memory / 2**20:.0f} MiB of memory", *tried.faults]
    )


def main(arguments: list[str]) -> int:
    given = {"seed": "0", **dict(each.split("=", 1) for each in arguments)}
    cases = list(corpus(int(given["seed"])))
    folder = Path(tempfile.mkdtemp(prefix="images-"))
    with chdir(folder):
        tried = try_corpus(cases)
    shutil.rmtree(folder)
    print(describe(cases, tried))
    return int(bool(tried.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
