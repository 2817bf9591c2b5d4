"""One declared rule from a file to pixels, each part compared with an answer found without the reader; bad files are one line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modules.config.errors import DataError
from modules.config.values import Size
from modules.data.pixels import MAX_PIXELS, check_header, check_headers, check_pixels, read_image, read_sizes, resize_image
from tests.exif import TURNS, exif

Array = NDArray[Any]


def colours(height: int = 12, width: int = 20, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(path: Path, channels: int = 3) -> str:
    """What is told of a file; the file's name is cut off."""
    with pytest.raises(DataError) as caught:
        read_image(path, channels)
    (line,) = caught.value.lines
    assert type(caught.value) is DataError and line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


def luma(rgb: Array) -> Array:
    """ITU-R 601."""
    shares: Array = np.rint(rgb.astype(float) @ np.array([0.299, 0.587, 0.114]))
    return shares[..., np.newaxis]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.tiff", "a.webp", "a.ppm", "png-without-suffix"])
def test_lossless_formats_give_the_pixels_that_were_written(name: str) -> None:
    pixels = colours()
    options: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {"format": None if "." in name else "PNG"}
    Image.fromarray(pixels).save(name, **options)
    found = read_image(Path(name), 3)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and np.array_equal(found, pixels)
    assert np.abs(read_image(Path(name), 1).astype(int) - luma(pixels)).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_grey_is_repeated_for_colour_and_kept_for_grey(name: str) -> None:
    grey = colours()[..., 0]
    Image.fromarray(grey).save(name)
    assert np.array_equal(read_image(Path(name), 1), grey[..., np.newaxis])
    assert np.array_equal(read_image(Path(name), 3), np.repeat(grey[..., np.newaxis], 3, axis=2))


def test_jpeg_is_decoded_in_full_size_and_in_rgb_order() -> None:
    pixels = np.zeros((16, 48, 3), dtype=np.uint8)
    pixels[:, :16, 0], pixels[:, 16:32, 1], pixels[:, 32:, 2] = 255, 255, 255
    Image.fromarray(pixels).save("a.jpg", quality=95, subsampling=0)
    found = read_image(Path("a.jpg"), 3)
    assert found.shape == (16, 48, 3) and np.abs(found.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_the_exif_orientation_is_applied(name: str, orientation: int) -> None:
    image = Image.fromarray(colours())
    options: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    image.save(f"plain-{name}", **options)
    image.save(name, exif=exif(orientation), **options)
    with Image.open(f"plain-{name}") as plain:
        stored = np.asarray(plain)
    expected = TURNS[orientation](stored)
    assert expected.shape == ((20, 12, 3) if orientation >= 5 else (12, 20, 3))
    assert np.array_equal(read_image(Path(name), 3), expected)


@pytest.mark.parametrize("orientation", TURNS)
def test_the_orientation_of_grey_and_16_bit_images_is_applied_too(orientation: int) -> None:
    stored = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20) * 257
    Image.fromarray(stored).save("a.png", exif=exif(orientation))
    expected = TURNS[orientation](np.arange(12 * 20, dtype=np.uint8).reshape(12, 20))
    assert np.array_equal(read_image(Path("a.png"), 1)[..., 0], expected)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_tiff_of_any_mode_is_turned_and_so_is_its_size(mode: str, orientation: int) -> None:
    """Pillow 13 reads those of an uncompressed file in rows of the wrong length where it is given the file's name."""
    grey = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)
    deep, colour = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(np.repeat(grey[..., None], 3, axis=2))
    stored = deep if mode == "I;16" else colour.convert(mode)
    stored.save("plain.png" if mode != "CMYK" else "plain.tif")
    stored.save("a.tif", exif=exif(orientation))
    expected = TURNS[orientation](read_image(Path("plain.png" if mode != "CMYK" else "plain.tif"), 3))
    assert np.array_equal(read_image(Path("a.tif"), 3), expected)
    assert read_sizes([Path("a.tif")]) == [Size(*expected.shape[:2])]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(value: int) -> None:
    Image.fromarray(colours()).save("a.png", exif=exif(value))
    assert np.array_equal(read_image(Path("a.png"), 3), colours())


