"""Features of images: computed once, and never those of anything else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.compute.process import Process
from modules.compute.seeding import derive_seed
from modules.config.errors import DataError, OptionError
from modules.config.pipeline import Pipeline, parse_pipeline
from modules.config.schema import Augmentation, Model
from modules.config.values import Size
from modules.data.draws import BatchSampler
from modules.data.images import ImageFiles
from modules.data.loaders import image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.pixels import resize_image
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.task import classification
from modules.data.transforms import apply, build_pipeline, make_train_pipeline
from modules.models.build import Network, build_network
from modules.models.cutting import Cut, cut_network
from modules.models.freezing import find_frozen
from modules.prediction import features as features_module
from modules.prediction.features import FeatureCache, Features, Look, augmented_looks, plain_looks
from modules.prediction.tta import VIEWS

N = 11
PROCESS = Process(torch.device("cpu"), "float32", False, 0, 1)
PREPROCESSING = Preprocessing(Size(32, 32), "stretch", 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), Pipeline())
HEAVY = Augmentation(preset="heavy")
ROWS = np.arange(N)


def make_images(folder: Path) -> Samples:
    """Bitmaps, all of one size in bytes."""
    folder.mkdir()
    names = [f"{number:02d}.bmp" for number in range(N)]
    for number, name in enumerate(names):
        pixels_of(number).save(folder / name)
    return Samples(np.array(names), ImageFiles(folder, np.array(names)), classification("label", ("a", "b")), ROWS % 2)


def pixels_of(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8))


def make_network(seed: int = 0) -> tuple[Network, Cut]:
    torch.manual_seed(seed)
    network = build_network(Model(name="test_resnet"), 2, 3, Size(32, 32), False)
    return network, cut_at(network)


def cut_at(network: Network, *unfrozen: str) -> Cut:
    return cut_network(network, find_frozen(network, "backbone", unfrozen), 3, Size(32, 32))


@dataclass
class Setting:
    """All that features depend on, to be changed one thing at a time; and how many images went through the trunk."""

    samples: Samples
    network: Network
    cut: Cut
    preprocessing: Preprocessing = PREPROCESSING
    process: Process = PROCESS
    seed: int = 3
    dtype: str = "float32"
    augmentation: Augmentation | None = None
    images: list[int] = field(default_factory=list)

    def open(self) -> Features:
        pixels = PixelCache(None, self.samples.images, self.preprocessing)
        workers = image_workers(self.samples, pixels, self.augmentation, self.process)
        cache = FeatureCache(Path("cache"), self.samples, workers, self.preprocessing, self.process, self.seed, self.dtype)
        trunk = self.cut.trunk_of(self.network.module)
        trunk.register_forward_hook(lambda module, given, found: self.images.append(len(given[0])))
        return cache.open(trunk, self.cut.numbers)

    def looks(self, augmentation: Augmentation | None = None, views: int = 1) -> tuple[Look, ...]:
        if augmentation is None:
            return plain_looks(self.preprocessing, "none")
        self.augmentation = augmentation
        return augmented_looks(augmentation, self.preprocessing, views)

    def computed(self, looks: Sequence[Look] = (), rows: np.ndarray = ROWS) -> int:
        """Provides them; how many images went through the trunk for that."""
        self.images.clear()
        self.open().provide(rows, looks or self.looks(), follow)
        return sum(self.images)


def follow(steps: Iterator[int], total: int, what: str) -> Iterator[int]:
    count = 0
    for step in steps:
        count += 1
        yield step
    assert count == total


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    network, cut = make_network()
    return Setting(make_images(tmp_path / "images"), network, cut)


def stored(features: Features, looks: Sequence[Look], rows: np.ndarray = ROWS) -> np.ndarray:
    """(rows, looks, numbers)."""
    loader, views = features.to_predict(BatchSampler(rows, 4), looks)
    batches = list(loader.epoch(0))
    assert [batch.rows.tolist() for batch in batches] == [rows[start : start + 4].tolist() for start in range(0, len(rows), 4)]
    assert all(torch.equal(batch.targets, batch.rows % 2) for batch in batches)
    found = torch.cat([batch.images for batch in batches])
    assert all(torch.equal(view(found), found[:, place]) for place, view in enumerate(views)) and len(views) == len(looks)
    return found.numpy()


def by_hand(setting: Setting, look: Look, rows: np.ndarray = ROWS) -> np.ndarray:
    """(rows, numbers): each image alone, by another way than the code's."""
    pixels = [resize_image(setting.samples.images.read(row, 3), setting.preprocessing.size, "stretch") for row in rows.tolist()]
    digests = [digest or b"" for digest in setting.samples.images.digests(rows)]
    pipeline = build_pipeline(setting.preprocessing.valid, "valid")
    if look.way == "train":
        assert setting.augmentation is not None
        pipeline = make_train_pipeline(setting.augmentation, setting.preprocessing.size, 3)
    drawn = [
        apply(pipeline, image, setting.seed, "features", look.number, int.from_bytes(digest[:6], "big"))
        for image, digest in zip(pixels, digests, strict=True)
    ]
    numbers = (np.stack(drawn).astype(np.float32) / 255 - setting.preprocessing.mean) / setting.preprocessing.std
    module: Any = deepcopy(setting.network.module).eval()
    with torch.no_grad():
        images = VIEWS[look.tta][look.view](torch.from_numpy(numbers.astype(np.float32)).permute(0, 3, 1, 2))
        return module.forward_head(module.forward_features(images), pre_logits=True).numpy()  # type: ignore[no-any-return]


