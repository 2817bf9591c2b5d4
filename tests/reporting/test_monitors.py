"""What monitors are told: numbers as numpy has them, and nothing that is no number."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import wandb

from modules.compute.ranks import Ranks
from modules.config.errors import OptionError
from modules.config.reader import read_config
from modules.config.schema import OPTIONS
from modules.prediction.metrics import find_metric
from modules.reporting.monitors import BINS, TensorBoard, Wandb, Weights, everything, histogram, hyperparameters, numbers_of
from modules.reporting.sinks import open_sinks
from modules.runs.directory import RunDirectory
from modules.runs.records import EpochRecord, Sight
from tests.reporting.facts_made import made_facts
from tests.reporting.reading_back import read_events


@pytest.mark.parametrize("shape", [(1000,), (3, 3, 7, 5), (1,)])
def test_a_histogram_counts_as_numpys_does(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).round(decimals=2)
    found = histogram(values)
    expected, edges = np.histogram(values.numpy().astype(np.float64), BINS) if values.numel() > 1 else (np.array([1]), np.zeros(2))
    assert found["num"] == sum(found["bucket_counts"]) == values.numel()
    assert found["min"] == values.min().item() and found["max"] == values.max().item()
    assert found["sum"] == pytest.approx(values.sum().item(), abs=1e-3)
    assert found["sum_squares"] == pytest.approx(values.square().sum().item())
    if values.numel() > 1:
        np.testing.assert_allclose(found["bucket_limits"], edges[1:], atol=1e-6)
        moved = np.abs(np.cumsum(found["bucket_counts"]) - np.cumsum(expected)).max()
        assert moved <= 8, "only numbers that lie on an edge may count on its other side"


def test_of_a_large_tensor_a_part_is_counted_that_stands_for_all() -> None:
    values = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0))
    found = histogram(values)
    assert 2**14 <= found["num"] <= 2**15
    inside = sum(count for count, limit in zip(found["bucket_counts"], found["bucket_limits"], strict=True) if limit <= 0)
    assert inside / found["num"] == pytest.approx(0.5, abs=0.06)
    assert found["sum_squares"] / found["num"] == pytest.approx(1, abs=0.05)


def test_a_weight_that_broke_is_left_out_of_the_histogram() -> None:
    found = histogram(torch.tensor([1.0, math.nan, 3.0, math.inf]))
    assert (found["num"], found["min"], found["max"], found["sum"]) == (2, 1.0, 3.0, 4.0)
    assert histogram(torch.tensor([math.nan]))["num"] == 0
    assert histogram(torch.empty(0, 4))["num"] == 0, "some layers have none"


def test_histograms_are_made_once_an_epoch_of_that_fold_as_it_is_then() -> None:
    weights, layers = Weights(), [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    for fold, layer in enumerate(layers):
        weights.watch(Sight(fold, 1, fold == 0, layer, lambda: torch.empty(0), lambda: ()))

    def told(fold: int, epoch: int) -> dict[str, dict[str, Any]]:
        return weights.histograms(EpochRecord(fold, epoch, 0.5, 0.5, 0.5, 0.5, 1e-3, 100.0, 2.0))

    def largest(fold: int) -> float:
        return layers[fold].weight.max().item()

    first = told(0, 1)
    assert set(first) == {"weight", "bias"} and first["weight"]["max"] == largest(0)
    assert told(0, 1) is first, "the second monitor is told the same"
    assert told(1, 1)["weight"]["max"] == largest(1) != largest(0)
    with torch.no_grad():
        layers[1].weight += 1
    assert told(1, 2)["weight"]["max"] == largest(1)
    weights.forget(1)
    assert told(1, 3) == {} == told(2, 1), "of a fold that is over, or that another process trains"


def test_a_model_that_cannot_be_copied_trains_without_a_graph(tmp_path: Path) -> None:
    class Single(torch.nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("there is one of it")

    monitor = TensorBoard(tmp_path / "run", "accuracy", Weights())
    monitor.start_fold(Sight(0, 1, False, Single(3, 2), lambda: torch.empty(0), lambda: (torch.zeros(1, 3),)))
    monitor.close(failed=False)
    found = read_events(tmp_path / "run")["fold0"].Tags()
    assert any(tag.startswith("graph") for tag in found["tensors"]) and not found["graph"]


def test_the_end_of_a_run_that_validated_nothing_is_told_without_a_confusion(tmp_path: Path) -> None:
    result = {"oof": None, "folds": [None, None], "mean": None, "std": None, "coverage": 0}
    nothing = made_facts(targets=np.zeros(0, dtype=np.int64), values=np.zeros((0, 3)), result=result)
    TensorBoard(tmp_path / "run", "accuracy", Weights()).end_run(nothing)
    assert read_events(tmp_path / "run")["."].Tags()["images"] == []
    TensorBoard(tmp_path / "other", "accuracy", Weights()).end_run(made_facts())
    assert read_events(tmp_path / "other")["."].Tags()["images"] == ["confusion/animal"]


def test_what_was_not_validated_is_not_told() -> None:
    told = numbers_of(EpochRecord(0, 1, 0.5, math.nan, math.nan, math.nan, 1e-3, 100.0, 2.0), "accuracy")
    assert told == {"loss/train": 0.5, "learning rate": 1e-3, "images a second": 100.0}


def test_hyperparameters_are_what_runs_are_compared_by_and_what_was_set() -> None:
    config, _ = read_config([], ["hyper_params.weight_decay=0.2", "model.freeze=layer1, layer2", "settings.log_path=elsewhere"])
    assert hyperparameters(config) == {
        "model.name": "resnet18",
        "hyper_params.learning_rate": 1e-3,
        "hyper_params.batch_size": 64,
        "hyper_params.epochs": 10,
        "hyper_params.weight_decay": 0.2,
        "model.freeze": "layer1, layer2",
    }
    told = everything(config)
    assert {section: set(options) for section, options in told.items()} == {section: set(known) for section, known in OPTIONS.items()}
    assert told["model"]["freeze"] == "layer1, layer2" and told["settings"]["gpu"] is True


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_package_that_is_not_installed_is_one_line(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module, run = builtins.__import__, tmp_path / "run"

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if package in name.split("."):
            raise ImportError(name)
        return import_module(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    config, weights = read_config([], [])[0], Weights()
    with pytest.raises(OptionError, match=rf"^\[logging\] {package}: {package} is not installed: pip install {package}$"):
        TensorBoard(run, "accuracy", weights) if package == "tensorboard" else Wandb(run, "id", config, "accuracy", weights)
    assert not run.exists()


def opened(run: Path, *overrides: str) -> tuple[Any, ...]:
    config, _ = read_config([], ["logging.progress=false", *overrides])
    plan: Any = SimpleNamespace(
        config=config, metric=find_metric(config.hyper_params, "multiclass"), process=SimpleNamespace(ranks=Ranks()), folds=(0,), epochs=1
    )
    plan.run_id = "abc"
    with open_sinks(plan, RunDirectory(run), quiet=True) as sinks:
        return tuple(sinks.monitors)


def test_nobody_else_is_told_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert opened(tmp_path / "run") == () and not (tmp_path / "run").exists()


def test_tensorboard_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    (monitor,) = opened(tmp_path / "run", "logging.tensorboard=true")
    assert isinstance(monitor, TensorBoard) and monitor.folder == tmp_path / "run/tensorboard"


def test_weights_and_biases_are_told_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    ended: list[int] = []

    def init(**arguments: Any) -> Any:
        told.update(arguments)
        return SimpleNamespace(finish=lambda exit_code: ended.append(exit_code))

    monkeypatch.setattr(wandb, "init", init)
    (monitor,) = opened(tmp_path / "run", "logging.wandb=true", "logging.wandb_project=masks", "logging.wandb_entity=team")
    assert isinstance(monitor, Wandb) and ended == [0]
    assert (told["project"], told["entity"], told["id"], told["resume"]) == ("masks", "team", "abc", "allow")
    assert (told["name"], told["dir"]) == ("run", str(tmp_path / "run")) and told["config"]["logging"]["wandb_entity"] == "team"
