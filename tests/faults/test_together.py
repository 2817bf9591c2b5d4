"""Several processes at the same time: one wins, or both come to what each would alone."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.making import fast, make_contest, write_config
from tests.scripts.forked import run_forked
from tests.scripts.running import digests, read, run_inference, run_train

MANY = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest, and a finished run `whole` of it."""
    root = tmp_path_factory.mktemp("together")
    make_contest(root / "contest")
    write_config(root / "config.ini", "[settings]\n")
    assert run_train(*arguments(root, "settings.run_name=whole"), "--quiet") == 0
    return root


def arguments(root: Path, *more: str) -> list[str]:
    places = (f"settings.log_path={root / 'runs'}", "data.test_csv=test.csv")
    return [str(root / "config.ini"), *fast(root / "contest", *places, *more)]


def at_once(jobs: Sequence[Callable[[], int]]) -> list[tuple[int, str]]:
    """The exit status and stderr of each, all begun at the same moment, in folders of their own."""
    begin = multiprocessing.get_context("fork").Event()

    def alone(number: int, job: Callable[[], int]) -> int:
        folder = Path(f"process{number}")
        folder.mkdir()
        os.chdir(folder)

        def waiting() -> int:
            begin.wait(60)
            return job()

        done = run_forked(waiting)
        Path("status").write_text(str(done.returncode))
        return 0

    processes = [multiprocessing.get_context("fork").Process(target=alone, args=each) for each in enumerate(jobs)]
    for process in processes:
        process.start()
    time.sleep(0.5)
    begin.set()
    for process in processes:
        process.join()
    folders = [Path(f"process{number}") for number in range(len(jobs))]
    return [(int((each / "status").read_text()), (each / "forked.err").read_text()) for each in folders]


def test_of_several_that_begin_one_run_one_trains_and_the_others_say_that_it_exists(root: Path) -> None:
    done = at_once([lambda: run_train(*arguments(root, "settings.run_name=same"), "--quiet")] * MANY)
    assert sorted(status for status, _ in done) == [0, *[2] * (MANY - 1)]
    for status, told in done:
        assert status == 0 or (f"{root / 'runs/same'} exists; " in told and "Traceback" not in told)
    assert digests(root / "runs/same") == digests(root / "runs/whole")


def test_of_several_that_go_on_with_one_run_one_does_and_the_others_say_so(root: Path) -> None:
    assert run_train(*arguments(root, "settings.run_name=shared", "hyper_params.epochs=1"), "--quiet") == 0
    more = [f"settings.log_path={root / 'runs'}", "--resume", "shared", "hyper_params.epochs=2", "--quiet"]
    done = at_once([lambda: run_train(str(root / "config.ini"), *more)] * MANY)
    winners = [told for status, told in done if status == 0]
    assert winners and all("another process is working in this run" in told for status, told in done if status != 0)
    assert {status for status, _ in done} <= {0, 2}
    assert len(read(root / "runs/shared/fold0/history.csv")) == 2, "no epoch twice"


def test_runs_that_build_one_cache_learn_what_each_would_alone(root: Path) -> None:
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "data.cache=on", f"settings.cache_path={root / 'cache'}")
    jobs = [
        lambda name=f"cached{number}": run_train(*arguments(root, *frozen, f"settings.run_name={name}"), "--quiet") for number in range(3)
    ]
    assert [status for status, _ in at_once(jobs)] == [0, 0, 0]
    expected = digests(root / "runs/cached0")
    assert all(digests(root / f"runs/cached{number}") == expected for number in (1, 2))
    alone = arguments(root, *frozen[:-1], "settings.cache_path=alone", "settings.run_name=alone")
    assert run_train(*alone, "--quiet") == 0 and digests(root / "runs/alone") == expected


def test_every_inference_has_its_row_of_the_ledger_and_its_file(root: Path) -> None:
    folder = root / "submissions"
    more = ("inference.run=whole", f"inference.submission_path={folder}")
    done = at_once([lambda: run_inference(*arguments(root, *more), "--quiet")] * MANY)
    assert [status for status, _ in done] == [0] * MANY, done
    names = read(folder / "ledger.csv")["file"].tolist()
    assert sorted(names) == sorted(["whole.csv", *(f"whole-{number}.csv" for number in range(2, MANY + 1))])
    assert len({(folder / name).read_bytes() for name in names}) == 1
    assert all((folder / name).with_suffix(".json").is_file() for name in names)