def test_features_are_what_the_trunk_makes_of_each_image(setting: Setting) -> None:
    features = setting.open()
    features.provide(ROWS, setting.looks(), follow)
    found = stored(features, setting.looks())
    np.testing.assert_allclose(found[:, 0], by_hand(setting, setting.looks()[0]), rtol=1e-4, atol=1e-5)
    assert len(np.unique(found, axis=0)) == N
    np.testing.assert_array_equal(stored(features, setting.looks(), ROWS[::-2].copy())[:, 0], found[::-2, 0])
    moved = features.to_device(torch.from_numpy(found).half())
    assert moved.dtype == torch.float32 and moved.device == PROCESS.device


def test_each_image_goes_through_the_trunk_once_whoever_asks(setting: Setting) -> None:
    assert setting.computed(rows=ROWS[:4]) == 4
    assert setting.computed(rows=ROWS[2:7]) == 3
    assert setting.computed() == N - 7
    assert setting.computed() == 0 and setting.computed(setting.looks(Augmentation(preset="none"), 5)) == 0


def test_equal_images_are_one_and_names_play_no_part(setting: Setting) -> None:
    setting.computed()
    images = setting.samples.images
    assert isinstance(images, ImageFiles)
    images.path(0).rename(images.root / "another.bmp")
    (images.root / "twin.bmp").write_bytes(images.path(1).read_bytes())
    names = np.array(["twin.bmp", "another.bmp", *images.files[2:]])
    setting.samples = replace(setting.samples, images=replace(images, files=names))
    assert setting.computed() == 0
    found = stored(setting.open(), setting.looks())
    np.testing.assert_allclose(found[:, 0], by_hand(setting, setting.looks()[0]), rtol=1e-4, atol=1e-5)


def other_content(setting: Setting) -> None:
    """Under the same name, size and time."""
    images = setting.samples.images
    assert isinstance(images, ImageFiles)
    for row in range(N):
        before = images.path(row).stat()
        pixels_of(row + 100).save(images.path(row))
        os.utime(images.path(row), ns=(before.st_atime_ns, before.st_mtime_ns))
        after = images.path(row).stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def other_weight(setting: Setting) -> None:
    with torch.no_grad():
        setting.network.module.get_parameter("layer1.0.conv1.weight").view(-1)[0] += 1e-6


def other_buffer(setting: Setting) -> None:
    setting.network.module.get_buffer("layer4.0.bn1.running_var")[0] += 1e-6


def other_boundary(setting: Setting) -> None:
    setting.cut = cut_at(setting.network, "layer4")


def with_preprocessing(**change: Any) -> Callable[[Setting], None]:
    def change_it(setting: Setting) -> None:
        setting.preprocessing = replace(setting.preprocessing, **change)

    return change_it


def with_setting(**change: Any) -> Callable[[Setting], None]:
    return lambda setting: vars(setting).update(change)


def other_seed(setting: Setting) -> None:
    setting.seed += 1


def other_head(setting: Setting) -> None:
    with torch.no_grad():
        setting.network.module.get_parameter("fc.weight").add_(1)


def other_fold(setting: Setting) -> None:
    setting.samples = setting.samples.take(ROWS[::-1].copy())


