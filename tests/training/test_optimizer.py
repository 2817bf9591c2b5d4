"""Optimisers are timm's, with the config's arguments; what is frozen or a norm is treated as such."""

from __future__ import annotations

import pytest
import timm
import timm.optim
import torch
import torchvision
from torch import nn

from modules.config.errors import OptionError
from modules.config.schema import HyperParams
from modules.training.optimizer import FUSED, check_optimizer, make_optimizer, set_learning_rate


def model() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=3)


def trained(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def test_adamw_is_torchs_with_the_configs_arguments() -> None:
    optimizer = make_optimizer(model(), HyperParams(optimizer="adamw", learning_rate=0.02, weight_decay=0.3))
    assert type(optimizer) is torch.optim.AdamW
    assert {group["lr"] for group in optimizer.param_groups} == {0.02}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.3}
    assert all(group["betas"] == (0.9, 0.999) for group in optimizer.param_groups)


@pytest.mark.parametrize(("name", "nesterov"), [("sgd", True), ("momentum", False), ("SGD", True)])
def test_sgd_is_nesterovs_and_momentum_the_plain_one(name: str, nesterov: bool) -> None:
    optimizer = make_optimizer(model(), HyperParams(optimizer=name, learning_rate=0.5, weight_decay=0.1, momentum=0.75))
    assert type(optimizer) is torch.optim.SGD
    assert all((group["nesterov"], group["momentum"], group["lr"]) == (nesterov, 0.75, 0.5) for group in optimizer.param_groups)


@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum", "lion", "lamb", "adam", "nadamw"])
def test_the_optimiser_is_the_one_that_timms_registry_has(name: str) -> None:
    expected = timm.optim.get_optimizer_class(name, bind_defaults=False)
    assert type(make_optimizer(model(), HyperParams(optimizer=name))) is expected
    check_optimizer(HyperParams(optimizer=name))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_weight_decay_spares_norms_and_biases(name: str) -> None:
    module = timm.create_model(name, num_classes=3)
    optimizer = make_optimizer(module, HyperParams(weight_decay=0.2))
    spared = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    names = {key for key, parameter in module.named_parameters() if id(parameter) in spared}
    norms = [key for key, layer in module.named_modules() if isinstance(layer, (nn.BatchNorm2d, nn.LayerNorm))]
    weights = [layer.weight for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    biases = {key for key, _ in module.named_parameters() if key.endswith("bias")}
    assert norms and biases | {f"{key}.weight" for key in norms} <= names
    assert not {id(weight) for weight in weights} & spared
    assert trained(optimizer) == {id(parameter) for parameter in module.parameters()}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_only_what_trains_is_in_the_optimiser(weight_decay: float) -> None:
    module = model()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(("fc.", "layer4.")))
    optimizer = make_optimizer(module, HyperParams(weight_decay=weight_decay))
    assert trained(optimizer) == {id(p) for name, p in module.named_parameters() if name.startswith(("fc.", "layer4."))}


@pytest.mark.parametrize(("name", "nearest"), [("adamm", "adam"), ("SGDD", "sgd"), ("lamp", "lamb")])
def test_an_unknown_optimiser_is_told_with_the_nearest_names(name: str, nearest: str) -> None:
    with pytest.raises(OptionError, match=rf"^\[hyper_params\] optimizer: timm has no optimiser '{name}'; the nearest are ") as caught:
        check_optimizer(HyperParams(optimizer=name))
    suggested = str(caught.value).rpartition("the nearest are ")[2].split(", ")
    assert nearest in suggested and set(suggested) <= set(timm.optim.list_optimizers())


def test_an_optimiser_that_cannot_be_made_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **keywords: object) -> None:
        raise ImportError("needs apex\nand luck")

    monkeypatch.setattr(timm.optim, "create_optimizer_v2", fail)
    with pytest.raises(OptionError, match=r"^\[hyper_params\] optimizer: fusedsgd cannot be made: needs apex and luck$"):
        make_optimizer(model(), HyperParams(optimizer="fusedsgd"))


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_steps_are_those_of_the_plain_optimiser(name: str, layout: torch.memory_format) -> None:
    """Whatever the layout in memory: gradients, weights and what is kept of them lie alike. They differ in the last digit."""
    modules = [nn.Conv2d(3, 4, 3).to(memory_format=layout) for _ in range(2)]  # type: ignore[call-overload]
    modules[1].load_state_dict(modules[0].state_dict())
    mine = make_optimizer(modules[0], HyperParams(optimizer=name, learning_rate=0.1, weight_decay=0.05))
    plain = timm.optim.create_optimizer_v2(modules[1], opt=name, lr=0.1, weight_decay=0.05, momentum=0.9)
    assert all(group["fused"] for group in mine.param_groups) and not any(group["fused"] for group in plain.param_groups)
    for step in range(4):
        images = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(step)).contiguous(memory_format=layout)
        for module, optimizer in zip(modules, (mine, plain), strict=True):
            module.zero_grad()
            module(images).square().sum().backward()
            optimizer.step()
    assert all(
        torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in zip(*(each.parameters() for each in modules), strict=True)
    )


