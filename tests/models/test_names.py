"""Models by name: the unknown are told with the nearest, and what the weights of the known expect."""

from __future__ import annotations

import pytest
import timm
import torchvision

from modules.config.errors import OptionError
from modules.config.schema import Model
from modules.models.names import HALF, IMAGENET, check_name, normalisation


@pytest.mark.parametrize(
    ("library", "name", "message"),
    [
        ("timm", "resnet81", r"timm has no classification model 'resnet81'; the nearest are resnet\w+, resnet\w+, resnet\w+$"),
        (
            "torchvision",
            "resnet19",
            r"torchvision has no classification model 'resnet19'; the nearest are resnet\w+, resnet\w+, resnet\w+$",
        ),
        ("torchvision", "fcn_resnet50", r"torchvision has no classification model 'fcn_resnet50'; the nearest are "),
        ("torchvision", "§§§§", r"torchvision has \d+ models, none of a name like it$"),
        ("timm", "resnet18.nonsense_in1k", r"timm has no classification model 'resnet18.nonsense_in1k'; the nearest are "),
    ],
)
def test_an_unknown_model_is_told_with_the_nearest_names(library: str, name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        check_name(Model(library=library, name=name))  # type: ignore[arg-type]
    (line,) = caught.value.lines
    assert line.startswith("[model] name: ")
    known = timm.list_models() + timm.list_models(pretrained=True) if library == "timm" else torchvision.models.list_models()
    if "nearest" in line:
        suggested = line.rpartition("the nearest are ")[2].split(", ")
        assert len(suggested) == 3 and set(suggested) <= set(known)


def test_models_that_exist_are_accepted_also_with_a_pretrained_tag() -> None:
    check_name(Model(library="timm", name="resnet18"))
    check_name(Model(library="timm", name="resnet18.a1_in1k"))
    check_name(Model(library="torchvision", name="resnet18"))


def test_normalisation_is_that_of_the_pretrained_weights() -> None:
    assert normalisation(Model(library="torchvision", name="resnet18"), True) == IMAGENET
    assert normalisation(Model(library="torchvision", name="resnet18"), False) == (HALF, HALF)
    assert normalisation(Model(library="torchvision", name="inception_v3"), True) == (HALF, HALF)
    for name in ("resnet18.a1_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k", "vit_base_patch16_clip_224.openai_ft_in1k"):
        cfg = timm.get_pretrained_cfg(name)
        assert normalisation(Model(library="timm", name=name), True) == (tuple(cfg.mean), tuple(cfg.std))
    clip = normalisation(Model(library="timm", name="vit_base_patch16_clip_224.openai_ft_in1k"), True)
    assert clip[0] == pytest.approx((0.4814, 0.4578, 0.4082), abs=1e-3)
