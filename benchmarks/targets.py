"""The targets of speed, and what this machine does: every floor, figure and ratio of one table, by one command.

    python -m benchmarks.targets [photos=FOLDER] [PART ...]

PART: startup, loop, epoch, gap, inference, frozen, heads, memory; all of them where none is named. photos: as in benchmarks.measuring.
frozen: a frozen ResNet-50, five folds of 20 epochs from stored features, against the same from images, of which an epoch of a
fold is measured and scaled. heads: a search of head trials, as in benchmarks.heads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import timm
import torch

from benchmarks import epoch, gap, heads, inference, loop, memory, startup
from benchmarks.measuring import Row, contest_config, describe_machine, make_photos, settle
from modules.compute.process import start_process
from modules.config.schema import Compute, Settings
from modules.jobs.folds import finish_run, train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import Silence
from modules.runs.directory import create_run

PHOTOS, TO_PREDICT, SIDE = 640, 2000, 512
OF_ALL = 20 * 5  # epochs of a fold
FROZEN = (
    "model.name=resnet50", "data.image_size=128", "model.freeze=backbone", "augmentation.preset=none", "split.folds=5",
    "hyper_params.epochs=20", "data.train_csv=few.csv", "data.cache=off",
)  # fmt: skip


@dataclass(frozen=True)
class Photos:
    """A contest of PHOTOS photos, and what they, or more of them, are made from; None: from noise."""

    folder: Path
    originals: Path | None


def _loop(photos: Photos, work: Path) -> list[Row]:
    process, _ = start_process(Settings(), Compute())
    name, size, batch_size = (loop.ON_GPU if process.device.type == "cuda" else loop.ON_CPU)[0].split(":")
    return [loop.compare(name, int(size), int(batch_size), replace(process, workers=0), False, False, loop.STEPS)[1]]


def _inference(photos: Photos, work: Path) -> list[Row]:
    """More photos: the models are brought back from the disk once, whatever the number of images."""
    more = make_photos(work / "photos", TO_PREDICT, SIDE, photos.originals)
    (more / "few.csv").write_text((photos.folder / "few.csv").read_text())
    return inference.measure(more, work, TO_PREDICT)


def _frozen(photos: Photos, work: Path) -> list[Row]:
    """Whole training of all folds, extraction counted."""
    weights = work / "resnet50.pth"
    torch.save(timm.create_model("resnet50").state_dict(), weights)
    features = _train(photos.folder, work, f"model.pretrained={weights}", "model.feature_cache=on")
    once = ("model.feature_cache=off", "split.train_folds=0", "hyper_params.epochs=1")
    one = _train(photos.folder, work, f"model.pretrained={weights}", *once)
    return [Row("frozen ResNet-50, 5 x 20 epochs: images / features", features, one * OF_ALL, ">= 20")]


def _train(folder: Path, work: Path, *more: str) -> float:
    """Seconds from the plan to the CV score."""
    plan = prepare(contest_config(folder, work / "frozen", *FROZEN, *more))
    run = create_run(str(work / "frozen/runs"), None, "frozen")
    (run.path / "config.ini").touch()
    started = time.perf_counter()
    finish_run(plan, run, train_folds(plan, run, Silence()))
    return time.perf_counter() - started


PARTS: dict[str, Callable[[Photos, Path], list[Row]]] = {
    "startup": lambda photos, work: startup.answers(),
    "loop": _loop,
    "epoch": lambda photos, work: epoch.measure(photos.folder, work),
    "gap": lambda photos, work: gap.measure(photos.folder, work),
    "inference": _inference,
    "frozen": _frozen,
    "heads": lambda photos, work: heads.measure(work)[0],
    "memory": lambda photos, work: memory.measure(work, [1000, 10_000], [0, 2]),
}


def main() -> int:
    words, said = settle(sys.argv[1:])
    unknown = [word for word in words if word not in PARTS]
    if unknown:
        print(__doc__)
        return 2
    rows: list[Row] = []
    with TemporaryDirectory() as work:
        originals = Path(said["photos"]) if "photos" in said else None
        folder = make_photos(Path(work) / "photos", PHOTOS, SIDE, originals)
        lines = (folder / "train.csv").read_text().splitlines()
        (folder / "few.csv").write_text("\n".join(lines[: PHOTOS // 2 + 1]) + "\n")
        for name in words or PARTS:
            own = Path(work) / name
            own.mkdir()
            found = PARTS[name](Photos(folder, originals), own)
            rows += found
            print(*found, sep="\n", file=sys.stderr, flush=True)
    print(f"{describe_machine()}; {date.today().isoformat()}\n")
    print("| what | floor | figure | ratio | target |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.floor:.3f} {row.unit} | {row.figure:.3f} {row.unit} | {row.ratio:.3f} | {row.target} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
