"""The one path of evaluation, seen through a model that reads each row's answer out of its image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.compute.process import Process
from modules.config.pipeline import Pipeline
from modules.config.values import Size
from modules.data.loaders import Batch
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.models.objectives import make_objective
from modules.prediction.predict import Outcome, predict
from modules.prediction.tta import VIEWS

ROWS, CLASSES, HEIGHT, WIDTH = 23, 4, 5, 6
PROCESS = Process(torch.device("cpu"), "float32", False, 0, 1)
NORMALIZER = Normalizer(Preprocessing(Size(HEIGHT, WIDTH), "stretch", 3, (0.0,) * 3, (1.0,) * 3, Pipeline()), PROCESS.device, False)
IMAGES = np.random.default_rng(0).integers(0, 256, (ROWS + 10, HEIGHT, WIDTH, 3), dtype=np.uint8)
TARGETS = np.random.default_rng(1).integers(0, CLASSES, ROWS + 10)


class Oracle(nn.Module):
    """Logits are four pixels of the image, each from a corner, so that every view of every image gives its own answer."""

    def __init__(self, scale: float = 3.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training and torch.is_inference_mode_enabled()
        self.images += len(images)
        corners = [images[:, 0, 0, 0], images[:, 1, 0, -1], images[:, 2, -1, 0], images[:, 0, -1, -1]]
        return self.scale * torch.stack(corners, dim=1)


def logits_by_hand(rows: np.ndarray, scale: float = 3.0, flip_h: bool = False, flip_v: bool = False) -> np.ndarray:
    pixels = IMAGES[rows].astype(np.float32) / 255
    pixels = pixels[:, :, ::-1] if flip_h else pixels
    pixels = pixels[:, ::-1] if flip_v else pixels
    return scale * np.stack([pixels[:, 0, 0, 0], pixels[:, 0, -1, 1], pixels[:, -1, 0, 2], pixels[:, -1, -1, 0]], axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def batch(rows: Sequence[int] | np.ndarray, known: bool = True) -> Batch:
    index = np.array(rows, dtype=np.int64)
    targets = torch.from_numpy(TARGETS[index].astype(np.int64)) if known else None
    return Batch(torch.from_numpy(IMAGES[index]), targets, torch.from_numpy(index))


def batches(order: np.ndarray, size: int, known: bool = True) -> list[Batch]:
    return [batch(order[start : start + size], known) for start in range(0, len(order), size)]


def run(given: list[Batch], rows: np.ndarray, members: Sequence[nn.Module] = (), tta: str = "none", smoothing: float = 0.0) -> Outcome:
    objective = make_objective("cross_entropy", smoothing)
    return predict(members or [Oracle()], given, rows, CLASSES, NORMALIZER, objective, VIEWS[tta], PROCESS)


@pytest.mark.parametrize("size", [1, 2, 5, 22, 23, 64])
def test_every_row_gets_its_own_images_prediction_whatever_the_batch_size(size: int) -> None:
    rows = np.arange(ROWS)
    outcome = run(batches(rows, size), rows)
    assert outcome.values.shape == (1, ROWS, CLASSES) and outcome.values.dtype == np.float32
    np.testing.assert_allclose(outcome.values[0], softmax(logits_by_hand(rows)), atol=1e-6)


def test_results_are_in_the_order_of_the_rows_asked_for_not_of_the_batches() -> None:
    rng = np.random.default_rng(2)
    rows = rng.permutation(ROWS + 10)[:ROWS]
    for _ in range(5):
        given = batches(rng.permutation(rows), 4)
        outcome = run([given[index] for index in rng.permutation(len(given))], rows)
        np.testing.assert_allclose(outcome.values[0], softmax(logits_by_hand(rows)), atol=1e-6)


def test_rows_that_come_twice_change_no_prediction() -> None:
    """As a sampler that pads the last batch brings them."""
    rows = np.arange(ROWS)
    padded = np.concatenate([rows, rows[:9], [22, 22]])
    outcome = run(batches(padded, 8), rows)
    np.testing.assert_allclose(outcome.values[0], softmax(logits_by_hand(rows)), atol=1e-6)


def test_rows_that_come_twice_do_not_change_the_loss() -> None:
    rows = np.arange(ROWS)
    padded = np.concatenate([rows, rows[:9]])
    assert run(batches(padded, 8), rows).loss == pytest.approx(run(batches(rows, 8), rows).loss, abs=1e-6)


def test_a_row_that_no_batch_brings_is_a_fault() -> None:
    with pytest.raises(AssertionError, match=r"^2 rows came in no batch$"):
        run(batches(np.arange(ROWS - 2), 8), np.arange(ROWS))


def test_a_row_that_was_not_asked_for_is_a_fault() -> None:
    with pytest.raises(KeyError):
        run(batches(np.arange(ROWS), 8), np.arange(ROWS - 1))


def test_several_members_see_every_image_once_in_one_pass() -> None:
    rows = np.arange(ROWS)
    members = [Oracle(3.0), Oracle(-1.0), Oracle(0.0)]
    given = iter(batches(rows, 7))  # can be gone through once only
    outcome = predict(members, given, rows, CLASSES, NORMALIZER, make_objective("cross_entropy", 0.0), VIEWS["none"], PROCESS)
    assert [member.images for member in members] == [ROWS] * 3
    for index, scale in enumerate((3.0, -1.0, 0.0)):
        np.testing.assert_allclose(outcome.values[index], softmax(logits_by_hand(rows, scale)), atol=1e-6)
    assert outcome.loss == pytest.approx(run(batches(rows, 7), rows).loss, abs=1e-6)


FLIPS = {
    "none": [(False, False)],
    "hflip": [(False, False), (True, False)],
    "vflip": [(False, False), (False, True)],
    "hvflip": [(False, False), (True, False), (False, True), (True, True)],
}


@pytest.mark.parametrize("tta", sorted(FLIPS))
def test_every_tta_is_the_mean_of_its_views_probabilities(tta: str) -> None:
    rows = np.arange(ROWS)
    member = Oracle()
    expected = np.mean([softmax(logits_by_hand(rows, flip_h=h, flip_v=v)) for h, v in FLIPS[tta]], axis=0)
    np.testing.assert_allclose(run(batches(rows, 5), rows, [member], tta).values[0], expected, atol=1e-6)
    assert member.images == ROWS * len(FLIPS[tta])
    if tta != "none":
        assert np.abs(expected - softmax(logits_by_hand(rows))).max() > 0.1


@pytest.mark.parametrize("tta", sorted(FLIPS))
def test_a_flipped_image_is_predicted_alike_where_its_flip_is_a_view(tta: str) -> None:
    rows = np.arange(ROWS)
    flipped = [batch._replace(images=batch.images.flip(2)) for batch in batches(rows, 5)]
    one, other = run(batches(rows, 5), rows, tta=tta).values, run(flipped, rows, tta=tta).values
    assert np.allclose(one, other, atol=1e-6) is ("h" in tta)


@pytest.mark.parametrize("size", [1, 6, 23])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_rows_not_over_batches(size: int, smoothing: float) -> None:
    rows = np.arange(ROWS)
    expected = functional.cross_entropy(torch.from_numpy(logits_by_hand(rows)), torch.from_numpy(TARGETS[rows]), label_smoothing=smoothing)
    assert run(batches(rows, size), rows, smoothing=smoothing).loss == pytest.approx(expected.item(), abs=1e-5)


def test_the_loss_is_that_of_the_images_as_they_are_also_with_tta() -> None:
    rows = np.arange(ROWS)
    assert run(batches(rows, 6), rows, tta="hvflip").loss == pytest.approx(run(batches(rows, 6), rows).loss, abs=1e-6)


def test_without_targets_there_is_no_loss() -> None:
    rows = np.arange(ROWS)
    outcome = run(batches(rows, 6, known=False), rows)
    assert np.isnan(outcome.loss)
    np.testing.assert_allclose(outcome.values[0], softmax(logits_by_hand(rows)), atol=1e-6)


def test_members_are_put_into_evaluation_and_keep_their_statistics() -> None:
    rows = np.arange(ROWS)
    member = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * HEIGHT * WIDTH, CLASSES)).train()
    before = member[0].running_mean.clone()
    one, other = (run(batches(rows, size), rows, [member]).values for size in (4, 9))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert torch.equal(member[0].running_mean, before) and not member.training


def test_nan_from_a_model_is_not_hidden() -> None:
    rows = np.arange(ROWS)
    assert np.isnan(run(batches(rows, 6), rows, [Oracle(float("nan"))]).values).all()


def test_mean_and_std_reach_the_model() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    normalizer = Normalizer(Preprocessing(Size(HEIGHT, WIDTH), "stretch", 3, mean, std, Pipeline()), PROCESS.device, False)
    rows = np.arange(ROWS)
    found = predict(
        [Oracle(1.0)], batches(rows, 6), rows, CLASSES, normalizer, make_objective("cross_entropy", 0.0), VIEWS["none"], PROCESS
    )
    shift, scale = np.array(mean)[[0, 1, 2, 0]], np.array(std)[[0, 1, 2, 0]]
    np.testing.assert_allclose(found.values[0], softmax((logits_by_hand(rows, 1.0) - shift) / scale), atol=1e-5)


class Counted(nn.Module):
    """Twice the images, and how many it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training and torch.is_inference_mode_enabled()
        self.images += len(images)
        return 2 * images


