"""A run's folder: its name, how it is found again, and that one process at a time works in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modules.config.errors import DataError, OptionError
from modules.runs import directory
from modules.runs.directory import RunDirectory, create_run, find_run, latest_run, list_runs

ROOT = Path(__file__).parents[2]


def make_run(name: str, ended: str | None = None, debug: bool = False, root: str = "runs") -> RunDirectory:
    """A folder as training leaves it: without `ended` it is not finished."""
    path = Path(root) / name
    path.mkdir(parents=True)
    (path / "config.ini").write_text("[settings]\n")
    if ended is not None:
        (path / "result.json").write_text(json.dumps({"ended": f"2026-01-{ended}T00:00:00.000000+00:00", "debug": debug}))
    return RunDirectory(path)


def test_a_named_run_is_a_new_empty_folder() -> None:
    run = create_run("deep/runs", "first", "resnet18")
    assert run.path == Path("deep/runs/first") and run.name == "first" and list(run.path.iterdir()) == []


def test_a_run_without_a_name_is_called_by_date_time_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2026, 3, 4, 5, 6, 7)

    monkeypatch.setattr(directory, "datetime", Clock)
    names = [create_run("runs", None, "hf-hub:some/model.a1 x").name for _ in range(3)]
    stem = "20260304-050607-hf-hub_some_model.a1_x"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


def test_a_taken_name_is_refused_and_the_folder_left_alone() -> None:
    create_run("runs", "mine", "resnet18")
    Path("runs/mine/note").write_text("keep")
    with pytest.raises(OptionError, match=r"runs/mine exists; it holds no run: remove it, or choose another$"):
        create_run("runs", "mine", "resnet18")
    Path("runs/mine/config.ini").write_text("")
    with pytest.raises(OptionError, match=r"^\[settings\] run_name: runs/mine exists; choose another, or python train\.py --resume mine$"):
        create_run("runs", "mine", "resnet18")
    assert Path("runs/mine/note").read_text() == "keep"


@pytest.mark.parametrize("name", ["..", ".", "latest", "a/b", "/elsewhere/x", "a\\b"])
def test_a_name_that_is_no_new_folder_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"^\[settings\] run_name: expected the name of a new folder in runs, got '") as caught:
        create_run("runs", name, "resnet18")
    assert str(caught.value).endswith(f"got '{name}'") and list(Path("runs").iterdir()) == []


def test_a_name_with_a_comma_which_inference_run_could_not_name_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^\[settings\] run_name: a comma stands between names in inference.run"):
        create_run("runs", "a, b", "resnet18")
    assert list(Path("runs").iterdir()) == []


def test_every_path_of_a_run_is_where_the_contract_says() -> None:
    run = RunDirectory(Path("runs/a"))
    found = [run.config, run.environment, run.folds, run.oof, run.result]
    assert [path.name for path in found] == ["config.ini", "environment.json", "folds.csv", "oof.csv", "result.json"]
    fold = run.fold(3)
    found = [fold.best, fold.last, fold.previous, fold.history, fold.predictions]
    expected = ["best.pt", "last.pt", "last.prev.pt", "history.csv", "predictions.csv"]
    assert [path.relative_to("runs/a/fold3").name for path in found] == expected
    assert fold.epoch(3, 0.12344, 0.98765) == Path("runs/a/fold3/epochs/epoch003_loss0.1234_score0.9877.pt")
    assert fold.epoch(1000, 12.0, -0.5) == Path("runs/a/fold3/epochs/epoch1000_loss12.0000_score-0.5000.pt")


def test_a_run_is_found_by_name_and_by_folder() -> None:
    make_run("alpha")
    make_run("beta", root="elsewhere")
    assert find_run("runs", "alpha").path == Path("runs/alpha")
    assert find_run("runs", "runs/alpha").path == Path("runs/alpha")
    assert find_run("runs", "elsewhere/beta").path == Path("elsewhere/beta")
    assert find_run("runs", str(Path("elsewhere/beta").resolve())).name == "beta"


def test_a_name_in_log_path_comes_before_a_folder_here() -> None:
    make_run("alpha")
    make_run("alpha", root=".")
    assert find_run("runs", "alpha").path == Path("runs/alpha")


def test_an_unknown_run_is_told_with_the_nearest_name_and_those_there_are() -> None:
    for name in ("baseline", "resnet", "zeta"):
        make_run(name)
    with pytest.raises(DataError, match=r"^no run 'baselin' \(did you mean baseline\?\); runs has zeta, resnet, baseline$"):
        find_run("runs", "baselin")
    with pytest.raises(DataError, match=r"^no run 'x'; empty has no run$"):
        find_run("empty", "x")


def test_a_folder_without_a_config_is_no_run() -> None:
    Path("runs/half").mkdir(parents=True)
    assert list_runs("runs") == []
    with pytest.raises(DataError, match=r"^no run 'half'; runs has no run$"):
        find_run("runs", "half")


def test_the_latest_run_is_the_one_that_ended_last_whatever_its_name_or_age() -> None:
    make_run("zzz", "02")
    newest = make_run("aaa", "09")
    make_run("mmm", "05")
    os.utime(newest.path, (0, 0))
    os.utime(newest.result, (0, 0))
    assert latest_run("runs", debug=False).name == "aaa"


def test_a_run_that_is_preferred_goes_before_later_ones_and_if_there_is_none_the_latest_does() -> None:
    for name, ended in (("first", "01"), ("second", "02"), ("third", "03")):
        make_run(name, ended)
    assert latest_run("runs", debug=False, prefer=lambda run: run.name < "second").name == "first"
    assert latest_run("runs", debug=False, prefer=lambda run: run.name == "none").name == "third"


def test_the_latest_run_is_never_an_unfinished_one() -> None:
    make_run("done", "02")
    make_run("going")
    assert latest_run("runs", debug=False).name == "done" and latest_run("runs", debug=True).name == "done"


def test_a_debug_run_is_the_latest_only_where_debug_asks() -> None:
    make_run("done", "02")
    make_run("tried", "08", debug=True)
    assert latest_run("runs", debug=False).name == "done"
    assert latest_run("runs", debug=True).name == "tried"


def test_no_finished_run_is_told_with_what_makes_one() -> None:
    make_run("going")
    make_run("tried", "08", debug=True)
    with pytest.raises(DataError, match=r"^runs: no finished run to predict with; python train\.py makes one$"):
        latest_run("runs", debug=False)


def test_the_result_of_an_unfinished_or_damaged_run_is_one_line() -> None:
    run = make_run("going")
    with pytest.raises(DataError, match=r"^runs/going: the run is not finished; python train\.py --resume going goes on with it$"):
        run.read_result()
    run.result.write_text('{"debug": fal')
    with pytest.raises(DataError, match=r"^runs/going/result\.json: cannot be read: ") as caught:
        run.read_result()
    assert len(caught.value.lines) == 1


HOLDER = """
import sys, time
from pathlib import Path
from modules.runs.directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed() -> None:
    run = make_run("shared")
    command = [sys.executable, "-c", HOLDER, str(run.path.resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            message = r"^runs/shared: another process is working in this run; wait for it, or set settings\.run_name$"
            with pytest.raises(DataError, match=message), run.lock():
                pytest.fail("both processes hold the run")
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    assert holder.returncode == -signal.SIGKILL
    with run.lock():
        assert run.path.is_dir()


def test_the_lock_is_given_back_after_a_mistake() -> None:
    run = make_run("shared")
    with pytest.raises(KeyError), run.lock():
        raise KeyError
    with run.lock(), pytest.raises(DataError, match="another process"), RunDirectory(run.path).lock():
        pytest.fail("held twice")
