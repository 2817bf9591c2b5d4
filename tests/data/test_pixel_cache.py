"""Decoded pixels on the disk: the same bits as from the files, made once, and never those of a file that has changed since."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from modules.compute.process import Process
from modules.compute.row_store import RowStore
from modules.config.errors import DataError
from modules.config.pipeline import Pipeline
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data import images as images_module
from modules.data import pixel_cache
from modules.data.draws import BatchSampler
from modules.data.images import ImageArrays, ImageChannels, ImageFiles, Images
from modules.data.loaders import Batch, Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.task import classification

PROCESS = Process(torch.device("cpu"), "float32", False, 0, 1)
N = 13
ROWS = np.arange(N)
PREPROCESSING = Preprocessing(Size(12, 20), "pad", 3, (0.5,) * 3, (0.5,) * 3, Pipeline())


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    """PNG and JPEG, of different sizes, colour and grey, one turned by EXIF."""
    rng, names = np.random.default_rng(0), []
    for row in range(N):
        shape = (30 + row, 40 - row) if row % 4 == 0 else (30 + row, 40 - row, 3)
        names.append(f"{row}.{'jpg' if row % 2 else 'png'}")
        exif = Image.Exif()
        exif[0x0112] = 6 if row == 3 else 1
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / names[-1], exif=exif)
    return ImageFiles(tmp_path, np.array(names))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that are decoded."""
    rows: list[int] = []
    whole = PixelCache.decode

    def counted(cache: PixelCache, row: int) -> Any:
        rows.append(row)
        return whole(cache, row)

    monkeypatch.setattr(PixelCache, "decode", counted)
    return rows


def follow(steps: Iterator[int], total: int, what: str) -> Iterator[int]:
    seen = []
    for step in steps:
        seen.append(step)
        yield step
    assert seen == list(range(1, total + 1))


def never() -> None:
    raise AssertionError("nobody else decodes")


def kept(images: Images, preprocessing: Preprocessing = PREPROCESSING, rows: np.ndarray = ROWS, folder: str = "cache") -> PixelCache:
    cache = PixelCache(Path(folder), images, preprocessing)
    cache.provide(rows, follow, never)
    return cache


def by_hand(images: ImageFiles, row: int) -> np.ndarray:
    """By OpenCV alone, which decodes PNG to the same bits; padded evenly with black."""
    pixels = cv2.imread(str(images.path(row)), cv2.IMREAD_COLOR_RGB)
    assert pixels is not None
    ratio = min(12 / pixels.shape[0], 20 / pixels.shape[1])
    height, width = round(pixels.shape[0] * ratio), round(pixels.shape[1] * ratio)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    found = np.zeros((12, 20, 3), dtype=np.uint8)
    top, left = (12 - height) // 2, (20 - width) // 2
    found[top : top + height, left : left + width] = small
    return found


def test_what_is_kept_is_what_the_file_gives_to_the_bit(images: ImageFiles, decoded: list[int]) -> None:
    plain = PixelCache(None, images, PREPROCESSING)
    plain.provide(ROWS, follow, never)
    expected = [plain.open().read(row) for row in range(N)]
    decoded.clear()
    pixels = kept(images).open()
    assert sorted(decoded) == list(range(N))
    decoded.clear()
    found = [pixels.read(row) for row in range(N)]
    assert decoded == []
    for row in range(N):
        assert found[row].tobytes() == expected[row].tobytes() and found[row].shape == (12, 20, 3) and found[row].dtype == np.uint8
        if row % 2 == 0:
            assert np.array_equal(found[row], by_hand(images, row))
    assert np.abs(found[3].astype(int) - by_hand(images, 3)).mean() < 4  # turned; decoders differ a little in JPEG


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("margin", [1.0, 1.25])
def test_batches_are_the_same_to_the_bit_with_and_without(images: ImageFiles, workers: int, margin: float, decoded: list[int]) -> None:
    preprocessing = replace(PREPROCESSING, margin=margin)
    samples = Samples(np.array([str(row) for row in ROWS]), images, classification("label", ("a", "b")), ROWS % 2)
    augmentation = Augmentation(preset="heavy" if margin > 1 else "light")
    found = []
    for cache in (PixelCache(None, images, preprocessing), kept(images, preprocessing)):
        decoded.clear()
        makers = image_workers(samples, cache, augmentation, replace(PROCESS, workers=workers))
        train = Loader(makers, BatchSampler(ROWS, 4, (1, 2)), "train", (1, 2))
        valid = Loader(makers, BatchSampler(ROWS, 5), "valid", (1, "valid"))
        batches = [batch for epoch in (1, 2) for loader in (train, valid) for batch in loader.epoch(epoch)]
        assert all(batch.images.shape[1:] == (12, 20, 3) for batch in batches)
        found.append([(batch.images.numpy().tobytes(), batch.rows.tolist(), batch.targets.tolist()) for batch in batches])
        assert (decoded == []) == (cache.folder is not None or workers > 0)
    assert found[0] == found[1]


