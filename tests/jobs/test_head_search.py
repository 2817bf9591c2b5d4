"""A search of heads draws every trial once, whatever is interrupted, fails, or is drawn twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from torch import nn

pytest.importorskip("ray")

from modules.config.reader import read_config
from modules.jobs import head_search
from modules.jobs.head_search import search_heads
from modules.jobs.preparation import prepare
from modules.jobs.ray_tune import Trialling
from modules.jobs.tuning import create_search
from modules.runs.records import Progress
from modules.runs.search import DONE, FAILED, RUNNING
from modules.training.plan import Plan
from modules.training.side_by_side import Head
from tests.making import fast, make_contest, write_config
from tests.some import some

RANGES = "hyper_params.learning_rate = loguniform(1e-3, 1)\nhyper_params.batch_size = choice(4, 8, 16)\n"
SEARCHERS = ["hyperopt", "optuna", "random"]


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_contest(tmp_path_factory.mktemp("contest") / "contest")


class Trained:
    """In the place of train_heads: notes what is trained, and scores it at once. after: groups of heads, and then Ctrl-C."""

    def __init__(self, after: int | None = None) -> None:
        self.after = after
        self.seen: Counter[tuple[float, int]] = Counter()

    def __call__(self, plans: Sequence[Plan], starts: Sequence[object], follow: object) -> list[list[Head]]:
        if self.after == 0:
            raise KeyboardInterrupt
        self.after = None if self.after is None else self.after - 1
        hypers = [plan.config.hyper_params for plan in plans]
        assert len({hyper.batch_size for hyper in hypers}) == 1
        self.seen.update((hyper.learning_rate, hyper.batch_size) for hyper in hypers)
        scores = [1 / (1 + abs(hyper.learning_rate - 0.03)) for hyper in hypers]
        progress = [Progress().advance(score, 1, 0.0, True) for score in scores]
        return [
            [Head(plan, nn.Linear(1, 1), [score], each) for plan, score, each in zip(plans, scores, progress, strict=True)] for _ in starts
        ]


@dataclass
class Searching:
    """Searches on one fold, in which Trained is in the place of training."""

    contest: Path
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def plan(self, space: str, *more: str) -> tuple[Trialling, Plan]:
        given = write_config(self.folder / "given.ini", f"[search_space]\n{space}")
        frozen = ("model.freeze=backbone", "model.feature_cache=on", "split.train_folds=0", "hyper_params.epochs=1")
        places = (f"settings.log_path={self.folder / 'runs'}", f"settings.cache_path={self.folder / 'cache'}", "settings.run_name=search")
        config, _ = read_config([given], fast(self.contest, *frozen, *places, *more))
        search = create_search(config)
        return Trialling(search, read_config([search.config])[0], (0,), True, 1, 1, 0, True), prepare(config)

    def run(self, work: Trialling, plan: Plan, after: int | None = None) -> Trained:
        """What was trained. after: as for Trained."""
        trained = Trained(after)
        self.monkeypatch.setattr(head_search, "start_heads", lambda plan, fold, follow: None)
        self.monkeypatch.setattr(head_search, "train_heads", trained)
        with nullcontext() if after is None else pytest.raises(KeyboardInterrupt):
            search_heads(work, plan)
        return trained


@pytest.fixture
def searching(contest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searching:
    return Searching(contest, tmp_path, monkeypatch)


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("after", some([1, 0, 4], every=3))
def test_what_was_interrupted_goes_on_and_trains_every_trial_once(searching: Searching, searcher: str, after: int) -> None:
    """After so many groups of heads, each of one batch size: within the first round, or the second."""
    work, plan = searching.plan(RANGES, f"tuning.searcher={searcher}", "tuning.trials=14")
    first = searching.run(work, plan, after) if searcher != "random" or after < 3 else searching.run(work, plan)
    left = work.search.read()
    second = searching.run(work, plan)
    trials = work.search.read()
    assert len(trials) == 14 and all(trial.state == DONE and trial.score is not None for trial in trials)
    assert [trial.overrides for trial in trials[: len(left)]] == [trial.overrides for trial in left], "those begun stay as they were drawn"
    assert not first.seen & second.seen and len(first.seen + second.seen) == 14 and max((first.seen + second.seen).values()) == 1
    assert not searching.run(work, plan).seen, "a search that is over trains nothing"


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_what_is_drawn_twice_is_one_trial(searching: Searching, searcher: str) -> None:
    space = "hyper_params.learning_rate = choice(0.01, 0.1)\nhyper_params.batch_size = choice(4, 8)\n"
    work, plan = searching.plan(space, f"tuning.searcher={searcher}", "tuning.trials=25")
    trained = searching.run(work, plan)
    trials = work.search.read()
    assert 2 <= len(trials) <= 4 and {trial.state for trial in trials} == {DONE}
    assert set(trained.seen.values()) == {1} and len(trained.seen) == len(trials)


WRONG = {
    "warmup_epochs": ("hyper_params.warmup_epochs = grid(0, 5)", "5", "warmup_epochs"),
    "optimizer": ("hyper_params.optimizer = grid(adamw, adamwx)", "adamwx", "timm has no optimiser 'adamwx'"),
    "class_weights": ('hyper_params.class_weights = grid(none, "cat: 2, cow: 1")', "cat: 2, cow: 1", "cow"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_trial_that_is_wrong_fails_with_its_cause_and_alone(searching: Searching, option: str) -> None:
    space, wrong, cause = WRONG[option]
    work, plan = searching.plan(f"{space}\nhyper_params.batch_size = grid(4, 8)\n", "tuning.searcher=grid")
    searching.run(work, plan)
    trials = work.search.read()
    failed = [trial for trial in trials if trial.overrides[f"hyper_params.{option}"] == wrong]
    assert len(trials) == 4 and len(failed) == 2
    assert all(trial.state == (FAILED if trial in failed else DONE) for trial in trials)
    assert all(cause in trial.cause and trial.score is None for trial in failed)


@pytest.mark.parametrize("searcher", ["hyperopt", "optuna"])
def test_a_searcher_bears_trials_that_fail(searching: Searching, searcher: str) -> None:
    work, plan = searching.plan(f"hyper_params.warmup_epochs = choice(0, 5)\n{RANGES}", f"tuning.searcher={searcher}", "tuning.trials=24")
    searching.run(work, plan)
    trials = work.search.read()
    assert len(trials) == 24 and {trial.state for trial in trials} == {DONE, FAILED}


def test_what_was_under_way_is_trained_again(searching: Searching) -> None:
    work, plan = searching.plan(RANGES, "tuning.searcher=random", "tuning.trials=6")
    searching.run(work, plan)
    third = work.search.read()[3]
    work.search.write(replace(third, state=RUNNING, score=None))
    again = searching.run(work, plan)
    assert sum(again.seen.values()) == 1 and work.search.read()[3].score == third.score
