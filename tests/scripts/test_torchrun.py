"""torchrun train.py: two processes share each batch, and come to what one comes to with the whole batch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

import inference
import look
import train
import tune
from modules.runs.checkpoint import load_checkpoint
from tests.making import fast, make_contest, write_config
from tests.scripts.running import digests, history, refusal, run_inference, run_train

PROJECT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STILL = ("model.name=test_convnext", "hyper_params.batch_size=6", "hyper_params.learning_rate=1e-4")  # no BatchNorm, no dropout
NORMED = ("model.name=test_resnet", "hyper_params.batch_size=8", "hyper_params.learning_rate=1e-3")
JOBS: dict[str, tuple[str, ...]] = {
    "plain": (*STILL, "augmentation.preset=light"),
    "accumulated": (*STILL, "hyper_params.accumulate=2", "hyper_params.clip_grad=0.5", "hyper_params.batch_size=5"),
    "averaged": (*STILL, "model.ema_decay=0.9", "inference.tta=hflip", "hyper_params.sampler=balanced"),
    "features": (*STILL, "model.freeze=backbone", "model.feature_cache=on"),
    "normed": (*NORMED, "split.folds=4", "split.train_folds=0"),
    "diverging": (*NORMED, "hyper_params.loss=diverging:loss"),
    "tiny": (*STILL, "hyper_params.batch_size=1"),
}

DIVERGING = """
import itertools, os
from torch.nn import functional
steps = itertools.count()
def loss(logits, targets):
    found = functional.cross_entropy(logits, targets)
    return found * float("nan") if os.environ["RANK"] == "1" and logits.requires_grad and next(steps) > 5 else found
loss.activation = "softmax"
"""


def asked(root: Path, *more: str) -> list[str]:
    places = (f"settings.log_path={root / 'runs'}", f"settings.cache_path={root / 'cache'}")
    return [str(root / "config.ini"), *fast(root / "contest", *places, *more)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all JOBS done by two processes; what each process said of them is in `told`."""
    root = tmp_path_factory.mktemp("torchrun")
    make_contest(root / "contest")
    write_config(root / "config.ini", "[settings]\n")
    (root / "diverging.py").write_text(DIVERGING)
    (root / "told").mkdir()
    ports = free_ports(len(JOBS))
    jobs = {name: (ports.pop(), asked(root, *more, f"settings.run_name={name}")) for name, more in JOBS.items()}
    (root / "jobs.json").write_text(json.dumps(jobs))
    command = [*TORCHRUN, str(PROJECT / "tests/scripts/together.py"), str(root / "jobs.json"), str(root / "told")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def told(root: Path, name: str, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / f"told/{name}.{rank}.json").read_text())
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "accumulated", "averaged", "features"])
def test_losses_and_scores_are_those_of_one_process_with_the_whole_batch(root: Path, name: str) -> None:
    alone = f"{name}-alone"
    assert run_train(*asked(root, *JOBS[name], f"settings.run_name={alone}"), "--quiet") == 0
    for fold in (0, 1):
        pairs = list(zip(history(root / "runs" / name, fold), history(root / "runs" / alone, fold), strict=True))
        assert pairs
        for together, one in pairs:
            for column in ("train_loss", "valid_loss", "score", "learning_rate"):
                assert float(together[column]) == pytest.approx(float(one[column]), rel=1e-5), column
        found, expected = (load_checkpoint(root / "runs" / run / f"fold{fold}/best.pt")["model"] for run in (name, alone))
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-3, atol=1e-5)
    tables = [pd.read_csv(root / "runs" / run / "oof.csv") for run in (name, alone)]
    assert tables[0]["id"].tolist() == tables[1]["id"].tolist()
    numbers = [table.select_dtypes("float").to_numpy() for table in tables]
    assert abs(numbers[0] - numbers[1]).max() < 1e-4


@pytest.mark.slow
def test_only_the_main_process_speaks_and_a_run_is_one_run(root: Path) -> None:
    main, other = told(root, "plain", 0), told(root, "plain", 1)
    assert main["status"] == other["status"] == 0
    assert "2 processes: cpu" in main["out"] and "CV      accuracy" in main["out"]
    assert other["out"] == other["err"] == ""
    assert json.loads((root / "runs/plain/environment.json").read_text())["ranks"] == 2
    ids = {load_checkpoint(root / f"runs/plain/fold{fold}/best.pt")["run_id"] for fold in (0, 1)}
    assert ids == {json.loads((root / "runs/plain/environment.json").read_text())["run_id"]}


