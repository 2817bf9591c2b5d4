"""An appended head: a layer after all that the library's model gives, which stays what it is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional

from modules.config.errors import DataError, OptionError
from modules.config.schema import HyperParams, Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.cutting import cut_network
from modules.models.freezing import find_frozen, freeze, set_training
from modules.models.heads import adapt_stem
from modules.models.weights import Trained
from modules.training.optimizer import make_optimizer
from tests.digests import digest_tensors
from tests.some import some

CLASSES = 7
SIZE = Size(32, 32)
ADDED = {"appended.weight", "appended.bias"}
# Heads of one linear layer, of two whose outputs are averaged, of a convolution with layers behind it; timm's eva has none.
MODELS = [
    ("timm", "test_resnet", 1000),
    ("timm", "test_vit", 1000),
    ("timm", "test_convnext", 1000),
    ("timm", "levit_128s", 1000),
    ("timm", "deit_tiny_distilled_patch16_224", 1000),
    ("timm", "eva02_tiny_patch14_224", 192),
    ("torchvision", "resnet18", 1000),
    ("torchvision", "densenet121", 1000),
    ("torchvision", "squeezenet1_1", 1000),
    ("torchvision", "vit_b_32", 1000),
]


def built(library: str, name: str, channels: int = 3, pretrained: Any = False, classes: int = CLASSES, **options: Any) -> Network:
    torch.manual_seed(0)
    model = Model(library=library, name=name, **options)  # type: ignore[arg-type]
    return build_network(model, classes, channels, SIZE, pretrained)


def library_model(library: str, name: str, channels: int = 3) -> nn.Module:
    """What the library itself makes, with its own outputs."""
    if library == "torchvision":
        return torchvision.models.get_model(name, weights=None, **({"image_size": 32} if name.startswith("vit_") else {}))
    return timm.create_model(name, in_chans=channels, **({} if name in ("test_resnet", "test_convnext") else {"img_size": 32}))


@pytest.mark.parametrize(("library", "name", "outputs"), some(MODELS), ids=[case[1] for case in MODELS])
def test_an_appended_layer_takes_all_that_the_librarys_own_model_gives(library: str, name: str, outputs: int) -> None:
    channels = 1 if library == "timm" else 3
    network = built(library, name, channels, head="append")
    assert network.head == ("appended",) and network.module.appended.in_features == outputs
    own, state = library_model(library, name, channels), network.module.state_dict()
    assert state.keys() == own.state_dict().keys() | ADDED
    own.load_state_dict({key: tensor for key, tensor in state.items() if key not in ADDED})
    images = torch.rand(2, channels, 32, 32)
    with torch.no_grad():
        expected = functional.linear(own.eval()(images), state["appended.weight"], state["appended.bias"])
        found = network.module.eval()(images)
    assert found.shape == (2, CLASSES) and float(expected.std()) > 0
    assert torch.equal(found, expected)
    assert type(network.module).__name__ == type(own).__name__ and isinstance(network.module, type(own))


def test_what_is_appended_follows_the_pooling_that_is_asked_for() -> None:
    network = built("timm", "test_resnet", head="append", pooling="max")
    own = timm.create_model("test_resnet", global_pool="max").eval()
    own.load_state_dict({key: tensor for key, tensor in network.module.state_dict().items() if key not in ADDED})
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.module.eval()(images), network.module.appended(own(images)))


def test_a_copy_is_a_model_of_its_own() -> None:
    """As the moving average is."""
    module = built("timm", "test_resnet", head="append").module.eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = module(images)
        again = copy.deepcopy(module)
        module.appended.weight.zero_()
        assert torch.equal(again(images), before) and not torch.equal(module(images), before)


@pytest.mark.parametrize(("library", "name"), [("torchvision", "resnet18"), ("torchvision", "squeezenet1_1"), ("timm", "test_resnet")])
def test_a_traced_model_has_the_appended_layer(library: str, name: str) -> None:
    module = built(library, name, head="append").module.eval()
    traced = torch.fx.symbolic_trace(module)
    assert [node.target for node in traced.graph.nodes][-2:] == ["appended", "output"]
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(traced(images), module(images))


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("timm", "levit_128s"), ("torchvision", "squeezenet1_1")])
def test_a_frozen_network_is_cut_before_the_appended_layer(library: str, name: str) -> None:
    network = built(library, name, head="append", dropout=0.2)
    cut = cut_network(network, find_frozen(network, "backbone"), 3, SIZE)
    assert cut.shapes == ((1000,),)
    images = torch.rand(2, 3, 32, 32)
    module = network.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(cut.tail_of(module)(cut.trunk_of(module)(images)), module(images))


@pytest.mark.parametrize(("library", "name"), some(case[:2] for case in MODELS if case[2] == 1000))
def test_with_a_frozen_backbone_the_appended_layer_alone_trains(library: str, name: str) -> None:
    """The library's own head is frozen too, and no BatchNorm or dropout of the library moves."""
    network = built(library, name, head="append")
    before = digest_tensors({key: tensor for key, tensor in network.module.state_dict().items() if key not in ADDED})
    still = freeze(network, "backbone")
    set_training(network.module, still)
    assert {key for key, parameter in network.module.named_parameters() if parameter.requires_grad} == ADDED
    assert {key for key, part in network.module.named_modules() if part.training} <= {"", "appended"}
    first = {key: network.module.state_dict()[key].clone() for key in ADDED}
    optimizer = make_optimizer(network.module, HyperParams(learning_rate=0.1), network.head)
    functional.cross_entropy(network.module(torch.rand(4, 3, 32, 32)), torch.arange(4)).backward()
    optimizer.step()
    after = network.module.state_dict()
    assert digest_tensors({key: tensor for key, tensor in after.items() if key not in ADDED}) == before
    assert all(not torch.equal(after[key], tensor) for key, tensor in first.items())