def test_damaged_exif_does_not_make_an_image_unreadable() -> None:
    Image.fromarray(colours()).save("plain.jpg")
    Image.fromarray(colours()).save("a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffgarbage")
    assert np.array_equal(read_image(Path("a.jpg"), 3), read_image(Path("plain.jpg"), 3))


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_alpha_is_laid_over_white(name: str) -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    rgba[0, :, 3], rgba[1, :, 3] = 0, 255
    options: dict[str, Any] = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    Image.fromarray(rgba).save(name, **options)
    share = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * share + 255 * (1 - share)
    found = read_image(Path(name), 3)
    assert np.abs(found - expected).max() <= 1
    assert np.all(found[0] == 255) and np.array_equal(found[1], rgba[1, :, :3])
    assert np.abs(read_image(Path(name), 1) - luma(expected)).max() <= 1.5


def test_grey_with_alpha_is_laid_over_white() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 2), dtype=np.uint8)
    Image.fromarray(pixels, mode="LA").save("a.png")
    share = pixels[..., 1:].astype(float) / 255
    expected = pixels[..., :1] * share + 255 * (1 - share)
    assert np.abs(read_image(Path("a.png"), 1) - expected).max() <= 1
    assert np.abs(read_image(Path("a.png"), 3) - expected).max() <= 1


def palette_image() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], dtype=np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    return image


def test_a_palette_gives_its_colours() -> None:
    for name in ("a.png", "a.gif", "a.bmp"):
        palette_image().save(name)
        assert read_image(Path(name), 3).tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]]


def test_transparent_entries_of_a_palette_are_white_and_half_transparent_ones_lighter() -> None:
    palette_image().save("a.png", transparency=bytes([0, 128, 255]))
    found = read_image(Path("a.png"), 3).astype(int)
    assert found[0, 0].tolist() == [255, 255, 255] and found[1].tolist() == [[0, 0, 255], [10, 20, 30]]
    assert np.abs(found[0, 1] - [127, 255, 127]).max() <= 1
    palette_image().save("a.gif", transparency=2)
    assert read_image(Path("a.gif"), 3).tolist() == [[[255, 0, 0], [0, 255, 0]], [[255, 255, 255], [10, 20, 30]]]


def test_a_transparent_colour_without_alpha_is_white_too() -> None:
    pixels = np.array([[[1, 2, 3], [9, 9, 9]]], dtype=np.uint8)
    Image.fromarray(pixels).save("rgb.png", transparency=(1, 2, 3))
    Image.fromarray(pixels[..., 0]).save("grey.png", transparency=1)
    assert read_image(Path("rgb.png"), 3).tolist() == [[[255, 255, 255], [9, 9, 9]]]
    assert read_image(Path("grey.png"), 1).tolist() == [[[255], [9]]]


def test_a_transparent_grey_of_a_16_bit_image_is_white_too() -> None:
    Image.fromarray(np.array([[257, 2570]], dtype=np.uint16)).save("a.png", transparency=257)
    assert read_image(Path("a.png"), 1).tolist() == [[[255], [10]]]