def test_pixels_are_shared_by_runs_and_rows_in_any_order_and_only_new_images_are_decoded(images: ImageFiles, decoded: list[int]) -> None:
    kept(images, rows=ROWS[:5])
    decoded.clear()
    order = np.random.default_rng(1).permutation(N)
    kept(images.take(order))
    assert sorted(order[decoded].tolist()) == list(range(5, N))
    decoded.clear()
    kept(images)
    assert decoded == [] and PixelCache(Path("cache"), images, PREPROCESSING).missing(ROWS) == 0


def test_what_is_not_there_is_decoded_when_it_is_asked_for(images: ImageFiles, decoded: list[int]) -> None:
    cache = kept(images, rows=ROWS[::2])
    assert cache.missing(ROWS) == N // 2
    decoded.clear()
    pixels = cache.open()
    found = [pixels.read(row) for row in range(N)]
    assert decoded == list(range(1, N, 2))
    assert all(np.array_equal(found[row], PixelCache(None, images, PREPROCESSING).decode(row)) for row in range(N))


OTHER = {
    "size": {"size": Size(20, 12)},
    "resize": {"resize": "crop"},
    "channels": {"channels": 1},
    "margin": {"margin": 1.5},
}


@pytest.mark.parametrize("what", OTHER)
def test_pixels_of_another_size_or_rule_are_others(images: ImageFiles, what: str, decoded: list[int]) -> None:
    kept(images)
    decoded.clear()
    preprocessing = replace(PREPROCESSING, **OTHER[what])  # type: ignore[arg-type]
    pixels = kept(images, preprocessing).open()
    assert sorted(decoded) == list(range(N))
    plain = PixelCache(None, images, preprocessing)
    assert all(np.array_equal(pixels.read(row), plain.decode(row)) for row in range(N))


def test_what_pixels_do_not_depend_on_finds_them(images: ImageFiles, decoded: list[int]) -> None:
    kept(images)
    decoded.clear()
    kept(images, replace(PREPROCESSING, mean=(0.1, 0.2, 0.3), std=(1.0,) * 3))
    assert decoded == []


@pytest.mark.parametrize("name", ["__version__", "pillow", "LAYOUT"])
def test_another_decoder_or_rule_decodes_anew(images: ImageFiles, name: str, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    kept(images)
    decoded.clear()
    monkeypatch.setattr(cv2 if name == "__version__" else pixel_cache, name, "another")
    kept(images)
    assert sorted(decoded) == list(range(N))


def test_a_file_of_the_same_name_size_and_time_with_other_pixels_is_decoded_again(images: ImageFiles, decoded: list[int]) -> None:
    path = images.path(4)
    pixels = np.asarray(Image.open(path))
    Image.fromarray(pixels).save(path, compress_level=0)
    Image.fromarray(255 - pixels).save("other.png", compress_level=0)
    kept(images)
    times = path.stat()
    shutil.copyfile("other.png", path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    decoded.clear()
    found = kept(images).open()
    assert decoded == [4]
    assert np.array_equal(found.read(4), PixelCache(None, images, PREPROCESSING).decode(4))


def test_a_file_that_changed_is_not_read_from_the_cache_even_if_nothing_was_decoded_anew(images: ImageFiles) -> None:
    cache = kept(images)
    shutil.copyfile(images.path(6), images.path(8))
    pixels = cache.open()
    assert np.array_equal(pixels.read(8), cache.decode(6))


def test_a_folder_in_the_place_of_another_brings_its_own_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in the same tick of the file system's clock, as two versions made by one script are; renaming touches no file."""
    for name, value in (("now", 10), ("next", 240)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), value, dtype=np.uint8)).save(tmp_path / name / "a.bmp")
    whole = Path.stat

    def ticking_slowly(path: Path, **options: bool) -> Any:
        found = whole(path, **options)
        return SimpleNamespace(st_mode=found.st_mode, st_ino=found.st_ino, st_size=found.st_size, st_mtime_ns=0, st_ctime_ns=0)

    images = ImageFiles(tmp_path / "now", np.array(["a.bmp"]))
    monkeypatch.setattr(Path, "stat", ticking_slowly)
    before = images.stamp(0)
    (tmp_path / "now").rename(tmp_path / "old")
    (tmp_path / "next").rename(tmp_path / "now")
    assert images.stamp(0) != before


