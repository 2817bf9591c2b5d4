"""Weights from files: every wrapper and prefix, the old head left behind, misfits and code in pickles refused."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from modules.config.errors import DataError, OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import build_network
from modules.models.weights import load_weights, read_weights
from tests.digests import digest_tensors

SIZE = Size(32, 32)
State = dict[str, torch.Tensor]


def donor_state(name: str = "test_resnet", classes: int = 1000) -> State:
    torch.manual_seed(11)
    return dict(timm.create_model(name, num_classes=classes).state_dict())


def without_head(state: State, head: str = "fc") -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(f"{head}.")}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "classes": ["a", "b"], "score": 0.5},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer": {"lr": 1.0}},
    "module": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "state_dict+module": lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
    "compiled": lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    "both": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
}


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapper_and_prefix_leads_to_the_same_tensors(wrapping: str, suffix: str, tmp_path: Path) -> None:
    state = donor_state()
    file = tmp_path / f"weights{suffix}"
    torch.save(WRAPPINGS[wrapping](state), file)
    assert digest_tensors(read_weights(file)) == digest_tensors(state)
    network = build_network(Model(name="test_resnet"), 4, 3, SIZE, str(file)).module
    loaded = dict(network.state_dict())
    assert digest_tensors(without_head(loaded)) == digest_tensors(without_head(state))
    assert loaded["fc.weight"].shape == (4, state["fc.weight"].shape[1])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_are_loaded_to_the_bit(prefix: str, tmp_path: Path) -> None:
    state = donor_state("test_convnext")
    save_file({f"{prefix}{name}": tensor.contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    network = build_network(Model(name="test_convnext"), 4, 3, SIZE, str(tmp_path / "model.safetensors")).module
    assert digest_tensors(without_head(dict(network.state_dict()), "head.fc")) == digest_tensors(without_head(state, "head.fc"))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_0", "shufflenet_v2_x0_5", "mnasnet0_5"])
def test_torchvisions_own_weights_fit_torchvisions_models(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    donor = torchvision.models.get_model(name, weights=None)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    network = build_network(Model(library="torchvision", name=name), 4, 3, Size(64, 64), str(tmp_path / "weights.pth"))
    (head,) = network.head
    assert digest_tensors(without_head(dict(network.module.state_dict()), head)) == digest_tensors(
        without_head(dict(donor.state_dict()), head)
    )


def test_googlenets_auxiliary_layers_are_left_behind(tmp_path: Path) -> None:
    donor = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    assert any(name.startswith("aux1.") for name in donor.state_dict())
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    network = build_network(Model(library="torchvision", name="googlenet"), 4, 3, Size(64, 64), str(tmp_path / "weights.pth")).module
    assert torch.equal(network.get_submodule("conv1.conv").weight, donor.conv1.conv.weight)


@pytest.mark.parametrize("classes", [4, 10])
def test_the_new_head_keeps_its_first_values_whatever_the_old_heads_size(classes: int, tmp_path: Path) -> None:
    torch.save(donor_state(classes=classes), tmp_path / "weights.pth")
    torch.manual_seed(5)
    expected = timm.create_model("test_resnet", num_classes=4).get_submodule("fc").weight
    torch.manual_seed(5)
    network = build_network(Model(name="test_resnet", head_init="default"), 4, 3, SIZE, str(tmp_path / "weights.pth")).module
    assert torch.equal(network.get_submodule("fc").weight, expected)
    assert not torch.equal(network.get_submodule("fc").weight[:4], donor_state(classes=classes)["fc.weight"][:4])


def test_both_heads_of_a_distilled_model_are_left_behind(tmp_path: Path) -> None:
    state = donor_state("deit_tiny_distilled_patch16_224")
    torch.save({"model": state}, tmp_path / "weights.pth")
    module = build_network(Model(name="deit_tiny_distilled_patch16_224"), 4, 3, Size(224, 224), str(tmp_path / "weights.pth")).module
    loaded = dict(module.state_dict())
    assert loaded["head.weight"].shape == loaded["head_dist.weight"].shape == (4, 192)
    rest = [name for name in state if not name.startswith(("head.", "head_dist."))]
    assert digest_tensors({name: loaded[name] for name in rest}) == digest_tensors({name: state[name] for name in rest})


def test_a_grey_model_takes_weights_of_a_grey_model(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = dict(timm.create_model("test_resnet", in_chans=1).state_dict())
    torch.save(state, tmp_path / "weights.pth")
    loaded = dict(build_network(Model(name="test_resnet"), 4, 1, SIZE, str(tmp_path / "weights.pth")).module.state_dict())
    assert digest_tensors(without_head(loaded)) == digest_tensors(without_head(state))


def test_weights_that_do_not_fit_are_refused_with_counts_and_the_first_five_names(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(donor_state("test_efficientnet"), file)
    names = [name for name in timm.create_model("test_resnet").state_dict() if not name.startswith("fc.")]
    wanted = [name for name in names if not name.endswith("num_batches_tracked")]
    left = [name for name in donor_state("test_efficientnet") if not name.startswith("fc.")]
    missing, unexpected = [name for name in wanted if name not in left], [name for name in left if name not in names]
    shapes = [f"bn1.{name} 24 for 32" for name in ("weight", "bias", "running_mean", "running_var")]
    with pytest.raises(DataError) as caught:
        build_network(Model(name="test_resnet"), 4, 3, SIZE, str(file))
    (line,) = caught.value.lines
    assert line == (
        f"{file}: the weights do not fit the model: of {len(names)} tensors"
        f" {len(missing)} missing ({', '.join(missing[:5])} and {len(missing) - 5} more);"
        f" {len(unexpected)} left over ({', '.join(unexpected[:5])} and {len(unexpected) - 5} more);"
        f" 4 of another shape ({', '.join(shapes)})"
    )


@pytest.mark.parametrize("own", ["test_vit", "test_convnext", "test_resnet", "levit_128s"])
@pytest.mark.parametrize("given", [{"x": torch.zeros(2)}, {"head.fc.weight": torch.zeros(2, 2)}, {"conv1.weight": torch.zeros(4, 1, 3, 3)}])
def test_weights_of_quite_another_model_are_refused_in_one_line(own: str, given: State, tmp_path: Path) -> None:
    """timm's own filters ask for tensors that are not there."""
    torch.save(given, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"weights\.pth: the weights (do not fit the model|are not of this model): ") as caught:
        build_network(Model(name=own), 4, 3, Size(64, 64), str(tmp_path / "weights.pth"))
    assert len(str(caught.value).splitlines()) == 1