def test_the_rate_is_a_factor_of_the_first_one_not_of_the_last() -> None:
    optimizer = make_optimizer(model(), HyperParams(learning_rate=0.4))
    for factor in (0.5, 0.5, 1.0, 0.0, 0.25):
        set_learning_rate(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.4 * factor)] * len(optimizer.param_groups)


def test_the_first_rate_survives_a_checkpoint() -> None:
    """Otherwise a resumed run would multiply the rate that it stopped at."""
    first = make_optimizer(model(), HyperParams(learning_rate=0.4))
    set_learning_rate(first, 0.1)
    second = make_optimizer(model(), HyperParams(learning_rate=0.4))
    second.load_state_dict(first.state_dict())
    set_learning_rate(second, 0.5)
    assert {group["lr"] for group in second.param_groups} == {0.2}


@pytest.mark.parametrize("name", ["adahessian", "fusedadam"])
def test_an_optimiser_that_cannot_be_made_here_is_told_before_training(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        check_optimizer(HyperParams(optimizer=name))


def rates_of(module: nn.Module, hyper: HyperParams, head: tuple[str, ...]) -> dict[str, float]:
    """The rate of every parameter by name; each is in one group only, and so in the table once."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    optimizer = make_optimizer(module, hyper, head)
    found = [(names[id(parameter)], group["initial_lr"]) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(found) == len(dict(found))
    assert all(group["lr"] == group["initial_lr"] for group in optimizer.param_groups)
    return dict(found)


def expected_rates(module: nn.Module, depths: dict[str, int], hyper: HyperParams, head: str) -> dict[str, float]:
    """By hand: the first prefix in `depths` that a name begins with tells its distance from the head."""
    table = {}
    for name, _ in module.named_parameters():
        depth = next(depth for prefix, depth in depths.items() if name.startswith(prefix))
        table[name] = hyper.learning_rate * hyper.layer_decay**depth
        if name.startswith(head):
            table[name] = hyper.head_learning_rate or hyper.learning_rate
    return table


# Written down from the models' own structure: what is nearest to the head first.
VIT = {"head.": 0, "norm.": 1, **{f"blocks.{block}.": 6 - block for block in range(6)}, "patch_embed.": 7, "cls_token": 7, "pos_embed": 7}
RESNET = {"fc.": 0, "layer4.": 1, "layer3.": 2, "layer2.": 3, "layer1.": 4, "conv1.": 5, "bn1.": 5}


@pytest.mark.parametrize("head_rate", [None, 0.5])
@pytest.mark.parametrize("decay", [1.0, 0.75, 0.1])
@pytest.mark.parametrize(("name", "head", "depths"), [("test_vit", "head", VIT), ("test_resnet", "fc", RESNET)])
def test_every_parameter_of_a_timm_model_has_the_rate_of_its_layer(
    name: str, head: str, depths: dict[str, int], decay: float, head_rate: float | None
) -> None:
    module = timm.create_model(name, num_classes=3)
    hyper = HyperParams(learning_rate=0.02, layer_decay=decay, head_learning_rate=head_rate, weight_decay=0.1)
    assert rates_of(module, hyper, (head,)) == pytest.approx(expected_rates(module, depths, hyper, f"{head}."))


def test_every_parameter_of_a_torchvision_resnet_has_the_rate_of_its_dozen() -> None:
    """torchvision does not say what a layer is: twelve tensors are one. Its ResNet-18 has 60 in the body: the stem's 3, and so on."""
    module = torchvision.models.resnet18(num_classes=3)
    hyper = HyperParams(learning_rate=0.02, layer_decay=0.5, head_learning_rate=0.3)
    body = [name for name, _ in module.named_parameters() if not name.startswith("fc.")]
    assert len(body) == 60
    found = rates_of(module, hyper, ("fc",))
    assert [found[name] for name in body] == [pytest.approx(0.02 * 0.5**depth) for depth in (5, 4, 3, 2, 1) for _ in range(12)]
    assert found["fc.weight"] == found["fc.bias"] == 0.3
    assert found["conv1.weight"] == pytest.approx(0.02 / 32) and found["layer4.1.bn2.bias"] == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet"])
def test_layer_decay_is_timms_own_where_the_model_is_timms(name: str) -> None:
    module = timm.create_model(name, num_classes=3)
    by_id = {id(parameter): key for key, parameter in module.named_parameters()}
    theirs = timm.optim.param_groups_layer_decay(module, weight_decay=0.1, layer_decay=0.6, no_weight_decay_list=no_decay_of(module))
    expected = {by_id[id(p)]: (0.02 * group["lr_scale"], group["weight_decay"]) for group in theirs for p in group["params"]}
    head = module.get_classifier()
    names = tuple(key for key, layer in module.named_modules() if layer is head)
    ours = make_optimizer(module, HyperParams(learning_rate=0.02, layer_decay=0.6, weight_decay=0.1), names)
    found = {by_id[id(p)]: (group["lr"], group["weight_decay"]) for group in ours.param_groups for p in group["params"]}
    assert {key: decay for key, (_, decay) in found.items()} == {key: decay for key, (_, decay) in expected.items()}
    assert {key: rate for key, (rate, _) in found.items()} == pytest.approx({key: rate for key, (rate, _) in expected.items()})


def no_decay_of(module: nn.Module) -> set[str]:
    return module.no_weight_decay() if hasattr(module, "no_weight_decay") else set()  # type: ignore[no-any-return,operator]


@pytest.mark.parametrize("decay", [1.0, 0.75])
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_whatever_the_rates_weight_decay_spares_norms_biases_and_what_the_model_names(library: str, decay: float) -> None:
    module = timm.create_model("test_vit", num_classes=3) if library == "timm" else torchvision.models.resnet18(num_classes=3)
    head = ("head",) if library == "timm" else ("fc",)
    optimizer = make_optimizer(module, HyperParams(weight_decay=0.2, layer_decay=decay, head_learning_rate=0.5), head)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.2}
    for name, parameter in module.named_parameters():
        spared = parameter.ndim == 1 or name in ("cls_token", "pos_embed")
        assert (id(parameter) in decayed) is not spared, name


