"""train_fold: early stopping on the best checkpoint, and the same result from a fold that was stopped anywhere."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch._dynamo.utils import counters

from modules.config.errors import DataError
from modules.config.reader import read_config
from modules.data.preprocessing import Preprocessing
from modules.data.task import classification
from modules.jobs.preparation import prepare
from modules.models.objectives import Objective
from modules.prediction.logits import task_objective
from modules.prediction.metrics import METRICS, Metric
from modules.prediction.predictions import load_predictions
from modules.runs.checkpoint import load_checkpoint, save_checkpoint
from modules.runs.directory import FoldDirectory
from modules.runs.records import EpochRecord, FoldResult, Sight
from modules.training import fold as fold_module
from modules.training import parts as parts_module
from modules.training.fold import train_fold
from modules.training.plan import Plan
from tests.digests import digest_tensors
from tests.making import fast, make_contest
from tests.some import some
from tests.tiny import DROPPING, TINY

RESUMED = (f"model.name={DROPPING}", "augmentation.preset=heavy", "hyper_params.epochs=4")


class Recorder:
    """A sink that keeps what it is told, and pulls the plug at the end of epoch `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.records: list[EpochRecord] = []
        self.results: list[FoldResult] = []
        self.starts: list[tuple[int, int, int, int]] = []
        self.sights: list[Sight] = []

    def start_fold(self, sight: Sight) -> None:
        self.sights.append(sight)

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self.starts.append((fold, epoch, epochs, steps))

    def step(self, loss: Callable[[], float]) -> None: ...

    def follow(self, steps: Iterator[int], total: int, what: str) -> Iterator[int]:
        return steps

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self.records.append(record)
        if record.epoch == self.stop:
            raise KeyboardInterrupt

    def end_fold(self, result: FoldResult) -> None:
        self.results.append(result)


@contextmanager
def process_left_as_it_was() -> Iterator[None]:
    """`prepare` chooses threads and determinism for its process."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with process_left_as_it_was():
        yield


def plan_for(contest: Path, *more: str) -> Plan:
    plan = prepare(read_config([], fast(contest, *more))[0])
    return replace(plan, run_id="a run")


def train(plan: Plan, folder: str, number: int = 0, stop: int | None = None) -> tuple[FoldDirectory, Recorder]:
    directory, sink = FoldDirectory(Path(folder)), Recorder(stop)
    train_fold(plan, plan.folds[number], directory, sink)
    return directory, sink


def digests(directory: FoldDirectory) -> dict[str, Any]:
    """All that must be equal of two folds that learnt the same."""
    best, last = load_checkpoint(directory.best), load_checkpoint(directory.last)
    slots = last["optimizer"]["state"].items()
    return {
        "best": digest_tensors(best["model"]),
        "best epoch": (best["epoch"], best["scores"]),
        "last": digest_tensors(last["model"]),
        "ema": digest_tensors(last["ema"] or {}),
        "optimizer": digest_tensors({f"{index}.{key}": value for index, slot in slots for key, value in slot.items()}),
        "groups": [{key: value for key, value in group.items() if key != "params"} for group in last["optimizer"]["param_groups"]],
        "step": last["step"],
        "progress": last["progress"],
        "history": [{key: value for key, value in row.items() if "second" not in key} for row in last["history"]],
        "history.csv": [{key: value for key, value in row.items() if "second" not in key} for row in told(directory)],
        "predictions": directory.predictions.read_bytes(),
    }


def told(directory: FoldDirectory) -> list[dict[str, str]]:
    with open(directory.history, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Makes the metric give these scores, one an evaluation, and 9 when they are used up."""

    def script(scores: list[float], greater_is_better: bool = True) -> None:
        left = iter(scores)
        monkeypatch.setitem(
            METRICS,
            "accuracy",
            lambda hyper: Metric("accuracy", greater_is_better, "values", lambda targets, values, task: next(left, 9.0)),
        )

    return script


def test_a_fold_learns_and_leaves_what_the_contract_says(contest: Path) -> None:
    plan = plan_for(contest, "hyper_params.epochs=6", "hyper_params.learning_rate=3e-3")
    directory, sink = train(plan, "fold0")
    assert {path.name for path in directory.path.iterdir()} == {"best.pt", "last.pt", "last.prev.pt", "history.csv", "predictions.csv"}
    (result,) = sink.results
    valid = plan.folds[0].valid_rows
    table = pd.read_csv(directory.predictions, dtype=str)
    assert table["id"].tolist() == plan.samples.ids[valid].tolist()
    assert plan.samples.targets is not None
    assert table["target"].tolist() == [plan.samples.task.classes[target] for target in plan.samples.targets[valid]]
    assert result.score == pytest.approx(float((table["target"] == table["prediction"]).mean()))
    assert result.score > 0.9 and result.epochs == len(sink.records) <= 6
    best = max(sink.records, key=lambda record: (record.score, -record.epoch))
    assert (result.best_epoch, result.score) == (best.epoch, pytest.approx(best.score))
    steps = -(-len(plan.folds[0].train_rows) // 8)
    assert sink.starts == [(0, epoch, 6, steps) for epoch in range(1, len(sink.records) + 1)]


def test_history_has_a_row_an_epoch_as_it_was_told(contest: Path) -> None:
    directory, sink = train(plan_for(contest), "fold0")
    with open(directory.history, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [vars(record) for record in sink.records]
    assert [record.learning_rate for record in sink.records] == sorted((r.learning_rate for r in sink.records), reverse=True)
    assert all(record.best == max(r.score for r in sink.records[: record.epoch]) for record in sink.records)


def test_patience_stops_a_fold_after_so_many_epochs_without_improvement(contest: Path, scripted: Callable[..., None]) -> None:
    scripted([0.1, 0.5, 0.5, 0.4, 0.6, 0.6])
    directory, sink = train(plan_for(contest, "hyper_params.epochs=9", "hyper_params.patience=2"), "fold0")
    assert [record.score for record in sink.records] == [0.1, 0.5, 0.5, 0.4]
    assert [record.best for record in sink.records] == [0.1, 0.5, 0.5, 0.5]
    assert load_checkpoint(directory.best)["epoch"] == 2 and load_checkpoint(directory.last)["epoch"] == 4
    assert sink.results[0].best_epoch == 2 and sink.results[0].epochs == 4


def test_patience_goes_by_the_metrics_direction_and_min_delta(contest: Path, scripted: Callable[..., None]) -> None:
    scripted([0.9, 0.5, 0.45, 0.41, 0.3], greater_is_better=False)
    plan = plan_for(contest, "hyper_params.epochs=9", "hyper_params.patience=2", "hyper_params.min_delta=0.1")
    directory, sink = train(plan, "fold0")
    assert len(sink.records) == 4 and load_checkpoint(directory.best)["epoch"] == 2


def test_patience_zero_trains_every_epoch(contest: Path, scripted: Callable[..., None]) -> None:
    scripted([0.5, 0.4, 0.3, 0.2])
    _, sink = train(plan_for(contest, "hyper_params.epochs=4", "hyper_params.patience=0"), "fold0")
    assert len(sink.records) == 4


def test_best_is_a_copy_of_the_best_epoch_and_not_of_the_last(contest: Path, scripted: Callable[..., None]) -> None:
    """Against a run of its own that ends at the best epoch, under a rate that does not depend on the number of epochs."""
    more = ("hyper_params.scheduler=constant", "hyper_params.patience=0")
    scripted([0.1, 0.9, 0.3, 0.2])
    long, _ = train(plan_for(contest, "hyper_params.epochs=4", *more), "long")
    scripted([0.1, 0.9])
    short, _ = train(plan_for(contest, "hyper_params.epochs=2", *more), "short")
    best = load_checkpoint(long.best)
    assert best["epoch"] == 2 and best["scores"]["accuracy"] == 0.9
    assert digest_tensors(best["model"]) == digest_tensors(load_checkpoint(short.last)["model"])
    assert digest_tensors(best["model"]) != digest_tensors(load_checkpoint(long.last)["model"])
    assert long.predictions.read_bytes() == short.predictions.read_bytes()


def test_best_loads_into_the_librarys_own_model_and_predicts_the_same(contest: Path) -> None:
    plan = plan_for(contest)
    directory, _ = train(plan, "fold0")
    best = torch.load(directory.best, weights_only=True)
    assert tuple(best["classes"]) == plan.samples.task.classes == ("cat", "dog", "eel")
    assert best["network"] == {"library": "timm", "name": TINY}
    assert Preprocessing.from_dict(best["preprocessing"]) == plan.preprocessing
    module = timm.create_model(TINY, num_classes=3).eval()
    module.load_state_dict(best["model"])
    found = load_predictions(directory.predictions, plan.samples.task)
    for name, row in zip(found.ids[:6], found.values[:6], strict=True):
        with Image.open(contest / "train" / f"{name}.png") as image:
            pixels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float32)
        with torch.no_grad():
            logits = module(torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None])
        np.testing.assert_allclose(logits.softmax(1)[0].numpy(), row, atol=0.05)


def test_torchvisions_names_are_kept_too(contest: Path) -> None:
    directory, _ = train(plan_for(contest, "model.library=torchvision", "model.name=mobilenet_v3_small", "hyper_params.epochs=1"), "fold0")
    module = torchvision.models.mobilenet_v3_small(weights=None, num_classes=3)
    module.load_state_dict(torch.load(directory.best, weights_only=True)["model"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A contest, and what a fold that nothing stops comes to on it."""
    root = tmp_path_factory.mktemp("whole")
    contest = make_contest(root / "contest")
    with process_left_as_it_was():
        directory, _ = train(plan_for(contest, *RESUMED), str(root / "whole"))
    return contest, digests(directory)


@pytest.fixture
def uninterrupted(whole: tuple[Path, dict[str, Any]]) -> tuple[Plan, dict[str, Any]]:
    """Heavy augmentation and a model with dropout and BatchNorm, so that every kind of draw is in it."""
    contest, expected = whole
    plan = plan_for(contest, *RESUMED)
    network = parts_module.make_network(plan, 0, False).module
    kinds = {type(layer) for layer in network.modules()}
    assert {nn.Dropout, nn.BatchNorm2d} <= kinds
    return plan, expected


def test_a_fold_stopped_after_any_epoch_comes_to_the_same_result(uninterrupted: tuple[Plan, dict[str, Any]]) -> None:
    plan, expected = uninterrupted
    for stop in (1, 2, 3, 4):
        folder = f"stopped{stop}"
        with pytest.raises(KeyboardInterrupt):
            train(plan, folder, stop=stop)
        assert not (Path(folder) / "predictions.csv").exists()
        torch.manual_seed(stop)  # nothing may depend on where the generators stood
        directory, sink = train(plan, folder)
        assert [record.epoch for record in sink.records] == list(range(stop + 1, 5))
        assert digests(directory) == expected


def test_a_fold_stopped_after_every_epoch_comes_to_the_same_result(uninterrupted: tuple[Plan, dict[str, Any]]) -> None:
    plan, expected = uninterrupted
    for stop in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            train(plan, "stopped", stop=stop)
    assert digests(train(plan, "stopped")[0]) == expected


def test_a_fold_stopped_within_an_epoch_comes_to_the_same_result(
    uninterrupted: tuple[Plan, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, expected = uninterrupted
    with monkeypatch.context() as patch:
        calls = iter(range(100))
        patch.setattr(Recorder, "step", lambda self, loss: pull_the_plug() if next(calls) == 5 else None)
        with pytest.raises(KeyboardInterrupt):
            train(plan, "stopped")
    directory, sink = train(plan, "stopped")
    assert sink.starts[0][1] == 2 and digests(directory) == expected


def pull_the_plug() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("before", "at"), some([("save_last", 1), ("save_last", 3), ("write_history", 1), ("write_history", 3), ("_predict_validation", 0)])
)
def test_a_fold_stopped_between_two_files_comes_to_the_same_result(
    uninterrupted: tuple[Plan, dict[str, Any]], before: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, expected = uninterrupted
    real, calls = getattr(fold_module, before), iter(range(100))

    def stop(*arguments: Any) -> Any:
        return pull_the_plug() if next(calls) == at else real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fold_module, before, stop)
        with pytest.raises(KeyboardInterrupt):
            train(plan, "stopped")
    assert digests(train(plan, "stopped")[0]) == expected


@pytest.mark.parametrize("finished", [False, True])
def test_a_damaged_newest_checkpoint_costs_an_epoch_and_changes_nothing(uninterrupted: tuple[Plan, dict[str, Any]], finished: bool) -> None:
    plan, expected = uninterrupted
    if finished:
        train(plan, "stopped")
    else:
        with pytest.raises(KeyboardInterrupt):
            train(plan, "stopped", stop=3)
    directory = FoldDirectory(Path("stopped"))
    whole = bytearray(directory.last.read_bytes())
    whole[len(whole) // 2] ^= 8
    directory.last.write_bytes(whole)
    sink = Recorder()
    _, warnings = train_fold(plan, plan.folds[0], directory, sink)
    assert len(warnings) == 1 and "last.pt: damaged" in warnings[0]
    assert [record.epoch for record in sink.records] == ([4] if finished else [3, 4])
    assert digests(directory) == expected


def test_a_finished_fold_says_its_score_and_changes_nothing(contest: Path) -> None:
    plan = plan_for(contest)
    directory, first = train(plan, "fold0")
    kept = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.path.iterdir()}
    _, again = train(plan, "fold0")
    assert again.results == first.results and again.records == [] and again.starts == []
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.path.iterdir()} == kept


def test_patience_is_not_forgotten_by_a_resumed_fold(contest: Path, scripted: Callable[..., None]) -> None:
    plan = plan_for(contest, "hyper_params.epochs=9", "hyper_params.patience=3")
    scripted([0.5, 0.4, 0.3])
    with pytest.raises(KeyboardInterrupt):
        train(plan, "fold0", stop=3)
    scripted([0.2])
    directory, sink = train(plan, "fold0")
    assert [record.epoch for record in sink.records] == [4]
    assert load_checkpoint(directory.best)["epoch"] == 1


def test_any_number_of_workers_gives_the_same(contest: Path) -> None:
    more = ("augmentation.preset=heavy", "settings.num_workers=")
    none, _ = train(plan_for(contest, more[0], f"{more[1]}0"), "none")
    two, _ = train(plan_for(contest, more[0], f"{more[1]}2"), "two")
    assert digests(none) == digests(two)


def test_folds_and_seeds_differ_and_seed_zero_is_a_seed(contest: Path) -> None:
    first = plan_for(contest, "settings.seed=0", "hyper_params.epochs=1")
    one, again, other_fold = (digests(train(first, folder, number)[0]) for folder, number in (("a", 0), ("b", 0), ("c", 1)))
    other_seed = digests(train(plan_for(contest, "settings.seed=1", "hyper_params.epochs=1"), "d")[0])
    assert one == again
    assert len({one["last"], other_fold["last"], other_seed["last"]}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "another run"}, r"last\.pt: belongs to another run or another fold$"),
        ({"fold": 1}, r"last\.pt: belongs to another run or another fold$"),
        (
            {"task": classification("label", ("eel", "dog", "cat")).to_dict()},
            r"last\.pt: its classes, or their order, are not those of the table$",
        ),
        (
            {"task": classification("label", ("cat", "dog")).to_dict()},
            r"last\.pt: its classes, or their order, are not those of the table$",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_left_alone(contest: Path, change: dict[str, Any], message: str) -> None:
    plan = plan_for(contest, "hyper_params.epochs=2")
    with pytest.raises(KeyboardInterrupt):
        train(plan, "fold0", stop=1)
    directory = FoldDirectory(Path("fold0"))
    save_checkpoint(directory.last, {**load_checkpoint(directory.last), **change})
    kept = directory.last.read_bytes()
    with pytest.raises(DataError, match=message):
        train(plan, "fold0")
    assert directory.last.read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "message"),
    some(
        [
            ({"run_id": "another run"}, "this checkpoint is of another run"),
            ({"fold": 1}, "this checkpoint is of fold 1, not of fold 0"),
            ({"task": classification("label", ("eel", "dog", "cat")).to_dict()}, "its classes, or their order, are not those of the run"),
            ({"epoch": 7}, "this checkpoint is of epoch 7, and the fold's best one is [12]"),
            ({"format": 2}, "written by another version of Foldini, in format 2; this one reads 1"),
        ]
    ),
)
def test_a_best_checkpoint_of_something_else_is_refused(contest: Path, change: dict[str, Any], message: str) -> None:
    """Its predictions would be told as the fold's own: those of another fold's model have seen the rows."""
    plan = plan_for(contest, "hyper_params.epochs=2")
    directory, _ = train(plan, "fold0")
    save_checkpoint(directory.best, {**load_checkpoint(directory.best), **change})
    for kept in (True, False):
        if not kept:
            directory.predictions.unlink()
        with pytest.raises(DataError, match=rf"best\.pt: {message}; remove fold0 to train this fold again$"):
            train(plan, "fold0")


@pytest.mark.parametrize("content", [None, "epoch\n1\n"])
def test_the_history_of_a_finished_fold_is_written_again_where_it_is_damaged(contest: Path, content: str | None) -> None:
    plan = plan_for(contest, "hyper_params.epochs=2")
    directory, _ = train(plan, "fold0")
    whole = directory.history.read_bytes()
    directory.history.unlink()
    if content is not None:
        directory.history.write_text(content)
    train(plan, "fold0")
    assert directory.history.read_bytes() == whole


@pytest.mark.parametrize("content", ["best", "a model alone"])
def test_a_checkpoint_that_nothing_can_go_on_from_is_refused_in_one_line(contest: Path, content: str) -> None:
    """best.pt, or some model's file, copied to last.pt by hand."""
    plan = plan_for(contest, "hyper_params.epochs=2")
    with pytest.raises(KeyboardInterrupt):
        train(plan, "fold0", stop=1)
    directory = FoldDirectory(Path("fold0"))
    best = load_checkpoint(directory.best)
    save_checkpoint(directory.last, best if content == "best" else {"model": best["model"]})
    with pytest.raises(DataError, match=r"last\.pt: ") as caught:
        train(plan, "fold0")
    assert len(caught.value.lines) == 1


def broken_objective(*settings: Any, at: int, calls: list[int]) -> Objective:
    """The real one, but for the training loss of step `at`."""
    real = task_objective(*settings)

    def compute(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = real.loss(logits, targets)
        if logits.requires_grad:
            calls.append(len(calls))
            value = value * float("nan") if calls[-1] == at else value
        return value

    return Objective(compute, real.activation)


def test_a_loss_that_is_no_number_stops_the_fold_before_anything_is_saved_of_that_epoch(
    contest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(contest, "hyper_params.epochs=3")
    steps = -(-len(plan.folds[0].train_rows) // 8)
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "task_objective", partial(broken_objective, at=steps + 2, calls=[]))
        with pytest.raises(DataError, match=rf"^fold 0, epoch 2: the loss is nan at step 3 of {steps}; training stopped\. ") as caught:
            train(plan, "fold0")
    assert len(caught.value.lines) == 1 and "hyper_params.learning_rate" in str(caught.value)
    directory = FoldDirectory(Path("fold0"))
    assert {path.name for path in directory.path.iterdir()} == {"best.pt", "last.pt", "history.csv"}
    for path in (directory.best, directory.last):
        content = load_checkpoint(path)
        assert content["epoch"] == 1
        assert all(bool(torch.isfinite(tensor).all()) for tensor in content["model"].values())
    assert len(directory.history.read_text().splitlines()) == 2
    resumed, _ = train(plan, "fold0")
    whole, _ = train(plan, "whole")
    assert digests(resumed) == digests(whole)


def test_weights_that_break_in_the_last_step_are_not_saved(contest: Path) -> None:
    """The loss is a number at every step, and the rate so high that the weights after it are none."""
    plan = plan_for(contest, "hyper_params.learning_rate=1000", "hyper_params.optimizer=momentum", "hyper_params.epochs=1")
    (fold, *_) = plan.folds
    single = replace(fold, train_rows=fold.train_rows[:8])
    (phase,) = plan.phases
    huge = replace(plan, phases=(replace(phase, hyper=replace(phase.hyper, learning_rate=1e38)),))
    with pytest.raises(DataError, match=r"^fold 0, epoch 1, validation: \d+ rows have NaN or infinite probabilities$"):
        train_fold(huge, single, FoldDirectory(Path("fold0")), Recorder())
    assert list(Path("fold0").iterdir()) == []


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_frozen_backbone_is_the_same_in_every_epochs_checkpoint(contest: Path, optimizer: str) -> None:
    plan = plan_for(contest, "model.freeze=backbone", f"hyper_params.optimizer={optimizer}", "hyper_params.weight_decay=0.5")
    started = {name: tensor.clone() for name, tensor in parts_module.make_network(plan, 0, False).module.state_dict().items()}
    directory, _ = train(plan, "fold0")
    last = load_checkpoint(directory.last)["model"]
    moved = {name for name in started if not torch.equal(started[name], last[name])}
    assert moved == {"fc.weight", "fc.bias"}


def test_tta_is_in_the_predictions_that_are_kept(contest: Path) -> None:
    plain, _ = train(plan_for(contest), "plain")
    flipped, _ = train(plan_for(contest, "inference.tta=hflip"), "flipped")
    assert digests(plain)["best"] == digests(flipped)["best"]
    task = classification("label", ("cat", "dog", "eel"))
    one, other = load_predictions(plain.predictions, task), load_predictions(flipped.predictions, task)
    assert one.ids.tolist() == other.ids.tolist() and not np.array_equal(one.values, other.values)


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def rates(sink: Recorder) -> list[float]:
    return [record.learning_rate for record in sink.records]


def test_the_moving_average_is_what_is_validated_and_kept(contest: Path) -> None:
    more = ("model.ema_decay=0.9", "hyper_params.epochs=3", "hyper_params.patience=0", "hyper_params.learning_rate=0.01")
    plan = plan_for(contest, *more, "settings.keep_epochs=true")
    directory, sink = train(plan, "fold0")
    plain, _ = train(plan_for(contest, *more[1:]), "plain")
    last, best = load_checkpoint(directory.last), load_checkpoint(directory.best)
    assert digest_tensors(last["model"]) == digest_tensors(load_checkpoint(plain.last)["model"])
    assert digest_tensors(last["ema"]) != digest_tensors(last["model"])
    kept = [load_checkpoint(path)["model"] for path in sorted(directory.epochs.iterdir())]
    assert digest_tensors(kept[2]) == digest_tensors(last["ema"])
    assert digest_tensors(best["model"]) == digest_tensors(kept[best["epoch"] - 1])
    assert int(kept[2]["bn1.num_batches_tracked"]) == int(last["model"]["bn1.num_batches_tracked"])
    assert "bn1.running_var" in moved(kept[2], last["model"])
    for record, weights in zip(sink.records, kept, strict=True):
        assert loss_of(plan, weights) == pytest.approx(record.valid_loss)
        assert record.valid_loss != pytest.approx(loss_of(plan, last["model"]))


def loss_of(plan: Plan, weights: dict[str, torch.Tensor]) -> float:
    """The validation loss of fold 0, by torch, over all its rows at once."""
    module = timm.create_model(TINY, num_classes=3).eval()
    module.load_state_dict(weights)
    with torch.no_grad():
        (batch,) = parts_module.valid_batches(replace_batch_size(plan, 1000), plan.folds[0]).epoch(0)
        images = (batch.images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        return float(nn.functional.cross_entropy(module(images), batch.targets))


def replace_batch_size(plan: Plan, size: int) -> Plan:
    return replace(plan, config=replace(plan.config, hyper_params=replace(plan.config.hyper_params, batch_size=size)))


def test_a_frozen_part_is_the_same_to_the_bit_in_the_moving_average_too(contest: Path) -> None:
    plan = plan_for(contest, "model.freeze=backbone", "model.ema_decay=0.99", "hyper_params.weight_decay=0.5")
    started = {name: tensor.clone() for name, tensor in parts_module.make_network(plan, 0, False).module.state_dict().items()}
    directory, _ = train(plan, "fold0")
    last = load_checkpoint(directory.last)
    assert moved(started, last["ema"]) == moved(started, last["model"]) == {"fc.weight", "fc.bias"}


def test_the_moving_average_is_laid_out_in_memory_like_the_model(contest: Path) -> None:
    plan = plan_for(contest, "model.ema_decay=0.99", "settings.channels_last=true")
    network = parts_module.make_network(plan, 0, False)
    learner = parts_module.make_learner(plan, plan.folds[0], network, plan.phases[0], 4)
    assert learner.learnt is not network.module
    for mine, their in zip(learner.learnt.parameters(), network.module.parameters(), strict=True):
        assert (mine.stride(), mine.device, mine.dtype) == (their.stride(), their.device, their.dtype)
    weight = learner.learnt.get_parameter("layer1.0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_the_moving_average_warms_up_to_its_decay(contest: Path) -> None:
    plan = plan_for(contest, "model.ema_decay=0.99")
    ema = parts_module.make_learner(plan, plan.folds[0], parts_module.make_network(plan, 0, False), plan.phases[0], 4).ema
    assert ema is not None
    assert [ema.get_decay(step) for step in (1, 2, 3, 100_000)] == pytest.approx([0, 0.370039, 0.519250, 0.99], abs=1e-6)


@pytest.mark.parametrize("greater", [True, False])
def test_plateau_drops_the_rate_when_the_score_stands_still_also_for_a_resumed_fold(
    contest: Path, scripted: Callable[..., None], greater: bool
) -> None:
    scores = [score if greater else -score for score in (0.5, 0.4, 0.5, 0.3, 0.6, 0.5, 0.5, 0.5)]
    options = ("scheduler=plateau", "plateau_patience=1", "step_factor=0.5", "learning_rate=0.008", "epochs=8", "patience=0")
    plan = plan_for(contest, *(f"hyper_params.{option}" for option in options))
    # 0.5 stays unbeaten in epochs 2 and 3, which is one more than 1: a drop; likewise 0.6 in 6 and 7. 4 alone is none.
    expected = [0.008] * 3 + [0.004] * 4 + [0.002]
    found: list[float] = []
    for stop in (2, 6, None):
        scripted(scores[len(found) :], greater)
        _, part = train_until(plan, "stopped", stop)
        found += rates(part)
    assert found == pytest.approx(expected)


def train_until(plan: Plan, folder: str, stop: int | None) -> tuple[FoldDirectory, Recorder]:
    directory, sink = FoldDirectory(Path(folder)), Recorder(stop)
    if stop is None:
        train_fold(plan, plan.folds[0], directory, sink)
    else:
        with pytest.raises(KeyboardInterrupt):
            train_fold(plan, plan.folds[0], directory, sink)
    return directory, sink


def test_a_step_takes_as_many_batches_as_accumulate_says(contest: Path) -> None:
    directory, sink = train(plan_for(contest, "hyper_params.accumulate=3", "hyper_params.epochs=2"), "fold0")
    assert sink.starts == [(0, 1, 2, 2), (0, 2, 2, 2)]  # 30 rows are 4 batches, and those are a group of 3 and one of 1
    last = load_checkpoint(directory.last)
    assert last["step"] == 4 and {int(slot["step"]) for slot in last["optimizer"]["state"].values()} == {4}


def test_a_cut_gradient_moves_the_weights_no_further_than_its_norm_allows(contest: Path) -> None:
    options = ("optimizer=momentum", "momentum=0", "weight_decay=0", "scheduler=constant", "epochs=1", "learning_rate=0.5")
    plan = plan_for(contest, "hyper_params.clip_grad=0.001", *(f"hyper_params.{option}" for option in options))
    module = parts_module.make_network(plan, 0, False).module
    weights = [name for name, _ in module.named_parameters()]
    started = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    directory, _ = train(plan, "fold0")
    after = load_checkpoint(directory.last)["model"]
    distance = float(torch.cat([(after[name] - started[name]).flatten() for name in weights]).norm())
    assert 0 < distance <= 4 * 0.5 * 0.001 * 1.001


@pytest.mark.parametrize(("library", "name", "layers"), [("timm", "test_resnet", 6), ("torchvision", "mobilenet_v3_small", 13)])
def test_layers_and_the_head_learn_at_their_own_rates(contest: Path, library: str, name: str, layers: int) -> None:
    options = ("learning_rate=0.01", "layer_decay=0.5", "head_learning_rate=0.03", "epochs=1", "scheduler=constant")
    more = (f"model.library={library}", f"model.name={name}", *(f"hyper_params.{option}" for option in options))
    directory, _ = train(plan_for(contest, *more), "fold0")
    groups = load_checkpoint(directory.last)["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.03, *(0.01 * 0.5**depth for depth in range(1, layers))}
    assert all(group["lr"] == group["initial_lr"] for group in groups)


PROBED = ("hyper_params.probe_epochs=2", "settings.keep_epochs=true", "hyper_params.patience=0", "hyper_params.learning_rate=0.01")


def test_a_probe_trains_the_head_alone_and_then_all_that_freeze_lets_train(contest: Path) -> None:
    plan = plan_for(contest, *PROBED, "model.freeze=conv1, layer2", "hyper_params.epochs=2")
    started = {name: tensor.clone() for name, tensor in parts_module.make_network(plan, 0, False).module.state_dict().items()}
    directory, sink = train(plan, "fold0")
    assert sink.starts == [(0, epoch, 4, 4) for epoch in (1, 2, 3, 4)]
    first, second, third, fourth = (load_checkpoint(path)["model"] for path in sorted(directory.epochs.iterdir()))
    assert moved(started, first) == moved(first, second) == {"fc.weight", "fc.bias"}
    everything = {name for name in started if not name.startswith(("conv1.", "layer2."))}
    assert moved(second, third) == moved(third, fourth) == everything
    assert {"bn1.running_mean", "layer1.0.weight", "layer4.1.num_batches_tracked"} <= everything


GRADUAL = (
    "model.freeze=backbone",
    "model.unfreeze=2: layer4, 4: layer3, bn1, 5: all",
    "settings.keep_epochs=true",
    "hyper_params.epochs=5",
    "hyper_params.learning_rate=0.01",
)


def test_what_is_unfrozen_learns_from_its_epoch_on_and_history_counts_it(contest: Path) -> None:
    plan = plan_for(contest, *GRADUAL)
    network = parts_module.make_network(plan, 0, False)
    states = [{name: tensor.clone() for name, tensor in network.module.state_dict().items()}]
    directory, sink = train(plan, "fold0")
    states += [load_checkpoint(path)["model"] for path in sorted(directory.epochs.iterdir())]
    everything = tuple(name for name, _ in network.module.named_children())
    trained = [("fc",), ("fc", "layer4"), ("fc", "layer4"), ("fc", "layer4", "layer3", "bn1"), everything]
    for before, after, names in zip(states[:-1], states[1:], trained, strict=True):
        assert moved(before, after) == {key for key in before if key.split(".")[0] in names}
    sizes = {name: sum(each.numel() for each in part.parameters()) for name, part in network.module.named_children()}
    with open(directory.history, newline="") as file:
        counted = [int(row["trained"]) for row in csv.DictReader(file)]
    assert counted == [sum(sizes[name] for name in names) for names in trained] == [record.trained for record in sink.records]


@pytest.mark.slow
def test_gradual_unfreezing_killed_around_a_change_of_phase_comes_to_the_same_result(contest: Path) -> None:
    """Stopped after the last epoch of a phase, after the first of the next, and within that one."""
    plan = plan_for(contest, *GRADUAL, "model.ema_decay=0.9", "augmentation.preset=medium", "hyper_params.patience=0")
    whole, _ = train(plan, "whole")
    for stop in (1, 2, 3):
        train_until(plan, f"stopped{stop}", stop)
        torch.manual_seed(stop)
        directory, rest = train(plan, f"stopped{stop}")
        assert [record.epoch for record in rest.records] == list(range(stop + 1, 6))
        assert digests(directory) == digests(whole)


def test_a_probe_is_what_a_frozen_backbone_learns_in_as_many_epochs(contest: Path) -> None:
    more = ("augmentation.preset=heavy", "hyper_params.patience=0", "hyper_params.head_learning_rate=0.01")
    probed, sink = train(
        plan_for(contest, *more, "hyper_params.probe_epochs=2", "hyper_params.epochs=1", "settings.keep_epochs=true"), "probed"
    )
    frozen, other = train(plan_for(contest, *more, "hyper_params.epochs=2", "model.freeze=backbone"), "frozen")
    kept = sorted(probed.epochs.iterdir())[1]
    assert digest_tensors(load_checkpoint(kept)["model"]) == digest_tensors(load_checkpoint(frozen.last)["model"])
    assert rates(sink)[:2] == rates(other)


def test_each_phase_has_its_own_schedule_warm_up_and_optimiser(contest: Path) -> None:
    more = ("hyper_params.warmup_epochs=1", "hyper_params.epochs=3", "hyper_params.scheduler=cosine")
    directory, sink = train(plan_for(contest, *PROBED, *more), "fold0")

    def cosine(step: int, total: int) -> float:
        return 0.01 * (1 + float(np.cos(np.pi * step / total))) / 2

    # Four steps an epoch; a record has the rate of its epoch's last step. The probe has no warm-up.
    assert rates(sink) == pytest.approx([cosine(3, 8), cosine(7, 8), 0.01, cosine(3, 8), cosine(7, 8)])
    last = load_checkpoint(directory.last)
    assert last["step"] == 12 and {int(slot["step"]) for slot in last["optimizer"]["state"].values()} == {12}


def test_patience_sleeps_in_the_probe_and_begins_anew_after_it(contest: Path, scripted: Callable[..., None]) -> None:
    scripted([0.9, 0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.1, 0.8])
    more = ("hyper_params.probe_epochs=4", "hyper_params.epochs=5", "hyper_params.patience=2")
    directory, sink = train(plan_for(contest, *more), "fold0")
    assert [record.score for record in sink.records] == [0.9, 0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.1]
    assert load_checkpoint(directory.best)["epoch"] == sink.results[0].best_epoch == 1
    assert {record.best for record in sink.records} == {0.9}


def test_the_plateau_of_the_probe_is_forgotten_after_it(contest: Path, scripted: Callable[..., None]) -> None:
    scripted([0.9, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1])
    options = (
        "probe_epochs=3",
        "epochs=4",
        "patience=0",
        "scheduler=plateau",
        "plateau_patience=0",
        "step_factor=0.5",
        "learning_rate=0.01",
    )
    _, sink = train(plan_for(contest, *(f"hyper_params.{option}" for option in options)), "fold0")
    assert rates(sink) == pytest.approx([0.01, 0.01, 0.005, 0.01, 0.01, 0.01, 0.005])


EVERYTHING = (
    "augmentation.preset=heavy",
    "model.ema_decay=0.9",
    "model.freeze=conv1",
    "settings.keep_epochs=true",
    *(
        f"hyper_params.{option}"
        for option in (
            "probe_epochs=2",
            "epochs=3",
            "patience=0",
            "accumulate=2",
            "clip_grad=1",
            "layer_decay=0.8",
            "head_learning_rate=0.01",
            "scheduler=plateau",
            "plateau_patience=0",
            "warmup_epochs=0.5",
        )
    ),
)


@pytest.mark.slow
def test_a_fold_stopped_in_either_phase_or_between_them_comes_to_the_same_result(contest: Path) -> None:
    """With everything on that a phase has and a checkpoint must hold. 0: within the first epoch after the probe."""
    plan = plan_for(contest, *EVERYTHING)
    whole, sink = train(plan, "whole")
    names = [path.name for path in sorted(whole.epochs.iterdir())]
    assert [record.epoch for record in sink.records] == [1, 2, 3, 4, 5] and len(names) == 5
    assert load_checkpoint(whole.last)["progress"]["drops"] > 0
    for stop in (0, 1, 2, 4):
        if stop == 0:
            with pytest.MonkeyPatch.context() as patch:
                calls = iter(range(100))
                patch.setattr(Recorder, "step", lambda self, loss: pull_the_plug() if next(calls) == 4 else None)  # noqa: B023
                train_until(plan, "stopped0", stop)
        else:
            train_until(plan, f"stopped{stop}", stop)
        torch.manual_seed(stop)
        directory, rest = train(plan, f"stopped{stop}")
        assert [record.epoch for record in rest.records] == list(range((stop or 2) + 1, 6))
        assert digests(directory) == digests(whole)
        assert [path.name for path in sorted(directory.epochs.iterdir())] == names


def test_every_epochs_weights_are_kept_under_their_loss_and_score(contest: Path) -> None:
    plan = plan_for(contest, "settings.keep_epochs=true", "hyper_params.epochs=3", "hyper_params.patience=0")
    directory, _ = train(plan, "fold0")
    with open(directory.history, newline="") as file:
        rows = list(csv.DictReader(file))
    paths = sorted(directory.epochs.iterdir())
    assert [path.name for path in paths] == [
        f"epoch00{row['epoch']}_loss{float(row['valid_loss']):.4f}_score{float(row['score']):.4f}.pt" for row in rows
    ]
    best = load_checkpoint(directory.best)
    for path, row in zip(paths, rows, strict=True):
        kept = load_checkpoint(path)
        assert kept.keys() == best.keys() and (kept["epoch"], kept["classes"]) == (int(row["epoch"]), best["classes"])
        network = parts_module.make_network(plan, 0, False)
        network.module.load_state_dict(kept["model"])
        outcome = parts_module.evaluate(plan, network, parts_module.valid_batches(plan, plan.folds[0]), plan.folds[0], "none")
        assert plan.samples.targets is not None
        targets = plan.samples.targets[plan.folds[0].valid_rows]
        assert float((outcome.values[0].argmax(axis=1) == targets).mean()) == pytest.approx(float(row["score"]))
        assert outcome.loss == pytest.approx(float(row["valid_loss"])) == loss_of(plan, kept["model"])
        assert kept["scores"] == {"accuracy": float(row["score"]), "loss": float(row["valid_loss"])}
    assert digest_tensors(load_checkpoint(paths[best["epoch"] - 1])["model"]) == digest_tensors(best["model"])


def test_an_epoch_that_is_done_again_leaves_one_file(contest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the epoch's weights were kept and before last.pt; and then it comes to another loss, as on another machine."""
    plan = plan_for(contest, "settings.keep_epochs=true")
    real, calls = fold_module.save_last, iter(range(9))
    with monkeypatch.context() as patch:
        patch.setattr(fold_module, "save_last", lambda *arguments: pull_the_plug() if next(calls) == 1 else real(*arguments))
        with pytest.raises(KeyboardInterrupt):
            train(plan, "fold0")
    directory = FoldDirectory(Path("fold0"))
    (first, second) = sorted(directory.epochs.iterdir())
    second.rename(directory.epoch(2, 9.0, 0.5))
    train(plan, "fold0")
    assert sorted(directory.epochs.iterdir()) == [first, second]


def test_no_epoch_is_kept_where_nobody_asked(contest: Path) -> None:
    directory, _ = train(plan_for(contest, "hyper_params.epochs=1"), "fold0")
    assert not directory.epochs.exists()


def test_what_the_model_says_without_tta_is_kept_beside_it(contest: Path) -> None:
    plain, _ = train(plan_for(contest), "plain")
    plan = plan_for(contest, "inference.tta=hflip")
    flipped, _ = train(plan, "flipped")
    assert flipped.predictions_without_tta.read_bytes() == plain.predictions.read_bytes()
    assert not plain.predictions_without_tta.exists()
    flipped.predictions_without_tta.write_text("damaged")
    train(plan, "flipped")
    assert flipped.predictions_without_tta.read_bytes() == plain.predictions.read_bytes()


@pytest.mark.slow
def test_compiled_folds_share_their_code_and_learn_what_others_do(contest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own operations behind the traced code. Batches of 8: 30 rows train and validate, so that each part has a smaller one."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    plain, quick = plan_for(contest), plan_for(contest, "settings.compile=true")
    assert quick.process.compile and not plain.process.compile
    before, made = counters["stats"]["unique_graphs"], []
    for number in range(2):
        found = train(quick, f"compiled{number}", number)[0]
        made.append(counters["stats"]["unique_graphs"] - before)
        assert digests(found) == digests(train(plain, f"plain{number}", number)[0])
        assert load_predictions(found.predictions, quick.samples.task).values.shape == (30, 3)
    torch._dynamo.reset()
    assert made == [2, 2], "training and predicting, in the first fold"
