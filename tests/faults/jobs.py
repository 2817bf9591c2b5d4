"""What the programmes interrupt: whole jobs, on the contest in `root`, in the folder that the process stands in."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

import tune
from modules.compute.row_store import RowStore
from modules.prediction.submission import LEDGER
from modules.reporting.sinks import Silence
from tests.making import fast, make_contest, write_config
from tests.scripts.forked import run_forked
from tests.scripts.running import digests, history, read, run_inference, run_train
from tests.tiny import DROPPING

BEGUN = "begun.txt"  # a line an epoch whose training began
PHASES = (
    f"model.name={DROPPING}",
    "model.freeze=backbone",
    "model.unfreeze=2: layer4, 3: all",
    "model.ema_decay=0.9",
    "hyper_params.epochs=3",
    "hyper_params.warmup_epochs=0.5",
    "augmentation.preset=heavy",
    "data.test_csv=test.csv",
)


@dataclass(frozen=True)
class Job:
    """prepare: makes an empty folder ready. go: begins, or goes on with what is there. left: what must be equal in the end."""

    prepare: Callable[[Path], None]
    go: Callable[[], int]
    left: Callable[[], Any]


def _arguments(*more: str) -> list[str]:
    return ["config.ini", *fast(Path("contest"), *more), "--quiet"]


def _prepare(root: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    Path("contest").symlink_to(root / "contest")


def _train(*more: str) -> int:
    if Path("runs/a/config.ini").is_file():
        return run_train("config.ini", "--resume", "a", "--quiet")
    shutil.rmtree("runs/a", ignore_errors=True)  # a folder without config.ini is no run, and train.py says so
    return run_train(*_arguments("settings.run_name=a", *more))


def _train_and_predict() -> int:
    def start_epoch(sink: object, fold: int, epoch: int, epochs: int, steps: int) -> None:
        with open(BEGUN, "a", encoding="utf-8") as file:
            file.write(f"{fold} {epoch}\n")

    Silence.start_epoch = start_epoch  # type: ignore[method-assign]
    return _train(*PHASES) or _infer()


def _infer() -> int:
    return run_inference("runs/a/config.ini", "inference.run=a", "--quiet")


def _trained() -> Any:
    histories = [[(row["epoch"], row["valid_loss"], row["score"]) for row in history(Path("runs/a"), fold)] for fold in (0, 1)]
    return digests(Path("runs/a")), histories, _submissions()


def _submissions() -> set[str]:
    """The digests of all: each that is there is a whole one; and the ledger tells of each once, at most, and of the last one."""
    files = sorted(Path("submissions").glob("a*.csv"))
    told = read(Path("submissions") / LEDGER)["file"].tolist()
    assert len(set(told)) == len(told) and set(told) <= {file.name for file in files}, f"the ledger tells of {told}"
    assert told, "the ledger tells of none"
    for name in told:
        assert json.loads(Path(f"submissions/{name}").with_suffix(".json").read_text())["file"] == name
    return {sha256(file.read_bytes()).hexdigest() for file in files}


def _prepare_inference(root: Path) -> None:
    _prepare(root)
    if not (root / "runs").exists():
        assert _train("hyper_params.epochs=1", "data.test_csv=test.csv") == 0
        shutil.copytree("runs", root / "runs")
        shutil.rmtree("runs")
    Path("runs").symlink_to(root / "runs")


def _build_caches() -> int:
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "data.cache=on", "hyper_params.epochs=1")
    return _train(*frozen, "settings.cache_path=cache")


def _cached() -> Any:
    """The run, and every row of pixels and of features under its key."""
    rows = {}
    for path in sorted([*Path("cache/pixels").rglob("rows.bin"), *Path("cache/features").rglob("rows.bin")]):
        size = path.stat().st_size // max(1, len(_keys(path.parent)))
        store = RowStore(path.parent, size, "uint8")
        store.refresh()
        keys = [bytes(key) for key in store.index["key"]]
        assert len(set(keys)) == len(keys), f"{path}: a key stands there twice"
        rows[str(path.parent)] = {key: bytes(store.read_one(number)) for number, key in enumerate(keys)}
    return digests(Path("runs/a")), rows


def _keys(path: Path) -> Any:
    store = RowStore(path, 1, "uint8")
    store.refresh()
    return store.index


def _prepare_heads(root: Path) -> None:
    _prepare(root)
    space = "hyper_params.learning_rate = loguniform(1e-3, 1e-1)\nhyper_params.batch_size = choice(8, 16)"
    write_config(Path("search.ini"), f"[search_space]\n{space}\n[tuning]\ntrials = 8\nsearcher = random\nconfirm = 1\n")


def _search_heads() -> int:
    if Path("runs/a/search.ini").is_file():
        return tune.main(["config.ini", "--resume", "a", "--quiet"])
    shutil.rmtree("runs/a", ignore_errors=True)
    frozen = ("model.freeze=backbone", "model.feature_cache=on", "settings.cache_path=cache", "settings.run_name=a")
    return tune.main(["config.ini", "search.ini", *fast(Path("contest"), *frozen), "--quiet"])


def _searched() -> Any:
    table = read(Path("runs/a/trials.csv")).drop(columns="seconds")
    return table.to_dict("records"), Path("runs/a/best.ini").read_bytes()


JOBS = {
    "training": Job(_prepare, _train_and_predict, _trained),
    "caches": Job(_prepare, _build_caches, _cached),
    "inference": Job(_prepare_inference, _infer, _submissions),
    "heads": Job(_prepare_heads, _search_heads, _searched),
}


def begin(arguments: list[str], name: str, **options: str) -> tuple[dict[str, str], Path]:
    """`options`, as a command line's option=value changes them, and a folder with the contest, for processes of one thread."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    root = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    make_contest(root / "contest")
    return {"processes": "2", "jobs": ",".join(JOBS), **options, **dict(each.split("=", 1) for each in arguments)}, root


@dataclass(frozen=True)
class Whole:
    """What the job leaves where nothing is killed, and how long that takes."""

    left: Any
    seconds: float


def run_whole(name: str, root: Path) -> Whole:
    """In root/NAME. Raises AssertionError where the job fails by itself."""
    job = JOBS[name]
    (root / name).mkdir()
    with chdir(root / name):
        job.prepare(root)
        started = time.perf_counter()
        done = run_forked(job.go)
        assert done.returncode == 0, done.stderr
        return Whole(job.left(), time.perf_counter() - started)
