"""Stopped at any moment and started again: the same result, and nothing done twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.config.errors import DataError
from modules.reporting.sinks import Console, Silence
from modules.runs.directory import RunDirectory
from tests.making import fast, make_contest, write_config
from tests.scripts.forked import run_forked
from tests.scripts.running import digests, history, read, refusal, run_inference, run_train
from tests.some import some
from tests.tiny import DROPPING

MORE = (
    "augmentation.preset=heavy",
    "hyper_params.epochs=3",
    "hyper_params.warmup_epochs=0.5",
    f"model.name={DROPPING}",
    "data.test_csv=test.csv",
)


def train_and(kill: Callable[[], None], fold: int, arguments: list[str]) -> int:
    """train.py, in which the second step of epoch 2 of that fold is the moment to kill, for real."""
    at = [0, 0, 0]

    def start_epoch(sink: object, fold: int, epoch: int, epochs: int, steps: int) -> None:
        at[:] = [fold, epoch, 0]

    def step(sink: object, loss: Callable[[], float]) -> None:
        at[2] += 1
        if at == [fold, 2, 2]:
            kill()

    Silence.start_epoch, Silence.step = start_epoch, step  # type: ignore[method-assign,assignment]
    return run_train(*arguments)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_the_group() -> None:
    os.killpg(0, signal.SIGTERM)


def kill_a_worker() -> None:
    multiprocessing.active_children()[0].kill()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The contest's root with a finished run `whole`, and the arguments that made it."""
    root = tmp_path_factory.mktemp("uninterrupted")
    make_contest(root / "contest")
    config = write_config(root / "config.ini", "[settings]\n")
    arguments = [str(config), *fast(root / "contest", *MORE, f"settings.log_path={root / 'runs'}")]
    assert run_train(*arguments, "settings.run_name=whole", "--quiet") == 0
    return root, arguments


def test_killed_in_the_middle_of_an_epoch_and_resumed_equals_uninterrupted(uninterrupted: tuple[Path, list[str]]) -> None:
    root, arguments = uninterrupted
    done = run_forked(lambda: train_and(kill_itself, 1, [*arguments, "settings.run_name=killed", "--quiet"]))
    assert done.returncode == -signal.SIGKILL
    killed = root / "runs/killed"
    assert [len(history(killed, fold)) for fold in (0, 1)] == [3, 1]
    done_before = [history(killed, fold) for fold in (0, 1)]
    trained = _epochs_trained_by(lambda: run_train(*arguments[:1], f"settings.log_path={root / 'runs'}", "--resume", "killed", "--quiet"))
    assert trained == [(1, 2), (1, 3)]
    # The records of finished epochs, times included, are those that were written before the kill.
    assert history(killed, 0) == done_before[0]
    assert history(killed, 1)[:1] == done_before[1]
    assert digests(killed) == digests(root / "runs/whole")
    submissions = []
    for name in ("whole", "killed"):
        assert run_inference(*arguments, f"inference.run={name}") == 0
        submissions.append(Path(f"submissions/{name}.csv").read_bytes())
    assert submissions[0] == submissions[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_keeps_the_last_epoch(
    uninterrupted: tuple[Path, list[str]],
    number: signal.Signals,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, arguments = uninterrupted
    name = f"stopped{status}"
    with monkeypatch.context() as patched:
        patched.setattr(Silence, "step", _at(1, 3, lambda: os.kill(os.getpid(), number), patched))
        assert run_train(*arguments, f"settings.run_name={name}", "--quiet") == status
    assert f"finished epochs are kept: python train.py --resume {name} goes on\nstopped\n" in capsys.readouterr().err
    assert [len(history(root / "runs" / name, fold)) for fold in (0, 1)] == [3, 2]
    assert run_train("--resume", str(root / "runs" / name), "--quiet") == 0
    assert digests(root / "runs" / name) == digests(root / "runs/whole")


@pytest.mark.parametrize(("kill", "status"), some([(end_the_group, 143), (kill_a_worker, 2)]))
def test_a_signal_to_the_whole_group_or_to_a_worker_ends_without_a_traceback(
    uninterrupted: tuple[Path, list[str]], kill: Callable[[], None], status: int
) -> None:
    root, arguments = uninterrupted
    name = f"group{status}"
    more = [f"settings.run_name={name}", "settings.num_workers=2", "--quiet"]
    done = run_forked(lambda: train_and(kill, 0, [*arguments, *more]))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    told = "stopped" if status == 143 else "a data worker died"
    assert told in done.stderr.splitlines()[-1]
    assert len(history(root / "runs" / name, 0)) == 1
    assert run_train("--resume", str(root / "runs" / name), "settings.num_workers=0", "--quiet") == 0
    assert digests(root / "runs" / name) == digests(root / "runs/whole")


def test_a_damaged_checkpoint_is_found_out_and_the_one_before_it_used(
    uninterrupted: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = uninterrupted
    with monkeypatch.context() as patched:
        patched.setattr(Silence, "step", _at(0, 3, lambda: os.kill(os.getpid(), signal.SIGINT), patched))
        assert run_train(*arguments, "settings.run_name=damaged", "--quiet") == 130
    last = root / "runs/damaged/fold0/last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.write_bytes(content)
    capsys.readouterr()
    assert run_train("--resume", str(root / "runs/damaged"), "--quiet") == 0
    assert f"warning: {last}: damaged" in capsys.readouterr().err
    assert digests(root / "runs/damaged") == digests(root / "runs/whole")


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(
    uninterrupted: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = uninterrupted

    def fill_the_disk() -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)

    with monkeypatch.context() as patched:
        patched.setattr(Silence, "step", _at(1, 2, fill_the_disk, patched))
        lines = refusal(run_train, [*arguments, "settings.run_name=full", "--quiet"], capsys)
    assert len(lines) == 1
    assert "No space left on device" in lines[0]
    assert not list((root / "runs/full").rglob("*.tmp"))
    assert run_train("--resume", str(root / "runs/full"), "--quiet") == 0
    assert digests(root / "runs/full") == digests(root / "runs/whole")


def test_a_finished_run_says_so_and_changes_nothing(uninterrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, _arguments = uninterrupted
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "runs/whole").rglob("*") if path.is_file()}
    assert run_train("--resume", str(root / "runs/whole")) == 0
    assert "runs/whole is finished already" in capsys.readouterr().out
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "runs/whole").rglob("*") if path.is_file()} == before