def test_the_initialisation_is_of_the_appended_layer_and_the_old_head_comes_from_the_file(tmp_path: Path) -> None:
    own = timm.create_model("test_resnet")
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    module = built("timm", "test_resnet", pretrained=str(tmp_path / "weights.pth"), head="append", head_init="zeros").module
    state = module.state_dict()
    assert all(float(state[key].abs().max()) == 0 for key in ADDED)
    assert digest_tensors({key: tensor for key, tensor in state.items() if key not in ADDED}) == digest_tensors(dict(own.state_dict()))


def test_weights_of_another_image_size_are_fitted_by_the_library_as_ever(tmp_path: Path) -> None:
    own = timm.create_model("test_vit", img_size=64)
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    module = built("timm", "test_vit", pretrained=str(tmp_path / "weights.pth"), head="append").module
    assert own.state_dict()["pos_embed"].shape != module.state_dict()["pos_embed"].shape
    assert torch.equal(module.state_dict()["head.weight"], own.state_dict()["head.weight"])


@pytest.mark.parametrize(
    ("library", "name", "layer"),
    [("timm", "test_resnet", "fc"), ("torchvision", "squeezenet1_1", "classifier.1"), ("timm", "levit_128s", "head_dist.linear")],
)
def test_weights_with_a_head_of_another_size_are_one_line(library: str, name: str, layer: str, tmp_path: Path) -> None:
    path = tmp_path / "seven.pth"
    torch.save(built(library, name).module.state_dict(), path)
    line = f"{path}: their head {layer} has 7 outputs, and head = append keeps the model's own, with 1000; use replace"
    with pytest.raises(DataError) as caught:
        built(library, name, pretrained=str(path), head="append")
    assert caught.value.lines == (line,)


def test_weights_without_a_head_or_of_another_model_are_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), path)
    with pytest.raises(DataError, match=r"of \d+ tensors 2 missing \(fc.weight, fc.bias\)$"):
        built("timm", "test_resnet", pretrained=str(path), head="append")
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(DataError, match="the weights do not fit the model"):
        built("timm", "test_resnet", pretrained=str(path), head="append")


@pytest.mark.parametrize(("same_classes", "kept"), [(True, True), (False, False)])
def test_what_an_earlier_run_appended_is_kept_where_the_classes_are_the_same(same_classes: bool, kept: bool, tmp_path: Path) -> None:
    earlier = built("torchvision", "squeezenet1_1", head="append", head_init="normal").module
    torch.save(earlier.state_dict(), tmp_path / "best.pt")
    source = Trained(tmp_path / "best.pt", same_classes)
    state = built("torchvision", "squeezenet1_1", pretrained=source, head="append", head_init="zeros").module.state_dict()
    assert torch.equal(state["appended.weight"], earlier.state_dict()["appended.weight"]) is kept
    assert torch.equal(state["classifier.1.weight"], earlier.state_dict()["classifier.1.weight"])