def other_workers(setting: Setting) -> None:
    setting.process = replace(PROCESS, threads=2)


STALE: dict[str, Callable[[Setting], None]] = {
    "content": other_content,
    "weight": other_weight,
    "buffer": other_buffer,
    "boundary": other_boundary,
    "size": with_preprocessing(size=Size(32, 40)),
    "resize": with_preprocessing(resize="pad"),
    "mean": with_preprocessing(mean=(0.4, 0.5, 0.601)),
    "std": with_preprocessing(std=(0.2, 0.3, 0.251)),
    "valid": with_preprocessing(valid=parse_pipeline("HorizontalFlip(p=1.0)")),
    "numbers on the disk": with_setting(dtype="float16"),
    "precision": with_setting(process=replace(PROCESS, precision="bfloat16")),
}
SAME: dict[str, Callable[[Setting], None]] = {
    "nothing": lambda setting: None,
    "head": other_head,
    "order": other_fold,
    "threads": other_workers,
    "seed": other_seed,
}


@pytest.mark.parametrize("changed", STALE)
def test_whatever_features_depend_on_changes_and_they_are_computed_again(setting: Setting, changed: str) -> None:
    assert setting.computed() == N and setting.computed() == 0
    STALE[changed](setting)
    assert setting.computed() == N
    assert setting.computed() == 0


@pytest.mark.parametrize("changed", SAME)
def test_what_they_do_not_depend_on_changes_and_they_are_found(setting: Setting, changed: str) -> None:
    assert setting.computed() == N
    SAME[changed](setting)
    assert setting.computed() == 0


def test_one_image_that_changed_is_computed_again_and_the_others_are_not(setting: Setting) -> None:
    setting.computed()
    images = setting.samples.images
    assert isinstance(images, ImageFiles)
    pixels_of(99).save(images.path(6))
    assert setting.computed() == 1
    np.testing.assert_allclose(stored(setting.open(), setting.looks())[:, 0], by_hand(setting, setting.looks()[0]), rtol=1e-4, atol=1e-5)


def test_another_version_of_a_library_computes_anew(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.computed()
    monkeypatch.setattr(features_module.metadata, "version", lambda package: "0.0.1" if package == "Pillow" else "1")
    assert setting.computed() == N


def test_augmented_views_are_draws_of_the_image_that_the_seed_and_its_content_tell(setting: Setting) -> None:
    looks = setting.looks(HEAVY, 3)
    assert setting.computed(looks) == 3 * N and setting.computed(looks[:2]) == 0
    found = stored(setting.open(), looks)
    for number, look in enumerate(looks):
        np.testing.assert_allclose(found[:, number], by_hand(setting, look), rtol=1e-4, atol=1e-5)
    assert len(np.unique(found.reshape(3 * N, -1), axis=0)) == 3 * N
    setting.samples = setting.samples.take(ROWS[::-1].copy())
    assert setting.computed(looks) == 0
    np.testing.assert_array_equal(stored(setting.open(), looks, ROWS[::-1].copy()), found)


@pytest.mark.parametrize(
    ("changed", "augmentation", "views", "computed"),
    [
        ("seed", HEAVY, 2, 2),
        ("nothing", HEAVY, 2, 0),
        ("nothing", HEAVY, 5, 3),
        ("nothing", Augmentation(preset="medium"), 2, 2),
        ("nothing", Augmentation(train=parse_pipeline("HorizontalFlip(p=0.5)")), 2, 2),
        ("nothing", Augmentation(preset="none"), 9, 1),
        ("nothing", Augmentation(train=Pipeline()), 9, 1),
    ],
)
def test_views_of_another_seed_or_augmentation_are_others(
    setting: Setting, changed: str, augmentation: Augmentation, views: int, computed: int
) -> None:
    rows = ROWS[:3]
    assert setting.computed(setting.looks(HEAVY, 2), rows) == 6
    SAME[changed](setting)
    assert setting.computed(setting.looks(augmentation, views), rows) == computed * 3


def test_without_augmentation_training_sees_what_validation_does(setting: Setting) -> None:
    setting.computed()
    for augmentation in (Augmentation(preset="none"), Augmentation(train=Pipeline())):
        (look,) = setting.looks(augmentation, 7)
        assert setting.computed([look]) == 0


def test_a_drawn_look_is_a_function_of_seed_fold_epoch_and_position(setting: Setting) -> None:
    looks = setting.looks(HEAVY, 4)
    features = setting.open()
    features.provide(ROWS, looks, follow)
    known = stored(features, looks)

    def drawn(fold: int, epoch: int) -> list[tuple[int, int]]:
        loader = features.to_train(BatchSampler(ROWS, 4, (setting.seed, fold)), looks, (setting.seed, fold))
        found = []
        for batch in loader.epoch(epoch):
            for row, numbers in zip(batch.rows.tolist(), batch.images.numpy(), strict=True):
                (place,) = [place for place in range(4) if np.array_equal(known[row, place], numbers)]
                found.append((row, place))
        return found

    for fold, epoch in ((0, 1), (0, 2), (1, 1)):
        expected = [derive_seed(setting.seed, fold, epoch, position, "look") % 4 for position in range(N)]
        assert [place for _, place in drawn(fold, epoch)] == expected
        assert {row for row, _ in drawn(fold, epoch)} == set(range(N))
    assert len({tuple(drawn(fold, epoch)) for fold in range(2) for epoch in range(3)}) == 6
    seen = {place for epoch in range(12) for row, place in drawn(0, epoch) if row == 5}
    assert seen == set(range(4))
    assert setting.computed(looks) == 0


@pytest.mark.parametrize("tta", sorted(VIEWS))
def test_views_of_tta_are_looks_and_the_image_as_it_is_is_shared(setting: Setting, tta: str) -> None:
    rows = ROWS[:3]
    assert setting.computed(rows=rows) == 3
    looks = plain_looks(setting.preprocessing, tta)
    shared = tta != "five_crop"
    assert setting.computed(looks, rows) == 3 * (len(VIEWS[tta]) - shared)
    found = stored(setting.open(), looks, rows)
    for number, look in enumerate(looks):
        np.testing.assert_allclose(found[:, number], by_hand(setting, replace(look, tta=tta, view=number), rows), rtol=1e-4, atol=1e-5)


def test_half_floats_are_the_nearest_to_the_features(setting: Setting) -> None:
    setting.dtype = "float16"
    setting.computed()
    half, exact = stored(setting.open(), setting.looks())[:, 0], by_hand(setting, setting.looks()[0])
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, exact, rtol=2**-10, atol=1e-5)


