"""`look.py model`: its counts against sums over parameters and multiply-adds by hand; offline, and without data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
from torch import nn

from modules.config.reader import read_config
from modules.models.build import Network
from modules.reporting.model_table import describe_model
from tests.making import fast, make_contest, write_config
from tests.scripts.running import refusal, run_look, run_train


def number(pattern: str, lines: list[str]) -> list[int]:
    (match,) = (found for line in lines if (found := re.search(pattern, line)))
    return [int(group.replace(",", "")) for group in match.groups()]


def test_multiply_adds_and_memory_are_those_computed_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 16, 5))
    config, _ = read_config([], ["data.image_size=16, 32", "hyper_params.batch_size=10"])
    lines = describe_model(Network(module, ("3",)), config, 5, False, "random ones")
    convolution = 8 * 8 * 16 * (3 * 9 + 1)  # outputs times inputs of each and its bias
    linear = 5 * 8 * 8 * 16 + 5
    assert number(r"^mult-adds ([\d,]+) an image", lines) == [convolution + linear]
    parameters = 8 * 3 * 9 + 8 + linear
    assert number(r"^trains    ([\d,]+) of ([\d,]+) parameters, ([\d,]+) are frozen", lines) == [parameters, parameters, 0]
    activations = 10 * 4 * (3 * 16 * 32 + 2 * (8 * 8 * 16 + 5)) / 1e6
    assert number(r"^memory    about ([\d,]+) MB", lines) == [round(activations)]
    (row,) = [line for line in lines if "Conv2d" in line]
    assert "[1, 3, 16, 32]" in row and "[1, 8, 8, 16]" in row and "224" in row and f"{convolution:,}" in row


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_what_trains_is_counted_as_freeze_says(name: str, contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    assert run_look("model", *fast(contest, f"model.name={name}", "model.freeze=backbone", "data.channels=1")) == 0
    lines = capsys.readouterr().out.splitlines()
    model: Any = timm.create_model(name, num_classes=3, in_chans=1, **({"img_size": 32} if "vit" in name else {}))
    total = sum(parameter.numel() for parameter in model.parameters())
    head = sum(parameter.numel() for parameter in model.get_classifier().parameters())
    assert number(r"^trains    ([\d,]+) of ([\d,]+) parameters, ([\d,]+) are frozen \(freeze = backbone\)", lines) == [
        head,
        total,
        total - head,
    ]
    assert f"model     timm {name}, 1 x 32 x 32, 3 classes" in lines
    assert "weights   random ones; those of this table are random" in lines
    assert max(map(len, lines)) <= 160


def test_it_needs_neither_data_nor_weights(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[data]\nsource = csv\n[settings]\ndata_path = nowhere\n")
    assert run_look("model", "model.pretrained=auto", "model.library=torchvision", "model.name=squeezenet1_1", "settings.gpu=false") == 0
    out = capsys.readouterr().out
    assert "torchvision squeezenet1_1, 3 x 32 x 32, 10 classes (assumed: the data cannot be read)" in out
    assert "weights   pretrained, from torchvision's hub; those of this table are random" in out
    assert "head      classifier.1" in out


def test_a_run_to_start_from_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    arguments = fast(make_contest(tmp_path / "contest"), "data.test_csv=test.csv")
    assert run_train(*arguments, "hyper_params.epochs=1", "settings.run_name=a", "--quiet") == 0
    assert run_look("model", *arguments, "model.pretrained=a") == 0
    assert "weights   of runs/a, fold by fold; those of this table are random" in capsys.readouterr().out


def test_a_model_that_does_not_exist_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[model]\nname = resnet81\n")
    (line,) = refusal(run_look, ["model"], capsys)
    assert line.startswith("config.ini:2 [model] name: timm has no classification model 'resnet81'; the nearest are ")
