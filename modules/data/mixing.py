"""Mixup and cutmix: batches of blended images, and the share that each class has in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional
from torchvision.transforms import v2

from modules.config.schema import Augmentation

Tensor = torch.Tensor
Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def leave_unmixed(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return images, targets


def make_mixer(augmentation: Augmentation, sizes: Sequence[int]) -> Mixer:
    """What [augmentation] mixup and cutmix do to a batch: torchvision's transforms of these names; both: one or the other.

    (batch, channels, height, width) float images and their targets to images of that shape and memory layout, and float32
    targets: (batch,) int64 classes become (batch, classes) shares, (batch, outputs) int64 the shares of all outputs side by
    side, floats stay what they are, blended. sizes: the classes of each output.

    Each image is blended with its neighbour in the batch, all of a batch by one share, which is drawn from Beta(a, a)
    (Zhang et al. 2018; Yun et al. 2019, whose share is that of the pixels that stay). A batch of one image stays as it is,
    targets too. All draws are of torch's CPU generator, which is seeded as an epoch begins.
    """
    kinds = ((v2.MixUp, augmentation.mixup), (v2.CutMix, augmentation.cutmix))
    transforms = [kind(alpha=alpha) for kind, alpha in kinds if alpha > 0]
    if not transforms:
        return leave_unmixed
    blend = v2.RandomChoice(transforms)

    def mix(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if len(targets) < 2:
            return images, targets
        mixed, shares = blend(images, _as_shares(targets, sizes))
        # The library rolls images along the batch, which on a GPU forgets their layout.
        return mixed.contiguous(memory_format=_layout(images)), shares

    return mix


def _as_shares(targets: Tensor, sizes: Sequence[int]) -> Tensor:
    if targets.is_floating_point():
        return targets
    columns = targets.reshape(len(targets), -1).unbind(dim=1)
    return torch.cat([functional.one_hot(column, size) for column, size in zip(columns, sizes, strict=True)], dim=1).float()


def _layout(images: Tensor) -> torch.memory_format:
    return torch.contiguous_format if images.is_contiguous() else torch.channels_last
