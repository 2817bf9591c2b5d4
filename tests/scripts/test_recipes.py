"""Every recipe of configs/ on a small made data set: what it is about happens, and nothing else."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch
import torchvision
from torch import nn

import tune
from modules.config.reader import read_config
from modules.runs.checkpoint import load_checkpoint
from tests import sets
from tests.making import make_contest, write_config
from tests.mask_layout import make_mask_contest
from tests.scripts.running import run_inference, run_train

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "settings.gpu=false",
    "logging.plots=false",
    "settings.num_workers=0",
    "compute.threads=1",
    "settings.run_name=run",
    "hyper_params.batch_size=12",
)
SGD = {"optimizer": "momentum", "learning_rate": 0.001, "momentum": 0.9, "scheduler": "cosine", "weight_decay": 0.0}

State = dict[str, torch.Tensor]


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    sets.make_cifar(tmp_path / "data", monkeypatch, train=40)
    return f"settings.data_path={tmp_path / 'data'}"


def follow(recipe: str, *small: str) -> State:
    """Trains by the recipe with what makes it small, and predicts; returns the best weights of fold 0."""
    arguments = [str(CONFIGS / f"{recipe}.ini"), *SMALL, *small]
    assert run_train(*arguments, "--quiet") == 0
    assert run_inference(*arguments, "inference.run=run", "--quiet") == 0
    return best("run")


def best(run: str) -> State:
    return dict(load_checkpoint(Path(f"runs/{run}/fold0/best.pt"))["model"])


def after_each_epoch() -> list[State]:
    paths = sorted(Path("runs/run/fold0/epochs").glob("*.pt"))
    return [dict(load_checkpoint(path)["model"]) for path in paths]


def donor(module: nn.Module) -> State:
    """A stand-in for the hub's weights, as the file weights.pth."""
    torch.save(module.state_dict(), "weights.pth")
    return dict(module.state_dict())


def changed(before: State, after: State) -> set[str]:
    """The names of what differs; of another shape, or new, is different too."""
    return {key for key, tensor in after.items() if key not in before or not torch.equal(tensor, before[key])}


def inside(state: State, *modules: str) -> set[str]:
    return {key for key in state if key.startswith(tuple(f"{module}." for module in modules))}


def settings_of(recipe: str) -> Any:
    return read_config([CONFIGS / f"{recipe}.ini"])[0]


def test_every_recipe_has_its_test_and_says_how_it_is_run() -> None:
    tested = {name for name in globals() if name.startswith("test_")}
    for path in CONFIGS.glob("*.ini"):
        assert any(name.startswith(f"test_{path.stem}_") for name in tested), path.stem
        header = path.read_text(encoding="utf-8").partition("\n[")[0]
        if settings_of(path.stem).search_space:
            assert ";   python tune.py configs/" in header and f" configs/{path.name}\n" in header and ";   python train.py runs/" in header
            continue
        for script in ("train", "inference"):
            assert f";   python {script}.py configs/{path.name}\n" in header


# What of the ResNet-50 trains.
RESNETS = {"head": ("fc",), "partly": ("layer4", "fc"), "whole": None}


def thin_resnet50(name: str, weights: None = None) -> nn.Module:
    """A ResNet-50 with the stages and the outputs that it has, each of one block, and of an eighth of the width inside of them."""
    assert name == "resnet50"
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], width_per_group=8)


@pytest.fixture
def thin_resnets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", thin_resnet50)


def check_resnet50(part: str, cifar: str) -> None:
    torch.manual_seed(1)
    began = donor(torchvision.models.get_model("resnet50"))
    ended = follow(f"cifar10_resnet50_{part}", cifar, "model.pretrained=weights.pth", "data.image_size=32", "hyper_params.epochs=1")
    trains = RESNETS[part]
    assert changed(began, ended) == (set(ended) if trains is None else inside(ended, *trains))
    assert ended["fc.weight"].shape == (3, 2048)
    hyper = vars(settings_of(f"cifar10_resnet50_{part}").hyper_params)
    assert {name: hyper[name] for name in SGD} == SGD and (hyper["batch_size"], hyper["epochs"]) == (200, 100)
    assert load_checkpoint(Path("runs/run/fold0/best.pt"))["classes"] == ["zebra", "ant", "moth"]


def test_cifar10_resnet50_head_trains_the_new_head_alone(cifar: str, thin_resnets: None) -> None:
    check_resnet50("head", cifar)


