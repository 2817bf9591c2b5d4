"""The options of losses, weights, sampling and mixing, through a whole fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from modules.compute.seeding import seed_torch
from modules.config.errors import ConfigError, UserError
from modules.config.reader import read_config
from modules.data.mixing import make_mixer
from modules.data.pixels import resize_image
from modules.data.preprocessing import Normalizer
from modules.data.samples import Samples
from modules.jobs.blending import make_blend
from modules.jobs.inference import load_test_set, predict_test, start
from modules.jobs.preparation import prepare
from modules.jobs.trained import open_trained
from modules.models.build import build_network
from modules.prediction.predictions import load_predictions
from modules.runs.checkpoint import load_checkpoint
from modules.training.fold import train_epoch_of
from modules.training.parts import evaluate, fold_objective, make_learner, make_network, train_batches, valid_batches
from modules.training.plan import Plan
from tests.making import fast, make_contest, write_config
from tests.scripts.running import run_train
from tests.tiny import DROPPING
from tests.training.test_fold import Recorder, _as_before, digests, plan_for, train  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest with half as many dogs as cats, and a quarter as many eels."""
    contest = make_contest(tmp_path_factory.mktemp("uneven") / "contest")
    table = pd.read_csv(contest / "train.csv", dtype=str)
    order = table.groupby("label").cumcount()
    kept = (table["label"] == "cat") | ((table["label"] == "dog") & (order < 10)) | (order < 5)
    table[kept].to_csv(contest / "train.csv", index=False)
    return contest


