"""Grad-CAM: by hand where it can be, on families of models, and on a made set where the class is the place of a patch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn

from modules.models.evidence import find_evidence


def of_class(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda logits: logits[:, number]


class Averaged(nn.Module):
    """Two maps that are the image's own channels, averaged, and a head whose weights are known."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(2, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(2)[..., None, None])
            self.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(images).mean(dim=(2, 3)))
        return logits


def test_behind_a_mean_it_is_the_weighted_sum_of_maps() -> None:
    images = torch.rand(3, 2, 8, 8)
    for number in (0, 1):
        found = find_evidence(Averaged(), images, of_class(number))
        assert found is not None
        expected = images[:, number] / images[:, number].amax(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(found, expected)


def test_what_speaks_against_is_no_evidence() -> None:
    images = torch.rand(2, 2, 8, 8)
    found = find_evidence(Averaged(), images, lambda logits: -logits[:, 0])
    assert found is not None and not found.any()


def test_the_model_is_left_as_it_was() -> None:
    model = timm.create_model("test_resnet", num_classes=3).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    find_evidence(model, torch.rand(2, 3, 64, 64), of_class(0))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(layer._forward_hooks for layer in model.modules())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("library", "name", "size"),
    [
        ("timm", "test_resnet", 96),
        ("timm", "test_vit", 64),
        ("timm", "test_convnext", 64),
        ("timm", "test_efficientnet", 64),
        ("timm", "swin_s3_tiny_224", 224),
        ("timm", "deit_tiny_distilled_patch16_224", 224),
        ("torchvision", "vgg11", 64),
        ("torchvision", "swin_t", 64),
        ("torchvision", "mobilenet_v3_small", 64),
    ],
)
def test_every_family_says_where(library: str, name: str, size: int, frozen: bool) -> None:
    torch.manual_seed(0)
    made = timm.create_model(name) if library == "timm" else torchvision.models.get_model(name)
    made.requires_grad_(not frozen)
    images = torch.randn(2, 3, size, size)
    found = find_evidence(made, images, lambda logits: logits[:, 0] - logits.mean(dim=1))
    assert found is not None and found.shape == (2, size, size)
    assert float(found.min()) >= 0 and float(found.max()) <= 1 + 1e-6


def test_a_model_without_places_has_no_evidence() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    assert find_evidence(model, torch.rand(2, 3, 16, 16), of_class(0)) is None
