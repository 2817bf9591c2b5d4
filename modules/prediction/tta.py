"""Test-time augmentation: views of a batch, made on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch

View = Callable[[torch.Tensor], torch.Tensor]


def _same(images: torch.Tensor) -> torch.Tensor:
    return images


def _hflip(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1)


def _vflip(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-2)


def _rotate_180(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1, -2)


# Each view takes and returns (batch, channels, height, width); predictions are averaged over views, as probabilities.
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (_same,),
    "hflip": (_same, _hflip),
    "vflip": (_same, _vflip),
    "hvflip": (_same, _hflip, _vflip, _rotate_180),
}
