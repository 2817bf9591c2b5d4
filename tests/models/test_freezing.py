"""Frozen means still: no gradient, no BatchNorm update, no dropout below the boundary; the rest learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.config.errors import OptionError
from modules.config.schema import HyperParams, Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.freezing import count_trained, find_frozen, freeze, set_training
from modules.training.optimizer import make_optimizer
from tests.digests import digest_tensors

SIZE = Size(32, 32)
BACKBONES = [
    ("timm", "test_resnet"),
    ("timm", "test_vit"),
    ("timm", "test_efficientnet"),
    ("timm", "test_convnext"),
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "shufflenet_v2_x0_5"),
    ("torchvision", "squeezenet1_0"),
]


def make(library: str, name: str, size: Size = SIZE) -> Network:
    torch.manual_seed(0)
    return build_network(Model(library=library, name=name), 3, 3, size, False)  # type: ignore[arg-type]


def train(network: Network, still: tuple[nn.Module, ...], steps: int = 4, optimizer: str = "adamw") -> None:
    """Several real steps, by hand, with a weight decay that would move whatever it may."""
    torch.manual_seed(1)
    learner = make_optimizer(network.module, HyperParams(optimizer=optimizer, learning_rate=0.01, weight_decay=0.5))
    for _ in range(steps):
        set_training(network.module, still)
        loss = functional.cross_entropy(network.module(torch.randn(6, 3, 32, 32) + 2), torch.tensor([0, 1, 2, 0, 1, 2]))
        learner.zero_grad()
        loss.backward()
        learner.step()


def part(network: Network, names: tuple[str, ...], inside: bool) -> dict[str, torch.Tensor]:
    """Parameters and buffers whose name is inside, or outside, of `names`."""
    state = network.module.state_dict()
    return {key: tensor.clone() for key, tensor in state.items() if key.startswith(tuple(f"{name}." for name in names)) is inside}


@pytest.mark.parametrize(("library", "name"), BACKBONES, ids=[case[1] for case in BACKBONES])
def test_a_frozen_backbone_is_equal_to_the_bit_after_training_and_the_head_is_not(library: str, name: str) -> None:
    network = make(library, name)
    still = freeze(network, "backbone")
    backbone, head = digest_tensors(part(network, network.head, False)), part(network, network.head, True)
    assert {key for key, parameter in network.module.named_parameters() if parameter.requires_grad} == set(head)
    train(network, still)
    assert digest_tensors(part(network, network.head, False)) == backbone
    after = part(network, network.head, True)
    assert all(not torch.equal(head[key], after[key]) for key in head)
    assert all(parameter.grad is None for key, parameter in network.module.named_parameters() if key not in head)


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("torchvision", "mobilenet_v3_small")])
def test_without_freezing_every_tensor_moves(library: str, name: str) -> None:
    """The test above could not fail where nothing moves anyway."""
    network = make(library, name)
    before = {key: tensor.clone() for key, tensor in network.module.state_dict().items()}
    assert freeze(network, "none") == ()
    train(network, ())
    assert [key for key, tensor in network.module.state_dict().items() if torch.equal(tensor, before[key])] == []


@pytest.mark.parametrize(
    ("library", "name", "frozen"),
    [
        ("timm", "test_resnet", ("conv1", "bn1", "layer1")),
        ("timm", "test_resnet", ("layer2.0.bn1",)),
        ("timm", "test_vit", ("patch_embed", "blocks.0")),
        ("torchvision", "mobilenet_v3_small", ("features.0", "features.1", "features.10")),
        ("torchvision", "resnet18", ("layer1", "layer4")),
    ],
)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_frozen_modules_are_still_and_their_neighbours_learn(library: str, name: str, frozen: tuple[str, ...], optimizer: str) -> None:
    network = make(library, name)
    still = freeze(network, frozen)
    kept, moving = part(network, frozen, True), part(network, frozen, False)
    assert kept and moving
    train(network, still, optimizer=optimizer)
    assert digest_tensors(part(network, frozen, True)) == digest_tensors(kept)
    after = part(network, frozen, False)
    assert [key for key in moving if torch.equal(moving[key], after[key])] == []


def test_a_module_whose_name_only_begins_alike_is_not_frozen() -> None:
    network = make("torchvision", "mobilenet_v3_small")
    freeze(network, ("features.1",))
    assert not network.module.get_submodule("features.1.block.0.0").weight.requires_grad
    assert network.module.get_submodule("features.10.block.0.0").weight.requires_grad


def test_a_single_parameter_can_be_frozen() -> None:
    network = make("timm", "test_vit")
    freeze(network, ("pos_embed", "cls_token"))
    assert [key for key, parameter in network.module.named_parameters() if not parameter.requires_grad] == ["cls_token", "pos_embed"]


def test_dropout_below_the_boundary_is_off_and_that_of_what_trains_is_on() -> None:
    module = nn.Module()
    module.body, module.head = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4)), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
    network = Network(module, ("head.1",))
    set_training(module, freeze(network, "backbone"))
    assert not module.body[0].training and not module.body[1].training
    assert module.head[0].training, "dropout before the head is the head's"
    rows = torch.ones(2000, 4)
    assert torch.equal(module.body[0](rows), rows)
    network = Network(module, ("head.1",))
    set_training(module, freeze(network, ("body",)))
    assert not module.body[0].training and module.head[0].training
    assert 0.4 < float((module.head[0](rows) == 0).float().mean()) < 0.6


def test_evaluating_between_epochs_does_not_thaw() -> None:
    network = make("timm", "test_resnet")
    still = freeze(network, ("bn1", "layer1"))
    network.module.eval()
    set_training(network.module, still)
    norms = {name: layer.training for name, layer in network.module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    assert not norms["bn1"] and not norms["layer1.0.bn1"] and norms["layer2.0.bn1"]


@pytest.mark.parametrize(
    ("library", "name", "word", "nearest"),
    [
        ("timm", "test_resnet", "layer9", "layer"),
        ("torchvision", "mobilenet_v3_small", "feature", "features"),
        ("timm", "test_vit", "block", "blocks"),
    ],
)
def test_an_unknown_module_is_told_with_the_nearest_names(library: str, name: str, word: str, nearest: str) -> None:
    with pytest.raises(OptionError, match=rf"^\[model\] freeze: the model has no module '{word}'; the nearest are {nearest}") as caught:
        freeze(make(library, name), (word,))
    suggested = str(caught.value).rpartition("the nearest are ")[2].partition("; its parts are ")[0].split(", ")
    network = make(library, name).module
    known = {key for key, _ in network.named_modules()} | {key for key, _ in network.named_parameters()}
    assert 1 <= len(suggested) <= 3 and set(suggested) <= known


def test_a_name_like_nothing_is_told_the_models_parts() -> None:
    with pytest.raises(OptionError, match=r"the model has no module 'zzz'; its parts are conv1, bn1, .*, fc$"):
        freeze(make("timm", "test_resnet"), ("zzz",))


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_freezing_everything_is_refused(library: str) -> None:
    network = make(library, "test_resnet" if library == "timm" else "resnet18")
    children = tuple(name for name, _ in network.module.named_children())
    with pytest.raises(OptionError, match=r"^\[model\] freeze: nothing would be left to train$"):
        freeze(network, children)


@pytest.mark.parametrize("name", ["levit_128s", "deit_tiny_distilled_patch16_224"])
def test_both_heads_of_a_distilled_model_train(name: str) -> None:
    network = make("timm", name, Size(64, 64))
    freeze(network, "backbone")
    trained = {key for key, parameter in network.module.named_parameters() if parameter.requires_grad}
    assert trained == {f"{layer}.{kind}" for layer in network.head for kind in ("weight", "bias")} and len(network.head) == 2


@pytest.mark.parametrize("name", ["vgg11", "alexnet"])
def test_of_several_dropouts_only_that_before_the_head_is_on_above_a_frozen_backbone(name: str) -> None:
    network = make("torchvision", name, Size(64, 64))
    set_training(network.module, freeze(network, "backbone"))
    active = {key for key, layer in network.module.named_modules() if isinstance(layer, nn.Dropout) and layer.training}
    dropouts = [key for key, layer in network.module.named_modules() if isinstance(layer, nn.Dropout)]
    assert len(dropouts) == 2 and active == ({"classifier.5"} if name == "vgg11" else set())


def test_what_is_unfrozen_trains_and_moves_its_statistics_and_the_rest_of_the_backbone_is_still() -> None:
    network = make("timm", "test_resnet")
    still = freeze(network, "backbone", ("layer4", "bn1"))
    moving_names = (*network.head, "layer4", "bn1")
    kept, moving = part(network, moving_names, False), part(network, moving_names, True)
    assert "layer4.0.bn1.running_mean" in moving and "layer3.0.bn1.running_mean" in kept
    train(network, still)
    assert digest_tensors(part(network, moving_names, False)) == digest_tensors(kept)
    after = part(network, moving_names, True)
    assert [key for key in moving if torch.equal(moving[key], after[key])] == []


@pytest.mark.parametrize(
    ("what", "unfrozen"),
    [
        ("none", ()),
        ("backbone", ()),
        ("backbone", ("layer4",)),
        ("backbone", ("layer4", "all")),
        (("layer1", "layer2"), ("layer2.0",)),
        (("conv1",), ("conv1",)),
    ],
)
def test_what_trains_is_counted_as_it_will_be(what: str | tuple[str, ...], unfrozen: tuple[str, ...]) -> None:
    network = make("timm", "test_resnet")
    count = count_trained(network, find_frozen(network, what, unfrozen))
    assert all(parameter.requires_grad for parameter in network.module.parameters()), "to ask changes nothing"
    freeze(network, what, unfrozen)
    assert count == sum(parameter.numel() for parameter in network.module.parameters() if parameter.requires_grad) > 0


def test_unfreezing_an_unknown_module_or_one_that_is_not_frozen_is_told() -> None:
    network = make("timm", "test_resnet")
    with pytest.raises(OptionError, match=r"^\[model\] unfreeze: the model has no module 'layer5'; the nearest are layer"):
        find_frozen(network, "backbone", ("layer5",))
    with pytest.raises(OptionError, match=r"^\[model\] unfreeze: 'layer4' is not frozen: freeze = conv1, layer1$"):
        find_frozen(network, ("conv1", "layer1"), ("layer4",))
    with pytest.raises(OptionError, match=r"^\[model\] unfreeze: 'fc' is not frozen: freeze = backbone$"):
        find_frozen(network, "backbone", ("fc",))
