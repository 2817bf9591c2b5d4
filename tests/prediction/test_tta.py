"""Views against numpy's own turns, and torchvision's own five crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as torchvision_functional

from modules.config.errors import OptionError
from modules.config.values import Size
from modules.prediction.tta import VIEWS, check_views


def batch(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_d4_is_every_quarter_turn_with_and_without_a_mirror() -> None:
    images = batch(12, 12)
    turns = [np.rot90(images.numpy(), number, axes=(2, 3)) for number in range(4)]
    expected = {turned.tobytes() for each in turns for turned in (each.copy(), np.flip(each, axis=3).copy())}
    found = [view(images).contiguous().numpy().tobytes() for view in VIEWS["d4"]]
    assert len(found) == len(set(found)) == 8 and set(found) == expected
    assert torch.equal(VIEWS["d4"][0](images), images)


@pytest.mark.parametrize("name", ["hflip", "vflip", "hvflip"])
def test_flips_are_among_the_turns(name: str) -> None:
    images = batch(8, 8)
    turns = [view(images) for view in VIEWS["d4"]]
    assert all(any(torch.equal(view(images), turned) for turned in turns) for view in VIEWS[name])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (8, 9), (13, 224)])
def test_five_crop_is_torchvisions_brought_back_to_the_size(height: int, width: int) -> None:
    images = batch(height, width)
    crops = torchvision_functional.five_crop(images, [round(height * 7 / 8), round(width * 7 / 8)])
    expected = [torchvision_functional.resize(crop, [height, width], antialias=True) for crop in crops]
    found = [view(images) for view in VIEWS["five_crop"]]
    assert len(found) == 5
    for one, other in zip(found, expected, strict=True):
        assert one.shape == images.shape and torch.equal(one, other)
        assert not torch.equal(one, images)


def test_d4_is_refused_for_images_that_are_not_square() -> None:
    check_views("d4", Size(32, 32), "done")
    check_views("five_crop", Size(32, 48), "done")
    with pytest.raises(OptionError, match=r"^\[inference\] tta: d4 turns images by a quarter, and those of done are 32 x 48; use hvflip$"):
        check_views("d4", Size(32, 48), "done")
