"""Any model by name: its head, first layer, names of parameters, size, and what is said where it cannot be built."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import build_network
from tests.some import some

CLASSES = 7
# library, name, image size, its head's layers
HEADS = [
    ("torchvision", "resnet18", 32, ("fc",)),
    ("torchvision", "mobilenet_v3_small", 32, ("classifier.3",)),
    ("torchvision", "squeezenet1_0", 32, ("classifier.1",)),
    ("torchvision", "densenet121", 32, ("classifier",)),
    ("torchvision", "vit_b_32", 32, ("heads.head",)),
    ("torchvision", "shufflenet_v2_x0_5", 32, ("fc",)),
    ("torchvision", "convnext_tiny", 32, ("classifier.2",)),
    ("torchvision", "googlenet", 32, ("fc",)),
    ("timm", "test_resnet", 32, ("fc",)),
    ("timm", "test_vit", 32, ("head",)),
    ("timm", "test_convnext", 32, ("head.fc",)),
    ("timm", "test_efficientnet", 32, ("classifier",)),
    ("timm", "test_byobnet", 32, ("head.fc",)),
    ("timm", "levit_128s", 64, ("head.linear", "head_dist.linear")),
    ("timm", "deit_tiny_distilled_patch16_224", 32, ("head", "head_dist")),
]
STEMS = [
    ("torchvision", "mobilenet_v3_small", "features.0.0"),
    ("torchvision", "shufflenet_v2_x0_5", "conv1.0"),
    ("timm", "test_resnet", "conv1.0"),
    ("timm", "test_vit", "patch_embed.proj"),
    ("timm", "test_convnext", "stem.0"),
]


def library_model(library: str, name: str, size: int, classes: int, channels: int = 3) -> nn.Module:
    """What the library itself makes, without Foldini."""
    if library == "torchvision":
        more: dict[str, Any] = {"image_size": size} if name.startswith("vit_") else {}
        more |= {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, num_classes=classes, **more)
    sized: dict[str, Any] = {"img_size": size} if name.startswith(("test_vit", "deit", "levit")) else {}
    try:
        return timm.create_model(name, num_classes=classes, in_chans=channels, **sized)
    except TypeError:
        return timm.create_model(name, num_classes=classes, in_chans=channels)


@pytest.mark.parametrize(("library", "name", "size", "head"), some(HEADS), ids=[case[1] for case in HEADS])
def test_the_head_is_replaced_and_parameters_keep_the_librarys_names(library: str, name: str, size: int, head: tuple[str, ...]) -> None:
    network = build_network(Model(library=library, name=name), CLASSES, 3, Size(size, size), False)  # type: ignore[arg-type]
    assert network.head == head
    expected = {key: tensor.shape for key, tensor in library_model(library, name, size, CLASSES).state_dict().items()}
    assert {key: tensor.shape for key, tensor in network.module.state_dict().items()} == expected
    network.module.eval()
    with torch.no_grad():
        assert network.module(torch.rand(2, 3, size, size)).shape == (2, CLASSES)
    for layer in head:
        part = network.module.get_submodule(layer)
        assert (part.out_channels if isinstance(part, nn.Conv2d) else part.out_features) == CLASSES


@pytest.mark.parametrize(("library", "name", "size", "head"), some(HEADS), ids=[case[1] for case in HEADS])
def test_one_channel_changes_the_first_layer_and_nothing_else(library: str, name: str, size: int, head: tuple[str, ...]) -> None:
    network = build_network(Model(library=library, name=name), CLASSES, 1, Size(size, size), False)  # type: ignore[arg-type]
    network.module.eval()
    with torch.no_grad():
        assert network.module(torch.rand(2, 1, size, size)).shape == (2, CLASSES)
    colour = {key: tuple(tensor.shape) for key, tensor in library_model(library, name, size, CLASSES).state_dict().items()}
    grey = {key: tuple(tensor.shape) for key, tensor in network.module.state_dict().items()}
    changed = [key for key in colour if colour[key] != grey[key]]
    assert grey.keys() == colour.keys() and len(changed) == 1
    out, _, height, width = colour[changed[0]]
    assert grey[changed[0]] == (out, 1, height, width)


def test_a_head_of_zeros_is_zero_and_refused_where_it_would_never_learn() -> None:
    zeros = build_network(Model(name="test_vit", head_init="zeros"), 100, 3, Size(32, 32), False)
    assert float(weight_of(zeros, "head").abs().max()) == 0 and zeros.module.training
    with pytest.raises(OptionError, match=r"^\[model\] head_init: zeros would never learn here: .*; use normal$"):
        build_network(Model(library="torchvision", name="squeezenet1_0", head_init="zeros"), 10, 3, Size(32, 32), False)


def test_auto_begins_small_above_pretrained_weights_and_with_the_librarys_own_values_elsewhere(tmp_path: Path) -> None:
    """timm gives an EfficientNet's head values of up to 1 / sqrt(classes), whatever its inputs."""

    def head(how: str, pretrained: bool | str) -> torch.Tensor:
        torch.manual_seed(0)
        model = Model(name="test_efficientnet", head_init=how)  # type: ignore[arg-type]
        return weight_of(build_network(model, 10, 3, Size(32, 32), pretrained), "classifier")

    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.pth")
    file = str(tmp_path / "weights.pth")
    assert torch.equal(head("auto", False), head("default", False))
    assert torch.equal(head("auto", file), head("normal", file))
    assert float(head("default", file).std()) > 10 * float(head("auto", file).std()) > 0