def test_a_feature_that_half_floats_cannot_hold_is_told_and_nothing_is_stored(setting: Setting) -> None:
    with torch.no_grad():
        setting.network.module.get_parameter("layer4.0.bn2.bias").fill_(1e6)
    setting.dtype = "float16"
    with pytest.raises(OptionError, match=r"a feature of 1e\+06 does not fit float16; use float32, or feature_cache = off$") as refused:
        setting.computed()
    assert str(refused.value).startswith("[model] feature_precision")
    assert not list(Path("cache").rglob("keys.npy"))
    setting.dtype = "float32"
    assert setting.computed() == N


def test_an_image_that_cannot_be_read_is_named(setting: Setting) -> None:
    images = setting.samples.images
    assert isinstance(images, ImageFiles)
    images.path(4).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"04\.bmp"):
        setting.computed()
    images.path(4).unlink()
    with pytest.raises(DataError, match=r"^04\.bmp: no such file, or it cannot be read$"):
        setting.computed()


def test_what_was_computed_before_a_kill_is_not_computed_again(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "BATCH", 2)
    monkeypatch.setattr(features_module, "KEPT_AT_ONCE", 4)

    def killed(steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        assert total == 6
        for count, step in enumerate(steps):
            if count == 4:
                raise KeyboardInterrupt
            yield step

    features = setting.open()
    with pytest.raises(KeyboardInterrupt):
        features.provide(ROWS, setting.looks(), killed)
    assert setting.computed() == N - 8
    np.testing.assert_allclose(stored(setting.open(), setting.looks())[:, 0], by_hand(setting, setting.looks()[0]), rtol=1e-4, atol=1e-5)


def test_a_damaged_row_is_told_while_training(setting: Setting) -> None:
    features = setting.open()
    features.provide(ROWS, setting.looks(), follow)
    content = bytearray((features.store.path / "rows.bin").read_bytes())
    content[-1] ^= 1
    (features.store.path / "rows.bin").write_bytes(content)
    loader = features.to_train(BatchSampler(ROWS, 4, (0, 0)), setting.looks(), (0, 0))
    with pytest.raises(DataError, match=r"damaged: row 10 is not what was written; remove this folder"):
        list(loader.epoch(0))
