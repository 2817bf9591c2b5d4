"""Dropout, stochastic depth and checkpointed gradients: turned on they act, and no parameter gets another name."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import build_network
from modules.models.freezing import freeze, set_training
from modules.models.regularisation import check_dropout

SIZE = Size(32, 32)
DROPPED = [
    ("timm", "test_resnet"),
    ("timm", "test_vit"),
    ("timm", "test_efficientnet"),
    ("torchvision", "resnet18"),
    ("torchvision", "densenet121"),
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "googlenet"),
]


def built(library: str, name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return build_network(Model(library=library, name=name, **options), 5, 3, SIZE, False)  # type: ignore[arg-type]


def into_the_head(network: Any, images: torch.Tensor) -> torch.Tensor:
    """What the head's arithmetic gets; hooks that were there before change it first."""
    seen: list[torch.Tensor] = []
    hook = network.module.get_submodule(network.head[0]).register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    network.module(images)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(("library", "name"), DROPPED, ids=[f"{case[0]}-{case[1]}" for case in DROPPED])
def test_dropout_drops_its_share_of_what_goes_into_the_head(library: str, name: str) -> None:
    network = built(library, name, dropout=0.75)
    plain = built(library, name)
    assert network.module.state_dict().keys() == plain.module.state_dict().keys()
    images = torch.rand(8, 3, 32, 32)
    for part in network.module.modules():  # so that zeros before the dropout are no matter: only the head's own randomness
        part.training = not isinstance(part, nn.modules.batchnorm._BatchNorm)
    plain.module.eval()
    plain.module.load_state_dict(network.module.state_dict())
    dropped, whole = into_the_head(network, images), into_the_head(plain, images)
    active = whole != 0
    zero = (dropped == 0) & active
    share = zero.sum() / active.sum()
    assert 0.65 < float(share) < 0.85
    left = active & ~zero
    torch.testing.assert_close(dropped[left], 4 * whole[left], rtol=1e-3, atol=0)  # 1 / (1 - 0.75)
    network.module.eval()
    torch.testing.assert_close(into_the_head(network, images), whole)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_separate_heads_have_their_dropout_too(name: str) -> None:
    network = built("torchvision", name, dropout=0.75, head="separate")
    images = torch.rand(8, 3, 32, 32)
    share = (into_the_head(network, images) == 0).float().mean() - (into_the_head(built("torchvision", name), images) == 0).float().mean()
    assert share > 0.3


def test_dropout_by_a_hook_survives_a_copy_and_keeps_still_where_the_head_is_frozen() -> None:
    network = built("torchvision", "resnet18", dropout=0.5)
    module = deepcopy(network.module)
    still = freeze(type(network)(module, network.head), ("fc",))
    images = torch.rand(2, 3, 32, 32)
    set_training(module, still)
    features = module.fc
    assert not features.training and len(features._forward_pre_hooks) == 1
    values = torch.rand(4, features.in_features)
    torch.testing.assert_close(features(values), nn.functional.linear(values, features.weight, features.bias))
    features.train()
    assert not torch.equal(features(values), features(values))
    assert module(images).shape == (2, 5)


def test_a_dropout_that_a_library_swallows_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^\[model\] dropout: x takes a dropout and does not use it; use 0$"):
        check_dropout(timm.create_model("test_resnet", drop_rate=0.2), "x", 0.5, torch.rand(1, 3, 32, 32))
    with pytest.raises(OptionError, match="does not use it"):
        check_dropout(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), "x", 0.5, torch.rand(1, 3, 32, 32))


