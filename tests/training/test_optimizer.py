"""Optimisers are timm's, with the config's arguments; what is frozen or a norm is treated as such."""

from __future__ import annotations

import pytest
import timm
import timm.optim
import torch
from torch import nn

from modules.config.errors import OptionError
from modules.config.schema import HyperParams
from modules.training.optimizer import check_optimizer, make_optimizer, set_learning_rate


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