def test_images_of_the_same_content_are_one_wherever_they_are(images: ImageFiles, decoded: list[int], tmp_path: Path) -> None:
    kept(images)
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("cache"))
    decoded.clear()
    pixels = kept(replace(images, root=tmp_path / "copy")).open()
    assert decoded == [] and (pixels.places >= 0).all()
    (store,) = Path("cache/pixels").iterdir()
    assert (store / "rows.bin").stat().st_size == N * 12 * 20 * 3


def test_two_equal_images_decoded_together_are_one_row(images: ImageFiles) -> None:
    shutil.copyfile(images.path(0), images.path(2))
    pixels = kept(images).open()
    assert pixels.places[0] == pixels.places[2] and np.array_equal(pixels.read(0), pixels.read(2))


def test_arrays_and_channel_files_are_kept_too(images: ImageFiles, decoded: list[int]) -> None:
    arrays = ImageArrays(np.array([str(row) for row in ROWS]), np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8))
    channels = ImageChannels(images.root, arrays.names, np.array([[f"{row // 4 * 4}.png"] * 2 for row in ROWS]))
    for each in (arrays, channels):
        cache = kept(each, folder=type(each).__name__)
        decoded.clear()
        pixels = cache.open()
        found = [pixels.read(row) for row in range(N)]
        assert decoded == []
        assert all(np.array_equal(found[row], cache.decode(row)) for row in range(N))


def test_arrays_of_the_same_bytes_and_another_shape_are_other_images() -> None:
    numbers = np.arange(64, dtype=np.uint8)
    names = np.array(["one"])
    for shape in ((1, 8, 8), (1, 4, 16)):
        cache = kept(ImageArrays(names, numbers.reshape(shape)), rows=np.array([0]))
        assert np.array_equal(cache.open().read(0), cache.decode(0))


def test_all_images_that_cannot_be_read_are_named_at_once_and_the_others_are_kept(images: ImageFiles) -> None:
    images.path(2).write_bytes(b"no image")
    images.path(7).write_bytes(images.path(7).read_bytes()[:300])
    images.path(9).unlink()
    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    with pytest.raises(DataError) as caught:
        cache.provide(ROWS, follow, never)
    assert [line.split(": ")[0] for line in caught.value.lines] == [str(images.path(row)) for row in (2, 7, 9)]
    assert cache.missing(ROWS) == 3


def test_of_many_only_the_first_are_named(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "FAULTS_TOLD", 2)
    for row in range(5):
        images.path(row).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        kept(images)
    assert len(caught.value.lines) == 3 and caught.value.lines[-1] == "and 3 more images like these"


