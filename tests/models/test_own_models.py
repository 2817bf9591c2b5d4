"""A model of one's own: called with what it takes, one head, and refused in a line where it is no classifier of this contest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.compute.own_code import forget
from modules.config.errors import DataError, OptionError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.cutting import cut_network
from modules.models.freezing import find_frozen
from modules.models.names import brings_weights, check_name, full_name, normalisation

SIZE = Size(16, 24)
CODE = """
import torch
from torch import nn

CALLS = []

def small(num_classes=5, in_chans=3):
    return nn.Sequential(
        nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, num_classes),
    )

def all_four(num_classes, in_chans, image_size, pretrained):
    CALLS.append((num_classes, in_chans, image_size, pretrained))
    return small(num_classes, in_chans)

def anything(**arguments):
    CALLS.append(arguments)
    return small(arguments["num_classes"], arguments["in_chans"])

class Net(nn.Module):
    def __init__(self, num_classes: int, *, in_chans: int = 3, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images):
        return self.head(self.stem(images).mean((2, 3)))

class Defaults(Net):
    def __init__(self, num_classes=5, in_chans=3):
        super().__init__(num_classes, in_chans=in_chans)

def wants_more(num_classes, depth: int): ...
def wants_alike(classes): ...
def no_classes(in_chans): ...
def positional(num_classes, /): ...
def nothing(num_classes): ...
def the_class(num_classes): return Net
def five(num_classes, in_chans): return small(5, in_chans)
def fails(num_classes): return 1 / 0
def one_at_a_time(num_classes, image_size):
    return nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, -1)), nn.Linear(3 * image_size[0] * image_size[1], num_classes))
class Broken(Net):
    def forward(self, images):
        return self.heat(images)
class Headless(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, num_classes))
    def forward(self, images):
        return images.mean((2, 3)) @ self.weight
