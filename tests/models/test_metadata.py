"""Models whose head takes metadata beside the image: any library's, with the library's own names, and nothing else changed."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from modules.config.errors import OptionError
from modules.config.schema import HyperParams, Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.cutting import NotCut, cut_network
from modules.models.freezing import find_frozen, freeze, set_training
from modules.models.metadata import HIDDEN, JoinedHead, call, join_head, metadata_width, try_out
from modules.models.weights import Trained
from modules.training.optimizer import make_optimizer
from tests.some import some

SIZE = Size(32, 32)
SAID = 3  # numbers of metadata an image


def built(library: str = "timm", name: str = "test_resnet", size: Size = SIZE, **options: object) -> Network:
    torch.manual_seed(0)
    return build_network(Model(library=library, name=name, **options), 4, 3, size, False, SAID)  # type: ignore[arg-type]


def images(size: Size = SIZE, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("library", "name", "size"),
    some(
        [
            ("timm", "test_resnet", 32),
            ("torchvision", "vit_b_32", 32),
            ("timm", "test_vit", 32),
            ("torchvision", "convnext_tiny", 32),
            ("timm", "test_convnext", 32),
            ("torchvision", "resnet18", 32),
            ("torchvision", "squeezenet1_1", 64),  # a convolution, with pooling behind it
            ("timm", "deit_tiny_distilled_patch16_224", 224),  # two heads
            ("timm", "test_efficientnet", 32),
            ("torchvision", "mobilenet_v3_small", 32),
            ("timm", "test_byobnet", 32),
        ]
    ),
)
def test_any_model_takes_metadata_and_keeps_the_names_of_its_library(library: str, name: str, size: int) -> None:
    network = built(library, name, Size(size, size))
    plain = build_network(Model(library=library, name=name), 4, 3, Size(size, size), False)  # type: ignore[arg-type]
    own = [name for name in network.module.state_dict() if not name.startswith("joined.")]
    assert own == [name for name in plain.module.state_dict() if not name.startswith(tuple(f"{head}." for head in plain.head))]
    assert network.head == ("joined",) and metadata_width(network.module) == SAID and metadata_width(plain.module) == 0
    network.module.eval()
    seen = images(Size(size, size))
    said = torch.tensor([[0.0, 0, 1], [0, 1, 0]])
    with torch.no_grad():
        one, other = call(network.module, seen, said), call(network.module, seen, said.flip(0))
    assert one.shape == (2, 4) and not torch.allclose(one, other)


def test_logits_are_a_linear_layer_of_features_and_metadata() -> None:
    module = built().module.eval()
    bare = timm.create_model("test_resnet", num_classes=0).eval()
    bare.load_state_dict({name: tensor for name, tensor in module.state_dict().items() if not name.startswith("joined.")})
    weights = dict(module.named_parameters())
    said = torch.rand(2, SAID)
    with torch.no_grad():
        hidden = functional.silu(said @ weights["joined.metadata.layer.weight"].T + weights["joined.metadata.layer.bias"])
        features = torch.cat([bare(images()), hidden], dim=1)
        expected = features @ weights["joined.output.weight"].T + weights["joined.output.bias"]
        assert torch.allclose(module(images(), said), expected, atol=1e-5)
    assert hidden.shape == (2, HIDDEN)


def test_a_model_without_metadata_is_called_as_ever_and_one_with_them_not_without() -> None:
    plain = nn.Conv2d(3, 1, 3)
    assert torch.equal(call(plain, images(), torch.rand(2, SAID)), plain(images()))
    with pytest.raises(AssertionError):
        call(built().module, images(), None)
    assert try_out(built().module, images()).shape == (2, 4)


@pytest.mark.parametrize("how", ["normal", "zeros", "xavier", "kaiming"])
def test_only_the_last_layer_of_the_head_gets_its_first_values_from_head_init(how: str) -> None:
    """Zeros in both would never learn from metadata."""
    head, default = (built(head_init=each).module.joined for each in (how, "default"))
    assert isinstance(head, JoinedHead) and isinstance(default, JoinedHead)
    assert torch.equal(head.metadata.get_parameter("layer.weight"), default.metadata.get_parameter("layer.weight"))
    assert not torch.equal(head.output.weight, default.output.weight) and not head.output.bias.any()
    if how == "normal":
        assert float(head.output.weight.detach().std()) == pytest.approx(0.01, rel=0.2)


def test_the_whole_head_trains_above_a_frozen_backbone_with_its_own_learning_rate() -> None:
    network = built()
    before = deepcopy(network.module.state_dict())
    still = freeze(network, "backbone")
    optimizer = make_optimizer(network.module, HyperParams(learning_rate=0.1, head_learning_rate=0.5), network.head)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}
    set_training(network.module, still)
    call(network.module, images(), torch.rand(2, SAID)).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in network.module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name, _ in network.module.named_parameters() if name.startswith("joined.")}


def test_with_layer_decay_the_head_is_above_all_layers() -> None:
    network = built(name="test_vit")
    optimizer = make_optimizer(network.module, HyperParams(learning_rate=1.0, layer_decay=0.5), network.head)
    rate_of = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    rates = {name: rate_of[id(each)] for name, each in network.module.named_parameters()}
    assert {rate for name, rate in rates.items() if name.startswith("joined.")} == {1.0}
    plain = build_network(Model(name="test_vit"), 4, 3, SIZE, False)
    as_ever = make_optimizer(plain.module, HyperParams(learning_rate=1.0, layer_decay=0.5), plain.head)
    plain_of = {id(each): group["lr"] for group in as_ever.param_groups for each in group["params"]}
    assert all(plain_of[id(each)] == rates[name] for name, each in plain.module.named_parameters() if name in rates)


@pytest.mark.parametrize(("library", "name"), [("timm", "test_resnet"), ("torchvision", "resnet18"), ("torchvision", "mobilenet_v3_small")])
def test_dropout_happens_to_the_features_and_to_the_metadata(library: str, name: str) -> None:
    module = built(library, name, dropout=0.6).module
    seen: dict[str, torch.Tensor] = {}
    head = module.joined
    assert isinstance(head, JoinedHead)
    head.output.register_forward_pre_hook(lambda layer, inputs: seen.update(features=inputs[0]))
    module.train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    call(module, images(), torch.rand(2, SAID))
    parts = seen["features"][:, :-HIDDEN], seen["features"][:, -HIDDEN:]
    assert all(0.3 < float((part == 0).float().mean()) < 0.9 for part in parts)
    module.eval()
    call(module, images(), torch.rand(2, SAID))
    assert float((seen["features"][:, -HIDDEN:] == 0).float().mean()) < 0.1


def test_a_dropout_that_the_library_does_not_use_is_still_told() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 1000)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.fc(self.stem(pixels).mean((2, 3)))

    import modules.models.build as build

    def deaf(model: Model, classes: int, *rest: object) -> Network:
        return Network(Deaf(), ("fc",))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "_from_timm", deaf)
        with pytest.raises(OptionError, match="takes a dropout and does not use it"):
            built(dropout=0.5)


def test_a_model_that_gives_no_row_of_numbers_is_told() -> None:
    with pytest.raises(OptionError) as caught:
        join_head(nn.Identity(), torch.zeros(1, 8, 2, 2), "maps", SAID, 4, 0.0)
    fault = "maps without its head gives (1, 8, 2, 2) for one image, and metadata are joined to a row of numbers; use another model"
    assert str(caught.value) == f"[data] metadata_columns: {fault}"


def test_a_bare_sequential_which_would_call_the_new_head_itself_is_told() -> None:
    with pytest.raises(OptionError, match=r"mine:net gives a bare torch\.nn\.Sequential, which calls all of its layers by itself"):
        join_head(nn.Sequential(nn.Flatten()), torch.zeros(1, 8), "mine:net", SAID, 4, 0.0)


def test_it_is_never_cut() -> None:
    network = built()
    with pytest.raises(NotCut, match="metadata columns are joined to the model's features"):
        cut_network(network, find_frozen(network, "backbone"), 3, SIZE)


@pytest.mark.parametrize(("same", "before"), [(True, SAID), (False, SAID), (False, 0), (False, 5)])
def test_what_another_run_learnt_is_taken_over_and_its_head_where_it_asks_the_same(tmp_path: Path, same: bool, before: int) -> None:
    torch.manual_seed(5)
    old = build_network(Model(name="test_resnet"), 4, 3, SIZE, False, before).module
    torch.save({"model": old.state_dict()}, tmp_path / "best.pt")
    torch.manual_seed(0)
    new = build_network(Model(name="test_resnet"), 4, 3, SIZE, Trained(tmp_path / "best.pt", same), SAID).module
    for name, tensor in new.state_dict().items():
        kept = same or not name.startswith("joined.")
        assert not kept or torch.equal(tensor, old.state_dict()[name]), name
    if before == SAID:
        assert torch.equal(new.state_dict()["joined.output.weight"], old.state_dict()["joined.output.weight"]) is same


def test_a_run_with_metadata_gives_its_backbone_to_one_without(tmp_path: Path) -> None:
    old = built().module
    torch.save({"model": old.state_dict()}, tmp_path / "best.pt")
    for source in (Trained(tmp_path / "best.pt", False), str(tmp_path / "best.pt")):
        new = build_network(Model(name="test_resnet"), 4, 3, SIZE, source).module.state_dict()
        assert all(torch.equal(tensor, new[name]) for name, tensor in old.state_dict().items() if not name.startswith("joined."))