@pytest.mark.parametrize(("library", "name", "stem"), some(STEMS), ids=[case[1] for case in STEMS])
def test_a_grey_image_gives_what_its_copy_in_three_channels_gave(library: str, name: str, stem: str, tmp_path: Any) -> None:
    torch.manual_seed(3)
    coloured = library_model(library, name, 32, 1000)
    file = tmp_path / "weights.pth"
    torch.save(coloured.state_dict(), file)
    model = Model(library=library, name=name, stem_init="adapt")  # type: ignore[arg-type]
    grey = build_network(model, CLASSES, 1, Size(32, 32), str(file)).module
    image = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        expected = coloured.get_submodule(stem)(image.expand(-1, 3, -1, -1))
        found = grey.get_submodule(stem)(image)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["default", "xavier", "kaiming"])
def test_a_first_layer_that_starts_anew_does_not_take_the_pretrained_values(how: str, tmp_path: Any) -> None:
    coloured = library_model("timm", "test_resnet", 32, 1000)
    torch.save(coloured.state_dict(), tmp_path / "weights.pth")
    torch.manual_seed(0)
    model = Model(name="test_resnet", stem_init=how)  # type: ignore[arg-type]
    grey = build_network(model, CLASSES, 1, Size(32, 32), str(tmp_path / "weights.pth")).module
    summed = coloured.get_submodule("conv1.0").weight.sum(1, keepdim=True)
    assert not torch.allclose(grey.get_submodule("conv1.0").weight, summed)
    assert torch.equal(grey.get_submodule("layer1.0.conv1").weight, coloured.get_submodule("layer1.0.conv1").weight)


def weight_of(network: Any, layer: str) -> torch.Tensor:
    weight = network.module.get_submodule(layer).weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


