"""Where in an image a model found what it says: Grad-CAM's maps for convolutions, integrated gradients for networks of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from modules.models.metadata import call

PREFIXES = range(6)  # tokens in front of those of the image: of the class, of distillation, registers
ATTENDED = 0.5  # of the places must matter to the score: behind the last attention only the class's token does
LEAST_SIDE = 2  # places
STEPS = 16  # from a flat image to the image itself, along which gradients are taken

Score = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class _Spread:
    """What a layer gave, where that still lies as the image does. layout: of its dimensions; prefix: tokens that are no places."""

    values: torch.Tensor
    layout: str
    prefix: int
    height: int
    width: int

    def on_image(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) of numbers that are laid out as `values`."""
        if self.layout == "NCHW":
            return values
        if self.layout == "NHWC":
            return values.permute(0, 3, 1, 2)
        places = values[:, self.prefix :]
        return places.reshape(len(places), self.height, self.width, -1).permute(0, 3, 1, 2)


def find_evidence(module: nn.Module, images: torch.Tensor, score: Score, metadata: torch.Tensor | None = None) -> torch.Tensor | None:
    """(batch, height, width) in 0..1: how much each place of each image speaks for its score.

    images: (batch, channels, height, width), prepared. score: of (batch, outputs) logits, (batch,). The last layer is looked
    at whose output lies as the image does and matters in most of its places, and there activations times gradients are summed
    over channels and cut off below 0 (Draelos and Carin 2020, HiResCAM); behind a mean over all places that is Grad-CAM
    (Selvaraju et al. 2017). Where it is one of tokens, attention has carried what each place holds to others by then, and so
    the image itself is looked at, a part a token, by integrated gradients (Sundararajan et al. 2017). None where no layer
    does. The module is left in eval; no gradient is kept.
    """
    module.eval()
    with torch.enable_grad(), _spread_outputs(module, images) as spread:
        total = score(call(module, _with_gradient(images), metadata)).sum()
        gradients = torch.autograd.grad(total, [each.values for each in spread], allow_unused=True) if spread else ()
    for each, gradient in zip(reversed(spread), reversed(gradients), strict=True):
        if gradient is None:
            continue
        slopes = each.on_image(gradient)
        if float((slopes.abs().amax(dim=1) > 0).float().mean()) < ATTENDED:
            continue
        if each.layout == "NTC":
            found = functional.adaptive_avg_pool2d(_integrate(module, images, score, metadata), (each.height, each.width))
        else:
            found = (slopes * each.on_image(each.values.detach())).sum(dim=1)
        large = functional.interpolate(functional.relu(found)[:, None].float(), images.shape[-2:], mode="bilinear", align_corners=False)[
            :, 0
        ]
        return large / large.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(large.dtype).tiny)
    return None


def _integrate(module: nn.Module, images: torch.Tensor, score: Score, metadata: torch.Tensor | None) -> torch.Tensor:
    """(batch, height, width): what each pixel adds to the score, from a flat image of the image's mean colour on.

    They add up to the score's difference between the two, but for the sum that stands for the integral (midpoints).
    """
    flat = images.mean(dim=(2, 3), keepdim=True)
    total = torch.zeros_like(images)
    for step in range(STEPS):
        with torch.enable_grad():
            between = _with_gradient(flat + (step + 0.5) / STEPS * (images - flat))
            total += torch.autograd.grad(score(call(module, between.clone(), metadata)).sum(), between)[0] / STEPS
    return (total * (images - flat)).sum(dim=1)


def _with_gradient(images: torch.Tensor) -> torch.Tensor:
    """Not the leaf itself: a model may write into what it is given."""
    return images.detach().requires_grad_() * 1


@contextmanager
def _spread_outputs(module: nn.Module, images: torch.Tensor) -> Iterator[list[_Spread]]:
    """Collects, in the order in which layers are called, what lies as the images do."""
    found: list[_Spread] = []

    def look(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.requires_grad and len(output) == len(images):
            spread = _as_image(output, images.shape[-2], images.shape[-1])
            if spread is not None:
                found.append(spread)

    hooks: list[RemovableHandle] = [layer.register_forward_hook(look) for layer in _outside_of_attention(module)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _outside_of_attention(module: nn.Module) -> Iterator[nn.Module]:
    """Within attention what looks like height and width may be tokens and heads."""
    for layer in module.children():
        if "attention" in type(layer).__name__.lower() or "attn" in type(layer).__name__.lower():
            continue
        yield layer
        yield from _outside_of_attention(layer)


def _as_image(output: torch.Tensor, height: int, width: int) -> _Spread | None:
    def fits(high: int, wide: int) -> bool:
        """Layers that halve round up or down, so that small maps are not quite of the image's proportions."""
        return min(high, wide) >= LEAST_SIDE and high <= height and wide <= width and abs(high * width / height - wide) <= 1

    if output.ndim == 4:
        for layout, sides in (("NCHW", output.shape[2:]), ("NHWC", output.shape[1:3])):
            if fits(*sides):
                return _Spread(output, layout, 0, *sides)
    if output.ndim == 3:
        for prefix in PREFIXES:
            count = output.shape[1] - prefix
            high = round(math.sqrt(max(0, count) * height / width))
            if high and count % high == 0 and fits(high, count // high):
                return _Spread(output, "NTC", prefix, high, count // high)
    return None