def test_what_is_frozen_is_in_no_group_whatever_the_rates() -> None:
    module = timm.create_model("test_vit", num_classes=3)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(("blocks.5.", "head.")))
    found = rates_of(module, HyperParams(learning_rate=0.02, layer_decay=0.5, head_learning_rate=0.4), ("head",))
    assert set(found) == {name for name, _ in module.named_parameters() if name.startswith(("blocks.5.", "head."))}
    assert {name.split(".")[0]: rate for name, rate in found.items()} == {"blocks": 0.01, "head": 0.4}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", ["adamw", "sgd", "lion"])
def test_without_such_options_the_optimiser_is_what_timm_makes_of_the_model(name: str, weight_decay: float) -> None:
    module = timm.create_model("test_vit", num_classes=3)
    ours = make_optimizer(module, HyperParams(optimizer=name, learning_rate=0.02, weight_decay=weight_decay), ("head",))
    fused = {} if name == "lion" else {"fused": True}  # lion is not torch's
    theirs = timm.optim.create_optimizer_v2(module, opt=name, lr=0.02, weight_decay=weight_decay, momentum=0.9, **fused)
    groups = [{key: value for key, value in group.items() if key != "initial_lr"} for group in ours.state_dict()["param_groups"]]
    assert groups == theirs.state_dict()["param_groups"]
    for mine, their in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert [id(parameter) for parameter in mine["params"]] == [id(parameter) for parameter in their["params"]]


def test_the_schedules_factor_multiplies_every_layers_own_rate() -> None:
    module = timm.create_model("test_resnet", num_classes=3)
    hyper = HyperParams(learning_rate=0.02, layer_decay=0.5, head_learning_rate=0.3)
    optimizer = make_optimizer(module, hyper, ("fc",))
    set_learning_rate(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [
        pytest.approx(group["initial_lr"] * 0.1) for group in optimizer.param_groups
    ]
    assert len({group["lr"] for group in optimizer.param_groups}) == 6


class Skipping(nn.Module):
    """Its second layer has no gradient in some steps, in the first one among them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, numbers: torch.Tensor, skip: bool) -> torch.Tensor:
        return self.first(numbers) if skip else self.second(self.first(numbers))


@pytest.mark.parametrize("name", FUSED)
def test_layers_may_be_left_out_of_some_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for fused in (FUSED, ()):
        monkeypatch.setattr("modules.training.optimizer.FUSED", fused)
        module = Skipping()
        optimizer = make_optimizer(module, HyperParams(optimizer=name, learning_rate=0.02))
        for skip in (True, False, True, False):
            optimizer.zero_grad()
            module(torch.ones(2, 4), skip).pow(2).sum().backward()
            optimizer.step()
        found.append(torch.cat([parameter.detach().ravel() for parameter in module.parameters()]))
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FUSED)
def test_a_parameter_that_is_a_part_of_a_larger_tensor_learns_by_its_own_gradient_and_leaves_the_rest_alone(name: str) -> None:
    found = []
    for part in (True, False):
        torch.manual_seed(0)
        larger = torch.randn(4, 6)
        module = nn.Linear(3, 4, bias=False)
        module.weight = nn.Parameter(larger[:, :3] if part else larger[:, :3].clone())
        rest = larger[:, 3:].clone()
        optimizer = make_optimizer(module, HyperParams(optimizer=name, learning_rate=0.02))
        for step in range(3):
            optimizer.zero_grad()
            module(torch.arange(6.0).reshape(2, 3) - step).pow(2).sum().backward()
            optimizer.step()
        assert torch.equal(larger[:, 3:], rest)
        found.append(module.weight.detach())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