@pytest.mark.parametrize(("library", "name", "layer"), [("timm", "test_vit", "head"), ("torchvision", "squeezenet1_0", "classifier.1")])
def test_every_head_initialisation_has_the_spread_that_its_paper_gives(library: str, name: str, layer: str) -> None:
    def build(how: str, seed: int = 0) -> torch.Tensor:
        torch.manual_seed(seed)
        model = Model(library=library, name=name, head_init=how)  # type: ignore[arg-type]
        network = build_network(model, 100, 3, Size(32, 32), False)
        bias = network.module.get_submodule(layer).bias
        assert isinstance(bias, torch.Tensor)
        assert how == "default" or bool((bias == 0).all())
        return weight_of(network, layer)

    xavier, kaiming, normal = (build(how) for how in ("xavier", "kaiming", "normal"))
    fan_out, fan_in = xavier.shape[0], xavier.shape[1]
    bound = (6 / (fan_in + fan_out)) ** 0.5
    assert 0.99 * bound < float(xavier.abs().max()) <= bound
    assert float(xavier.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
    assert float(kaiming.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert float(normal.std()) == pytest.approx(0.01, rel=0.03)
    assert float(kaiming.abs().max()) > 3 * (2 / fan_out) ** 0.5  # normal, not uniform
    for how in ("default", "xavier", "kaiming", "normal"):
        same, other = build(how), build(how, seed=1)
        assert torch.equal(build(how), same), how
        assert torch.equal(same, other) is (how == "default" and bool((same == 0).all())), how


@pytest.mark.parametrize(("library", "name", "stem"), some(STEMS), ids=[case[1] for case in STEMS])
def test_every_stem_initialisation_has_the_spread_that_its_paper_gives(library: str, name: str, stem: str) -> None:
    def build(how: str, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return weight_of(build_network(Model(library=library, name=name, stem_init=how), 3, 1, Size(32, 32), False), stem)  # type: ignore[arg-type]

    xavier = torch.cat([build("xavier", seed).flatten() for seed in range(8)])
    kaiming = torch.cat([build("kaiming", seed).flatten() for seed in range(8)])
    out, channels, height, width = build("default", 0).shape
    assert channels == 1
    bound = (6 / (height * width * (1 + out))) ** 0.5
    assert 0.95 * bound < float(xavier.abs().max()) <= bound
    assert float(xavier.std()) == pytest.approx(bound / 3**0.5, rel=0.1)
    assert float(kaiming.std()) == pytest.approx((2 / (out * height * width)) ** 0.5, rel=0.1)
    assert torch.equal(build("kaiming", 5), build("kaiming", 5))
    assert not torch.equal(build("kaiming", 5), build("kaiming", 6))


@pytest.mark.parametrize(
    ("library", "name", "size", "channels"),
    [
        ("torchvision", "alexnet", Size(16, 24), 3),
        ("torchvision", "squeezenet1_0", Size(8, 8), 1),
        ("timm", "inception_v3", Size(32, 32), 3),
    ],
)
def test_an_image_too_small_for_the_model_is_one_line(library: str, name: str, size: Size, channels: int) -> None:
    start = rf"\[data\] image_size: {name} fails on a {channels} x {size.height} x {size.width} image: \S+"
    with pytest.raises(OptionError) as caught:
        build_network(Model(library=library, name=name), 3, channels, size, False)  # type: ignore[arg-type]
    (line,) = caught.value.lines
    assert re.match(start, line) and "\n" not in line


def test_a_torchvision_vit_refuses_images_that_are_not_square() -> None:
    with pytest.raises(OptionError, match=r"^\[data\] image_size: torchvision's vit_b_32 takes square images only$"):
        build_network(Model(library="torchvision", name="vit_b_32"), 3, 3, Size(32, 64), False)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_a_size_that_is_not_square_reaches_the_model_as_height_and_width(name: str) -> None:
    network = build_network(Model(name=name), 3, 3, Size(32, 64), False).module.eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 64)).shape == (1, 3)
    if name == "test_vit":
        assert network.get_submodule("patch_embed").grid_size == (2, 4)


def test_building_leaves_the_model_in_training_mode_with_all_gradients() -> None:
    network = build_network(Model(name="test_resnet"), 3, 3, Size(32, 32), False).module
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(int(buffer) == 0 for name, buffer in network.named_buffers() if name.endswith("num_batches_tracked"))


@pytest.fixture
def empty_hubs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """No cached weights, no proxy: what is not in the folder can only come from the network."""
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path


def quickly(call: Callable[[], object]) -> OptionError:
    started = time.perf_counter()
    with pytest.raises(OptionError) as caught:
        call()
    assert time.perf_counter() - started < 5
    return caught.value


def test_a_timm_hub_that_cannot_be_reached_says_which_file_to_place_where(empty_hubs: Any) -> None:
    error = quickly(lambda: build_network(Model(name="resnet18.a1_in1k"), 3, 3, Size(32, 32), True))
    (line,) = error.lines
    assert line == (
        "[model] pretrained: resnet18.a1_in1k: the hub cannot be reached; get model.safetensors of 'timm/resnet18.a1_in1k' where it can be,"
        " put it here, and set pretrained = model.safetensors (or false)"
    )


def test_a_torchvision_hub_that_cannot_be_reached_says_which_file_to_place_where(empty_hubs: Any) -> None:
    error = quickly(lambda: build_network(Model(library="torchvision", name="squeezenet1_1"), 3, 3, Size(32, 32), True))
    (line,) = error.lines
    folder = empty_hubs / "torch" / "hub" / "checkpoints"
    assert line == (
        f"[model] pretrained: squeezenet1_1: the hub cannot be reached; put squeezenet1_1-b8a52dc0.pth into {folder},"
        " or set pretrained to its path (or false)"
    )


def test_a_timm_model_in_the_hubs_cache_needs_no_network(empty_hubs: Any) -> None:
    """The cache as huggingface_hub lays it out: refs/main names the snapshot."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    donor = timm.create_model("test_resnet")
    cfg = timm.get_pretrained_cfg("test_resnet")
    repository = empty_hubs / "hf" / f"models--{cfg.hf_hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    save_file(donor.state_dict(), snapshot / "model.safetensors")
    network = build_network(Model(name="test_resnet"), 3, 3, Size(32, 32), True).module
    assert torch.equal(network.get_submodule("layer4.0.conv1").weight, donor.get_submodule("layer4.0.conv1").weight)
