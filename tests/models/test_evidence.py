"""Grad-CAM: by hand where it can be, on families of models, and on a made set where the class is the place of a patch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from modules.config.reader import read_config
from modules.data.task import classification
from modules.models.evidence import _integrate, find_evidence
from modules.prediction.evidence import score_of
from modules.prediction.logits import task_objective
from tests.some import some


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
    some(
        [
            ("timm", "test_resnet", 96),
            ("timm", "swin_s3_tiny_224", 224),
            ("timm", "test_vit", 64),
            ("timm", "deit_tiny_distilled_patch16_224", 224),
            ("timm", "test_convnext", 64),
            ("torchvision", "vgg11", 64),
            ("torchvision", "swin_t", 64),
            ("timm", "test_efficientnet", 64),
            ("torchvision", "mobilenet_v3_small", 64),
        ]
    ),
)
def test_every_family_says_where(library: str, name: str, size: int, frozen: bool) -> None:
    torch.manual_seed(0)
    made = timm.create_model(name) if library == "timm" else torchvision.models.get_model(name)
    made.requires_grad_(not frozen)
    images = torch.randn(2, 3, size, size)
    found = find_evidence(made, images, lambda logits: logits[:, 0] - logits.mean(dim=1))
    assert found is not None and found.shape == (2, size, size)
    assert float(found.min()) >= 0 and float(found.max()) <= 1 + 1e-6


def test_tokens_evidence_adds_up_to_what_they_change() -> None:
    """Integrated gradients are complete: their sum is the score's difference from that of a flat image."""
    torch.manual_seed(0)
    model, images = timm.create_model("test_vit", num_classes=3).eval(), torch.rand(2, 3, 160, 160)
    flat = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    with torch.no_grad():
        expected = model(images)[:, 1] - model(flat)[:, 1]
    torch.testing.assert_close(_integrate(model, images, of_class(1), None).sum(dim=(1, 2)), expected, rtol=0.02, atol=1e-4)


GRID = 4  # places a side


def dark_images(count: int, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with one bright patch (count, 3, size, size), and at which of GRID * GRID places it lies (count,)."""
    images = torch.rand(count, 3, size, size, generator=generator) * 0.5 - 0.25
    places, side = torch.randint(GRID * GRID, (count,), generator=generator), size // GRID
    for image, place in zip(images, places.tolist(), strict=True):
        top, left = place // GRID * side, place % GRID * side
        image[:, top : top + side, left : left + side] += 0.7
    return images, places


def learn_places(model: nn.Module, size: int, rate: float, steps: int, batch: int) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        images, places = dark_images(batch, size, generator)
        optimizer.zero_grad()
        functional.cross_entropy(model(images), places).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def convolutions(size: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width, wider in ((3, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(width, wider, 3, padding=1), nn.BatchNorm2d(wider), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * (size // 8) ** 2, GRID * GRID))


def tokens(pool: str) -> nn.Module:
    """Positions begin as different ones as patches do: else the places take thousands of steps to learn."""
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": GRID * GRID}
    made = VisionTransformer(**shape, global_pool=pool, class_token=pool == "token")
    nn.init.normal_(made.pos_embed, std=1.0 if pool == "avg" else 0.3)
    return made


# The side of an image, and how it is learnt: the largest rate, steps, images a step.
LEARNING = {"convolutions": (64, 3e-3, 60, 32), "avg": (32, 2e-3, 250, 64), "token": (32, 1e-3, 2000, 64)}


@pytest.mark.parametrize("kind", some(["convolutions", "avg", "token"], every=3))
def test_evidence_lies_on_the_patch_whose_place_is_the_class(kind: str) -> None:
    torch.manual_seed(0)
    size, (rate, steps, batch) = (
        (64, (3e-3, 60, 32)) if kind == "convolutions" else (32, (2e-3, 250, 64) if kind == "avg" else (1e-3, 2000, 64))
    )
    model = learn_places(convolutions(size) if kind == "convolutions" else tokens(kind), size, rate, steps, batch)
    images, places = dark_images(192, size, torch.Generator().manual_seed(1))
    task = classification("place", tuple(map(str, range(GRID * GRID))))
    objective = task_objective(task, read_config([], [])[0].model, read_config([], [])[0].hyper_params)
    evidence = find_evidence(model, images, score_of(task, objective, places, torch.ones(len(places))))
    with torch.no_grad():
        assert (model(images).argmax(dim=1) == places).float().mean() > 0.98, "it has to have learnt the places"
    assert evidence is not None
    peaks, side = evidence.flatten(1).argmax(dim=1), size // GRID
    hits = peaks // size // side * GRID + peaks % size // side == places
    assert hits.float().mean() >= 0.95


def test_a_model_may_write_into_its_input() -> None:
    class Writing(Averaged):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            images -= 0.5
            images[:, 0] *= 2
            return super().forward(images)

    assert find_evidence(Writing(), torch.rand(2, 2, 8, 8), of_class(0)) is not None


def test_a_model_without_places_has_no_evidence() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    assert find_evidence(model, torch.rand(2, 3, 16, 16), of_class(0)) is None