def test_a_file_that_changes_while_it_is_read_is_told(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PixelCache.decode

    def changing(cache: PixelCache, row: int) -> Any:
        if row == 5:
            shutil.copyfile(images.path(1), images.path(5))
        return whole(cache, row)

    monkeypatch.setattr(PixelCache, "decode", changing)
    with pytest.raises(DataError, match=r"^5\.jpg: changed while it was read$"):
        kept(images)


def test_a_file_of_known_content_that_changes_before_its_turn_is_another_image(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content was looked up by what the file was like when decoding began."""
    kept(images)
    before, whole, later = images.path(8).read_bytes(), pixel_cache.Contents.of, replace(PREPROCESSING, size=Size(6, 6))

    def looked_up(contents: pixel_cache.Contents, stamps: list[bytes]) -> Any:
        found = whole(contents, stamps)
        shutil.copyfile(images.path(6), images.path(8))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(pixel_cache.Contents, "of", looked_up)
        kept(images, later)
    plain = PixelCache(None, images, PREPROCESSING)
    assert np.array_equal(kept(images).open().read(8), plain.decode(6))
    images.path(8).write_bytes(before)
    assert np.array_equal(kept(images, later).open().read(8), PixelCache(None, images, later).decode(8))


def test_nothing_is_written_where_all_is_there(images: ImageFiles, decoded: list[int]) -> None:
    """So that a folder that only another person may write to serves."""
    kept(images)
    for lock in Path("cache").rglob(".lock"):
        lock.unlink()
        lock.mkdir()  # fails whoever would hold it, root too
    decoded.clear()
    assert (kept(images).open().places >= 0).all() and decoded == []


def test_a_row_that_is_damaged_on_the_disk_is_told(images: ImageFiles) -> None:
    cache = kept(images)
    (store,) = Path("cache/pixels").iterdir()
    content = bytearray((store / "rows.bin").read_bytes())
    content[5 * 720 + 17] ^= 1
    (store / "rows.bin").write_bytes(content)
    pixels = cache.open()
    with pytest.raises(DataError, match=r"damaged: row 5 is not what was written; remove this folder"):
        np.stack([pixels.read(row) for row in range(N)])


@pytest.fixture
def appended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of pixels are written each time."""
    counts: list[int] = []
    whole = RowStore.append

    def counted(store: RowStore, keys: Any, rows: Any) -> None:
        if store.numbers == 720:
            counts.append(len(keys))
        whole(store, keys, rows)

    monkeypatch.setattr(RowStore, "append", counted)
    return counts


def test_few_wait_in_memory_where_they_are_large(images: ImageFiles, appended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    whole = pixel_cache.ThreadPoolExecutor.map

    def counted(pool: Any, function: Any, wanted: Any) -> Any:
        at_once.append(len(wanted))
        return whole(pool, function, wanted)

    monkeypatch.setattr(pixel_cache.ThreadPoolExecutor, "map", counted)
    monkeypatch.setattr(pixel_cache, "HELD_BYTES", 4 * 720 + 500)
    cache = kept(images)
    assert max(appended) <= 4 and max(at_once) <= 4
    assert sum(appended) == sum(at_once) == N and not cache.missing(ROWS)


def test_a_second_interrupt_loses_nothing_either(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixel_cache.ThreadPoolExecutor.shutdown

    def impatient(pool: Any, **how: Any) -> None:
        whole(pool, **how)
        raise KeyboardInterrupt

    def interrupted(steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        for step in steps:
            if step == 6:
                raise KeyboardInterrupt
            yield step

    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    with monkeypatch.context() as patched:
        patched.setattr(pixel_cache.ThreadPoolExecutor, "shutdown", impatient)
        with pytest.raises(KeyboardInterrupt):
            cache.provide(ROWS, interrupted, never)
    assert cache.missing(ROWS) == N - 6


def test_what_cannot_be_written_is_not_tried_twice(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def full(store: RowStore, keys: Any, rows: Any) -> None:
        tried.append(len(keys))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RowStore, "append", full)
    monkeypatch.setattr(pixel_cache, "HELD_BYTES", 720 * 4)
    with pytest.raises(OSError, match="No space left"):
        kept(images)
    assert len(tried) == 1


def test_nothing_is_written_by_looking(images: ImageFiles) -> None:
    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    assert cache.missing(ROWS) == N and (cache.open().places == -1).all()
    assert not Path("cache").exists()


def build_slowly(folder: str, images: ImageFiles, told: Any) -> None:
    """A few images at a time, so that a kill finds it in the middle."""
    pixel_cache.HELD_BYTES = 2 * 720
    whole = PixelCache.decode

    def slow(cache: PixelCache, row: int) -> Any:
        time.sleep(0.02)
        return whole(cache, row)

    PixelCache.decode = slow  # type: ignore[method-assign]
    PixelCache(Path(folder), images, PREPROCESSING).provide(ROWS, follow, lambda: told.put("waiting"))
    told.put("done")


def test_killed_in_the_middle_it_goes_on_from_there(images: ImageFiles, decoded: list[int]) -> None:
    context, left = multiprocessing.get_context("fork"), [N]
    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    for _ in range(3):
        process = context.Process(target=build_slowly, args=("cache", images, context.Queue()))
        process.start()
        deadline = time.monotonic() + 30
        while cache.missing(ROWS) == left[-1] and time.monotonic() < deadline:  # until more is kept than before
            time.sleep(0.002)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        left.append(cache.missing(ROWS))
    assert N > left[1] > left[2] > left[3] > 0
    decoded.clear()
    pixels = kept(images).open()
    assert len(decoded) == left[-1]
    plain = PixelCache(None, images, PREPROCESSING)
    assert all(np.array_equal(pixels.read(row), plain.decode(row)) for row in range(N))


def test_two_processes_that_want_it_at_once_decode_each_image_once(images: ImageFiles) -> None:
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    processes = [context.Process(target=build_slowly, args=("cache", images, told)) for _ in range(2)]
    for process in processes:
        process.start()
    done = 0
    while done < 2:  # the second may say that it waits
        done += told.get(timeout=30) == "done"
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    (store,) = Path("cache/pixels").iterdir()
    assert (store / "rows.bin").stat().st_size == N * 720 and len(np.load(store / "keys.npy")) == N
    cache = kept(images)
    pixels = cache.open()
    assert all(np.array_equal(pixels.read(row), cache.decode(row)) for row in range(N))


def test_who_waits_for_another_process_says_so(images: ImageFiles) -> None:
    context, told = multiprocessing.get_context("fork"), []
    holder = context.Process(target=hold, args=("cache", images, started := context.Event()))
    holder.start()
    started.wait(10)
    PixelCache(Path("cache"), images, PREPROCESSING).provide(ROWS, follow, lambda: told.append("waiting"))
    holder.join(10)
    assert told == ["waiting"]


def hold(folder: str, images: ImageFiles, started: Any) -> None:
    store = PixelCache(Path(folder), images, PREPROCESSING)._store()
    store.path.mkdir(parents=True)
    with store.lock:
        started.set()
        time.sleep(1.2)


def test_a_copy_in_another_process_maps_the_file_and_does_not_carry_it(images: ImageFiles) -> None:
    pixels = kept(images).open()
    copied = pickle.dumps(pixels)
    assert len(copied) < 4000 < N * 720
    assert np.array_equal(pickle.loads(copied).read(3), pixels.read(3))  # noqa: S301


def test_one_crew_of_workers_serves_all_folds_and_both_ways(images: ImageFiles) -> None:
    samples = Samples(np.array([str(row) for row in ROWS]), images, classification("label", ("a", "b")), ROWS % 2)
    makers = image_workers(samples, kept(images), Augmentation(preset="none"), replace(PROCESS, workers=1))
    seen = set()
    for fold in range(3):
        for loader in (
            Loader(makers, BatchSampler(ROWS, 5, (1, fold)), "train", (1, fold)),
            Loader(makers, BatchSampler(ROWS, 4), "valid", (1, "valid")),
        ):
            assert sorted(int(row) for batch in loader.epoch(1) for row in batch.rows) == list(range(N))
            seen.add(tuple(worker.pid for worker in makers.batches._iterator._workers))  # type: ignore[union-attr]
    assert len(seen) == 1


def test_two_loaders_that_take_turns_before_one_is_done_do_not_mix(images: ImageFiles) -> None:
    samples = Samples(np.array([str(row) for row in ROWS]), images, classification("label", ("a", "b")), ROWS % 2)
    makers = image_workers(samples, kept(images), Augmentation(preset="none"), replace(PROCESS, workers=1))
    train = Loader(makers, BatchSampler(ROWS, 4, (1, 0)), "train", (1, 0))
    next(iter(train.epoch(1)))  # left half way
    rows = [int(row) for batch in Loader(makers, BatchSampler(ROWS, 4), "valid", (1, "valid")).epoch(1) for row in batch.rows]
    assert rows == list(range(N))
    assert isinstance(next(iter(train.epoch(2))), Batch)
