"""A whole job of K folds, from the command line to the CV score: with decoded pixels kept, without, and the usual way.

    python -m benchmarks.folds [photos=FOLDER] [count=N] [side=PIXELS] [times=T] [seeds=S] [work=FOLDER] [section.option=value ...]

3,000 JPEG photos of 512 pixels, mobilenetv3_small_100 at 128 pixels, 5 folds of 3 epochs. Each is a process of its own, started
T times (1) in turn; Python's imports are counted. The usual way (benchmarks/usual.py): a Dataset that decodes with OpenCV and
augments, and a new DataLoader with two workers for each fold. The floor is the steps on batches in memory, as often as the job
makes them, the batches prepared by all cores, and each file decoded once: measured on some of the photos, and scaled.

With seeds=S it is not time that is measured: S seeds, and the scores of kept and usual under each.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.epoch import measure_parts
from benchmarks.measuring import HEADING, Row, contest_config, describe_machine, make_photos, settle
from modules.config.schema import Config

PROJECT = Path(__file__).parents[1]
MODEL = ("model.name=mobilenetv3_small_100", "data.image_size=128", "split.folds=5", "hyper_params.epochs=3")
SOME = 640  # photos that the floor is measured on
WORKERS = 2  # of the usual way
SCORE = re.compile(r"^(?:CV +)?accuracy ([\d.]+)", re.MULTILINE)


def measure(folder: Path, work: Path, times: int, *overrides: str) -> list[Row]:
    """Wall seconds of whole processes, and their scores beside them."""
    config = contest_config(folder, work, *MODEL, *overrides)
    ways = {
        "pixels kept": _ours(folder, work, "data.cache=on", f"settings.cache_path={work / 'fresh'}", *overrides),
        "not kept": _ours(folder, work, "data.cache=off", *overrides),
        "the usual way": _usual(folder, config),
    }
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in ways}
    for number in range(times):
        for name, command in ways.items():
            found[name].append(_run([each.replace(str(work / "fresh"), str(work / f"fresh{number}")) for each in command]))
            wall, cores, score = found[name][-1]
            print(f"{name:22}{wall:8.1f} s  {cores:8.1f} core s  accuracy {score}", flush=True)
    walls = {name: median(wall for wall, _, _ in each) for name, each in found.items()}
    floor = _floor(folder, work, config, *overrides)
    usual = walls["the usual way"]
    against = [Row(f"usual way / {name}", walls[name], usual, ">= 1.6" if name == "pixels kept" else "") for name in list(ways)[:2]]
    return [*(Row(f"whole job, {name}", floor, wall) for name, wall in walls.items()), *against]


def compare_scores(folder: Path, work: Path, seeds: int, *overrides: str) -> None:
    """The scores of kept pixels and of the usual way, a seed at a time."""
    found = []
    for seed in range(seeds):
        asked = (*overrides, f"settings.seed={seed}")
        ours = _ours(folder, work, "data.cache=on", f"settings.cache_path={work / 'cache'}", *asked)
        usual = _usual(folder, contest_config(folder, work, *MODEL, *asked))
        found.append([float(_run(command)[2]) for command in (ours, usual)])
        print(f"seed {seed}: pixels kept {found[-1][0]:.4f}, the usual way {found[-1][1]:.4f}", flush=True)
    apart = np.subtract(*np.transpose(found))
    print(f"{apart.mean():+.4f} on average, standard error {apart.std(ddof=1) / np.sqrt(seeds):.4f}")


def _floor(folder: Path, work: Path, config: Config, *overrides: str) -> float:
    """Seconds: every step and every forward pass of the job, every batch of it, and every file once."""
    lines = (folder / "train.csv").read_text().splitlines()
    some = min(SOME, len(lines) - 1)
    (folder / "some.csv").write_text("\n".join(lines[: some + 1]) + "\n")
    scale = (len(lines) - 1) / some
    parts = {
        name: scale * seconds for name, seconds in measure_parts(folder, work / "parts", *overrides, "data.train_csv=some.csv").items()
    }
    folds, epochs = config.split.folds, config.hyper_params.epochs
    print(f"all images once: {', '.join(f'{name} {seconds:.2f} s' for name, seconds in parts.items())}", flush=True)
    trained, validated = epochs * (folds - 1), epochs + 1  # the best epoch predicts what it validates once more
    return trained * (parts["C"] + parts["P"]) + validated * (parts["forward"] + parts["P, valid"]) + parts["F"]


def _ours(folder: Path, work: Path, *overrides: str) -> list[str]:
    config = work / "config.ini"
    config.write_text("")
    shared = [
        "data.source=csv", f"settings.data_path={folder}", "data.sample_submission=others/sample_submission.csv",
        "data.test_images=others/train", f"settings.log_path={work / 'runs'}", "data.near_duplicates=off",
        "model.pretrained=false", "hyper_params.patience=0",
    ]  # fmt: skip
    return [sys.executable, str(PROJECT / "train.py"), str(config), *shared, *MODEL, *overrides]


def _usual(folder: Path, config: Config) -> list[str]:
    hyper = config.hyper_params
    said = [config.model.name, config.data.image_size.height, config.split.folds, hyper.epochs, hyper.batch_size, hyper.learning_rate]
    said.append(config.settings.seed)
    return [sys.executable, "-m", "benchmarks.usual", str(folder), *map(str, said), str(WORKERS)]


def _run(command: Sequence[str]) -> tuple[float, float, str]:
    """Wall and core seconds of the process and its workers, and the score that it prints."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    score = SCORE.search(done.stdout)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, score.group(1) if score else "unknown"


def main() -> int:
    overrides, said = settle(sys.argv[1:])
    with TemporaryDirectory(dir=said.get("work")) as work:
        originals = Path(said["photos"]) if "photos" in said else None
        folder = make_photos(Path(work) / "photos", int(said.get("count", 3000)), int(said.get("side", 512)), originals)
        make_photos(folder / "others", 10, int(said.get("side", 512)) - 8, originals)  # a test set: none of them trains
        print(describe_machine(), flush=True)
        if "seeds" in said:
            compare_scores(folder, Path(work), int(said["seeds"]), *overrides)
            return 0
        print(HEADING, *measure(folder, Path(work), int(said.get("times", 1)), *overrides), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
