"""The programmes of this folder in short; with --runslow as long as a night's coffee."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.faults.damage import damage_files, try_pickles
from tests.faults.disk import FAULTS
from tests.faults.images import corpus, describe, try_corpus
from tests.faults.jobs import JOBS
from tests.faults.kill import describe as describe_kills
from tests.faults.kill import run_jobs
from tests.faults.mutants import MUTANTS, misplaced, try_mutants
from tests.faults.options import ACCEPTED, BOTH, TOLD, try_files, try_options
from tests.faults.splits import try_tables
from tests.faults.tables import try_tables as read_tables
from tests.faults.writes import run_job
from tests.making import fast, make_contest, write_config
from tests.scripts.running import refusal, run_inference, run_train

SHORT_KILLS = ("training", "inference")


def check_kills(names: tuple[str, ...], count: int, folder: Path) -> None:
    make_contest(folder / "contest")
    for name, trials, whole in run_jobs(names, count, seed=1, processes=1, root=folder):
        assert len(trials) == count and not [fault for trial in trials for fault in trial.faults], describe_kills(name, trials, whole)
        assert max(trial.repeated for trial in trials) <= 1


def test_killed_at_any_moment_and_gone_on_with_is_as_never_killed(tmp_path: Path) -> None:
    check_kills(SHORT_KILLS, 1, tmp_path)


@pytest.mark.slow
def test_killed_thirty_times_at_any_moment_is_as_never_killed(tmp_path: Path) -> None:
    check_kills(tuple(JOBS), 30, tmp_path)


@pytest.mark.parametrize(("name", "every"), [("inference", 12), *(pytest.param(name, 8, marks=pytest.mark.slow) for name in JOBS)])
def test_a_disk_that_fails_at_a_step_leaves_the_old_state_or_the_new(name: str, every: int, tmp_path: Path) -> None:
    make_contest(tmp_path / "contest")
    trials = run_job(name, tmp_path, every, processes=1)
    assert {trial.fault for trial in trials} == set(FAULTS)
    assert not [(trial.step, trial.fault, trial.faults) for trial in trials if trial.faults]


def test_damage_is_found_out_and_no_pickle_runs() -> None:
    found = damage_files(truncations=20, flips=100, seed=1)
    assert set(found.values()) == {120} and all(told for _, told in found)
    count, faults = try_pickles()
    assert count >= 30 and not faults


@pytest.mark.slow
def test_much_damage_is_found_out() -> None:
    found = damage_files(truncations=100, flips=1000, seed=2)
    assert set(found.values()) == {1100} and all(told for _, told in found)


def test_generated_images_are_read_as_declared_or_refused_by_name() -> None:
    cases = list(corpus(1))
    tried = try_corpus(cases)
    assert len(cases) >= 500 and not tried.faults, describe(cases, tried)
    assert tried.known > 300 and tried.refused > 200


def test_a_contest_of_such_images_trains_on_those_that_can_be_read_and_predicts_nothing_while_one_cannot(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = [case for case in corpus(2) if case.tolerance is not None and not case.may_be_refused]
    Path("train").mkdir()
    for case in cases:
        Path("train", case.name).write_bytes(case.content)
    table = pd.DataFrame({"id": [case.name for case in cases], "label": [("a", "b")[number % 2] for number in range(len(cases))]})
    table.to_csv("train.csv", index=False)
    table[["id"]].to_csv("test.csv", index=False)
    table.to_csv("sample_submission.csv", index=False)
    write_config(Path("config.ini"), "[data]\nbad_images = skip\ntest_csv = test.csv\ntest_images = train\n")
    arguments = ["config.ini", *fast(Path(), "hyper_params.epochs=1", "settings.run_name=a", "data.image_suffix="), "--quiet"]
    readable = [case.name for case in cases if case.expected is not None]
    assert run_train(*arguments) == 0
    assert f"{len(cases) - len(readable)} training images are left out" in capsys.readouterr().err
    assert sorted(pd.read_csv("runs/a/oof.csv", dtype=str, keep_default_na=False)["id"]) == sorted(readable)
    (line, *_) = refusal(
        run_inference, ["config.ini", "settings.gpu=false", "data.source=csv", "inference.run=a", f"settings.data_path={Path()}"], capsys
    )
    assert any(line.startswith(f"train/{case.name}: ") for case in cases if case.expected is None)
    assert not list(Path().glob("submissions/*"))


@pytest.mark.parametrize(("every", "files"), [(5, 300), pytest.param(1, 3000, marks=pytest.mark.slow)])
def test_every_mistake_in_an_ini_is_told_and_what_is_read_prints_stably(every: int, files: int) -> None:
    found: Counter[str] = Counter()
    assert not try_options(found, every) + try_files(files, 1, found)
    assert found[TOLD] + found[ACCEPTED] == found[BOTH] and min(found[TOLD], found[ACCEPTED]) > 100


def test_tables_are_read_to_the_letter_or_refused_in_a_line() -> None:
    count, faults = read_tables()
    assert count > 300 and not faults


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_folds_of_random_tables_are_what_is_promised(count: int) -> None:
    outcomes, faults = try_tables(count, seed=1)
    assert not faults and outcomes["folds"] > count / 2


def test_seeded_bugs_have_their_place() -> None:
    rows = {each.row for each in MUTANTS}
    assert not misplaced() and len(MUTANTS) >= 40
    assert {str(row) for row in range(1, 23)} | {"2b"} <= rows


@pytest.mark.parametrize("only", ["a range that is none", pytest.param("", marks=pytest.mark.slow)])
def test_seeded_bugs_are_caught(only: str) -> None:
    found = try_mutants([each for each in MUTANTS if only in each.what], processes=1)
    missed = [each for each, caught in found.items() if not caught]
    assert len(missed) <= 0.05 * len(found) and not [each for each in missed if each.row], missed
