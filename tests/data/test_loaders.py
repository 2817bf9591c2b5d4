"""Batches: the same from any number of workers, every row once, a new order an epoch, and plain mistakes out of workers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modules.config.errors import DataError
from modules.config.pipeline import Pipeline
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data.draws import BatchSampler, DealtBatches, Draw
from modules.data.images import ImageFiles
from modules.data.loaders import Batch, ImageBatches, Loader, Request, Way, Workers, explain_worker_death
from modules.data.pixel_cache import PixelCache
from modules.data.pixels import read_image, resize_image
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.task import classification
from modules.data.transforms import apply, make_train_pipeline
from tests.some import some

SIZE = Size(12, 20)
COUNT = 17
PREPROCESSING = Preprocessing(SIZE, "pad", 3, (0.5,) * 3, (0.5,) * 3, Pipeline())


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for row in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (10 + row, 24 - row, 3), dtype=np.uint8)).save(folder / f"{row}.png")
    names = np.array([str(row) for row in range(COUNT)])
    return Samples(
        names,
        ImageFiles(folder, np.array([f"{row}.png" for row in range(COUNT)])),
        classification("label", ("a", "b", "c")),
        np.arange(COUNT, dtype=np.int64) % 3,
    )


def pipeline(preset: str = "heavy") -> Any:
    return make_train_pipeline(Augmentation(preset=preset), SIZE, 3)  # type: ignore[arg-type]


def loader(
    samples: Samples, workers: int = 0, shuffle: tuple[int, int] | None = (42, 0), batch_size: int = 4, preset: str = "heavy"
) -> Loader:
    makers = Workers(images(samples, preset), workers, pin_memory=False)
    return Loader(makers, BatchSampler(np.arange(len(samples)), batch_size, shuffle), "train", (42, 0))


def images(samples: Samples, preset: str = "heavy") -> ImageBatches:
    return ImageBatches(samples, PixelCache(None, samples.images, PREPROCESSING), {"train": Way(SIZE, pipeline(preset))})


def rows_of(batches: list[Batch]) -> list[int]:
    return [int(row) for batch in batches for row in batch.rows]


def content(batches: list[Batch]) -> list[tuple[bytes, list[int], list[int]]]:
    return [(batch.images.numpy().tobytes(), batch.targets.tolist(), batch.rows.tolist()) for batch in batches]


def test_any_number_of_workers_gives_the_same_bits_over_epochs(samples: Samples) -> None:
    found = {}
    for workers in (0, 1, 2):
        source = loader(samples, workers)
        found[workers] = [content(list(source.epoch(epoch))) for epoch in (0, 1)]
    assert found[0] == found[1] == found[2]
    images = [image for epoch in found[0] for image, _, _ in epoch]
    assert len(set(images)) == len(images), "no batch is like another one"


def test_a_later_epoch_does_not_depend_on_the_earlier_ones(samples: Samples) -> None:
    whole = loader(samples)
    epochs = [content(list(whole.epoch(epoch))) for epoch in range(3)]
    assert content(list(loader(samples).epoch(2))) == epochs[2], "as a resumed run starts"


def test_an_epoch_that_was_left_half_way_does_not_disturb_the_next(samples: Samples) -> None:
    source = loader(samples, workers=1)
    next(iter(source.epoch(0)))
    assert content(list(source.epoch(1))) == content(list(loader(samples).epoch(1)))


def test_images_are_those_of_the_files_resized_and_augmented_by_their_position(samples: Samples) -> None:
    batches = list(loader(samples).epoch(3))
    assert all(batch.images.dtype == torch.uint8 and batch.images.shape[1:] == (12, 20, 3) for batch in batches)
    images, augmentation = torch.cat([batch.images for batch in batches]).numpy(), pipeline()
    for position, row in enumerate(rows_of(batches)):
        pixels = resize_image(read_image(samples.images.root / f"{row}.png", 3), SIZE, "pad")
        assert np.array_equal(images[position], apply(augmentation, pixels, 42, 0, 3, position))


def test_a_second_copy_of_a_row_is_augmented_differently(samples: Samples) -> None:
    batch = images(samples)[Request([Draw(0, 0, 5), Draw(0, 1, 5), Draw(1, 0, 5), Draw(0, 0, 5)], "train", (42, 0))]
    assert isinstance(batch, Batch)
    first, second, later, again = (image.numpy().tobytes() for image in batch.images)
    assert len({first, second, later}) == 3 and again == first


def test_the_fold_and_the_seed_change_the_augmentation(samples: Samples) -> None:
    found = set()
    for seed in ((42, 0), (42, 1), (43, 0)):
        batch = images(samples)[Request([Draw(0, 0, 5)], "train", seed)]
        assert isinstance(batch, Batch)
        found.add(batch.images.numpy().tobytes())
    assert len(found) == 3


def test_targets_and_rows_belong_to_the_images(samples: Samples) -> None:
    for batch in loader(samples, shuffle=(1, 1), preset="none").epoch(0):
        assert batch.targets.tolist() == [int(row) % 3 for row in batch.rows]
        assert batch.targets.dtype == batch.rows.dtype == torch.int64
        for image, row in zip(batch.images, batch.rows, strict=True):
            pixels = resize_image(read_image(samples.images.root / f"{int(row)}.png", 3), SIZE, "pad")
            assert np.array_equal(image.numpy(), pixels)


def test_unknown_targets_are_minus_one(samples: Samples) -> None:
    test = Samples(samples.ids, samples.images, samples.task)
    batches = list(loader(test, shuffle=None).epoch(0))
    assert rows_of(batches) == list(range(COUNT)) and all(batch.targets is None for batch in batches)


def test_unshuffled_rows_come_once_and_in_order_in_every_epoch(samples: Samples) -> None:
    source = loader(samples, shuffle=None)
    for epoch in (0, 1):
        batches = list(source.epoch(epoch))
        assert rows_of(batches) == list(range(COUNT)) and len(batches) == len(source) == 5
        assert len(batches[-1].rows) == 1, "a last batch of one is kept where nothing trains on it"


@pytest.mark.parametrize("count", range(1, 14))
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 20])
def test_shuffled_rows_come_once_but_for_a_last_batch_of_one(count: int, batch_size: int) -> None:
    rows = np.arange(100, 100 + count)
    sampler = BatchSampler(rows, batch_size, (42, 0))
    batches = list(sampler)
    found = [draw.row for batch in batches for draw in batch]
    assert [draw.position for batch in batches for draw in batch] == list(range(len(found)))
    assert len(set(found)) == len(found) and set(found) <= set(rows.tolist()) and len(batches) == len(sampler) > 0
    alone = batch_size > 1 and count > 1 and count % batch_size == 1
    assert len(found) == count - alone
    assert all(len(batch) == batch_size for batch in batches[:-1]) and 1 <= len(batches[-1]) <= batch_size
    if batch_size > 1 and count > 1:
        assert min(len(batch) for batch in batches) > 1, "BatchNorm cannot train on one image"
    plain = list(BatchSampler(rows, batch_size))
    assert [draw.row for batch in plain for draw in batch] == rows.tolist()


def test_the_order_is_a_function_of_seed_fold_and_epoch() -> None:
    orders: dict[tuple[int, int, int], list[list[int]]] = {}
    for seed, fold, epoch in [(42, 0, 0), (42, 0, 1), (42, 1, 0), (43, 0, 0), (0, 0, 0)]:
        sampler = BatchSampler(np.arange(50), 8, (seed, fold))
        for _ in range(2):
            sampler.set_epoch(epoch)
            orders.setdefault((seed, fold, epoch), []).append([draw.row for batch in sampler for draw in batch])
            sampler.set_epoch(epoch + 7)
            list(sampler)
    assert all(first == again for first, again in orders.values())
    assert len({tuple(found[0]) for found in orders.values()}) == 5
    assert all(found[0] != sorted(found[0]) for found in orders.values())


def test_every_row_is_left_out_in_some_epoch_and_not_always_the_same(samples: Samples) -> None:
    sampler = BatchSampler(np.arange(9), 4, (42, 0))
    left_out = set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        left_out |= set(range(9)) - {draw.row for batch in sampler for draw in batch}
    assert len(left_out) > 5


UNEVEN = np.array([0] * 40 + [1] * 7 + [2] * 3)


@pytest.mark.parametrize("epoch", range(4))
def test_a_balanced_epoch_has_as_many_of_each_class_and_repeats_rare_rows_evenly(epoch: int) -> None:
    sampler = BatchSampler(np.arange(100, 150), 8, (42, 0), UNEVEN)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    drawn = np.array([draw.row for batch in batches for draw in batch]) - 100
    assert len(drawn) == 50 and len(batches) == len(sampler) == 7
    assert sorted(np.bincount(UNEVEN[drawn])) == [16, 17, 17]
    counts = np.bincount(drawn, minlength=50)
    for number in range(3):
        own = counts[number == UNEVEN]
        assert own.max() - own.min() <= 1, "each of a class's rows k or k + 1 times"
    assert counts[UNEVEN == 0].max() == 1, "the common class comes without repetition"
    assert [draw.position for batch in batches for draw in batch] == list(range(50))
    firsts = [set(UNEVEN[drawn[start : start + 10]]) for start in range(0, 50, 10)]
    assert all(len(found) > 1 for found in firsts), "classes are mixed along the epoch"


def test_over_epochs_every_row_of_the_common_class_comes_and_the_odd_draw_is_not_always_of_one_class() -> None:
    sampler = BatchSampler(np.arange(50), 8, (42, 0), UNEVEN)
    seen: set[int] = set()
    fewer = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        drawn = [draw.row for batch in sampler for draw in batch]
        seen |= set(drawn)
        fewer.add(int(np.bincount(UNEVEN[drawn]).argmin()))
    assert seen == set(range(50)) and fewer == {0, 1, 2}


def test_the_balanced_order_is_a_function_of_seed_fold_and_epoch() -> None:
    def order(seed: int, fold: int, epoch: int) -> tuple[int, ...]:
        sampler = BatchSampler(np.arange(50), 8, (seed, fold), UNEVEN)
        sampler.set_epoch(epoch)
        return tuple(draw.row for batch in sampler for draw in batch)

    draws = [(42, 0, 0), (42, 0, 1), (42, 1, 0), (43, 0, 0)]
    assert [order(*draw) for draw in draws] == [order(*draw) for draw in draws]
    assert len({order(*draw) for draw in draws}) == 4


@pytest.mark.parametrize(("count", "left"), [(9, 8), (8, 8), (1, 1)])
def test_a_balanced_epoch_has_no_last_batch_of_one_image_either(count: int, left: int) -> None:
    batches = list(BatchSampler(np.arange(count), 4, (42, 0), np.arange(count) % 2))
    assert sum(len(batch) for batch in batches) == left


def test_the_copies_of_a_row_in_a_balanced_epoch_are_augmented_differently(samples: Samples) -> None:
    rows, classes = np.arange(7), np.array([0] * 6 + [1])
    makers = Workers(images(samples), 0, pin_memory=False)
    batches = list(Loader(makers, BatchSampler(rows, 4, (42, 0), classes), "train", (42, 0)).epoch(1))
    copies = [image.numpy().tobytes() for batch in batches for image, row in zip(batch.images, batch.rows, strict=True) if row == 6]
    assert len(copies) in (3, 4) and len(set(copies)) == len(copies)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_draw_nothing_from_torchs_generator(samples: Samples, workers: int) -> None:
    """Dropout and mixing draw from it, and are to draw the same from any number of workers and in a resumed run."""
    state = torch.get_rng_state()
    source = loader(samples, workers)
    for epoch in (0, 1):
        list(source.epoch(epoch))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_is_the_plain_one_line_error_out_of_a_worker_too(samples: Samples, workers: int, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    files = samples.images.files.astype(object)
    files[6] = str(tmp_path / "bad.png")
    broken = Samples(samples.ids, ImageFiles(samples.images.root, files.astype(str)), samples.task, samples.targets)
    batches: list[Batch] = []
    with pytest.raises(DataError) as caught:
        batches.extend(loader(broken, workers, shuffle=None).epoch(0))
    assert type(caught.value) is DataError
    assert caught.value.lines == (f"{tmp_path / 'bad.png'}: not an image that can be read",)


def test_a_worker_that_dies_is_one_line_with_the_option_to_change(samples: Samples) -> None:
    class Deadly(ImageBatches):
        def __getitem__(self, request: Request) -> Batch | DataError:
            os._exit(1)

    deadly = Deadly(samples, PixelCache(None, samples.images, PREPROCESSING), {})
    source = Loader(Workers(deadly, 1, pin_memory=False), BatchSampler(np.arange(COUNT), 4, (42, 0)))
    with pytest.raises(RuntimeError, match="worker") as caught:
        list(source.epoch(0))
    told = explain_worker_death(caught.value)
    assert told is not None and len(told.lines) == 1
    assert re.fullmatch(r"a data worker died \(.*\); try settings\.num_workers=0, or a smaller hyper_params\.batch_size", str(told))
    assert explain_worker_death(RuntimeError("shapes cannot be multiplied")) is None


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_worker_that_dies_while_it_hands_over_a_batch_is_told_like_any_other(error: Exception) -> None:
    told = explain_worker_death(error)
    assert told is not None and str(told).startswith("a data worker died (")
    assert explain_worker_death(ConnectionRefusedError()) is None


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("count", some([4, 8, 9, 10, 17, 23]))
def test_processes_that_share_batches_have_every_image_once_and_an_even_part(samples: Samples, world: int, count: int) -> None:
    def part(rank: int) -> list[Batch]:
        sampler = BatchSampler(np.arange(count) % COUNT, 8, (42, 0), least=2 * world)
        return list(Loader(Workers(images(samples), 0, pin_memory=False), sampler, "train", (42, 0), rank, world).epoch(3))

    whole = BatchSampler(np.arange(count) % COUNT, 8, (42, 0), least=2 * world)
    whole.set_epoch(3)
    parts = [part(rank) for rank in range(world)]
    assert {len(batches) for batches in parts} == {len(whole)}
    for draws, *shares in zip(whole, *parts, strict=True):
        assert sorted(row for share in shares for row in share.rows.tolist()) == sorted(draw.row for draw in draws)
        sizes = [len(share.rows) for share in shares]
        assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1 and {share.size for share in shares} == {len(draws)}
        if len(whole) > 1:
            assert min(sizes) >= 2, "BatchNorm cannot train on one image"


def test_an_image_is_augmented_alike_whichever_process_has_it(samples: Samples) -> None:
    def made(rank: int, world: int) -> dict[int, torch.Tensor]:
        sampler = BatchSampler(np.arange(16), 8, (42, 0))
        batches = Loader(Workers(images(samples), 0, pin_memory=False), sampler, "train", (42, 0), rank, world).epoch(2)
        return {row: image for batch in batches for row, image in zip(batch.rows.tolist(), batch.images, strict=True)}

    whole, parts = made(0, 1), [made(0, 2), made(1, 2)]
    together = {**parts[0], **parts[1]}
    assert together.keys() == whole.keys() and not parts[0].keys() & parts[1].keys()
    assert all(torch.equal(together[row], whole[row]) for row in whole)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 33])
def test_batches_that_are_dealt_are_whole_and_come_to_one_process_each(count: int) -> None:
    batches = BatchSampler(np.arange(100, 100 + count), 4)
    dealt = [DealtBatches(batches, rank, 3) for rank in range(3)]
    found = [draws for each in dealt for draws in each]
    assert sorted(found) == sorted(batches) and [len(each) for each in dealt] == [len(list(each)) for each in dealt]
    assert all(each.rows.tolist() == [draw.row for draws in each for draw in draws] for each in dealt)