@pytest.fixture(scope="module")
def plain(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the weights after an epoch with none of these options."""
    directory, _ = train(plan_for(uneven, "hyper_params.epochs=1"), str(tmp_path_factory.mktemp("plain") / "fold0"))
    return str(digests(directory)["last"])


@pytest.mark.parametrize(
    "options",
    [
        ["hyper_params.loss=focal"],
        ["hyper_params.loss=focal", "hyper_params.focal_gamma=0.5", "hyper_params.label_smoothing=0.1"],
        ["hyper_params.loss=bce"],
        ["hyper_params.loss=f1"],
        ["hyper_params.class_weights=balanced"],
        ["hyper_params.class_weights=eel: 4, cat: 1, dog: 0.5"],
        ["hyper_params.sampler=balanced"],
        ["augmentation.mixup=0.4"],
        ["augmentation.cutmix=1"],
        ["augmentation.mixup=0.4", "augmentation.cutmix=1", "hyper_params.loss=f1", "hyper_params.class_weights=1, 2, 3"],
    ],
    ids=lambda options: " ".join(options),
)
def test_every_way_to_learn_trains_a_fold_and_learns_something_else(uneven: Path, plain: str, options: list[str]) -> None:
    plan_of_it = plan_for(uneven, "hyper_params.epochs=1", *options)
    found, sink = train(plan_of_it, "found")
    assert str(digests(found)["last"]) != plain
    (record,) = sink.records
    assert np.isfinite([record.train_loss, record.valid_loss, record.score]).all()
    probabilities = load_predictions(found.predictions, plan_of_it.samples.task).values
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5) and probabilities.min() >= 0


def test_a_gamma_of_zero_learns_as_cross_entropy_does(uneven: Path) -> None:
    more = ("hyper_params.epochs=1", "hyper_params.class_weights=balanced", "hyper_params.label_smoothing=0.1")
    plain, _ = train(plan_for(uneven, *more), "plain")
    focal, _ = train(plan_for(uneven, *more, "hyper_params.loss=focal", "hyper_params.focal_gamma=0"), "focal")
    expected = load_checkpoint(plain.last)["model"]
    for name, tensor in load_checkpoint(focal.last)["model"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("number", [0, 1])
def test_balanced_weights_are_of_the_rows_that_the_fold_trains_on_and_hold_for_its_validation(uneven: Path, number: int) -> None:
    plan = plan_for(uneven, "hyper_params.class_weights=balanced", "split.method=kfold")
    fold = plan.folds[number]
    assert plan.samples.targets is not None
    trained, validated = (plan.samples.targets[rows] for rows in (fold.train_rows, fold.valid_rows))
    weights = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=trained), dtype=torch.float32)
    logits = torch.randn(6, 3)
    expected = functional.cross_entropy(logits, torch.arange(6) % 3, weight=weights, reduction="sum") / 6
    torch.testing.assert_close(fold_objective(plan, fold).loss(logits, torch.arange(6) % 3), expected)
    network = make_network(plan, number, pretrained=False)
    outcome = evaluate(plan, network, valid_batches(plan, fold), fold, "none")
    own = torch.from_numpy(outcome.values[0]).gather(1, torch.from_numpy(validated).unsqueeze(1)).squeeze(1)
    assert outcome.loss == pytest.approx(float((-own.log() * weights[validated]).mean()), rel=1e-4)


def test_a_balanced_sampler_draws_from_the_fold_alone_and_as_many_of_each_class(uneven: Path) -> None:
    plan = plan_for(uneven, "hyper_params.sampler=balanced")
    fold = plan.folds[0]
    assert plan.samples.targets is not None
    batches = list(train_batches(plan, fold).epoch(1))
    rows = np.concatenate([batch.rows.numpy() for batch in batches])
    assert set(rows) <= set(fold.train_rows)
    counts, before = (np.bincount(plan.samples.targets[some], minlength=3) for some in (rows, fold.train_rows))
    assert np.ptp(before) > 5 and counts.max() - counts.min() <= 2, "but for a last batch of one image"


def test_the_loss_of_a_mixed_batch_is_that_of_its_soft_targets(uneven: Path) -> None:
    plan = plan_for(
        uneven, "augmentation.mixup=1", "augmentation.cutmix=1", "hyper_params.batch_size=64", "hyper_params.label_smoothing=0.1"
    )
    fold = plan.folds[0]
    batches = train_batches(plan, fold)
    twin = make_network(plan, 0, pretrained=False).module.train()
    seed_torch(plan.config.settings.seed, 0, 1)
    (batch,) = batches.epoch(1)
    images = Normalizer(plan.preprocessing, torch.device("cpu"), False)(batch.images)
    mixed, shares = make_mixer(plan.config.augmentation, [3])(images, batch.targets)
    smooth = shares * 0.9 + 0.1 / 3
    expected = -(smooth * twin(mixed).log_softmax(1)).sum(1).mean()
    plain = functional.cross_entropy(twin(images), batch.targets, label_smoothing=0.1)
    learner = make_learner(plan, fold, make_network(plan, 0, pretrained=False), plan.phases[0], 1)
    outcome = train_epoch_of(plan, fold, learner, batches, 1, 0, Recorder())
    assert outcome.loss == pytest.approx(expected.item(), rel=1e-5) != plain.item()


def test_validation_is_never_mixed(uneven: Path) -> None:
    plain, mixing = plan_for(uneven), plan_for(uneven, "augmentation.mixup=1", "augmentation.cutmix=1")
    network = make_network(plain, 0, pretrained=False)
    found = [evaluate(plan, network, valid_batches(plan, plan.folds[0]), plan.folds[0], "none") for plan in (plain, mixing)]
    assert found[0].loss == found[1].loss and np.array_equal(found[0].values, found[1].values)


def test_mixed_and_balanced_a_stopped_fold_equals_one_that_was_not_with_any_number_of_workers(uneven: Path) -> None:
    """With dropout, which draws from the same generator as mixing does."""
    more = ("augmentation.mixup=0.4", "augmentation.cutmix=1", "hyper_params.sampler=balanced", "augmentation.preset=light")
    model = (f"model.name={DROPPING}", "hyper_params.batch_size=12")
    plan = {workers: plan_for(uneven, *more, *model, f"settings.num_workers={workers}") for workers in (0, 1)}
    whole, _ = train(plan[0], "whole")
    with pytest.raises(KeyboardInterrupt):
        train(plan[0], "stopped", stop=1)
    stopped, sink = train(plan[0], "stopped")
    assert [record.epoch for record in sink.records] == [2]
    by_workers, _ = train(plan[1], "by workers")
    assert digests(stopped) == digests(whole) == digests(by_workers)


def mistakes_of(contest: Path, *options: str) -> tuple[str, ...]:
    config, _ = read_config([], fast(contest, *options))
    with pytest.raises(ConfigError) as caught:
        prepare(config)
    return caught.value.lines


def test_weights_of_other_classes_are_told_before_an_image_is_looked_at(contest: Path) -> None:
    next((contest / "train").iterdir()).write_bytes(b"no image")
    for bad_images in ("error", "skip"):
        assert mistakes_of(contest, "hyper_params.class_weights=cat: 2, dgo: 1, eel: 1", f"data.bad_images={bad_images}") == (
            "[hyper_params] class_weights: no class 'dgo' (did you mean dog?); no weight for dog; the classes are cat, dog, eel",
        )


def test_weights_of_other_classes_are_told_together_with_other_mistakes(contest: Path) -> None:
    config, _ = read_config([], fast(contest, "hyper_params.class_weights=1, 2", "model.name=resnet19", "hyper_params.optimizer=adamx"))
    with pytest.raises(UserError, match="class_weights: expected 3 numbers, in the order of cat, dog, eel, got 2") as caught:
        prepare(config)
    assert [line.split(":")[0] for line in caught.value.lines] == [
        "[hyper_params] class_weights",
        "[model] name",
        "[hyper_params] optimizer",
    ]


def test_inference_has_the_activation_that_the_run_was_trained_with(contest: Path) -> None:
    """Scaled sigmoids, of each fold's own model, where its loss was bce."""
    config = str(write_config(Path("config.ini"), "[settings]\n"))
    overrides = fast(contest, "hyper_params.loss=bce", "hyper_params.epochs=1", "settings.run_name=sigmoid", "data.test_csv=test.csv")
    assert run_train(config, *overrides, "--quiet") == 0
    assert json.loads(Path("runs/sigmoid/result.json").read_text())["folds"]
    asked, _ = read_config([config], [*fast(contest, "data.test_csv=test.csv"), "hyper_params.loss=auto"])
    runs, process = open_trained(asked), start(asked)
    test = load_test_set(asked, runs).samples
    found = predict_test(asked, make_blend(asked, runs, process, quiet=True), test, process, quiet=True)
    plan = plan_for(contest)
    expected = []
    for checkpoint in runs[0].checkpoints:
        module = build_network(plan.config.model, 3, 3, plan.preprocessing.size, pretrained=False).module.eval()
        module.load_state_dict(checkpoint["model"])
        sigmoids = module(images_of(plan, test)).detach().double().sigmoid()
        expected.append(sigmoids / sigmoids.sum(1, keepdim=True))
    np.testing.assert_allclose(found.values, torch.stack(expected).mean(0).numpy(), atol=1e-5)


def images_of(plan: Plan, samples: Samples) -> torch.Tensor:
    size = plan.preprocessing.size
    pixels = np.stack([resize_image(samples.images.read(row, 3), size, "stretch") for row in range(len(samples))])
    return Normalizer(plan.preprocessing, torch.device("cpu"), False)(torch.from_numpy(pixels))