def test_a_trunk_that_several_members_have_is_called_once_for_all_of_them() -> None:
    rows = np.arange(ROWS)
    shared, own, members = Counted(), Counted(), [Oracle(3.0), Oracle(-1.0), Oracle(3.0), Oracle(0.5)]
    objective = make_objective("cross_entropy", 0.0)
    trunks = [shared, None, own, shared]
    outcome = predict(members, batches(rows, 7), rows, CLASSES, NORMALIZER, objective, VIEWS["hflip"], PROCESS, trunks)
    alone = [
        run(batches(rows, 7), rows, [nn.Sequential(Counted(), member) if trunk else member], "hflip").values[0]
        for member, trunk in zip(members, trunks, strict=True)
    ]
    assert (shared.images, own.images) == (2 * ROWS, 2 * ROWS)
    np.testing.assert_allclose(outcome.values, np.stack(alone), atol=1e-6)
    assert np.abs(outcome.values[0] - outcome.values[1]).max() > 0.1
    first = run(batches(rows, 7), rows, [nn.Sequential(Counted(), members[0])])
    assert outcome.loss == pytest.approx(first.loss, abs=1e-6)


def test_a_member_without_its_trunk_is_a_fault() -> None:
    rows = np.arange(ROWS)
    with pytest.raises(ValueError, match="shorter"):
        predict(
            [Oracle(), Oracle()],
            batches(rows, 7),
            rows,
            CLASSES,
            NORMALIZER,
            make_objective("cross_entropy"),
            VIEWS["none"],
            PROCESS,
            [None],
        )
