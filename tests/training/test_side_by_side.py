"""Heads that are trained side by side come to what each comes to alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from modules.config.reader import read_config
from modules.jobs.preparation import prepare
from modules.models.freezing import freeze
from modules.reporting.sinks import Silence
from modules.runs.directory import FoldDirectory
from modules.training.fold import train_fold
from modules.training.parts import make_network
from modules.training.plan import Plan
from modules.training.side_by_side import Head, linear_tail, start_heads, train_heads
from tests.making import fast, make_contest
from tests.tiny import TINY

HEADS = (
    {},
    {"learning_rate": "0.1", "weight_decay": "0.3"},
    {"optimizer": "sgd", "momentum": "0.5", "learning_rate": "0.5", "clip_grad": "0.1"},
    {"label_smoothing": "0.2", "scheduler": "onecycle"},
    {"loss": "focal", "focal_gamma": "1.5", "head_learning_rate": "0.05"},
    {"class_weights": "cat: 3, dog: 1, eel: 0.5", "warmup_epochs": "1.5"},
    {"epochs": "3", "optimizer": "lamb"},
    {"learning_rate": "5", "patience": "1"},
    {"learning_rate": "3", "scheduler": "plateau", "plateau_patience": "1", "step_factor": "0.1"},
)


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """And beside it the weights that all folds begin with, so that what is frozen is one network."""
    root = tmp_path_factory.mktemp("contest")
    torch.manual_seed(0)
    torch.save(timm.create_model(TINY, num_classes=9).state_dict(), root / "weights.pt")
    return make_contest(root / "contest")


def plan_of(contest: Path, *more: str) -> Plan:
    where = (f"settings.cache_path={contest.parent / 'cache'}", f"model.pretrained={contest.parent / 'weights.pt'}")
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "hyper_params.epochs=6", "hyper_params.patience=0")
    arguments = fast(contest, *where, *frozen, "hyper_params.metric=log_loss", *more)
    return prepare(read_config([], arguments)[0])


def heads_of(plans: list[Plan]) -> list[list[Head]]:
    """Of each fold."""
    follow = Silence().follow
    return train_heads(plans, [start_heads(plans[0], fold, follow) for fold in plans[0].folds], follow)


def scores_alone(plan: Plan, number: int, folder: Path) -> list[float]:
    folder.mkdir(parents=True)
    train_fold(plan, plan.folds[number], FoldDirectory(folder / "fold"), Silence())
    with open(folder / "fold/history.csv", newline="") as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


def compare_with_alone(plans: list[Plan], folds: list[list[Head]], folder: Path) -> None:
    for number, heads in enumerate(folds):
        for place, (plan, head) in enumerate(zip(plans, heads, strict=True)):
            alone = scores_alone(plan, number, folder / f"{number}-{place}")
            where = f"fold {number}, {HEADS[place]}"
            assert len(alone) == len(head.scores), where
            np.testing.assert_allclose(head.scores, alone, rtol=2e-5, atol=1e-6, err_msg=where)
            assert head.progress.best_score == pytest.approx(min(alone), rel=2e-5, abs=1e-6)


@pytest.mark.slow
def test_each_scores_in_each_epoch_what_it_scores_alone(contest: Path, tmp_path: Path) -> None:
    plans = [plan_of(contest, *(f"hyper_params.{name}={text}" for name, text in head.items())) for head in HEADS]
    folds = heads_of(plans)
    compare_with_alone(plans, folds, tmp_path)
    lengths = [[len(head.scores) for head in heads] for heads in folds]
    assert all(each[6] == 3 and each[7] < 6 for each in lengths), "one was to be shorter, and one to lose patience"


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [7, 9])
def test_folds_of_different_sizes_too(contest: Path, tmp_path: Path, batch_size: int) -> None:
    """Of 60 images 7 folds train on 51 and 52: last batches of two sizes, or, in batches of 9 with a last one of 6 and 7; by classes
    weighed fold by fold."""
    more = ("split.folds=7", f"hyper_params.batch_size={batch_size}", "hyper_params.epochs=2", "split.method=kfold")
    plans = [plan_of(contest, *more), plan_of(contest, *more, "hyper_params.class_weights=balanced", "hyper_params.learning_rate=0.1")]
    sizes = {len(fold.train_rows) for fold in plans[0].folds}
    assert len(sizes) == 2
    compare_with_alone(plans, heads_of(plans), tmp_path)


def test_one_that_diverges_leaves_the_others_as_they_are(contest: Path) -> None:
    wrong = ("hyper_params.learning_rate=1000", "hyper_params.optimizer=sgd", "hyper_params.weight_decay=1")
    good, bad = plan_of(contest), plan_of(contest, *wrong)
    for (alone,), (with_bad, diverged) in zip(heads_of([good]), heads_of([good, bad]), strict=True):
        np.testing.assert_allclose(with_bad.scores, alone.scores, rtol=1e-6)
        assert "the loss is no number" in diverged.fault and not with_bad.fault


@pytest.mark.parametrize(
    ("more", "linear"),
    [
        ((), True),
        (("model.dropout=0.5",), False),
        (("model.freeze=conv1, bn1, layer1, layer2, layer3",), False),
        (("model.head=append", "model.pretrained=false"), True),
    ],
)
def test_what_is_more_than_a_linear_layer_is_told_apart(contest: Path, more: tuple[str, ...], linear: bool) -> None:
    plan = plan_of(contest, *more)
    network = make_network(plan, 0, pretrained=False)
    (phase,) = plan.phases
    freeze(network, phase.freeze, phase.unfrozen)
    assert phase.cut is not None
    assert (linear_tail(network, phase.cut) is not None) == linear


def test_several_labels_an_image_too(contest: Path, tmp_path: Path) -> None:
    labelled: Any = ("data.task=multilabel", "data.label_separator=space", "hyper_params.metric=macro_f1")
    plans = [plan_of(contest, *labelled), plan_of(contest, *labelled, "hyper_params.learning_rate=0.1")]
    (heads, _) = heads_of(plans)
    for place, (plan, head) in enumerate(zip(plans, heads, strict=True)):
        np.testing.assert_allclose(head.scores, scores_alone(plan, 0, tmp_path / str(place)), rtol=1e-4, atol=1e-3)
