"""Whether pixels are kept: what auto decides, what it says, and that nothing is written by deciding."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modules.compute import memory
from modules.config.errors import OptionError
from modules.config.pipeline import Pipeline
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.config.values import Size
from modules.data.images import ImageFiles
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Preprocessing
from modules.data.splits import Fold
from modules.jobs import stored_pixels
from modules.jobs.stored_pixels import choose_pixels, passes_over, provide_pixels, rows_of
from modules.reporting.sinks import Silence

N = 10
ROWS = np.arange(N)
BYTES = N * 40 * 40 * 3
PREPROCESSING = Preprocessing(Size(32, 32), "stretch", 3, (0.5,) * 3, (0.5,) * 3, Pipeline(), margin=1.25)


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    names = [f"{row}.png" for row in range(N)]
    for row, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), row * 20, dtype=np.uint8)).save(tmp_path / name)
    return ImageFiles(tmp_path, np.array(names))


def config(*overrides: str) -> Config:
    return read_config([], list(overrides))[0]


def choose(images: ImageFiles, *overrides: str, passes: int | None = 10, stored: int = 0) -> tuple[bool, list[str]]:
    cache, lines = choose_pixels(config(*overrides), images, PREPROCESSING, ROWS, passes, stored)
    assert not Path(".cache").exists()
    return cache.folder is not None, lines


def test_auto_keeps_pixels_where_there_is_room_and_says_what_it_takes(images: ImageFiles) -> None:
    assert choose(images) == (True, ["pixels: 10 images to decode, once, to 40 x 40: 48 kB in .cache"])


def test_what_is_there_is_told(images: ImageFiles) -> None:
    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    cache.provide(ROWS[:4], Silence().follow, lambda: None)
    for_path = "settings.cache_path=cache"
    assert choose(images, for_path)[1] == ["pixels: 6 images to decode, once, to 40 x 40, 4 others are there: 29 kB in cache"]
    provide_pixels(config(for_path), cache, ROWS, Silence().follow)
    assert choose(images, for_path)[1] == ["pixels: all 10 images are decoded already, 48 kB in cache"]


@pytest.mark.parametrize(("overrides", "passes"), [(("data.cache=off",), 10), ((), 1), ((), 0)])
def test_off_and_a_single_pass_keep_nothing_and_say_nothing(images: ImageFiles, overrides: tuple[str, ...], passes: int) -> None:
    assert choose(images, *overrides, passes=passes) == (False, [])


def test_inference_keeps_pixels_for_later_and_speaks_of_no_passes(images: ImageFiles) -> None:
    assert choose(images, passes=None)[0]
    kept, (line,) = choose(images, "settings.cache_limit=1e-6", passes=None)
    assert not kept and line == "pixels: not kept: 48 kB are more than the 1 kB that settings.cache_limit leaves"


def test_on_keeps_pixels_for_a_single_pass_too(images: ImageFiles) -> None:
    assert choose(images, "data.cache=on", passes=1)[0]


def test_what_else_the_run_stores_counts_against_the_limit(images: ImageFiles) -> None:
    limit = f"settings.cache_limit={(BYTES + 1000) / 1e9!r}"
    assert choose(images, limit, stored=1000)[0]
    kept, (line,) = choose(images, limit, stored=1001)
    assert not kept and line == "pixels: decoded in each of 10 passes: 48 kB are more than the 48 kB that settings.cache_limit leaves"
    with pytest.raises(OptionError) as refused:
        choose(images, limit, "data.cache=on", stored=1001)
    assert str(refused.value) == (
        "[data] cache: pixels cannot be kept: 48 kB are more than the 48 kB that settings.cache_limit leaves; use auto"
    )


def test_more_than_memory_holds_is_kept_only_when_asked(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_pixels, "available_memory", lambda: 40_000)
    kept, (line,) = choose(images)
    expected = "48 kB would not stay in the 28 kB of memory that may be used; data.cache = on keeps them on the disk"
    assert not kept and line == f"pixels: decoded in each of 10 passes: {expected}"
    assert choose(images, "data.cache=on")[0]


def test_a_folder_that_cannot_be_written_to_is_a_reason(images: ImageFiles) -> None:
    Path("file").write_text("")
    kept, (line,) = choose(images, "settings.cache_path=file")
    assert not kept and line.endswith("settings.cache_path, file, cannot be written to")


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(errno.EACCES, "Permission denied")])
def test_a_disk_that_fills_up_meanwhile_is_a_warning_with_auto_and_refused_with_on(
    images: ImageFiles, fault: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object) -> None:
        raise fault

    cache = PixelCache(Path("cache"), images, PREPROCESSING)
    with monkeypatch.context() as patched:
        patched.setattr("modules.compute.row_store.os.fsync", full)
        provide_pixels(config("settings.cache_path=cache"), cache, ROWS, Silence().follow)
        told = f"pixels cannot be kept in cache: {fault.strerror}"
        assert capsys.readouterr().err == f"warning: {told}; images that are not there are decoded whenever they are needed\n"
        with pytest.raises(OptionError) as refused:
            provide_pixels(config("settings.cache_path=cache", "data.cache=on"), cache, ROWS, Silence().follow)
        assert str(refused.value) == f"[settings] cache_path: {told}; name another folder, or data.cache = off"
    assert np.array_equal(cache.open().read(3), cache.decode(3))


def test_passes_are_of_the_epochs_that_learn_from_images() -> None:
    folds = [Fold(0, ROWS[:5], ROWS[5:]), Fold(1, ROWS[5:], ROWS[:5])]
    images, features = (SimpleNamespace(cut=cut, hyper=SimpleNamespace(epochs=3)) for cut in (None, "a cut"))
    assert [passes_over(phases, folds) for phases in ([images], [features], [features, images])] == [6, 1, 7]  # type: ignore[list-item]


def test_rows_are_those_that_any_fold_needs() -> None:
    assert rows_of([Fold(0, np.array([5, 1]), np.array([7])), Fold(1, np.array([1]), np.array([], dtype=np.int64))]).tolist() == [1, 5, 7]


def test_a_containers_limit_counts_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [tmp_path / name for name in ("none", "max", "large", "small")]
    for path, text in zip(limits[1:], ("max\n", f"{2**62}\n", "4096\n"), strict=True):
        path.write_text(text)
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", tuple(limits[:3]))
    assert 2**20 < memory.available_memory() < 2**60
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", tuple(limits))
    assert memory.available_memory() == 4096
