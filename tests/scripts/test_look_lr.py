"""look.py lr: it trains as training does, with a rate of its own in each step; it suggests what the curve says, and keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from modules.compute.progress import make_follow
from modules.compute.seeding import seed_torch
from modules.config.errors import OptionError
from modules.config.reader import read_config
from modules.data.preprocessing import Normalizer
from modules.jobs import learning_rates
from modules.jobs.learning_rates import run_range_test
from modules.jobs.preparation import prepare
from modules.training.epoch import Diverged, EpochOutcome, Learner, train_epoch
from modules.training.parts import make_network, train_batches
from modules.training.plan import Plan
from modules.training.range_test import rates_of
from tests.making import fast, write_config
from tests.scripts.running import refusal, run_look
from tests.tiny import DROPPING

DEBUG = "settings.debug=true"
PLAIN_SGD = ("hyper_params.optimizer=momentum", "hyper_params.momentum=0", "hyper_params.weight_decay=0")


@pytest.fixture
def arguments(contest: Path) -> list[str]:
    return ["lr", str(write_config(Path("config.ini"), "[settings]\n")), *fast(contest)]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Learner]:
    """The learner of each step that is trained, with the rates that its groups had."""
    seen: list[Any] = []

    def spied(learner: Learner, *given: Any) -> EpochOutcome:
        outcome = train_epoch(learner, *given)
        seen.append((learner, [group["lr"] for group in learner.optimizer.param_groups]))
        return outcome

    monkeypatch.setattr(learning_rates, "train_epoch", spied)
    return seen


def script(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float | None]) -> None:
    """Steps have these losses, and train nothing. None: one that is no number."""
    left = iter(losses)

    def scripted(*given: Any) -> EpochOutcome:
        loss = next(left)
        if loss is None:
            raise Diverged
        return EpochOutcome(loss, 1, 8)

    monkeypatch.setattr(learning_rates, "train_epoch", scripted)


def plan_for(contest: Path, *more: str) -> Plan:
    config, _ = read_config([write_config(Path("config.ini"), "[settings]\n")], fast(contest, *more))
    return prepare(config)


def files() -> set[str]:
    return {str(path) for root in (Path(), Path("..", "contest")) for path in root.rglob("*") if path.is_file()}


def test_it_prints_the_curve_the_same_each_time_and_leaves_a_plot_and_no_run(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = files()
    assert run_look(*arguments, DEBUG, "data.cache=off") == 0
    first = capsys.readouterr().out
    assert files() - before == {"look/lr.png"}
    assert Image.open("look/lr.png").width > 600
    assert run_look(*arguments, DEBUG, "data.cache=off") == 0
    assert capsys.readouterr().out == first
    lines = first.splitlines()
    assert lines[0] == "trained   24 images of fold 0, batches of 8, adamw"
    assert lines[1].startswith("steps     ") and " of 20, 1e-7 to " in lines[1]
    assert "     1e-7 " in first and lines[-1] == "plot      look/lr.png"


def test_its_losses_are_those_of_a_loop_by_hand_over_training_s_own_batches(contest: Path) -> None:
    plan = plan_for(contest, *PLAIN_SGD, "augmentation.preset=light", f"model.name={DROPPING}")
    fold, rates = plan.folds[0], rates_of(20)
    found = run_range_test(plan, fold, 20, make_follow(False))
    module = make_network(plan, fold.number, False).module.train()
    prepared = Normalizer(plan.preprocessing, torch.device("cpu"), False)
    batches = [(epoch, batch) for epoch in range(1, 6) for batch in train_batches(plan, fold).epoch(epoch)]
    assert len(batches) == 20
    expected = []
    for step, (rate, (epoch, batch)) in enumerate(zip(rates, batches, strict=True)):
        if step % 4 == 0:
            seed_torch(plan.config.settings.seed, fold.number, epoch)  # dropout
        module.zero_grad()
        assert batch.targets is not None
        loss = cross_entropy(module(prepared(batch.images)), batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= rate * parameter.grad
        expected.append(loss.item())
    assert len(found.losses) > 10 and found.rates == rates[: len(found.losses)]
    assert found.losses == pytest.approx(expected[: len(found.losses)], rel=1e-3)


def test_accumulated_batches_are_one_step(contest: Path, steps: list[Any]) -> None:
    plan = plan_for(contest, "hyper_params.accumulate=3")
    found = run_range_test(plan, plan.folds[0], 4, make_follow(False))
    assert len(steps) == len(found.losses) == 4  # epochs of 4 batches: steps of 3 and of 1


def test_the_heads_rate_stays_as_many_times_the_others(arguments: list[str], steps: list[Any]) -> None:
    assert run_look(*arguments, DEBUG, "hyper_params.learning_rate=1e-3", "hyper_params.head_learning_rate=1e-2") == 0
    tried = [sorted(set(rates)) for _, rates in steps]
    assert all(len(rates) == 2 and rates[1] / rates[0] == pytest.approx(10) for rates in tried)
    assert [rates[0] for rates in tried] == pytest.approx(rates_of(20)[: len(tried)])


def test_what_trains_is_what_the_first_epoch_trains(
    arguments: list[str], steps: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_rates, "STEPS", 6)
    assert run_look(*arguments, "hyper_params.probe_epochs=2") == 0
    assert {learner.trained for learner, _ in steps} == {96 * 3 + 3}
    assert "for       what trains in epochs 1 to 2; more trains later" in capsys.readouterr().out


def test_a_head_that_learns_from_stored_features_learns_from_images_here(
    arguments: list[str], steps: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_look(*arguments, DEBUG, "model.freeze=backbone", "model.feature_cache=on") == 0
    assert {learner.trained for learner, _ in steps} == {96 * 3 + 3} and not Path(".cache", "features").exists()
    assert "features" not in capsys.readouterr().err


def test_the_suggestion_is_told_as_the_option_to_set_beside_what_it_is_now(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = [2.0] * 50 + np.linspace(2, 0.5, 20).tolist() + [0.5] * 10 + [9.0] * 20
    averages = pd.Series(losses).ewm(alpha=0.1, adjust=True).mean()
    ends, least = int(np.argmax(averages > 4 * averages.cummin())), rates_of(100)[int(averages.argmin())]
    script(monkeypatch, losses)
    assert run_look(*arguments, "hyper_params.learning_rate=0.002", "hyper_params.head_learning_rate=0.02") == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"steps     {ends + 1} of 100" in lines[1] and lines[1].endswith("; the loss grew to four times the least")
    place = lines.index(f"least     {least:.1e}, where the loss was least; a tenth of it is {least / 10:.1e}".replace("e-0", "e-"))
    suggested = f"{least / 10:.0e}".replace("e-0", "e-")
    assert lines[place + 1 :] == [
        f"suggests  hyper_params.learning_rate = {suggested}",
        f"          hyper_params.head_learning_rate = {suggested.replace('e-2', 'e-1')}, as many times it as now",
        "now       hyper_params.learning_rate = 2e-3, head_learning_rate = 2e-2",
        "plot      look/lr.png",
    ]


def test_where_the_loss_never_falls_nothing_is_suggested(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, [1.0] * 60 + [1.5] * 40)
    assert run_look(*arguments, "hyper_params.head_learning_rate=1e-2") == 0
    out = capsys.readouterr().out
    assert "suggests  nothing: at none of these rates the loss fell further than it varies from batch to batch" in out
    assert out.count("hyper_params.") == 1 and Path("look/lr.png").is_file()


def test_a_loss_that_is_no_number_ends_the_test(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, [*[2.0] * 60, *[1.0] * 20, None])
    assert run_look(*arguments) == 0
    assert "steps     80 of 100, 1e-7 to 2.4e-1; behind it the loss is no number" in capsys.readouterr().out


def test_a_loss_that_is_no_number_from_the_start_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(monkeypatch, [None])
    assert refusal(run_look, arguments, capsys) == [
        "fold 0: the loss is no number at the lowest learning rate, 1e-07; try settings.precision=float32, and look.py data"
    ]
    assert not Path("look").exists()


def test_batches_of_one_image_that_batchnorm_cannot_take_are_one_line(contest: Path) -> None:
    plan = plan_for(contest, "hyper_params.batch_size=1", "data.image_size=8")
    with pytest.raises(OptionError, match="BatchNorm cannot train on batches of one image of 8 x 8 here; use 2 or more"):
        run_range_test(plan, plan.folds[0], 3, make_follow(False))