def test_what_would_change_what_was_learnt_is_refused_with_a_diff(
    uninterrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = uninterrupted
    write_config(Path("other.ini"), "[data]\nimage_size = 40\n")
    run = str(root / "runs/whole")
    lines = refusal(
        run_train, ["--resume", run, "hyper_params.learning_rate=0.5", "hyper_params.epochs=2", "logging.progress=false"], capsys
    )
    assert lines == [
        "override hyper_params.epochs: the run was begun with 3, not 2; start a new run for that",
        "override hyper_params.learning_rate: the run was begun with 0.001, not 0.5; start a new run for that",
    ]
    assert "other.ini:2 [data] image_size: the run was begun with 32, not 40" in "\n".join(
        refusal(run_train, ["other.ini", "--resume", run], capsys)
    )


def test_epochs_may_grow(uninterrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = uninterrupted
    assert run_train(*arguments, "settings.run_name=grown", "hyper_params.epochs=1", "--quiet") == 0
    capsys.readouterr()
    resumed = ["--resume", str(root / "runs/grown"), "hyper_params.epochs=2", "--quiet"]
    assert _epochs_trained_by(lambda: run_train(*resumed)) == [(0, 2), (1, 2)]
    assert "epochs grows from 1 to 2: the schedule from here on is not that of a run that began with 2" in capsys.readouterr().err
    assert len(history(root / "runs/grown", 1)) == 2


def test_a_table_that_changed_since_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    contest = make_contest(tmp_path / "contest")
    write_config(Path("config.ini"), "[settings]\n")
    with monkeypatch.context() as patched:
        patched.setattr(Silence, "step", _at(0, 2, lambda: os.kill(os.getpid(), signal.SIGINT), patched))
        assert run_train(*fast(contest, "settings.run_name=changed"), "--quiet") == 130
    table = read(contest / "train.csv")
    table.loc[5, "label"] = "dog" if table.loc[5, "label"] != "dog" else "cat"
    table.to_csv(contest / "train.csv", index=False)
    lines = refusal(run_train, ["--resume", "changed"], capsys)
    assert lines == [
        "runs/changed: ids, images, labels, groups or metadata in the training table have changed since this run started; start a new run"
    ]


def test_two_processes_cannot_train_one_run(uninterrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = uninterrupted
    assert run_train(*arguments, "settings.run_name=locked", "hyper_params.epochs=1", "--quiet") == 0
    run = RunDirectory(root / "runs/locked")
    with run.lock():
        lines = refusal(run_train, ["--resume", str(run.path), "hyper_params.epochs=2"], capsys)
    assert lines == [f"{run.path}: another process is working in this run; wait for it, or set settings.run_name"]


def test_an_unknown_run_is_told_with_the_names_there_are(uninterrupted: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = uninterrupted
    line = refusal(run_train, [*arguments[:1], f"settings.log_path={root / 'runs'}", "--resume", "whale"], capsys)[0]
    assert line.startswith("no run 'whale' (did you mean whole?)")


def test_a_nan_stops_the_fold_and_names_the_step(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    more = ["hyper_params.optimizer=sgd", "hyper_params.learning_rate=1000", "settings.run_name=nan", "model.name=test_vit"]
    lines = refusal(run_train, fast(contest, *more), capsys)
    assert len(lines) == 1
    assert lines[0].startswith("fold 0, epoch 1: ")
    assert "step" in lines[0] or "validation" in lines[0]
    assert not Path("runs/nan/fold0/last.pt").exists()
    assert not Path("runs/nan/result.json").exists()


def _at(fold: int, epoch: int, act: Callable[[], None], patched: pytest.MonkeyPatch) -> Callable[..., None]:
    """A `step` for Silence that acts at the second step of that epoch of that fold, once."""
    at = [0, 0, 0]

    def start_epoch(sink: object, fold: int, epoch: int, epochs: int, steps: int) -> None:
        at[:] = [fold, epoch, 0]

    def step(sink: object, loss: Callable[[], float]) -> None:
        at[2] += 1
        if at == [fold, epoch, 2]:
            act()

    patched.setattr(Silence, "start_epoch", start_epoch)
    return step


def _epochs_trained_by(job: Callable[[], int]) -> list[tuple[int, int]]:
    """The (fold, epoch) pairs whose training begins while the job runs."""
    begun: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patched:
        for sink in (Silence, Console):
            patched.setattr(sink, "start_epoch", lambda sink, fold, epoch, epochs, steps: begun.append((fold, epoch)))
        assert job() == 0
    return begun


def test_errors_travel_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(DataError("a", "b")))  # noqa: S301
    assert (type(error), error.lines) == (DataError, ("a", "b"))