@pytest.mark.parametrize(("name", "order"), [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2")])
def test_16_bits_are_scaled_and_not_clipped(name: str, order: str) -> None:
    values = np.array([[0, 1, 128, 129, 255, 256], [257, 1000, 32768, 40000, 65406, 65535]], dtype=order)
    Image.fromarray(values).save(name)
    expected = np.rint(values.astype(float) / 257)
    assert expected.max() == 255 and (expected == 156).any()
    assert np.array_equal(read_image(Path(name), 1)[..., 0], expected)
    assert np.array_equal(read_image(Path(name), 3), np.repeat(expected[..., np.newaxis], 3, axis=2))


def test_16_bits_a_colour_are_scaled() -> None:
    raw = np.array([[[0, 32768, 65535], [257, 25700, 51400]]], dtype=">u2")
    Path("a.png").write_bytes(png(2, 1, zlib.compress(b"\x00" + raw.tobytes()), depth=16, kind=2))
    assert np.abs(read_image(Path("a.png"), 3).astype(float) - raw.astype(float) / 257).max() < 1


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_1_bit_is_black_and_white(name: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (9, 11)).astype(bool)
    Image.fromarray(bits).save(name)
    for channels in (1, 3):
        found = read_image(Path(name), channels)
        assert found.shape == (9, 11, channels) and np.array_equal(found[..., 0] == 255, bits) and set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_converted_with_white_as_paper(name: str) -> None:
    inks = {(0, 0, 0, 0): (255, 255, 255), (0, 0, 0, 255): (0, 0, 0), (255, 0, 0, 0): (0, 255, 255), (0, 255, 255, 0): (255, 0, 0)}
    cells = np.repeat(np.array([list(inks)], dtype=np.uint8), 16, axis=0).repeat(16, axis=1)
    image = Image.fromarray(cells, mode="CMYK")
    options: dict[str, Any] = {"quality": 100} if name == "a.jpg" else {}
    image.save(name, **options)
    found = read_image(Path(name), 3)
    for index, expected in enumerate(inks.values()):
        assert np.abs(found[8, 8 + 16 * index].astype(int) - expected).max() <= 4
    assert read_image(Path(name), 1).shape == (16, 64, 1)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_white_grey_and_black_of_other_colour_spaces_are_neutral(mode: str) -> None:
    neutral = 128 if mode == "YCbCr" else 0  # as Pillow gives LAB's a and b to NumPy: signed
    cells = np.array([[[255, neutral, neutral], [0, neutral, neutral], [128, neutral, neutral]]], dtype=np.uint8)
    Image.fromarray(cells, mode=mode).save("a.tif")
    with Image.open("a.tif") as image:
        assert image.mode == mode
    found = read_image(Path("a.tif"), 3).astype(int)
    assert np.ptp(found, axis=2).max() <= 2
    assert found[0, 0].min() >= 253 and found[0, 1].max() <= 2 and 110 < found[0, 2].mean() < 135
    assert read_image(Path("a.tif"), 1).shape == (1, 3, 1)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_the_first_frame_of_several_is_read(name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(name, save_all=True, append_images=frames[1:], **options)
    with Image.open(name) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert np.array_equal(read_image(Path(name), 3), np.full((6, 8, 3), (255, 0, 0)))


def test_floating_point_pixels_are_refused_by_name() -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save("a.tif")
    assert refused(Path("a.tif")) == "floating point pixels have no agreed scale; save 8 bits, or 16 bits of grey"


def test_whole_numbers_beyond_16_bits_are_refused() -> None:
    Image.fromarray(np.array([[0, 70000]], dtype=np.int32)).save("a.tif")
    assert refused(Path("a.tif")).startswith("signed or floating point pixels have no agreed scale")


def tiff(bits: Sequence[int], data: bytes, *, colours: int = 1, planes: int = 1, signs: int = 1, size: tuple[int, int] = (3, 4)) -> bytes:
    """A TIFF file of (height, width), byte by byte. colours: 0 white is 0, 1 black is 0, 2 RGB. planes: 2 one after another."""
    count, (height, width) = len(bits), size
    short = {256: width, 257: height, 259: 1, 262: colours, 277: count, 278: height, 284: planes}
    length = len(data) // count if planes == 2 else len(data)
    tables = {258: bits, 339: [signs] * count}
    start, pool = 8 + 2 + 12 * (len(short) + len(tables) + 2) + 4, b""
    strips = [0] * (count if planes == 2 else 1)
    body = start + 2 * sum(len(each) for each in tables.values() if len(each) > 2) + 8 * len(strips)
    tables_of_longs = {273: [body + number * length for number in range(len(strips))], 279: [length] * len(strips)}
    entries = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in short.items()}
    for tag, values in (*tables.items(), *tables_of_longs.items()):
        kind, letter = (3, "H") if tag in tables else (4, "I")
        raw = struct.pack(f"<{len(values)}{letter}", *values)
        place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", start + len(pool))
        pool += raw if len(raw) > 4 else b""
        entries[tag] = struct.pack("<HHI", tag, kind, len(values)) + place
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + b"\0" * 4
    return (header + pool).ljust(body, b"\0") + data


def test_a_tiff_that_is_written_by_hand_is_read() -> None:
    """So that those below are refused for what they say of themselves."""
    grey, rgb = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, colours(3, 4)
    for content, expected in (
        (tiff([8], grey.tobytes()), grey[..., None].repeat(3, axis=2)),
        (tiff([8], (255 - grey).tobytes(), colours=0), grey[..., None].repeat(3, axis=2)),
        (tiff([16], (grey.astype("<u2") * 257).tobytes()), grey[..., None].repeat(3, axis=2)),
        (tiff([8] * 3, rgb.tobytes(), colours=2), rgb),
        (tiff([8] * 3, rgb.transpose(2, 0, 1).tobytes(), colours=2, planes=2), rgb),
        (tiff([16] * 3, (rgb.astype("<u2") * 257).tobytes(), colours=2), rgb),
    ):
        Path("a.tif").write_bytes(content)
        assert np.array_equal(read_image(Path("a.tif"), 3), expected)


@pytest.mark.parametrize(
    ("bits", "more", "told"),
    [
        ([12], {}, "12 bits a pixel have no agreed scale"),
        ([32], {}, "32 bits a pixel have no agreed scale"),
        ([16], {"colours": 0}, "16 bits with white as 0, or with a plane for each colour, are not read"),
        ([16] * 3, {"colours": 2, "planes": 2}, "16 bits with white as 0, or with a plane for each colour, are not read"),
        ([8], {"signs": 2}, "signed or floating point pixels have no agreed scale"),
        ([16], {"signs": 2}, "signed or floating point pixels have no agreed scale"),
    ],
)
def test_a_tiff_whose_pixels_pillow_reads_as_others_is_refused(bits: list[int], more: dict[str, int], told: str) -> None:
    Path("a.tif").write_bytes(tiff(bits, bytes(12 * sum(bits) // 8), **more))  # type: ignore[arg-type]
    assert refused(Path("a.tif")) == f"{told}; save 8 bits, or 16 bits of grey"
    assert str(check_header(Path("a.tif"))).startswith(f"a.tif: {told}")


@pytest.mark.parametrize(("depth", "key"), [(2, 1), (2, 0), (2, 3), (4, 7), (4, 15), (8, 9)])
def test_the_transparent_grey_of_a_png_is_white_at_any_depth(depth: int, key: int) -> None:
    levels = np.arange(12).reshape(3, 4) % 2**depth
    levels[1, 2] = key
    rows = b"".join(
        b"\0" + int("".join(f"{level:0{depth}b}" for level in row), 2).to_bytes(4 * depth // 8, "big") for row in levels.tolist()
    )
    Path("a.png").write_bytes(png(4, 3, zlib.compress(rows), depth, more=[(b"tRNS", struct.pack(">H", key))]))
    expected = np.where(levels == key, 255, levels * 255 // (2**depth - 1))
    assert np.array_equal(read_image(Path("a.png"), 1)[..., 0], expected)


def test_a_png_of_16_bit_colours_with_a_transparent_one_is_refused() -> None:
    rows = b"".join(b"\0" + bytes(6 * 4) for _ in range(3))
    Path("a.png").write_bytes(png(4, 3, zlib.compress(rows), 16, 2, more=[(b"tRNS", bytes(6))]))
    assert refused(Path("a.png")).startswith("16-bit colours of which one is transparent are not read")
    Path("a.png").write_bytes(png(4, 3, zlib.compress(rows), 16, 2))
    assert not read_image(Path("a.png"), 3).any()


@pytest.mark.parametrize("tags", [b"XMP", b"II*\0garbage", b"II*\0\x08\0\0\0\xff\xff"])
def test_of_exif_nothing_but_the_orientation_matters(tags: bytes) -> None:
    pixels = colours()
    Image.fromarray(pixels).save("a.png", exif=b"Exif\0\0" + tags)
    assert np.array_equal(read_image(Path("a.png"), 3), pixels)
    assert read_sizes([Path("a.png")]) == [Size(12, 20)]


def test_a_resolution_that_is_no_number_does_not_matter() -> None:
    entries = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 2, 4, b"300\0")]
    tags = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *each[:3]) + each[3] for each in entries) + b"\0" * 4
    Image.fromarray(colours()).save("a.png", exif=b"Exif\0\0" + tags)
    assert np.array_equal(read_image(Path("a.png"), 3), TURNS[6](colours()))
    assert read_sizes([Path("a.png")]) == [Size(20, 12)]


@pytest.mark.parametrize("tail", [0, 40, 5000])
def test_a_jpeg_of_which_the_rest_is_zeros_is_refused(tail: int) -> None:
    """A download into a file of its full size, interrupted, decodes as grey; zeros behind an image are none of its business."""
    Image.fromarray(colours(200, 300)).save("a.jpg", quality=95)
    content = Path("a.jpg").read_bytes()
    half = len(content) // 2
    Path("a.jpg").write_bytes(content[:half] + bytes(len(content) - half))
    assert refused(Path("a.jpg")) == "damaged: its end is zeros"
    Path("a.jpg").write_bytes(content + bytes(tail))
    assert read_image(Path("a.jpg"), 3).shape == (200, 300, 3)


@pytest.mark.parametrize("name", ["a.eps", "a.fits"])
def test_formats_without_a_scale_or_that_run_a_program_are_refused(name: str) -> None:
    if name == "a.eps":
        Image.fromarray(colours()).save(name)
    else:
        cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2"]
        cards += ["NAXIS1  =                    4", "NAXIS2  =                    3", "END"]
        Path(name).write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(2880))
    with Image.open(name) as image:
        assert image.format in ("EPS", "FITS")
    assert refused(Path(name)) == "not an image that can be read"


def test_zero_bytes_are_refused() -> None:
    Path("a.jpg").touch()
    assert refused(Path("a.jpg")) == "the file is empty (zero bytes)"
    assert check_header(Path("a.jpg")) == "a.jpg: the file is empty (zero bytes)"


@pytest.mark.parametrize(
    "content", [b"hello, I am a text\n", b"<html>404</html>", b"\x00" * 100, b"\xff\xd8\xff", b"GIF89a", b"\x00\x05\x16\x07Mac"]
)
def test_what_is_not_an_image_is_refused(content: bytes) -> None:
    Path("._a.jpg").write_bytes(content)
    assert refused(Path("._a.jpg")).startswith(("not an image that can be read", "damaged: "))
    assert check_header(Path("._a.jpg")) is not None


def test_a_text_under_an_images_name_is_told_in_full() -> None:
    Path("a.jpg").write_text("id,label\n", encoding="utf-8")
    assert refused(Path("a.jpg")) == "not an image that can be read"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_and_never_filled_up_with_grey(name: str, share: float) -> None:
    Image.fromarray(colours(60, 60)).save(name)
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(len(content) * share)])
    assert refused(Path(name)).startswith(("damaged: ", "not an image that can be read"))
    problems = check_pixels([Path(name)])
    assert problems[0] is not None and problems[0].startswith(f"{name}: ")