@pytest.mark.parametrize("same_classes", [True, False])
def test_a_run_with_the_other_kind_of_head_is_one_line(same_classes: bool, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    source = Trained(path, same_classes)
    torch.save(built("timm", "test_resnet", head="append").module.state_dict(), path)
    with pytest.raises(DataError, match=r"best.pt: these weights were trained with \[model\] head = append, and it is replace$"):
        built("timm", "test_resnet", pretrained=source)
    torch.save(built("timm", "test_resnet").module.state_dict(), path)
    with pytest.raises(DataError, match=r"best.pt: their head fc has 7 outputs, and head = append keeps the model's own, with 1000; use"):
        built("timm", "test_resnet", pretrained=source, head="append")


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("torchvision", "squeezenet1_1"), ("torchvision", "alexnet")])
def test_dropout_is_before_the_appended_layer_and_nowhere_else(library: str, name: str) -> None:
    """A library's own rates stay as they are: alexnet's and squeezenet's are .5."""
    network = build_network(Model(library=library, name=name, head="append", dropout=0.3), CLASSES, 3, Size(64, 64), False)  # type: ignore[arg-type]
    own = [part.p for part in library_model(library, name).modules() if isinstance(part, nn.Dropout)]
    assert [part.p for part in network.module.modules() if isinstance(part, nn.Dropout)] == own
    seen: list[torch.Tensor] = []
    network.module.appended.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    still = freeze(network, "backbone")
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        network.module.eval()(images)
        set_training(network.module, still)
        network.module(images)
    whole, dropped = seen
    zeros = (dropped == 0) & (whole != 0)
    assert float(zeros.float().sum() / (whole != 0).sum()) == pytest.approx(0.3, abs=0.04)
    torch.testing.assert_close(dropped[~zeros], whole[~zeros] / 0.7)


@pytest.mark.parametrize(("library", "name"), [("timm", "test_vit"), ("timm", "test_resnet"), ("torchvision", "shufflenet_v2_x0_5")])
def test_the_appended_layer_is_the_head_and_the_old_one_a_layer_below_it(library: str, name: str) -> None:
    hyper = HyperParams(learning_rate=0.02, layer_decay=0.5, head_learning_rate=0.3)

    def rates(network: Network) -> dict[str, float]:
        found = {id(p): group["lr"] for group in make_optimizer(network.module, hyper, network.head).param_groups for p in group["params"]}
        return {key: found[id(parameter)] for key, parameter in network.module.named_parameters()}

    replaced, appended = rates(built(library, name)), rates(built(library, name, head="append"))
    assert {key for key, rate in appended.items() if rate == 0.3} == ADDED
    old_head = built(library, name).head[0]
    if library == "timm":  # of which it is the last layer, with the norm before it
        assert appended[f"{old_head}.weight"] == appended[f"{old_head}.bias"] == 0.01
        body = {key: rate / 2 for key, rate in replaced.items() if not key.startswith(f"{old_head}.")}
        assert {key: rate for key, rate in appended.items() if key in body} == pytest.approx(body)
    else:
        assert max(rate for key, rate in appended.items() if key not in ADDED) == appended[f"{old_head}.weight"] == 0.01


def test_outputs_that_no_layer_can_follow_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for output, told in (((1, 8, 32, 32), r"\(1, 8, 32, 32\)"), (None, "tuple")):
        body: nn.Module = nn.Conv2d(3, 8, 1)
        if output is None:
            body.register_forward_hook(lambda layer, inputs, outputs: (outputs, outputs))
        monkeypatch.setattr(torchvision.models, "get_model", lambda *arguments, body=body, **keywords: body)
        with pytest.raises(OptionError, match=rf"^\[model\] head: resnet18 gives {told} for one image, which no layer can follow"):
            built("torchvision", "resnet18", head="append")


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 7])
def test_a_first_layer_is_adapted_as_timm_does_it(channels: int) -> None:
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = timm.models.adapt_input_conv(channels, weight.clone())
    assert torch.allclose(adapt_stem(weight, channels), expected) and adapt_stem(weight, channels).shape[1] == channels


def test_an_image_too_small_is_told_as_ever() -> None:
    with pytest.raises(OptionError, match=r"^\[data\] image_size: alexnet fails on a 3 x 32 x 32 image: "):
        built("torchvision", "alexnet", head="append")
