"""One trial: trained on the search's first folds as train.py would, told once, gone on with after a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.compute.storage import write_text
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.jobs.trials import by_score, config_of, drop_weights, run_trial, stopped
from modules.runs.checkpoint import load_checkpoint
from modules.runs.search import DONE, FAILED, RUNNING, STOPPED, SearchDirectory, Trial, find_search
from modules.training import fold as fold_module
from tests.digests import digest_tensors
from tests.making import fast, make_contest, write_config
from tests.scripts.running import run_train

DRAWN = {"hyper_params.learning_rate": "0.02", "hyper_params.epochs": "3"}
Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_contest(tmp_path_factory.mktemp("contest") / "contest")


@pytest.fixture
def search(contest: Path, tmp_path: Path) -> SearchDirectory:
    found = SearchDirectory(tmp_path / "runs" / "search")
    found.trials.mkdir(parents=True)
    config, _ = read_config([], fast(contest, f"settings.log_path={tmp_path / 'runs'}", f"settings.cache_path={tmp_path / 'cache'}"))
    write_text(found.config, to_ini(config))
    return found


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The folds and epochs that are trained."""
    found: list[tuple[int, int]] = []
    whole = fold_module.train_epoch_of

    def counted(plan: Any, fold: Any, learner: Any, batches: Any, epoch: int, *more: Any) -> Any:
        found.append((fold.number, epoch))
        return whole(plan, fold, learner, batches, epoch, *more)

    monkeypatch.setattr(fold_module, "train_epoch_of", counted)
    return found


def run(search: SearchDirectory, drawn: Mapping[str, str] = DRAWN, folds: tuple[int, ...] = (0,)) -> tuple[Trial, Told]:
    told: Told = []
    return run_trial(search, drawn, ("compute.threads=1",), folds, told.append), told


def weights(path: Path) -> Any:
    return digest_tensors(load_checkpoint(path)["model"])


def test_a_trial_is_the_run_that_train_would_make_of_the_same_options(search: SearchDirectory, contest: Path, tmp_path: Path) -> None:
    trial, told = run(search, folds=(0, 1))
    more = [f"{key}={text}" for key, text in DRAWN.items()]
    arguments = fast(contest, f"settings.log_path={tmp_path / 'alone'}", "settings.run_name=alone", *more, "--quiet")
    assert run_train(str(write_config(tmp_path / "config.ini", "")), *arguments) == 0
    for number in (0, 1):
        alone, within = (root / f"fold{number}/best.pt" for root in (tmp_path / "alone/alone", search.run_of(trial).path))
        assert weights(alone) == weights(within)
    assert (trial.state, trial.folds, trial.epochs) == (DONE, 2, 6)
    assert [(each["rung"], each["epoch"], each["fold"]) for each in told] == [
        (1, 1, 1), (2, 2, 1), (3, 3, 1), (3, 4, 2), (3, 5, 2), (3, 6, 2),
    ]  # fmt: skip
    assert told[-1]["score"] == trial.score and search.read() == [trial]


def test_a_trial_that_ended_is_told_again_and_not_trained_again(search: SearchDirectory, trained: list[tuple[int, int]]) -> None:
    first, told = run(search)
    assert trained == [(0, 1), (0, 2), (0, 3)]
    again, told_again = run(search)
    assert (again, told_again) == (first, told) and len(trained) == 3


def test_a_trial_that_was_killed_goes_on_to_what_it_would_have_been(search: SearchDirectory, trained: list[tuple[int, int]]) -> None:
    whole, whole_told = run(search, {**DRAWN, "hyper_params.weight_decay": "0.01"})
    del trained[:]

    def die(report: dict[str, Any]) -> None:
        if report["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(search, DRAWN, ("compute.threads=1",), (0,), die)
    assert [trial.state for trial in search.read()] == [DONE, RUNNING]
    trial, told = run(search)
    assert trained == [(0, 1), (0, 2), (0, 3)]
    assert (trial.score, told) == (whole.score, whole_told)
    assert weights(search.run_of(trial).path / "fold0/best.pt") == weights(search.run_of(whole).path / "fold0/best.pt")


def test_a_combination_that_is_wrong_is_recorded_with_its_cause_and_tells_no_score(search: SearchDirectory) -> None:
    wrong = {"hyper_params.warmup_epochs": "5"}
    trial, told = run(search, wrong)
    assert (trial.state, trial.score, told) == (FAILED, None, [])
    assert trial.cause == "hyper_params.warmup_epochs: expected fewer than epochs (2), got '5'"
    unknown, _ = run(search, {"model.name": "resnet1800"})
    assert unknown.state == FAILED and unknown.cause.startswith("model.name: ")
    assert [each.number for each in search.read()] == [0, 1]


def test_a_trial_that_diverges_is_recorded(search: SearchDirectory) -> None:
    trial, _ = run(search, {"hyper_params.learning_rate": "1000", "hyper_params.optimizer": "sgd"})
    assert trial.state == FAILED and trial.cause == "fold 0, epoch 1, validation: 30 rows have NaN or infinite probabilities"


def test_the_same_draw_is_the_same_trial(search: SearchDirectory) -> None:
    assert [search.begin(drawn).number for drawn in (DRAWN, {"hyper_params.epochs": "2"}, dict(DRAWN))] == [0, 1, 0]


def test_a_stopped_trial_has_the_best_that_it_came_to(search: SearchDirectory) -> None:
    trial, told = run(search)
    search.write(replace(trial, state=RUNNING, score=None))
    found = stopped(search, replace(trial, state=RUNNING, score=None), (0,), True)
    assert (found.state, found.score, found.epochs) == (STOPPED, max(each["score"] for each in told), 3)
    search.write(found)
    again, told_again = run(search)
    assert again == found and [each["epoch"] for each in told_again] == [1, 2, 3]


def test_without_its_weights_a_trial_keeps_what_it_scored(search: SearchDirectory) -> None:
    trial, told = run(search)
    assert (search.run_of(trial).path / "fold0/best.pt").is_file()
    drop_weights(search, trial)
    assert not list(search.run_of(trial).path.rglob("*.pt"))
    assert run(search) == (trial, told)


def test_trials_are_ranked_by_the_metrics_direction_and_the_earlier_wins() -> None:
    trials = [
        Trial(number, {}, state, score) for number, (state, score) in enumerate([(DONE, 0.5), (DONE, 0.9), (STOPPED, 1.0), (DONE, 0.9)])
    ]
    assert [trial.number for trial in by_score(trials, greater_is_better=True)] == [1, 3, 0]
    assert [trial.number for trial in by_score(trials, greater_is_better=False)] == [0, 1, 3]
    confirmed = [replace(trials[0], confirmed=0.7), replace(trials[1], confirmed=0.6)]
    assert [trial.number for trial in by_score([*confirmed, *trials[2:]], True, confirmed=True)] == [0, 1]


def test_a_config_of_a_trial_is_the_searchs_with_what_was_drawn(search: SearchDirectory) -> None:
    config = config_of(search, DRAWN)
    assert (config.hyper_params.learning_rate, config.hyper_params.epochs) == (0.02, 3)


def test_a_search_is_found_by_name_or_folder_and_the_nearest_name_is_told(search: SearchDirectory) -> None:
    log_path = str(search.path.parent)
    assert find_search(log_path, "search") == find_search("elsewhere", str(search.path)) == search
    with pytest.raises(Exception, match=r"no search 'serch' \(did you mean search\?\)"):
        find_search(log_path, "serch")