def png(width: int, height: int, data: bytes, depth: int = 8, kind: int = 0, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A PNG file byte by byte. more: chunks in front of the pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)), *more, (b"IDAT", data), (b"IEND", b"")]
    body = [struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("side", [13378, 20_000, 100_000])
def test_an_image_over_the_pixel_limit_is_refused_before_it_is_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert side * side > MAX_PIXELS
    Path("bomb.png").write_bytes(png(side, side, zlib.compress(b"\x00" * 1000)))
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("it was decoded"))
    assert "over the limit of 178,956,970" in refused(Path("bomb.png"))
    problem = check_header(Path("bomb.png"))
    assert problem is not None and problem.startswith("bomb.png: ") and "over the limit of 178,956,970" in problem


def test_the_pixel_limit_is_the_same_whatever_a_library_has_set() -> None:
    """13,377 x 13,377 is under the limit: what is wrong with this file is that its pixels are missing."""
    Path("a.png").write_bytes(png(13377, 13377, zlib.compress(b"\x00" * 1000)))
    assert check_header(Path("a.png")) is None


def test_a_missing_file_is_told_with_the_suffix_that_is_there() -> None:
    Path("train").mkdir()
    Path("train/7.jpeg").touch()
    Path("train/a[1].png").touch()
    hint = "see [data] image_suffix"
    assert refused(Path("train/7")) == f"no such file; 7.jpeg is there: {hint}"
    assert refused(Path("train/7.png")) == f"no such file; 7.jpeg is there: {hint}"
    assert refused(Path("train/a[1].jpg")) == f"no such file; a[1].png is there: {hint}"
    assert refused(Path("train/a1")) == "no such file"
    assert refused(Path("nowhere/8.png")) == "no such file"
    assert check_header(Path("train/8.png")) == "train/8.png: no such file"