def test_tensors_of_another_shape_are_refused_and_nothing_is_copied() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    before = digest_tensors(module.state_dict())
    state = dict(nn.Sequential(nn.Linear(4, 3), nn.Linear(5, 2)).state_dict())
    with pytest.raises(
        DataError, match=r"^f.pt: the weights do not fit the model: of 4 tensors 1 of another shape \(1.weight 2x5 for 2x3\)$"
    ):
        load_weights(module, state, "f.pt")
    assert digest_tensors(module.state_dict()) == before


def test_a_name_that_only_begins_like_the_head_is_not_skipped() -> None:
    module = nn.Module()
    module.head, module.header = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(DataError, match=r"of 2 tensors 2 missing \(header.weight, header.bias\)$"):
        load_weights(module, {}, "f.pt", ignored=("head",))


def test_files_without_batch_counters_are_taken() -> None:
    module = nn.BatchNorm1d(3)
    state = {"weight": torch.rand(3), "bias": torch.rand(3), "running_mean": torch.rand(3), "running_var": torch.rand(3)}
    load_weights(module, state, "f.pt")
    assert torch.equal(module.weight, state["weight"]) and torch.equal(module.running_var, state["running_var"])  # type: ignore[arg-type]


class Bomb:
    """Pickled, it is a call: `touch` of a file, as an exploit would do worse."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
def test_code_in_a_file_of_weights_is_refused_and_never_run(kind: str, tmp_path: Path) -> None:
    target, file = tmp_path / "pwned", tmp_path / "weights.pth"
    content = {"state_dict": {"fc.weight": torch.zeros(1)}, "extra": Bomb(target)}
    if kind == "plain pickle":
        file.write_bytes(pickle.dumps({"extra": Bomb(target)}))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(DataError, match=r"weights\.pth: ") as caught:
        read_weights(file)
    assert not target.exists() and len(caught.value.lines) == 1
    if kind == "zip":
        assert str(caught.value) == f"{file}: holds more than tensors and plain values, which could run code; save its state_dict alone"
    torch.load(io.BytesIO(file.read_bytes()), weights_only=False) if kind != "plain pickle" else pickle.loads(file.read_bytes())  # noqa: S301
    assert target.exists(), "the bomb is a dud, and the test above shows nothing"


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404: Not Found</html>" * 9, b"PK\x03\x04" + b"\0" * 200, bytes(range(256))])
def test_a_file_of_garbage_is_refused_in_one_line(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    kind = "safetensors file" if suffix == ".safetensors" else "file of weights"
    with pytest.raises(DataError, match=rf"weights\{suffix}: not a {kind} \(") as caught:
        read_weights(file)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_of_weights_is_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(donor_state(), file)
    else:
        save_file(donor_state(), file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"not a (safetensors file|file of weights) \("):
        read_weights(file)


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(2)], {"state_dict": {"a": 1}}, {}, torch.zeros(3)])
def test_a_file_without_a_state_dict_says_what_was_expected(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(DataError, match=r"weights\.pt: no state_dict in it; expected tensors by name, or one of state_dict, "):
        read_weights(tmp_path / "weights.pt")


def test_a_missing_file_of_weights_is_told() -> None:
    expected = r"^\[model\] pretrained: no\.pth: no such file; expected auto, true, false, a file of weights or a finished run$"
    with pytest.raises(OptionError, match=expected):
        read_weights(Path("no.pth"))


@pytest.mark.parametrize("size", [Size(32, 32), Size(32, 64)])
def test_a_timm_vits_weights_are_resampled_to_another_image_size(size: Size, tmp_path: Path) -> None:
    torch.manual_seed(4)
    state = dict(timm.create_model("test_vit", img_size=96).state_dict())
    torch.save(state, tmp_path / "weights.pth")
    loaded = dict(build_network(Model(name="test_vit"), 3, 3, size, str(tmp_path / "weights.pth")).module.state_dict())
    prefix = state["pos_embed"].shape[1] - 36
    grid = state["pos_embed"][:, prefix:].reshape(1, 6, 6, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, size=(size.height // 16, size.width // 16), mode="bicubic", antialias=True)
    expected = torch.cat([state["pos_embed"][:, :prefix], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
    torch.testing.assert_close(loaded["pos_embed"], expected)
    rest = [name for name in state if name != "pos_embed" and not name.startswith("head.")]
    assert digest_tensors({name: loaded[name] for name in rest}) == digest_tensors({name: state[name] for name in rest})


def test_a_torchvision_vits_weights_are_resampled_to_another_image_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small ViT of torchvision's class, under a name of torchvision's kind."""

    def small(weights: None = None, image_size: int = 96, **more: Any) -> nn.Module:
        return torchvision.models.VisionTransformer(image_size, 16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, **more)

    monkeypatch.setitem(torchvision.models._api.BUILTIN_MODELS, "vit_small_for_tests", small)
    torch.manual_seed(4)
    state = dict(small().state_dict())
    state["encoder.pos_embedding"] = torch.rand_like(state["encoder.pos_embedding"])
    torch.save(state, tmp_path / "weights.pth")
    model = Model(library="torchvision", name="vit_small_for_tests")
    loaded = dict(build_network(model, 3, 3, SIZE, str(tmp_path / "weights.pth")).module.state_dict())
    old = state["encoder.pos_embedding"]
    grid = old[:, 1:].reshape(1, 6, 6, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, size=2, mode="bicubic", align_corners=True).permute(0, 2, 3, 1).reshape(1, 4, -1)
    torch.testing.assert_close(loaded["encoder.pos_embedding"], torch.cat([old[:, :1], resized], dim=1))
    assert torch.equal(loaded["conv_proj.weight"], state["conv_proj.weight"])


def test_a_download_that_fails_is_not_called_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def full(repository: str, file: str) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr("modules.models.hub.hub_reachable", lambda address: True)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OptionError, match=r"could not be fetched \(No space left on device\); get model\.safetensors of 'timm/"):
        build_network(Model(name="resnet18"), 3, 3, Size(32, 32), True)
