"""A model in two parts is the model: what it says, what it learns and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn import functional

from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.cutting import Cut, NotCut, cut_network
from modules.models.freezing import find_frozen, freeze, set_training
from tests.digests import digest_tensors

SIZE = Size(32, 32)
TARGETS = torch.tensor([0, 1, 2, 0])
# library, name, what is frozen, and what of that trains already
PLACES = [
    ("timm", "test_resnet", "backbone", ()),
    ("timm", "test_resnet", "backbone", ("layer4",)),
    ("timm", "test_resnet", ("conv1", "bn1", "layer1"), ()),
    ("timm", "vit_tiny_patch16_224", "backbone", ()),
    ("timm", "vit_tiny_patch16_224", "backbone", ("blocks.10", "blocks.11", "norm")),
    ("timm", "test_efficientnet", "backbone", ()),
    ("timm", "test_convnext", "backbone", ("stages.3",)),
    ("torchvision", "resnet18", "backbone", ("layer4",)),
    ("torchvision", "squeezenet1_1", "backbone", ()),
    ("torchvision", "mobilenet_v3_small", ("features",), ()),
]
Place = tuple[str, str, str | tuple[str, ...], tuple[str, ...]]


def name_of(place: Place) -> str:
    _, name, what, unfrozen = place
    return "-".join([name, what if isinstance(what, str) else "+".join(what), *unfrozen])


def make(library: str = "timm", name: str = "test_resnet", classes: int = 3, dropout: float = 0.3, pooling: str = "auto") -> Network:
    torch.manual_seed(0)
    model = Model(library=library, name=name, dropout=dropout, pooling=pooling)  # type: ignore[arg-type]
    network = build_network(model, classes, 3, SIZE, False)
    generator = torch.Generator().manual_seed(1)
    for tensor in network.module.buffers():  # as after training, so that training and evaluation differ
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.4 - 0.2)
    return network


def cut_at(network: Network, what: str | tuple[str, ...] = "backbone", unfrozen: tuple[str, ...] = ()) -> Cut:
    return cut_network(network, find_frozen(network, what, unfrozen), 3, SIZE)


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=[pytest.mark.slow] * (number % 2)) for number, place in enumerate(PLACES)], ids=map(name_of, PLACES)
)
def test_the_tail_of_the_trunk_is_the_whole_model_in_what_it_says_and_learns(place: Place) -> None:
    library, name, what, unfrozen = place
    parts, whole = make(library, name), make(library, name)
    cut = cut_at(parts, what, unfrozen)
    outcomes = []
    for network, is_cut in ((parts, True), (whole, False)):
        module, still = network.module, freeze(network, what, unfrozen)
        trunk, tail = cut.trunk_of(module), cut.tail_of(module)
        with torch.no_grad():
            features = trunk.eval()(images())
            module.eval()
            told = tail(features) if is_cut else module(images())
        set_training(module, still)
        torch.manual_seed(2)  # of dropout
        logits = tail(features) if is_cut else module(images())
        functional.cross_entropy(logits, TARGETS).backward()
        gradients = {key: each.grad for key, each in module.named_parameters() if each.grad is not None}
        outcomes.append((told, logits.detach(), gradients, dict(module.named_buffers())))
    (told, logits, gradients, buffers), expected = outcomes
    assert features.shape == (4, cut.numbers)
    assert not torch.allclose(told, logits, atol=1e-3)
    torch.testing.assert_close(told, expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, expected[1], rtol=1e-4, atol=1e-5)
    assert set(gradients) == set(expected[2]) == set(dict(whole.module.named_parameters())) - find_frozen(whole, what, unfrozen).parameters
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[2][key], rtol=1e-3, atol=1e-5, msg=key)
    for key, buffer in buffers.items():
        torch.testing.assert_close(buffer, expected[3][key], rtol=1e-4, atol=1e-6, msg=key)


def test_dropout_before_the_head_is_drawn_anew_though_it_stands_behind_what_is_frozen() -> None:
    network = make(dropout=0.5)
    still = freeze(network, "backbone")
    cut = cut_at(network)
    tail, features = cut.tail_of(network.module), torch.rand(4, cut.numbers)
    set_training(network.module, still)
    assert not torch.equal(tail(features), tail(features))
    network.module.eval()
    assert torch.equal(tail(features), tail(features))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    network = make()
    still = freeze(network, "backbone", ("layer4",))
    set_training(network.module, still) if training else network.module.eval()
    modes = {name: part.training for name, part in network.module.named_modules()}
    wanted = {name: parameter.requires_grad for name, parameter in network.module.named_parameters()}
    before = digest_tensors(network.module.state_dict())
    assert set(wanted.values()) == {True, False} and any(modes.values()) is training
    cut_at(network, "backbone", ("layer4",))
    with pytest.raises(NotCut):
        cut_at(network, ("layer4",))
    assert {name: part.training for name, part in network.module.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in network.module.named_parameters()} == wanted
    assert digest_tensors(network.module.state_dict()) == before


def test_a_tail_trains_or_not_as_its_module_does_and_shares_its_layers() -> None:
    network = make()
    tail = cut_at(network).tail_of(network.module)
    assert list(tail.parameters()) == [] and list(tail.state_dict()) == []
    tail.train()
    assert network.module.training
    tail.eval()
    assert not network.module.training
    features = torch.rand(2, tail.shapes[0][0])
    before = tail(features)
    with torch.no_grad():
        network.module.get_parameter("fc.bias").add_(1)
    torch.testing.assert_close(tail(features), before + 1)


def test_a_cut_is_of_every_module_of_its_architecture_the_moving_average_too() -> None:
    network = make(classes=2)
    cut = cut_at(network)
    other = make(classes=5)
    torch.testing.assert_close(cut.tail_of(other.module.eval())(cut.trunk_of(other.module)(images())), other.module(images()))
    still = freeze(other, "backbone")
    average = ModelEmaV3(other.module, decay=0.9)
    tail, averaged = cut.tail_of(other.module), cut.tail_of(average.module)
    features = cut.trunk_of(other.module).eval()(images())
    optimizer = torch.optim.SGD([each for each in other.module.parameters() if each.requires_grad], 1.0)
    for _ in range(3):
        set_training(other.module, still)
        optimizer.zero_grad()
        functional.cross_entropy(tail(features), TARGETS).backward()
        optimizer.step()
        average.update(other.module)
    average.module.eval()
    other.module.eval()
    torch.testing.assert_close(averaged(features), average.module(images()))
    assert not torch.allclose(averaged(features), tail(features), atol=1e-3)
    assert cut.trunk_of(average.module).digest() == cut.trunk_of(other.module).digest()  # frozen tensors do not drift


def test_the_share_and_the_numbers_are_those_counted_by_hand() -> None:
    module = nn.Sequential()
    module.add_module("first", nn.Conv2d(3, 4, 3, padding=1, bias=False))
    module.add_module("second", nn.Conv2d(4, 8, 1, bias=False))
    module.add_module("flat", nn.Flatten())
    module.add_module("head", nn.Linear(8 * 32 * 32, 3, bias=False))
    cut = cut_at(Network(module, ("head",)), ("first",))
    counts = [3 * 9 * 4 * 32 * 32, 4 * 8 * 32 * 32, 8 * 32 * 32 * 3]
    assert cut.shapes == ((4, 32, 32),) and cut.numbers == 4096
    assert cut.share == pytest.approx(counts[0] / sum(counts))


def with_another_weight(module: nn.Module) -> None:
    with torch.no_grad():
        module.get_parameter("layer2.0.conv1.weight").view(-1)[5] += 1e-6


def with_another_buffer(module: nn.Module) -> None:
    module.get_buffer("bn1.running_mean")[0] += 1e-6


def with_another_epsilon(module: nn.Module) -> None:
    module.get_submodule("bn1").eps = 1e-3  # type: ignore[assignment]


@pytest.mark.parametrize("change", [with_another_weight, with_another_buffer, with_another_epsilon])
def test_a_trunk_of_other_tensors_has_another_digest(change: Callable[[nn.Module], None]) -> None:
    network = make()
    cut = cut_at(network)
    before = cut.trunk_of(network.module).digest()
    assert cut.trunk_of(deepcopy(network.module)).digest() == before
    change(network.module)
    assert cut.trunk_of(network.module).digest() != before


def test_the_digest_tells_boundaries_and_poolings_apart_and_knows_nothing_of_the_head() -> None:
    def digest(network: Network, unfrozen: tuple[str, ...] = ()) -> str:
        return cut_at(network, "backbone", unfrozen).trunk_of(network.module).digest()

    found = [digest(make()), digest(make(), ("layer4",)), digest(make(), ("layer4", "layer3"))]
    found += [digest(make(pooling=pooling)) for pooling in ("max", "avgmax", "gem")]
    assert len(set(found)) == len(found) == 6
    network = make()
    with torch.no_grad():
        network.module.get_parameter("fc.weight").mul_(2)
    other = make(classes=7, dropout=0.6)
    state = {key: tensor for key, tensor in network.module.state_dict().items() if not key.startswith("fc.")}
    other.module.load_state_dict(state, strict=False)
    assert digest(network) == digest(other) == found[0]


def test_the_digest_knows_what_a_layer_computes_and_does_not_print() -> None:
    """Three heads of attention or six: the same tensors and the same text, other features."""
    network = make(name="vit_tiny_patch16_224")
    cut = cut_at(network)
    trunk = cut.trunk_of(network.module).eval()
    before, features = trunk.digest(), trunk(images())
    for block in network.module.get_submodule("blocks").children():
        attention = block.get_submodule("attn")
        attention.num_heads, attention.head_dim = 6, 32  # type: ignore[assignment,operator]
    other = cut.trunk_of(network.module).eval()
    assert not torch.allclose(other(images()), features, atol=1e-4)
    assert other.digest() != before


def test_the_digest_is_the_same_in_training_and_evaluation() -> None:
    network = make(name="vit_tiny_patch16_224")
    trunk = cut_at(network).trunk_of(network.module)
    network.module.train()
    one = trunk.digest()
    network.module.eval()
    assert trunk.digest() == one


class Made(nn.Module):
    """(batch, 3, 32, 32) to (batch, 3), by way of what a test puts in the middle."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.stem, self.middle, self.head = nn.Conv2d(3, 4, 32), middle, nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.middle(self.stem(images).flatten(1)))