def test_the_check_of_a_dropout_changes_neither_the_model_nor_the_generator() -> None:
    with_dropout, without = built("timm", "test_resnet", dropout=0.5), built("timm", "test_resnet")
    after = torch.rand(3)
    built("timm", "test_resnet", dropout=0.5)
    assert torch.equal(torch.rand(3), after)
    for (name, one), other in zip(with_dropout.module.state_dict().items(), without.module.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert with_dropout.module.training


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_stochastic_depth_rises_to_its_rate_in_timm(name: str) -> None:
    rates = [part.drop_prob for part in built("timm", name, drop_path=0.4).module.modules() if type(part).__name__ == "DropPath"]
    assert rates == sorted(rates) and 0.2 < rates[-1] <= 0.4 + 1e-6
    assert not any(getattr(part, "drop_prob", 0) for part in built("timm", name).module.modules())


@pytest.mark.parametrize("name", ["convnext_tiny", "efficientnet_b0"])
def test_stochastic_depth_rises_to_its_rate_in_torchvision(name: str) -> None:
    def rates(**options: float) -> list[float]:
        return [part.p for part in built("torchvision", name, **options).module.modules() if isinstance(part, StochasticDepth)]

    own, found = rates(), rates(drop_path=0.5)
    assert found[-1] == pytest.approx(0.5) == max(found)
    assert found == pytest.approx([rate * 0.5 / max(own) for rate in own])
    steps = {round(after - before, 6) for before, after in pairwise(found)}
    assert len(steps) == 1  # linear


def test_stochastic_depth_really_skips_whole_blocks() -> None:
    network = built("timm", "test_vit", drop_path=0.9)
    block: Any = network.module.blocks[-1]
    block.train()
    tokens = torch.rand(64, 3, block.norm1.normalized_shape[0])
    same = (block(tokens) == tokens).flatten(1).all(1).float().mean()
    assert 0.6 < float(same) < 0.97  # .9 x .9: attention and MLP are skipped on their own


@pytest.mark.parametrize(
    ("library", "name"),
    [("torchvision", "resnet18"), ("timm", "vgg11"), ("timm", "inception_v3"), ("timm", "convmixer_768_32")],
)
def test_a_model_without_stochastic_depth_says_so(library: str, name: str) -> None:
    size = Size(96, 96)
    with pytest.raises(OptionError, match=rf"^\[model\] drop_path: (timm's )?{name} has (none|no stochastic depth); use 0$"):
        build_network(Model(library=library, name=name, drop_path=0.1), 5, 3, size, False)  # type: ignore[arg-type]


def trained_step(name: str, **options: Any) -> tuple[Any, torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor], list[int]]:
    network = built("timm", name, **options)
    module: Any = network.module.train()
    block = module.blocks[0] if "vit" in name else module.layer2[0]
    calls: list[int] = []
    block.register_forward_pre_hook(lambda layer, inputs: calls.append(1))
    torch.manual_seed(5)
    loss = nn.functional.cross_entropy(module(torch.rand(6, 3, 32, 32)), torch.tensor([0, 1, 2, 3, 4, 0]))
    loss.backward()
    gradients = {key: parameter.grad for key, parameter in module.named_parameters()}
    return network, loss.detach(), gradients, dict(module.state_dict()), calls


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointed_gradients_are_the_gradients_and_activations_are_computed_again(name: str, dropout: float) -> None:
    _, loss, gradients, state, calls = trained_step(name, dropout=dropout, drop_path=dropout)
    network, again, recomputed, state_again, calls_again = trained_step(name, dropout=dropout, drop_path=dropout, grad_checkpointing=True)
    assert len(calls) == 1 and len(calls_again) == 2
    torch.testing.assert_close(again, loss, rtol=0, atol=0)
    assert recomputed.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(recomputed[key], gradient, rtol=1e-5, atol=1e-7)
    for key, tensor in state.items():  # BatchNorm's statistics among them: a batch counts once, though it is seen twice
        torch.testing.assert_close(state_again[key], tensor, rtol=0, atol=0, msg=key)
    assert all(part.momentum == 0.1 for part in network.module.modules() if isinstance(part, nn.BatchNorm2d))


@pytest.mark.parametrize(("library", "name"), [("torchvision", "resnet18"), ("timm", "inception_v3")])
def test_a_model_that_cannot_compute_again_says_so(library: str, name: str) -> None:
    with pytest.raises(
        OptionError, match=rf"^\[model\] grad_checkpointing: {library}'s {name} cannot compute its activations again; use false$"
    ):
        build_network(Model(library=library, name=name, grad_checkpointing=True), 5, 3, Size(96, 96), False)  # type: ignore[arg-type]
