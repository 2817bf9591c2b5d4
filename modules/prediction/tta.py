"""Test-time augmentation: views of a batch, made on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from modules.config.errors import OptionError
from modules.config.values import Size

View = Callable[[torch.Tensor], torch.Tensor]


def _same(images: torch.Tensor) -> torch.Tensor:
    return images


def _hflip(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1)


def _vflip(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-2)


def _rotate_180(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1, -2)


def _turn(images: torch.Tensor, quarters: int, mirrored: bool) -> torch.Tensor:
    turned = images.rot90(quarters, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _crop(images: torch.Tensor, top: float, left: float) -> torch.Tensor:
    """A crop of 7/8 of each side, brought back to the size of the whole. top, left: 0 at one edge, .5 centre, 1 at the other."""
    height, width = images.shape[-2:]
    crop_height, crop_width = round(height * 7 / 8), round(width * 7 / 8)
    y, x = round((height - crop_height) * top), round((width - crop_width) * left)
    crop = images[..., y : y + crop_height, x : x + crop_width]
    return functional.interpolate(crop, (height, width), mode="bilinear", align_corners=False, antialias=True)


# Each view takes and returns (batch, channels, height, width); predictions are averaged over views, as probabilities.
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (_same,),
    "hflip": (_same, _hflip),
    "vflip": (_same, _vflip),
    "hvflip": (_same, _hflip, _vflip, _rotate_180),
    "d4": (_same, *(partial(_turn, quarters=number % 4, mirrored=number >= 4) for number in range(1, 8))),
    "five_crop": tuple(partial(_crop, top=top, left=left) for top, left in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))),
}


def check_views(tta: str, size: Size, where: str) -> None:
    """Raises OptionError where these views are none of images of that size."""
    if tta == "d4" and size.height != size.width:
        message = f"d4 turns images by a quarter, and those of {where} are {size.height} x {size.width}; use hvflip"
        raise OptionError("inference", "tta", message)