@pytest.mark.slow
def test_validation_of_a_model_with_batchnorm_is_that_of_the_saved_weights(root: Path) -> None:
    """Each process has seen other images, and keeps other statistics: those of the main process are saved and validated."""
    result = json.loads((root / "runs/normed/result.json").read_text())
    epoch = history(root / "runs/normed", 0)[result["best_epochs"][0] - 1]
    assert result["folds"][0] == pytest.approx(float(epoch["score"]))
    submission = ("inference.run=normed", f"inference.submission_path={root / 'submissions'}", "inference.output=out.csv")
    assert run_inference(*asked(root, *NORMED, *submission), "--quiet") == 0


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_process_is_told_by_the_main_one(root: Path) -> None:
    (line,) = [line for line in told(root, "diverging", 0)["err"].splitlines() if "the loss is" in line]
    assert "finished epochs are kept" in line and told(root, "diverging", 0)["status"] == 2
    assert "Traceback" not in told(root, "diverging", 1)["err"]


@pytest.mark.slow
def test_a_batch_with_fewer_images_than_processes_is_refused(root: Path) -> None:
    lines = told(root, "tiny", 0)["err"].splitlines()
    assert lines[-1] == "override hyper_params.batch_size: 2 processes share each batch; expected 2 or more"
    assert not (root / "runs/tiny").exists()


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_began(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grown = (f"settings.log_path={root / 'runs'}", "--resume", "plain", "hyper_params.epochs=3")
    assert run_train(str(root / "config.ini"), *grown) == 0
    said = capsys.readouterr().err
    assert "warning: the run was begun by 2 processes; by 1 it goes on a little differently" in said
    assert len(history(root / "runs/plain", 0)) == 3


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("script", "words", "what"),
    [
        (tune.main, [], "tune.py"),
        (inference.main, [], "inference.py"),
        (look.main, ["data"], "look.py"),
        (look.main, ["lr"], "look.py"),
        (train.main, ["--check"], "train.py --check"),
    ],
)
def test_torchrun_starts_nothing_but_training(
    script: Any, words: list[str], what: str, two: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "config.ini", "[settings]\n")
    (line,) = refusal(lambda *given: script(list(given)), [*words, str(config)], capsys)
    assert line == f"torchrun starts several processes to train; {what} is for one: python {what}"


@pytest.mark.slow
def test_one_process_of_torchrun_or_of_another_launcher_is_an_ordinary_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    assert run_train(*asked(root, *NORMED, "settings.run_name=one-of-one"), "--quiet") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR")
    assert run_train(*asked(root, *NORMED, "settings.run_name=none"), "--quiet") == 0
    assert digests(root / "runs/one-of-one") == digests(root / "runs/none")


@pytest.mark.slow
def test_what_one_process_finds_wrong_is_told_once_and_ends_all(root: Path, tmp_path: Path) -> None:
    """The image is one that only the second process decodes in the first step."""
    make_contest(tmp_path / "contest")
    write_config(tmp_path / "config.ini", "[settings]\n")
    whole = (tmp_path / "contest/train/train_031.png").read_bytes()
    (tmp_path / "contest/train/train_031.png").write_bytes(whole[: len(whole) // 2])
    arguments = asked(tmp_path, *STILL, "data.cache=off", "settings.run_name=bad")
    done = subprocess.run([*TORCHRUN, str(PROJECT / "train.py"), *arguments], capture_output=True, text=True, timeout=200, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if "train_031.png" in line]
    assert done.returncode != 0 and len(lines) == 1, done.stderr[-3000:]
    assert "train.py" not in "".join(line for line in done.stderr.splitlines() if line.startswith("  File"))


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_goes_on_to_the_same_result(root: Path, tmp_path: Path) -> None:
    more = (*NORMED, "hyper_params.epochs=25", "hyper_params.patience=0", "split.train_folds=0")

    def start(*words: str, log: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / log, "wb") as out:
            return subprocess.Popen([*TORCHRUN, str(PROJECT / "train.py"), *words, "--quiet"], stdout=out, stderr=out, cwd=tmp_path)

    whole = start(*asked(root, *more, "settings.run_name=whole"), log="whole.txt")
    assert whole.wait(timeout=300) == 0, (tmp_path / "whole.txt").read_text()[-3000:]
    killed = start(*asked(root, *more, "settings.run_name=killed"), log="killed.txt")
    deadline, table = time.monotonic() + 200, root / "runs/killed/fold0/history.csv"
    while not (table.is_file() and len(table.read_text().splitlines()) > 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    ranks = [each for each in psutil.Process(killed.pid).children(recursive=True) if "train.py" in " ".join(each.cmdline())]
    os.kill(max(ranks, key=lambda each: each.pid).pid, signal.SIGKILL)
    assert killed.wait(timeout=120) != 0
    assert not (root / "runs/killed/result.json").exists()
    again = start(str(root / "config.ini"), f"settings.log_path={root / 'runs'}", "--resume", "killed", log="again.txt")
    assert again.wait(timeout=300) == 0, (tmp_path / "again.txt").read_text()[-3000:]
    assert digests(root / "runs/killed") == digests(root / "runs/whole")