"""


@pytest.fixture(autouse=True)
def _code() -> None:
    Path("my_models.py").write_text(CODE)
    forget()


def model(code: str, **options: Any) -> Model:
    return Model(**{"name": f"my_models:{code}", **options})


def made(code: str, classes: int = 3, channels: int = 3, pretrained: Any = False, **options: Any) -> Network:
    check_name(model(code, **options))
    return build_network(model(code, **options), classes, channels, SIZE, pretrained)


@pytest.mark.parametrize(("name", "head"), [("small", "8"), ("all_four", "8"), ("anything", "8"), ("Net", "head")])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_function_or_a_class_gives_a_network_whose_head_is_its_last_layer(name: str, head: str, channels: int, library: str) -> None:
    network = made(name, 7, channels, library=library)
    assert network.head == (head,)
    assert network.module(torch.rand(2, channels, *SIZE)).shape == (2, 7)
    assert full_name(model(name, library=library)) == f"my_models:{name}", "the library plays no part"


@pytest.mark.parametrize("pretrained", [True, False])
def test_it_is_called_by_name_with_what_it_takes(pretrained: bool) -> None:
    made("all_four", 4, 1, pretrained)
    assert sys.modules["my_models"].CALLS[-1] == (4, 1, (16, 24), pretrained)
    made("anything", 4, 1, pretrained)
    assert sys.modules["my_models"].CALLS[-1] == {"num_classes": 4, "in_chans": 1, "image_size": (16, 24), "pretrained": pretrained}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "wants_more",
            "my_models:wants_more(num_classes, depth) wants 'depth'; Foldini gives num_classes, in_chans, image_size, pretrained",
        ),
        ("wants_alike", "my_models:wants_alike(classes) wants 'classes' (did you mean num_classes?); Foldini gives num_classes"),
        ("no_classes", "my_models:no_classes(in_chans) takes no num_classes, and a model has as many outputs as there are classes"),
        ("positional", "my_models:positional(num_classes, /) takes no num_classes"),
        ("nothing", "my_models:nothing gives nothing; expected a torch.nn.Module"),
        ("the_class", "my_models:the_class gives the class Net, not yet called; expected a torch.nn.Module"),
        ("five", "my_models:five gives (1, 5) for one image; expected (1, 3), a number a class"),
        ("fails", "my_models:fails(num_classes=3) fails: ZeroDivisionError: division by zero (my_models.py:41)"),
        ("one_at_a_time", "my_models:one_at_a_time fails on 2 images of 3 x 16 x 24: RuntimeError: "),
        ("Broken", "my_models:Broken fails on a 3 x 16 x 24 image: AttributeError: 'Broken' object has no attribute 'heat' (my_models.py:"),
        ("Headless", "my_models:Headless gives a model without a last layer, a torch.nn.Linear or Conv2d of 3 outputs"),
        ("smal", "my_models has no 'smal' (did you mean small?)"),
    ],
)
def test_what_is_no_classifier_of_this_contest_is_refused_in_a_line(name: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        made(name)
    (line,) = caught.value.lines
    assert line.startswith(f"[model] name: {message}") and "\n" not in line


def test_a_name_that_is_nearly_one_of_ones_own_says_how_it_is_written() -> None:
    with pytest.raises(OptionError, match=r"expected a model of timm, or package\.module:name for one of your own, got 'my-models:net'"):
        check_name(Model(name="my-models:net"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "gem"}, "pooling: only for models of timm and torchvision; my_models:Net has its own way, so use auto"),
        ({"drop_path": 0.1}, "drop_path: only for models of timm and torchvision"),
        ({"grad_checkpointing": True}, "grad_checkpointing: only for models of timm and torchvision"),
        ({"head": "append", "name": "my_models:small"}, "head: my_models:small gives a bare torch.nn.Sequential, which calls all of its"),
        (
            {"head": "append"},
            "head: append follows all that a model gives by itself, and my_models:Net(num_classes, *, in_chans=3, width=4) needs",
        ),
    ],
)
def test_options_for_the_inside_of_a_librarys_model_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        made("Net", **options)
    assert caught.value.lines[0].startswith(f"[model] {message}")


def test_dropout_an_appended_head_and_first_values_are_as_for_any_other_model() -> None:
    appended = made("Defaults", 3, head="append")
    assert appended.head == ("appended",) and appended.module(torch.rand(2, 3, *SIZE)).shape == (2, 3)
    assert made("Net", head_init="zeros").module.get_parameter("head.weight").abs().sum() == 0
    dropping = made("Net", dropout=0.5).module.train()
    images = torch.rand(1, 3, *SIZE)
    assert len({tuple(dropping(images)[0].tolist()) for _ in range(10)}) > 1
    dropping.eval()
    assert torch.equal(dropping(images), dropping(images))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_weights_is_loaded_but_for_the_head_and_adapted_to_one_channel(channels: int) -> None:
    donor = made("Net", 9).module
    torch.save(donor.state_dict(), "weights.pth")
    network = made("Net", 4, channels, "weights.pth")
    own = network.module.get_parameter("stem.weight")
    given = donor.get_parameter("stem.weight")
    assert torch.equal(own, given if channels == 3 else given.sum(dim=1, keepdim=True))
    assert network.module.get_parameter("head.weight").std() < 0.05, "a new head upon pretrained weights begins with small values"
    with pytest.raises(DataError, match=r"weights\.pth: the weights do not fit the model"):
        made("small", 4, channels, "weights.pth")


def test_its_frozen_part_is_cut_like_any_other() -> None:
    network = made("Net")
    cut = cut_network(network, find_frozen(network, "backbone"), 3, SIZE)
    images = torch.rand(2, 3, *SIZE)
    network.module.eval()
    assert torch.allclose(cut.tail_of(network.module)(cut.trunk_of(network.module)(images)), network.module(images), atol=1e-6)


def test_pretrained_means_something_only_where_it_takes_the_word() -> None:
    assert [brings_weights(model(name)) for name in ("small", "all_four", "anything")] == [False, True, True]
    assert normalisation(model("all_four"), True)[0] == pytest.approx((0.485, 0.456, 0.406))
    assert normalisation(model("all_four"), False)[0] == (0.5, 0.5, 0.5)