def test_cifar10_resnet50_partly_trains_the_last_stage_and_the_new_head(cifar: str, thin_resnets: None) -> None:
    """BatchNorm's statistics of the other stages stay too."""
    check_resnet50("partly", cifar)


def test_cifar10_resnet50_whole_trains_everything(cifar: str, thin_resnets: None) -> None:
    check_resnet50("whole", cifar)


@pytest.mark.slow
@pytest.mark.parametrize("part", RESNETS)
def test_cifar10_resnet50_as_large_as_it_is(cifar: str, part: str) -> None:
    check_resnet50(part, cifar)


VGGS = {"vgg16": "D", "vgg19": "E"}  # torchvision's letters


def thin_vgg(name: str, weights: None = None) -> nn.Module:
    """A VGG with all layers that it has, of an eighth of their width, and of 8 in the classifier: 140 million numbers less."""
    widths: list[Any] = [width if width == "M" else width // 8 for width in torchvision.models.vgg.cfgs[VGGS[name]]]
    with torch.device("meta"):
        module = torchvision.models.VGG(torchvision.models.vgg.make_layers(widths), init_weights=False)
    module.features.to_empty(device="cpu")
    for part in module.features:
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(part.bias)
    module.classifier = nn.Sequential(
        nn.Linear(widths[-2] * 49, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1000)
    )
    return module


@pytest.fixture
def thin_vggs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", thin_vgg)


def check_vgg16(cifar: str) -> None:
    began = donor(torchvision.models.get_model("vgg16"))
    ended = follow("cifar10_vgg16", cifar, "model.pretrained=weights.pth", "data.image_size=32", "hyper_params.epochs=1")
    assert changed(began, ended) == inside(ended, "classifier")
    assert len(inside(ended, "classifier")) == 6 and ended["classifier.6.weight"].shape[0] == 3


def test_cifar10_vgg16_trains_the_classifier_and_no_convolution(cifar: str, thin_vggs: None) -> None:
    check_vgg16(cifar)


@pytest.mark.slow
def test_cifar10_vgg16_as_large_as_it_is(cifar: str) -> None:
    check_vgg16(cifar)


def check_vgg19(cifar: str) -> None:
    own = torchvision.models.get_model("vgg19")
    began = donor(own)
    small = (cifar, "model.pretrained=weights.pth", "data.image_size=32", "hyper_params.epochs=2")
    ended = follow("cifar10_vgg19_append", *small, "settings.keep_epochs=true")
    assert changed(began, ended) == {"appended.weight", "appended.bias"}
    assert began.keys() < ended.keys() and ended["appended.weight"].shape == (3, 1000)
    first, second = after_each_epoch()
    assert changed(first, second) == {"appended.weight", "appended.bias"}, "it learns"
    own.appended = nn.Linear(1000, 3)
    own.load_state_dict(ended)


def test_cifar10_vgg19_append_trains_the_added_layer_and_nothing_of_the_network(cifar: str, thin_vggs: None) -> None:
    check_vgg19(cifar)


def test_cifar10_vgg19_append_trains_everything_by_the_override_that_it_names(cifar: str, thin_vggs: None) -> None:
    override = "model.freeze=none"
    assert override in (CONFIGS / "cifar10_vgg19_append.ini").read_text()
    began = donor(torchvision.models.get_model("vgg19"))
    small = (cifar, "model.pretrained=weights.pth", "data.image_size=32", "hyper_params.epochs=1")
    ended = follow("cifar10_vgg19_append", *small, override)
    assert changed(began, ended) == set(ended)


@pytest.mark.slow
def test_cifar10_vgg19_append_as_large_as_it_is(cifar: str) -> None:
    check_vgg19(cifar)


def test_binary_vgg19_has_one_output_that_alone_learns(tmp_path: Path, thin_vggs: None) -> None:
    contest = make_contest(tmp_path / "plain", train=24, test=6)
    table = pd.read_csv(contest / "train.csv")
    for name, label in zip(table["id"], table["label"], strict=True):
        folder = contest / "photos/train" / ("mask" if label == "cat" else "bare")
        folder.mkdir(parents=True, exist_ok=True)
        (contest / f"train/{name}.png").rename(folder / f"{name}.png")
    (contest / "test").rename(contest / "photos/test")
    began = donor(torchvision.models.get_model("vgg19"))
    small = (f"settings.data_path={contest / 'photos'}", "model.pretrained=weights.pth", "data.image_size=32", "hyper_params.epochs=2")
    ended = follow("binary_vgg19", *small, "split.folds=2")
    assert changed(began, ended) == {"appended.weight", "appended.bias"} and ended["appended.weight"].shape == (1, 1000)
    oof = pd.read_csv("runs/run/oof.csv")
    assert (oof["p:bare"] + oof["p:mask"]).to_numpy() == pytest.approx(1, abs=1e-6)


def check_vit(cifar: str, name: str) -> None:
    began = donor(timm.create_model(name))
    small = (cifar, "model.pretrained=weights.pth", f"model.name={name}", "data.image_size=32", "hyper_params.epochs=6")
    follow("cifar10_vit", *small, "settings.keep_epochs=true")
    states = after_each_epoch()
    assert len(states) == 6
    head, last, more = inside(states[0], "head"), ("blocks.11", "norm"), ("blocks.10", "blocks.9")
    stretched = {"pos_embed"}  # from 14 x 14 to 2 x 2
    assert changed(began, states[0]) == head | stretched
    expected = [head | inside(began, *names) for names in (last, last, (*last, *more), (*last, *more))] + [set(began)]
    assert [changed(before, after) for before, after in pairwise(states)] == expected


@pytest.mark.slow
def test_cifar10_vit_unfreezes_from_above(cifar: str) -> None:
    check_vit(cifar, "vit_tiny_patch16_224")


@pytest.mark.slow
def test_cifar10_vit_as_large_as_it_is(cifar: str) -> None:
    check_vit(cifar, "vit_small_patch16_224")


@pytest.mark.slow
def test_fashion_mnist_resnet18_trains_everything_from_xaviers_first_values_on_one_channel(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path / "data", train=60, test=12)
    small = (f"settings.data_path={tmp_path / 'data'}", "hyper_params.epochs=2", "settings.keep_epochs=true")
    ended = follow("fashion_mnist_resnet18", *small)
    assert ended["conv1.weight"].shape == (64, 1, 7, 7) and ended["fc.weight"].shape == (3, 512)
    first, second = after_each_epoch()
    assert changed(first, second) == set(ended)
    assert json.loads(Path("runs/run/result.json").read_text())["coverage"] == 0.1
    # Adam's first steps of .001 leave the spread as it was: of xavier, not of the library's own kaiming (uniform; fan out).
    bound = (6 / (49 * 65)) ** 0.5
    assert float(first["conv1.weight"].abs().max()) <= bound + 0.01
    assert float(first["conv1.weight"].std()) == pytest.approx(bound / 3**0.5, rel=0.1)


def test_fashion_mnist_search_is_of_ten_trials_and_three_options() -> None:
    config = settings_of("fashion_mnist_search")
    assert (config.tuning.trials, config.tuning.searcher, config.tuning.scheduler, config.tuning.confirm) == (10, "hyperopt", "asha", 1)
    assert [(space.key, space.kind, space.numbers or space.texts) for space in config.search_space] == [
        ("hyper_params.epochs", "randint", (2, 10)),
        ("hyper_params.batch_size", "choice", ("16", "32", "64", "128")),
        ("hyper_params.learning_rate", "loguniform", (1e-4, 1e-1)),
    ]


@pytest.mark.slow
def test_fashion_mnist_search_finds_a_config_that_trains(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path / "data", train=60, test=12)
    places = (*SMALL[:3], f"settings.data_path={tmp_path / 'data'}")
    shorter = write_config(tmp_path / "shorter.ini", "[search_space]\nhyper_params.epochs = randint(1, 2)\n")
    recipes = [str(CONFIGS / f"{name}.ini") for name in ("fashion_mnist_resnet18", "fashion_mnist_search")]
    assert tune.main([*recipes, str(shorter), *places, "tuning.trials=3", "--quiet"]) == 0
    trials = pd.read_csv("runs/fashion-search/trials.csv", dtype=str, keep_default_na=False)
    assert len(trials) == 3 and (trials["confirmed"] != "").sum() == 1
    best = trials[trials["confirmed"] != ""].iloc[0]
    assert run_train("runs/fashion-search/best.ini", *places, "settings.run_name=run", "--quiet") == 0
    hyper = read_config([Path("runs/run/config.ini")])[0].hyper_params
    drawn = (str(hyper.epochs), str(hyper.batch_size), hyper.learning_rate)
    assert drawn == (best["hyper_params.epochs"], best["hyper_params.batch_size"], float(best["hyper_params.learning_rate"]))
    assert json.loads(Path("runs/run/result.json").read_text())["oof"] == pytest.approx(float(best["confirmed"]))


def check_digits(recipe: str, name: str, *more: str, **arguments: Any) -> None:
    ended = follow(recipe, "settings.debug=true", *more)
    module = timm.create_model(name, num_classes=10, in_chans=1, **arguments)
    module.load_state_dict(ended)
    assert len(Path("submissions/run.csv").read_text().splitlines()) == 361


@pytest.mark.slow
def test_digits_resnet_is_a_small_resnet_of_five_folds() -> None:
    check_digits("digits_resnet", "resnet10t")
    folds = {line.rpartition(",")[2] for line in Path("runs/run/folds.csv").read_text().splitlines()[1:]}
    assert folds == {"0", "1", "2", "3", "4"}


@pytest.mark.slow
def test_digits_vit_keeps_the_moving_average_of_one_model() -> None:
    check_digits("digits_vit", "test_vit", img_size=128)
    last = load_checkpoint(Path("runs/run/fold0/last.pt"))
    assert changed(last["ema"], last["model"]) and not changed(last["ema"], best("run"))
    assert [path.name for path in Path("runs/run").glob("fold[0-9]*")] == ["fold0"]


@pytest.mark.slow
def test_photos_trains_the_later_half_from_a_head_of_zeros_and_looks_at_mirror_images(tmp_path: Path) -> None:
    contest = make_contest(tmp_path / "contest", train=24, test=4)
    for row in pd.read_csv(contest / "train.csv").itertuples():
        (contest / "train" / row.label).mkdir(exist_ok=True)
        (contest / "train" / f"{row.id}.png").rename(contest / "train" / row.label / f"{row.id}.png")
    (contest / "sample_submission.csv").unlink()
    start = donor(timm.create_model("mobilenetv2_100"))
    crops = "augmentation.train=HorizontalFlip(p=0.5)"
    small = (
        "model.pretrained=weights.pth",
        "data.image_size=32",
        "hyper_params.epochs=2",
        "hyper_params.batch_size=4",
        "split.folds=2",
        crops,
    )
    end = follow("photos", f"settings.data_path={contest}", *small)
    early = inside(end, "conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2")
    assert early and set(end) - early - changed(start, end) == set() and not early & changed(start, end)
    config = settings_of("photos")
    assert (config.model.head_init, config.inference.tta, config.hyper_params.scheduler) == ("zeros", "hflip", "onecycle")


def test_mask_keeps_people_whole_and_fills_the_template_with_one_head_and_with_three(tmp_path: Path) -> None:
    contest = make_mask_contest(tmp_path / "contest", people=30, test=5)
    donor(timm.create_model("test_efficientnet"))
    small = ("model.pretrained=weights.pth", "model.name=test_efficientnet", "data.image_size=32, 24", "split.folds=2")
    quick = (f"settings.data_path={contest}", *small, "hyper_params.epochs=1", "model.drop_path=0")
    assert follow("mask", *quick)["classifier.weight"].shape[0] == 18
    oof, ages = pd.read_csv("runs/run/oof.csv"), pd.read_csv(contest / "train/train.csv").set_index("path")["age"]
    people = oof["id"].str.rpartition("/")[0]
    assert (oof.groupby(people)["fold"].nunique() == 1).all() and len(oof) == 210
    assert (oof["target"] % 3 == 2).tolist() == (ages[people] >= 58).tolist()
    template = pd.read_csv(contest / "eval/info.csv")["ImageID"].tolist()
    assert pd.read_csv("submissions/run.csv")["ImageID"].tolist() == template != sorted(template)
    config, text = settings_of("mask"), (CONFIGS / "mask.ini").read_text(encoding="utf-8")
    assert (config.hyper_params.metric, config.inference.tta) == ("macro_f1", "hflip") and "; head = separate " in text
    assert run_train(str(CONFIGS / "mask.ini"), *SMALL, *quick, "model.head=separate", "settings.run_name=three", "--quiet") == 0
    assert best("three")["classifier.weight"].shape[0] == 3 + 2 + 3
