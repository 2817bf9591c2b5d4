"""What every image goes through before a model sees it, without augmentation. A checkpoint carries it to inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from modules.config.pipeline import Pipeline, parse_pipeline
from modules.config.schema import Data
from modules.config.values import Size

Prepare = Callable[[torch.Tensor], torch.Tensor]  # a batch as a loader gives it, to what a model takes, on the device


@dataclass(frozen=True)
class Preprocessing:
    """mean, std: a channel, of pixels scaled to 0..1. `valid`: transforms after the resize, for validation and test.

    margin: every image is brought to so many times `size` first. Training crops from that; for validation and test it is
    brought to `size` then.
    """

    size: Size
    resize: str
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    valid: Pipeline
    margin: float = 1.0

    @property
    def stored(self) -> Size:
        """What an image is brought to first, and what is kept of it in the pixel cache."""
        return Size(round(self.size.height * self.margin), round(self.size.width * self.margin))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint holds them."""
        return {**asdict(self), "size": list(self.size), "mean": list(self.mean), "std": list(self.std), "valid": str(self.valid)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preprocessing:
        values = dict(content)
        values["size"] = Size(*values["size"])
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        values["valid"] = parse_pipeline(values["valid"])
        return cls(**values)


def make_preprocessing(
    data: Data, valid: Pipeline | None, mean: tuple[float, ...], std: tuple[float, ...], crops: bool = False
) -> Preprocessing:
    """The preprocessing that [data] asks for; `mean` and `std` (three channels) are what auto means for the model.

    crops: whether training cuts its images out of larger ones, so that there is a margin.
    """
    return Preprocessing(
        size=data.image_size,
        resize=data.resize,
        channels=data.channels,
        mean=_per_channel(mean if data.mean == "auto" else data.mean, data.channels),
        std=_per_channel(std if data.std == "auto" else data.std, data.channels),
        valid=valid or Pipeline(),
        margin=data.cache_margin if crops else 1.0,
    )


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    if len(values) == 3 and channels == 4:
        return *values, sum(values) / 3
    return (sum(values) / len(values),) * channels


class Normalizer:
    """Moves a batch to the device and normalises it there: a quarter of the bytes travels.

    (batch, height, width, channels) uint8 to (batch, channels, height, width) float32.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device, channels_last: bool) -> None:
        self.device = device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        moved = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return moved.contiguous(memory_format=self.layout).float().div_(255).sub_(self.mean).div_(self.std)