def test_a_folder_in_the_place_of_an_image_is_refused() -> None:
    Path("a.jpg").mkdir()
    assert "image_suffix" not in refused(Path("a.jpg")), "the name is right, what it names is not"
    assert check_header(Path("a.jpg")) is not None


def test_a_link_to_nowhere_is_refused() -> None:
    Path("a.jpg").symlink_to("b.jpg")
    assert refused(Path("a.jpg")) == "no such file"


def test_a_name_longer_than_the_system_takes_is_refused_in_a_line() -> None:
    path = Path("가" * 100 + ".jpg")
    refused(path)
    problem = check_header(path)
    assert problem is not None and problem.startswith(f"{path}: ") and "\n" not in problem


@pytest.mark.parametrize("name", ["고양이.png", "قطة.png", "😀👩‍👩‍👧.png", "naïve é.png", "a b  c.png", "%s{0}.png", "-rf.png"])
def test_names_in_any_script_are_read_and_told(name: str) -> None:
    Image.fromarray(colours()).save(name)
    assert np.array_equal(read_image(Path(name), 3), colours())
    Path(name).write_bytes(b"no image")
    assert refused(Path(name)) == "not an image that can be read"


def test_headers_and_pixels_of_many_files_are_told_in_their_order() -> None:
    paths = []
    for row in range(150):
        path = Path(f"{row:03d}.png")
        if row % 7 == 3:
            path.touch()
        elif row % 7 != 5:
            Image.fromarray(colours(4, 4, row)).save(path)
        paths.append(path)
    for problems in (check_headers(paths), check_pixels(paths)):
        assert [problem is None for problem in problems] == [row % 7 not in (3, 5) for row in range(150)]
        told = [(problem or "").split(": ")[0] for problem in problems if problem]
        assert told == [str(path) for row, path in enumerate(paths) if row % 7 in (3, 5)]
    assert check_headers([]) == [] == check_pixels([])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_any_damage_gives_pixels_or_one_line_that_names_the_file(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(colours(10, 14)).save(buffer, kind)
    rng, path, refusals = np.random.default_rng(0), Path("damaged"), 0
    for _ in range(60):
        content = np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy()
        places = rng.integers(0, min(len(content), 400), rng.integers(1, 6))
        content[places] = rng.integers(0, 256, len(places))
        path.write_bytes(content.tobytes())
        try:
            found = read_image(path, 3)
        except DataError:
            refusals += 1
            refused(path)
        else:
            assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
    assert refusals > 0


def test_a_png_whose_end_was_never_written_is_refused() -> None:
    """As a preallocated download leaves it: the right length, zeros from somewhere on."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    whole = Path("a.png").read_bytes()
    for share in (0.3, 0.6, 0.9):
        cut = int(len(whole) * share)
        Path("a.png").write_bytes(whole[:cut] + bytes(len(whole) - cut))
        refused(Path("a.png"))


def test_a_thin_image_is_cropped_without_growing_first() -> None:
    pixels = np.arange(60000, dtype=np.uint32).astype(np.uint8).reshape(60000, 1, 1)
    assert resize_image(pixels, Size(224, 224), "crop").shape == (224, 224, 1)
