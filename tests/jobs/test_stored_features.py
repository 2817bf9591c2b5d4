"""Whether phases learn from stored features, and what the person is told of it."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modules.config.errors import OptionError
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.data.preprocessing import Preprocessing, make_preprocessing
from modules.data.splits import Fold
from modules.jobs import stored_features
from modules.jobs.disk import why_not
from modules.jobs.stored_features import as_chosen, choose_features
from modules.models.build import Network, build_network
from modules.training.phases import TrainingPhase

FOLDS = tuple(Fold(number, np.arange(5), np.arange(5, 7)) for number in range(3))
IMAGES = 1000
BACKBONE = ("model.freeze=backbone", "hyper_params.epochs=4")
NUMBERS = 96  # of test_resnet before its head


def config_for(*more: str) -> Config:
    common = ("data.source=csv", "data.image_size=32", "model.name=test_resnet", "augmentation.preset=none")
    return read_config([], [*common, *more])[0]


def network_for(config: Config) -> Network:
    torch.manual_seed(0)
    return build_network(config.model, 2, 3, config.data.image_size, False)


def preprocessing_for(config: Config) -> Preprocessing:
    return make_preprocessing(config.data, config.augmentation.valid, (0.5,) * 3, (0.5,) * 3)


def choose(*more: str, network: Network | None = None, same_weights: bool = True) -> tuple[tuple[TrainingPhase, ...], list[str]]:
    config = config_for(*more)
    found = network or network_for(config)
    return choose_features(config, found, same_weights, preprocessing_for(config), FOLDS, IMAGES)[:2]


def flags(phases: tuple[TrainingPhase, ...]) -> list[bool]:
    return [phase.cut is not None for phase in phases]


@pytest.mark.parametrize(
    ("more", "size", "passes", "bytes_told"),
    [
        ((), NUMBERS * 2, "one pass", "192 kB"),
        (("model.feature_precision=float32",), NUMBERS * 4, "one pass", "384 kB"),
        (("augmentation.preset=light", "model.feature_views=4"), NUMBERS * 2 * 5, "5 passes", "960 kB"),  # and the image as it is
        (("augmentation.preset=light", "model.feature_views=7"), NUMBERS * 2 * 8, "8 passes", "1.5 MB"),
    ],
)
def test_the_line_says_what_it_costs_and_saves(more: tuple[str, ...], size: int, passes: str, bytes_told: str) -> None:
    phases, lines = choose(*BACKBONE, *more)
    assert flags(phases) == [True] and phases[0].cut is not None and phases[0].cut.numbers == NUMBERS
    what = "features: epochs 1 to 4 learn from stored features, 96 numbers an image, in place of 100% of a forward pass"
    views = f"; {more[1][-1]} augmented views of each, the same for all folds and epochs" if len(more) > 1 else ""
    assert lines == [f"{what}: {passes} over 1,000 images in place of 12, and {bytes_told} in .cache{views}"]  # 4 epochs of 3 folds
    assert float(bytes_told.split()[0]) == pytest.approx(size * IMAGES / (1e6 if "MB" in bytes_told else 1e3), abs=0.05)
    assert choose(*BACKBONE, *more, "model.feature_cache=on")[1] == lines


def test_folds_of_weights_of_their_own_cost_as_many_times() -> None:
    _, (line,) = choose(*BACKBONE, same_weights=False)
    assert line.endswith("3 passes over 1,000 images in place of 12, and 576 kB in .cache; what is frozen is another network in each fold")


def test_a_phase_of_one_epoch_is_said_so_and_each_phase_has_its_line() -> None:
    phases, lines = choose("model.freeze=backbone", "model.unfreeze=2: layer4, 4: all", "hyper_params.epochs=6")
    assert flags(phases) == [True, True, False]
    assert [line.partition(" learn")[0] for line in lines] == ["features: epoch 1", "features: epochs 2 to 3"]
    deep = phases[1].cut
    assert deep is not None and f"{deep.numbers:,} numbers an image, in place of {deep.share:.0%} of a forward pass" in lines[1]
    assert "one pass over 1,000 images in place of 6" in lines[1]  # 2 epochs of 3 folds


def test_nothing_frozen_or_off_is_nothing_said() -> None:
    for more in ((), (*BACKBONE, "model.feature_cache=off"), ("hyper_params.probe_epochs=2", "model.feature_cache=off")):
        phases, lines = choose(*more)
        assert not any(flags(phases)) and lines == []
    phases, lines = choose("hyper_params.probe_epochs=2", "hyper_params.epochs=1")
    assert flags(phases) == [True, False] and len(lines) == 1


class Blend(nn.Module):
    """(batch, 3, 32, 32) to (batch, 2). It may look at the numbers to choose its way."""

    def __init__(self, looks: bool) -> None:
        super().__init__()
        self.stem, self.head, self.looks = nn.Conv2d(3, 4, 32), nn.Linear(4, 2), looks

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.stem(images).flatten(1)
        return self.head(-found if self.looks and found.sum() > 0 else found)


def light() -> Network:
    """Most of its work is behind what is frozen."""
    module = nn.Sequential()
    module.add_module("stem", nn.Conv2d(3, 4, 1))
    module.add_module("body", nn.Conv2d(4, 64, 5))
    module.add_module("flat", nn.Flatten())
    module.add_module("head", nn.Linear(64 * 28 * 28, 2))
    return Network(module, ("head",))


SHARE = 3 * 4 * 1024 / (3 * 4 * 1024 + 4 * 64 * 25 * 784 + 64 * 784 * 2)
REASONS: dict[str, tuple[tuple[str, ...], Network | None, str]] = {
    "augmentation": (
        ("augmentation.preset=light",),
        None,
        "augmentation makes each epoch's images others; augmentation.preset = none stores them as they are, model.feature_views = 4"
        " stores 4 augmented views of each",
    ),
    "share": (
        ("model.freeze=stem",),
        light(),
        f"what is frozen does only {SHARE:.0%} of the model's work; feature_cache = on stores them all the same",
    ),
}
REFUSED: dict[str, tuple[tuple[str, ...], Network | None, str]] = {
    "limit": (("settings.cache_limit=0.0001",), None, "192 kB are more than the 100 kB that settings.cache_limit leaves"),
    "code": (
        (),
        Network(Blend(looks=True), ("head",)),
        "its code decides by its input which way it goes, and cannot be followed",
    ),
    "images": (("model.freeze=fc, layer4",), None, "what trains begins at the images"),
}


@pytest.mark.parametrize("reason", [*REASONS, *REFUSED])
def test_auto_says_why_features_are_not_stored(reason: str) -> None:
    more, network, expected = {**REASONS, **REFUSED}[reason]
    phases, lines = choose(*BACKBONE, *more, network=network)
    assert not any(flags(phases)) and lines == [f"features are not stored: {expected}"]


@pytest.mark.parametrize("reason", REFUSED)
def test_on_is_refused_for_it(reason: str) -> None:
    more, network, expected = REFUSED[reason]
    with pytest.raises(OptionError) as refused:
        choose(*BACKBONE, *more, "model.feature_cache=on", network=network)
    assert str(refused.value) == f"[model] feature_cache: features cannot be stored: {expected}; use auto"


@pytest.mark.parametrize("reason", REASONS)
def test_on_does_what_auto_would_rather_not(reason: str) -> None:
    more, network, _ = REASONS[reason]
    phases, (line, *others) = choose(*BACKBONE, *more, "model.feature_cache=on", network=network)
    assert flags(phases) == [True] and line.startswith("features: epochs 1 to 4 learn from stored features") and others == []


@pytest.mark.parametrize("blending", ["mixup", "cutmix"])
def test_blended_images_have_no_stored_features(blending: str) -> None:
    phases, lines = choose(*BACKBONE, f"augmentation.{blending}=0.2")
    assert flags(phases) == [False]
    assert lines == ["features are not stored: mixup and cutmix blend the images of each batch anew"]


def test_a_share_of_a_quarter_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = light()
    monkeypatch.setattr(stored_features, "WORTH_IT", SHARE * 1.01)
    assert flags(choose(*BACKBONE, "model.freeze=stem", network=network)[0]) == [False]
    monkeypatch.setattr(stored_features, "WORTH_IT", SHARE * 0.99)
    assert flags(choose(*BACKBONE, "model.freeze=stem", network=network)[0]) == [True]


def test_the_limit_is_of_all_phases_together() -> None:
    gradual = ("model.freeze=backbone", "model.unfreeze=2: layer4, 4: all", "hyper_params.epochs=6")
    phases, _ = choose(*gradual)
    sizes = [phase.cut.numbers * 2 * IMAGES for phase in phases if phase.cut is not None]
    both, short = (f"settings.cache_limit={(sum(sizes) + change) / 1e9!r}" for change in (1, -1))
    assert flags(choose(*gradual, both)[0]) == [True, True, False]
    phases, lines = choose(*gradual, short)
    assert flags(phases) == [True, False, False] and "that settings.cache_limit leaves" in lines[1]


def test_a_disk_that_is_full_and_a_folder_that_cannot_be_written_to_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(100, 100, "new/folder", "features") is None
    assert why_not(101_000, 100_000, "new/folder", "features") == "101 kB are more than the 100 kB that settings.cache_limit leaves"
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 5_000_000))
        assert why_not(6_000_000, 1e12, "new/folder", "features") == "6.0 MB are more than the 5.0 MB that are free in new/folder"
        assert why_not(5_000_000, 1e12, "new/folder", "features") is None
    Path("file").write_text("")
    for folder in ("file", "file/inside"):
        assert why_not(1, 100, folder, "features") == f"settings.cache_path, {folder}, cannot be written to"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert why_not(1, 100, "new/folder", "features") == "settings.cache_path, new/folder, cannot be written to"
    assert not Path("new").exists()


@pytest.fixture
def gradual() -> tuple[Config, Network]:
    config = config_for("model.freeze=backbone", "model.unfreeze=2: layer4, 4: all", "hyper_params.epochs=6", "augmentation.preset=heavy")
    return config, network_for(config)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([True, True, False], [True, True, False]),
        ([False, True, False], [False, True, False]),
        ([False, False, False], [False, False, False]),
        ([True], [True, False, False]),
        ([], [False, False, False]),
    ],
)
def test_a_resumed_run_does_what_it_did_whatever_auto_would_say(
    gradual: tuple[Config, Network], chosen: list[bool], expected: list[bool]
) -> None:
    config, network = gradual
    phases = as_chosen(config, network, preprocessing_for(config), chosen)
    assert flags(phases) == expected
    assert [replace(phase, cut=None) for phase in phases] == list(choose_features(*off(config), FOLDS, IMAGES)[0])


def off(config: Config) -> tuple[Any, ...]:
    without = replace(config, model=replace(config.model, feature_cache="off"))
    return without, network_for(config), True, preprocessing_for(config)


def test_a_resumed_run_whose_model_is_not_cut_any_more_is_refused(gradual: tuple[Config, Network]) -> None:
    config = replace(gradual[0], model=replace(gradual[0].model, unfreeze=None))
    network = Network(Blend(looks=True), ("head",))
    with pytest.raises(OptionError, match="the run learns from stored features, and those cannot be made: its code decides by its input"):
        as_chosen(config, network, preprocessing_for(config), [True])


def test_auto_stores_nothing_where_that_takes_more_passes_than_it_saves() -> None:
    more = ("augmentation.preset=light", "model.feature_views=4", "hyper_params.epochs=1")
    phases, lines = choose(*BACKBONE, *more)
    reason = "5 passes over the images in place of 3 save nothing; feature_cache = on makes them"
    assert (flags(phases), lines) == ([False], [f"features are not stored: {reason}"])
    assert flags(choose(*BACKBONE, *more, "model.feature_cache=on")[0]) == [True]