class Branching(Made):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.stem(images).flatten(1)
        return self.head(self.middle(found) if found.sum() > 0 else found)


class Mixing(Made):
    """What it says of an image depends on the other images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.stem(images).flatten(1)
        return self.head(found - found.mean(dim=0))


class Differing(Made):
    """Goes another way in training."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.middle(self.stem(images).flatten(1))
        return self.head(found * 2) if self.training else self.head(found)


def test_what_cannot_be_cut_says_why() -> None:
    def reason(module: nn.Module, what: str | tuple[str, ...] = "backbone") -> str:
        with pytest.raises(NotCut) as refused:
            cut_at(Network(module, ("head",)), what)
        return str(refused.value)

    assert reason(Made(nn.Linear(4, 4)), ("middle",)) == "what trains begins at the images"
    assert reason(Branching(nn.Identity())) == "its code decides by its input which way it goes, and cannot be followed"
    assert reason(Mixing(nn.Identity())) == "an image's features depend on the other images of its batch"
    assert reason(Differing(nn.Identity())) == "its code goes another way in training"


@pytest.mark.parametrize("middle", [nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), nn.BatchNorm1d(4, affine=False)])
def test_what_differs_in_training_stays_in_the_tail_though_it_has_no_parameters(middle: nn.Module) -> None:
    """Only what is named is frozen: the middle is not."""
    network = Network(Made(middle), ("head",))
    still = freeze(network, ("stem",))
    cut = cut_at(network, ("stem",))
    tail, features = cut.tail_of(network.module), cut.trunk_of(network.module).eval()(images())
    set_training(network.module, still)
    torch.manual_seed(0)
    parts = tail(features)
    torch.manual_seed(0)
    torch.testing.assert_close(parts, network.module(images()))
    assert not torch.equal(parts, tail.eval()(features))


def test_a_frozen_dropout_is_part_of_the_trunk() -> None:
    network = Network(Made(nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU())), ("head",))
    cut = cut_at(network, ("stem", "middle"))
    assert cut.shapes == ((4,),)
    assert torch.equal(cut.trunk_of(network.module).eval()(images()), network.module.middle(network.module.stem(images()).flatten(1)))  # type: ignore[operator,union-attr]
