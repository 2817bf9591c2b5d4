"""Pooling: each kind against the arithmetic on the feature map, in both libraries; names of parameters stay."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.pooling import POOLINGS, Pooling
from tests.some import some

SIZE = Size(64, 96)
KINDS = sorted(POOLINGS)
# library, name, where the feature map comes from, whether the map is channels last
MAPS = [
    ("timm", "test_resnet", "layer4", False),
    ("timm", "test_convnext", "stages", False),
    ("timm", "test_efficientnet", "bn2", False),
    ("timm", "swin_s3_tiny_224", "norm", True),
    ("torchvision", "resnet18", "layer4", False),
    ("torchvision", "mobilenet_v3_small", "features", False),
    ("torchvision", "squeezenet1_1", "classifier.2", False),
]


def built(library: str, name: str, pooling: str, size: Size = SIZE) -> Network:
    torch.manual_seed(0)
    return build_network(Model(library=library, name=name, pooling=pooling), 5, 3, size, False)  # type: ignore[arg-type]


def by_hand(features: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """features: (batch, channels, height, width)."""
    flat = features.reshape(*features.shape[:2], -1).astype(np.float64)
    average, maximum = flat.mean(-1), flat.max(-1)
    generalised = np.cbrt((np.maximum(flat, 1e-6) ** 3).mean(-1))
    return {"avg": average, "max": maximum, "avgmax": 0.5 * average + 0.5 * maximum, "gem": generalised}[kind]


def passed(module: nn.Module, layer: str, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `layer` gives, and what the pooling makes of it."""
    seen: dict[str, torch.Tensor] = {}
    places = [name for name, part in module.named_modules() if name in ("avgpool", "global_pool", "head.global_pool", "classifier.3")]
    names = {"features": layer, "pooled": places[0]}
    hooks = [
        module.get_submodule(place).register_forward_hook(lambda part, inputs, output, key=key: seen.__setitem__(key, output))
        for key, place in names.items()
    ]
    with torch.no_grad():
        module.eval()(images)
    for hook in hooks:
        hook.remove()
    return seen["features"], seen["pooled"]


@pytest.mark.parametrize(
    ("library", "name", "layer", "last", "kind"),
    some([(*case, kind) for case in MAPS for kind in (["gem"] if case[3] else KINDS)]),
    ids=[f"{case[1]}-{kind}" for case in MAPS for kind in (["gem"] if case[3] else KINDS)],
)
def test_the_head_gets_what_the_arithmetic_gives(library: str, name: str, layer: str, last: bool, kind: str) -> None:
    size = Size(224, 224) if "swin" in name else SIZE
    network = built(library, name, pooling=kind, size=size)
    features, pooled = passed(network.module, layer, torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)))
    features = features.permute(0, 3, 1, 2) if last else features
    assert features.ndim == 4 and features.shape[2] * features.shape[3] > 1
    np.testing.assert_allclose(pooled.reshape(2, -1).numpy(), by_hand(features.numpy(), kind), rtol=2e-4, atol=1e-5)
    own = {key: tensor.shape for key, tensor in built(library, name, "auto", size).module.state_dict().items()}
    assert {key: tensor.shape for key, tensor in network.module.state_dict().items()} == own


@pytest.mark.parametrize("kind", ["avg", "max", "avgmax"])
def test_a_vision_transformer_pools_its_patch_tokens_without_the_class_token(kind: str) -> None:
    network = built("timm", "test_vit", kind)
    module: Any = network.module.eval()
    images = torch.rand(2, 3, *SIZE)
    seen: list[torch.Tensor] = []
    module.head.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        module(images)
        tokens = module.forward_features(images)[:, 1:]
    np.testing.assert_allclose(seen[0].numpy(), by_hand(tokens.permute(0, 2, 1)[..., None].numpy(), kind), rtol=1e-4, atol=1e-5)
    assert module.state_dict().keys() == built("timm", "test_vit", "auto").module.state_dict().keys()


@pytest.mark.parametrize("kind", some(KINDS, every=len(KINDS)))
def test_vgg_keeps_its_seven_by_seven(kind: str) -> None:
    features = torch.rand(2, 3, 14, 21)
    pooled = Pooling(kind, (7, 7))(features)
    assert pooled.shape == (2, 3, 7, 7)
    windows = features.reshape(2, 3, 7, 2, 7, 3).permute(0, 2, 4, 1, 3, 5).reshape(2 * 49, 3, 2, 3)
    expected = by_hand(windows.numpy(), kind).reshape(2, 7, 7, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-5)
    network = built("torchvision", "alexnet", kind)
    layer: Any = network.module.avgpool
    assert getattr(layer, "size", None) == (6, 6) or kind == "avg"


@pytest.mark.parametrize(
    ("library", "name", "kind", "message"),
    [
        ("torchvision", "mobilenet_v2", "gem", "torchvision's MobileNetV2 cannot pool by gem: it has no pooling layer"),
        ("torchvision", "densenet121", "max", "torchvision's DenseNet cannot pool by max: it has no pooling layer"),
        ("timm", "test_vit", "gem", "timm's VisionTransformer cannot pool by gem: its tokens may be negative"),
        ("timm", "test_vit_relpos", "max", "timm's VisionTransformerRelPos cannot pool by max: it pools in its own code"),
        ("timm", "deit_tiny_distilled_patch16_224", "avg", "cannot pool by avg: it pools in its own code"),
    ],
)
def test_a_model_whose_pooling_is_code_says_so_in_one_line(library: str, name: str, kind: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        built(library, name, kind, Size(64, 64))
    (line,) = caught.value.lines
    assert line.startswith("[model] pooling: ") and line.count("\n") == 0


def test_the_pooling_that_a_model_has_already_changes_nothing() -> None:
    images = torch.rand(2, 3, *SIZE)
    for library, name, kind in (("timm", "test_resnet", "avg"), ("torchvision", "resnet18", "avg"), ("timm", "test_vit_relpos", "avg")):
        auto, same = (built(library, name, each).module.eval() for each in ("auto", kind))
        with torch.no_grad():
            assert torch.equal(auto(images), same(images))


def test_the_generalised_mean_has_a_gradient_where_nothing_is_active_and_survives_a_copy() -> None:
    features = torch.zeros(1, 2, 3, 3, requires_grad=True)
    deepcopy(Pooling("gem"))(features).sum().backward()
    assert features.grad is not None and bool(torch.isfinite(features.grad).all())
    halves = torch.full((1, 1, 4, 4), 100.0, dtype=torch.float16)  # whose cube float16 cannot hold
    assert float(Pooling("gem")(halves)) == pytest.approx(100, rel=1e-3)
