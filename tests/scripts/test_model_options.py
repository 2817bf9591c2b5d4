"""The options of [model] from training to a submission: what inference rebuilds is what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torchvision
from torch import nn

from modules.config.reader import read_config
from modules.data.task import classification
from modules.jobs.preparation import prepare
from modules.prediction.predictions import load_predictions
from modules.runs.checkpoint import load_checkpoint
from modules.training.parts import evaluate, make_network, valid_batches
from tests.making import fast, write_config
from tests.scripts.running import refusal, run_inference, run_train
from tests.some import some

OPTIONS = [
    ("timm", "test_resnet", ("model.pooling=gem", "model.dropout=0.2", "model.drop_path=0.1", "model.grad_checkpointing=true")),
    ("timm", "test_vit", ("model.pooling=avg", "model.dropout=0.2", "model.drop_path=0.1", "model.grad_checkpointing=true")),
    ("torchvision", "mobilenet_v3_small", ("model.pooling=max", "model.dropout=0.3")),
]


@pytest.mark.parametrize(("library", "name", "options"), some(OPTIONS), ids=[case[1] for case in OPTIONS])
def test_the_restored_model_predicts_what_the_trained_one_did(library: str, name: str, options: tuple[str, ...], contest: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    # The "test set" is the training set, so that the plan of training can tell what every member says of it.
    more = ("data.test_csv=train.csv", "data.test_images=train", "hyper_params.epochs=1", "settings.run_name=a", "data.image_size=64")
    arguments = fast(contest, f"model.library={library}", f"model.name={name}", *options, *more)
    train = pd.read_csv(contest / "train.csv", dtype=str)
    train[["id"]].assign(cat=0, dog=0, eel=0).to_csv(contest / "sample_submission.csv", index=False)
    assert run_train(*arguments, "--quiet") == 0
    assert run_inference(*arguments, "inference.run=a") == 0
    submitted = pd.read_csv("submissions/a.csv")[["cat", "dog", "eel"]].to_numpy()

    plan = prepare(read_config(["config.ini"], arguments)[0])
    members = []
    for fold in plan.folds:
        network = make_network(plan, fold.number, pretrained=False)
        network.module.load_state_dict(load_checkpoint(Path(f"runs/a/fold{fold.number}/best.pt"))["model"])
        whole = replace(fold, valid_rows=np.arange(len(plan.samples)))
        members.append(evaluate(plan, network, valid_batches(plan, whole), whole, "none").values[0])
        saved = load_predictions(Path(f"runs/a/fold{fold.number}/predictions.csv"), classification("label", ("cat", "dog", "eel")))
        np.testing.assert_allclose(members[-1][fold.valid_rows], saved.values, atol=1e-6)
    np.testing.assert_allclose(submitted, np.mean(members, axis=0), atol=1e-6)

    # The library loads best.pt alone, since every name is its own; without the option it predicts something else.
    own: nn.Module
    if library == "timm":
        own = timm.create_model(name, num_classes=3, **({"img_size": 64} if "vit" in name else {}))
    else:
        own = torchvision.models.get_model(name, num_classes=3)
    own.load_state_dict(load_checkpoint(Path(f"runs/a/fold{fold.number}/best.pt"))["model"])
    with torch.no_grad():
        images = torch.rand(4, 3, 64, 64)
        assert not torch.allclose(own.eval()(images), network.module.eval()(images), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["model.drop_path=0.2"], "override model.drop_path: resnet18 has no stochastic depth; use 0"),
        (
            ["model.grad_checkpointing=true"],
            "override model.grad_checkpointing: torchvision's resnet18 cannot compute its act",
        ),
        (
            ["model.name=mobilenet_v2", "model.pooling=gem"],
            "override model.pooling: torchvision's MobileNetV2 cannot pool by gem: it",
        ),
    ],
)
def test_an_option_that_the_model_cannot_have_is_told_before_anything_starts(
    options: list[str], line: str, contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    arguments = fast(contest, "model.library=torchvision", "model.name=resnet18", "data.test_csv=test.csv", *options)
    for more in ([], ["--check"]):
        (found,) = refusal(run_train, [*arguments, *more, "--quiet"], capsys)
        assert found.startswith(line)
    assert not Path("runs").exists()
