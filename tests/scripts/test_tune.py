"""tune.py from the INI to best.ini: trials on the contest's folds, the best confirmed, interrupted searches gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import tune
from modules.config.command_line import Stopped
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.spaces import Space
from modules.reporting.searches import at_the_ends
from modules.runs.search import DONE, FAILED, STOPPED, SearchDirectory, Trial
from modules.training import fold as fold_module
from tests.making import fast, make_contest, write_config
from tests.scripts.forked import run_forked
from tests.scripts.running import read, refusal, run_train

PROJECT = Path(__file__).parents[2]
SPACE = """\
[search_space]
hyper_params.learning_rate = loguniform(1e-3, 1e-1)
hyper_params.batch_size = choice(8, 16)
hyper_params.epochs = randint(1, 2)
"""


def run_tune(*arguments: str) -> int:
    return tune.main(list(arguments))


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_contest(tmp_path_factory.mktemp("contest") / "contest")


def asked(contest: Path, tmp_path: Path, *more: str, space: str = SPACE) -> list[str]:
    config = write_config(tmp_path / "search.ini", space)
    places = (f"settings.log_path={tmp_path / 'runs'}", f"settings.cache_path={tmp_path / 'cache'}", "settings.run_name=search")
    return [str(config), *fast(contest, *places, "model.name=test_resnet", *more)]


def table(tmp_path: Path) -> pd.DataFrame:
    return read(tmp_path / "runs/search/trials.csv")


@pytest.mark.slow
def test_a_search_draws_ranks_confirms_and_writes_the_winner(contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = asked(contest, tmp_path, "tuning.trials=3", "tuning.confirm=2", "tuning.scheduler=none")
    assert run_tune(*arguments) == 0
    told = capsys.readouterr().out
    found = table(tmp_path)
    assert found["state"].tolist() == [DONE] * 3 and found["folds"].tolist() == ["1"] * 3
    assert (found["confirmed"] != "").sum() == 2
    assert "3 trials: 3 to their end" in told
    best = found.loc[found["confirmed"].replace("", "-1").astype(float).idxmax()]
    winner = f"{int(best['trial']):04d}"
    config, _ = read_config([tmp_path / "runs/search/best.ini"])
    assert config.hyper_params.learning_rate == float(best["hyper_params.learning_rate"]) and not config.search_space
    result = json.loads((tmp_path / f"runs/search/trials/{winner}/result.json").read_text())
    assert result["coverage"] == 1 and result["oof"] == pytest.approx(float(best["confirmed"]))
    assert {path.parents[1].name for path in (tmp_path / "runs/search").rglob("*.pt")} == {winner}, "room for one trial"
    assert not (tmp_path / "runs/search/ray").exists()
    again = ("settings.run_name=again", "settings.num_workers=0")
    assert run_train(str(tmp_path / "runs/search/best.ini"), *again, "--quiet") == 0
    assert json.loads((tmp_path / "runs/again/result.json").read_text())["folds"] == result["folds"]
    assert run_tune(str(tmp_path / "search.ini"), f"settings.log_path={tmp_path / 'runs'}", "--resume", "search") == 0
    assert table(tmp_path).equals(found), "a finished search trains nothing"


@pytest.mark.slow
def test_trials_train_as_many_folds_as_are_asked_for(contest: Path, tmp_path: Path) -> None:
    more = ("tuning.trials=3", "tuning.folds=2", "tuning.parallel=2", "tuning.confirm=0", "tuning.scheduler=none")
    assert run_tune(*asked(contest, tmp_path, *more), "--quiet") == 0
    found = table(tmp_path)
    assert found["folds"].tolist() == ["2"] * 3 and set(found["confirmed"]) == {""}
    assert (tmp_path / "runs/search/trials/0000/fold1/history.csv").is_file()


def test_heads_on_stored_features_are_searched_without_ray(
    contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.jobs.ray_tune.run_trials", None)
    space = "[search_space]\nhyper_params.learning_rate = loguniform(1e-3, 1)\nhyper_params.weight_decay = choice(0, 0.1)\n"
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "tuning.trials=12", "tuning.confirm=1", "hyper_params.epochs=4")
    assert run_tune(*asked(contest, tmp_path, *frozen, space=space)) == 0
    assert "heads on stored features, trained side by side on 2 folds" in capsys.readouterr().out
    found = table(tmp_path)
    assert found["state"].tolist() == [DONE] * 12 and set(found["folds"]) == {"2"} and set(found["epochs"]) == {"8"}
    best = found.loc[found["score"].astype(float).idxmax()]
    run = json.loads((tmp_path / f"runs/search/trials/{int(best['trial']):04d}/result.json").read_text())
    assert run["mean"] == pytest.approx(float(best["score"]), abs=1e-6), "alone it scores what it scored beside the others"


HEADS = "[search_space]\nhyper_params.learning_rate = loguniform(1e-3, 1)\n"
ON_FEATURES = ("model.freeze=backbone", "model.feature_cache=on", "tuning.trials=3", "tuning.confirm=1")  # trials take no time


def test_a_confirmation_that_is_stopped_says_once_how_to_go_on_and_does(
    contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[int, int]] = []
    whole = fold_module.train_epoch_of

    def stop(plan: Any, fold: Any, learner: Any, batches: Any, epoch: int, *more: Any) -> Any:
        trained.append((fold.number, epoch))
        if (fold.number, epoch) in signals:
            raise signals.pop((fold.number, epoch))
        return whole(plan, fold, learner, batches, epoch, *more)

    signals = {(0, 2): KeyboardInterrupt(), (1, 1): Stopped(signal.SIGTERM)}
    monkeypatch.setattr(fold_module, "train_epoch_of", stop)
    resume = (str(tmp_path / "search.ini"), f"settings.log_path={tmp_path / 'runs'}", "--resume", "search")
    assert run_tune(*asked(contest, tmp_path, *ON_FEATURES, space=HEADS)) == 130
    told = capsys.readouterr().err.splitlines()
    assert told[-2:] == ["trials that ended are kept: python tune.py --resume search goes on", "stopped"]
    assert sum("goes on" in line for line in told) == 1
    (tmp_path / "runs/search/ray").mkdir()
    assert run_tune(*resume) == 143
    assert capsys.readouterr().err.splitlines()[-2:] == told[-2:]
    assert not (tmp_path / "runs/search/ray").exists()
    assert run_tune(*resume) == 0
    assert trained == [(0, 1), (0, 2), (0, 2), (1, 1), (1, 1), (1, 2)], "no epoch is trained twice"
    assert (table(tmp_path)["confirmed"] != "").sum() == 1


def test_a_kill_during_the_confirmation_costs_the_epoch_that_was_running(
    contest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fold_module.train_epoch_of

    def killed(plan: Any, fold: Any, learner: Any, batches: Any, epoch: int, *more: Any) -> Any:
        if (fold.number, epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(plan, fold, learner, batches, epoch, *more)

    arguments = asked(contest, tmp_path, *ON_FEATURES, space=HEADS)
    with monkeypatch.context() as patched:
        patched.setattr(fold_module, "train_epoch_of", killed)
        assert run_forked(lambda: run_tune(*arguments)).returncode == -signal.SIGKILL
    trained: list[tuple[int, int]] = []

    def counted(plan: Any, fold: Any, learner: Any, batches: Any, epoch: int, *more: Any) -> Any:
        trained.append((fold.number, epoch))
        return whole(plan, fold, learner, batches, epoch, *more)

    monkeypatch.setattr(fold_module, "train_epoch_of", counted)
    assert run_tune(str(tmp_path / "search.ini"), f"settings.log_path={tmp_path / 'runs'}", "--resume", "search", "--quiet") == 0
    assert trained == [(1, 2)]
    assert run_tune(*arguments, "settings.run_name=whole", "--quiet") == 0
    killed_one, whole_one = (read(tmp_path / f"runs/{name}/trials.csv").drop(columns="seconds") for name in ("search", "whole"))
    assert killed_one.equals(whole_one)


@pytest.mark.parametrize(
    ("more", "space", "told"),
    [
        ((), "", "[search_space] names nothing to search"),
        (("split.method=none",), SPACE, "split.method: trials are compared by their validation"),
        (("tuning.searcher=grid",), SPACE, "tuning.searcher: grid wants choice(...) or grid(...) everywhere"),
        (("model.name=resnet1800",), SPACE, "model.name: "),
        ((), SPACE.replace("learning_rate", "lerning_rate"), "lerning_rate: unknown option (did you mean learning_rate"),
        ((), SPACE.replace("1e-1", "2000"), "[search_space] hyper_params.learning_rate: "),
        ((), SPACE.replace("loguniform(1e-3, 1e-1)", "loguniform(1e-1, 1e-3)"), "a low end below the high one"),
    ],
)
def test_a_search_that_cannot_be_is_told_in_a_line(
    contest: Path, tmp_path: Path, more: tuple[str, ...], space: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refusal(run_tune, asked(contest, tmp_path, *more, space=space), capsys)
    assert told in line


def test_a_file_that_is_not_there_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_tune, ["nonsense.ini"], capsys)
    assert line.startswith("nonsense.ini: no such INI file")


def test_a_search_that_is_not_there_is_there_already_or_is_searched_now_is_told_in_a_line(
    contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = asked(contest, tmp_path)
    (line,) = refusal(run_tune, [*arguments, "--resume", "serch"], capsys)
    assert line == f"no search 'serch'; {tmp_path / 'runs'} has no search"
    search = SearchDirectory(tmp_path / "runs/search")
    search.trials.mkdir(parents=True)
    (line,) = refusal(run_tune, arguments, capsys)
    assert line == f"override settings.run_name: {search.path} exists; choose another"
    config, _ = read_config([arguments[0]], arguments[1:])
    search.config.write_text(to_ini(config), encoding="utf-8")
    (line,) = refusal(run_tune, arguments, capsys)
    assert line == f"override settings.run_name: {search.path} exists; python tune.py --resume search goes on with it"
    (line,) = refusal(run_tune, [*arguments, "--resume", "serch"], capsys)
    assert line == f"no search 'serch' (did you mean search?); {tmp_path / 'runs'} has search"
    with search.lock():
        (line,) = refusal(run_tune, [*arguments, "--resume", "search"], capsys)
    assert line == f"{search.path}: another process is searching here; wait for it, or set settings.run_name"


def test_without_ray_a_line_says_what_to_install(
    contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.jobs.engine.find_spec", lambda name: None)
    (line,) = refusal(run_tune, asked(contest, tmp_path), capsys)
    assert line == "tune.py needs ray and hyperopt: pip install -r requirements-tune.txt"


@pytest.mark.slow
@pytest.mark.parametrize("searcher", ["optuna", "random", "grid"])
def test_every_searcher_runs_and_failing_trials_are_recorded(contest: Path, tmp_path: Path, searcher: str) -> None:
    space = "[search_space]\nhyper_params.warmup_epochs = choice(0, 5)\nhyper_params.batch_size = choice(8, 16)\n"
    assert run_tune(*asked(contest, tmp_path, f"tuning.searcher={searcher}", "tuning.trials=6", space=space), "--quiet") == 0
    found = table(tmp_path)
    wrong = found["hyper_params.warmup_epochs"] == "5"
    assert wrong.any() and set(found["state"][wrong]) == {FAILED} and DONE in set(found["state"][~wrong])
    assert found["cause"][wrong].str.contains("warmup_epochs").all()
    if searcher == "grid":
        assert len(found) == 4


def gone(family: list[psutil.Process], seconds: float = 60) -> None:
    """Waits for the processes to end."""
    deadline, left = time.monotonic() + seconds, family
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not left, "a search that is over leaves nothing running"


class Searching:
    """A search of five trials of six epochs by tune.py in a process of its own, and what it has come to."""

    space = "[search_space]\nhyper_params.learning_rate = loguniform(1e-3, 1e-1)\n"
    more = ("tuning.trials=5", "tuning.scheduler=none", "hyper_params.epochs=6", "hyper_params.patience=0", "tuning.confirm=1")

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        self.trials, self.output = tmp_path / "runs/search/trials", tmp_path / "out.txt"
        with open(self.output, "ab") as out:
            words = [sys.executable, str(PROJECT / "tune.py"), *arguments]
            self.process = subprocess.Popen(words, stdout=out, stderr=out, cwd=tmp_path)

    def told(self) -> str:
        return self.output.read_text()

    def histories(self) -> dict[str, str]:
        return {file.parent.parent.name: file.read_text() for file in self.trials.glob("*/fold0/history.csv")}

    def wait_for(self, epochs: int) -> None:
        """Until so many epochs of trials are over."""
        deadline = time.monotonic() + 240
        while self._epochs() < epochs and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self._epochs() >= epochs and self.process.poll() is None, self.told()[-3000:]

    def family(self, *words: str) -> list[psutil.Process]:
        """The processes below it, with one of the words in their command lines."""
        found = []
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(word in " ".join(each.cmdline()) for word in words):
                    found.append(each)
        return found

    def _epochs(self) -> int:
        return sum(len(text.splitlines()) - 1 for text in self.histories().values())


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_driver_lose_no_trial_and_repeat_none(contest: Path, tmp_path: Path) -> None:
    first = Searching(tmp_path, *asked(contest, tmp_path, *Searching.more, space=Searching.space))
    first.wait_for(8)
    workers = first.family("ray::Impl", "ray::_trial")
    assert workers, "it is known by this name"
    for worker in workers:
        worker.kill()
    first.wait_for(14)
    family = [each for each in first.family("") if "Agent" not in each.name()]  # which look after themselves, and end a minute later
    first.process.kill()
    first.process.wait()
    gone(family)
    before = first.histories()
    resumed = Searching(tmp_path, str(tmp_path / "search.ini"), f"settings.log_path={tmp_path / 'runs'}", "--resume", "search")
    assert resumed.process.wait(timeout=400) == 0, resumed.told()[-3000:]
    found = table(tmp_path)
    assert found["state"].tolist() == [DONE] * 5 and found["epochs"].tolist() == ["6"] * 5
    assert found["hyper_params.learning_rate"].is_unique
    after = resumed.histories()
    assert all(after[name].startswith(text) for name, text in before.items()), "an epoch was trained twice"
    assert not (tmp_path / "runs/search/ray").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_trials_that_are_stopped_say_once_how_to_go_on(contest: Path, tmp_path: Path, number: int, status: int) -> None:
    search = Searching(tmp_path, *asked(contest, tmp_path, *Searching.more, space=Searching.space), "--quiet")
    search.wait_for(2)
    family = search.family("")
    search.process.send_signal(number)
    assert search.process.wait(timeout=60) == status
    assert search.told().splitlines()[-2:] == ["trials that ended are kept: python tune.py --resume search goes on", "stopped"]
    assert "Traceback" not in search.told() and search.told().count("goes on") == 1
    gone(family)
    assert not (tmp_path / "runs/search/ray").exists()


@pytest.mark.slow
def test_asha_ends_trials_early_and_finds_what_the_full_search_finds(contest: Path, tmp_path: Path) -> None:
    space = "[search_space]\nhyper_params.learning_rate = grid(1e-7, 1e-6, 0.01, 1e-5, 0.02, 3e-5)\n"
    more = ("tuning.searcher=grid", "hyper_params.epochs=9", "tuning.confirm=0", "hyper_params.patience=0")
    best, trained = {}, {}
    for scheduler in ("none", "asha"):
        (tmp_path / scheduler).mkdir()
        assert run_tune(*asked(contest, tmp_path / scheduler, *more, f"tuning.scheduler={scheduler}", space=space), "--quiet") == 0
        found = table(tmp_path / scheduler)
        trained[scheduler] = found["epochs"].astype(int).sum()
        done = found[found["state"] == DONE]
        best[scheduler] = done.loc[done["score"].astype(float).idxmax(), "hyper_params.learning_rate"]
        assert (STOPPED in set(found["state"])) == (scheduler == "asha")
    assert trained["asha"] < trained["none"] == 54 and best["asha"] in ("0.01", "0.02")


@pytest.mark.slow
def test_asha_looks_at_the_first_of_several_folds(contest: Path, tmp_path: Path) -> None:
    space = "[search_space]\nhyper_params.learning_rate = grid(0.01, 1e-7, 0.02)\n"
    more = ("tuning.searcher=grid", "tuning.folds=2", "tuning.grace_epochs=3", "hyper_params.epochs=4", "tuning.confirm=1")
    assert run_tune(*asked(contest, tmp_path, *more, "hyper_params.patience=0", space=space), "--quiet") == 0
    found = table(tmp_path)
    assert found["state"].tolist()[:2] == [DONE, STOPPED]
    for state, folds, epochs in zip(found["state"], found["folds"], found["epochs"], strict=True):
        assert (folds, epochs) == (("2", "8") if state == DONE else ("1", "3"))
    assert not (tmp_path / "runs/search/trials/0001/fold1").exists()
    assert (found["confirmed"] != "").sum() == 1


def test_help_and_print_config_need_no_ray(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.chdir(tmp_path)
    write_config(tmp_path / "config.ini", SPACE)
    assert run_tune("--help") == 0 and "--resume" in capsys.readouterr().out
    assert run_tune("--print-config") == 0 and "loguniform(0.001, 0.1)" in capsys.readouterr().out


def test_a_search_goes_on_as_it_began_or_with_more_trials(contest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = "[search_space]\nhyper_params.learning_rate = loguniform(1e-3, 1)\n"
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "tuning.trials=3", "tuning.confirm=1", "tuning.searcher=random")
    assert run_tune(*asked(contest, tmp_path, *frozen, space=space), "--quiet") == 0
    found = table(tmp_path)
    again = [str(tmp_path / "search.ini"), f"settings.log_path={tmp_path / 'runs'}", "--resume", "search"]
    line = refusal(run_tune, [*again, "hyper_params.epochs=9"], capsys)[-1]
    assert line == "override hyper_params.epochs: the search was begun with 2, not 9; start a new search for that"
    assert run_tune(*again, "tuning.trials=5", "--quiet") == 0
    more = table(tmp_path)
    assert len(more) == 5 and more["hyper_params.learning_rate"][:3].tolist() == found["hyper_params.learning_rate"].tolist()
    (tmp_path / "runs/search/trials.csv").write_text("")
    assert run_tune(*again, "--quiet") == 0 and table(tmp_path)["score"].tolist() == more["score"].tolist()
    config = tmp_path / "runs/search/search.ini"
    config.write_text(config.read_text().replace("loguniform(0.001, 1)", "loguniform(0.01, 1)"))
    assert refusal(run_tune, again, capsys)[-1] == f"{config} has changed since its trials were drawn; start a new search"


def test_a_trial_whose_record_was_removed_leaves_its_run_to_nobody(contest: Path, tmp_path: Path) -> None:
    search = SearchDirectory(tmp_path / "search")
    search.trials.mkdir(parents=True)
    first = search.begin({"hyper_params.learning_rate": "0.1"})
    search.run_of(first).path.mkdir()
    (search.trials / f"{first.name}.json").unlink()
    assert search.begin({"hyper_params.learning_rate": "0.2"}).number == first.number + 1


def test_a_winner_at_the_end_of_a_range_is_told() -> None:
    spaces = [Space("hyper_params", "learning_rate", "loguniform", (1e-4, 1e-1)), Space("hyper_params", "momentum", "uniform", (0.0, 1.0))]
    best = Trial(0, {"hyper_params.learning_rate": "0.0964", "hyper_params.momentum": "0.5"}, DONE, 0.9)
    told = "hyper_params.learning_rate = 0.0964 is at the end of loguniform(0.0001, 0.1): a wider range may hold a better one"
    assert at_the_ends(spaces, best) == [told]
