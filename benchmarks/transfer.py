"""Transfer learning measured: recipes and policies on held-out photos, by train.py and inference.py as anybody runs them.

    python -m benchmarks.transfer EXPERIMENT ... --photos FOLDER --masks FOLDER --weights FILE [--work FOLDER] [--rows FILE]

EXPERIMENT: names of EXPERIMENTS below. --photos: `train` and `test`, each with a folder a class (CIFAR-10 as files, 5,000
and 1,000 of them). --masks: `labels.csv` (file, label, person: blank where unknown) and `images`. --weights: timm's
mobilenetv2_100. --work: where tables and runs are made, and removed. --rows: benchmarks/transfer.csv; a run that has its
row there is not done again, so that a stopped benchmark goes on where it was.

A recipe never sees the test images: it trains on all of the training images (split.method = none), and inference.py scores
the last epoch's model. Core seconds are user + system time of train.py, loading Python's packages included.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import get_type_hints

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

PROJECT = Path(__file__).parents[1]
SCORE = re.compile(r"score against the answers: \w+ ([\d.]+)")
Table = list[tuple[str, str]]  # a file below the images' folder, and its class

COMMON = (
    "data.source=csv", "data.train_csv=train.csv", "data.test_csv=", "data.sample_submission=test.csv", "data.image_size=96",
    "split.method=none", "inference.answers=test.csv", "model.name=mobilenetv2_100", "settings.channels_last=true", "compute.threads=1",
    "data.cache_margin=1",
)  # fmt: skip

PLAIN_INI = "[model]\nhead_init = default\n"  # the library's own first values, as whoever writes a first recipe has them

# Each recipe: an INI, or what is set besides the defaults. The order is that in which they were tried.
CROPS = "augmentation.train=RandomResizedCrop(size=(96, 96), scale=(0.7, 1.0))\nHorizontalFlip(p=0.5)\nRandomBrightnessContrast(p=0.5)"
PLAIN = ("hyper_params.epochs=5", "hyper_params.scheduler=onecycle", "hyper_params.label_smoothing=0.1", CROPS)
PROBED = (*PLAIN, "hyper_params.probe_epochs=1", "hyper_params.epochs=4", "hyper_params.head_learning_rate=1e-2")

LOW = ("model.head_init=zeros", "hyper_params.learning_rate=3e-4", "hyper_params.head_learning_rate=1e-3")
LIGHT = "augmentation.train=RandomResizedCrop(size=(96, 96), scale=(0.8, 1.0))\nHorizontalFlip(p=0.5)"
EARLY = "model.freeze=conv_stem, bn1, blocks.0, blocks.1, blocks.2"
FULL = (*PLAIN, *LOW, LIGHT)
LP_FT = (*FULL, "hyper_params.probe_epochs=6", "model.feature_views=2", "hyper_params.epochs=4")
MIRRORED = (*LP_FT, EARLY, "hyper_params.epochs=10", "inference.tta=hflip")
DECAY = "hyper_params.layer_decay=.75"

RECIPES: Mapping[str, tuple[str, ...]] = {
    "plain": PLAIN,
    "probe 1 + 4": PROBED,
    "probe 1 + 4, layer decay": (*PROBED, DECAY),
    "plain, rate 3e-4": (*PLAIN, "hyper_params.learning_rate=3e-4"),
    "probe 1 + 4, rate 2e-4": (*PROBED, "hyper_params.learning_rate=2e-4"),
    "plain, zero head": (*PLAIN, "model.head_init=zeros"),
    "scratch": (*PLAIN, LIGHT, "model.pretrained=false"),
    "probe": (*FULL, "model.freeze=backbone", "model.feature_views=2", "hyper_params.head_learning_rate=3e-3"),
    "partial": (*FULL, EARLY),
    "gradual": (*FULL, "model.freeze=backbone", "model.unfreeze=2: blocks.6, conv_head, bn2, 3: blocks.5, 4: all"),
    "LP-FT": LP_FT,
    "full": FULL,
    "LP-FT, partial 8": (*LP_FT, EARLY, "hyper_params.epochs=8"),
    "LP-FT, partial 8, moving average": (*LP_FT, EARLY, "hyper_params.epochs=8", "model.ema_decay=.99"),
    "LP-FT, partial 10, hflip": MIRRORED,
    "LP-FT, partial 10, hflip, layer decay, rate 1e-3": (*MIRRORED, DECAY, "hyper_params.learning_rate=1e-3"),
    "LP-FT, partial 10, hflip, layer decay, rate 2e-3": (*MIRRORED, DECAY, "hyper_params.learning_rate=2e-3"),
    "partial 6, hflip": (*FULL, EARLY, "hyper_params.epochs=6", "inference.tta=hflip"),
    "partial 6, hflip, layer decay, rate 2e-3": (
        *FULL,
        EARLY,
        "hyper_params.epochs=6",
        "inference.tta=hflip",
        DECAY,
        "hyper_params.learning_rate=2e-3",
    ),
    "photos.ini": ("configs/photos.ini",),
}
POLICIES = ("probe", "partial", "full", "gradual", "scratch", "LP-FT")
TRIED = tuple(recipe for recipe in RECIPES if recipe not in ("photos.ini", "scratch", "probe", "partial", "gradual", "full"))

# Recipes were chosen with seed 0, and are compared with others.
EXPERIMENTS: Mapping[str, Sequence[tuple[str, str, tuple[int, ...]]]] = {
    "screening": [(photos, recipe, (0,)) for photos in ("photos2000", "masks") for recipe in TRIED],
    "start": [(photos, recipe, (1, 2, 3)) for photos in ("masks", "photos2000") for recipe in ("plain", "photos.ini")],
    "policies": [(photos, policy, (0,)) for photos in ("photos500", "masks", "photos2000") for policy in POLICIES],
    "policies, photos": [("photos500", policy, (1, 2)) for policy in POLICIES],
    "policies, masks": [("masks", policy, (1, 2)) for policy in POLICIES],
    "large": [("photos5000", recipe, (0,)) for recipe in ("probe", "partial", "photos.ini", "plain")],
}


@dataclass(frozen=True)
class Row:
    """One run. accuracy: of the held-out images. core_seconds: of training; inference_core_seconds: start and scoring."""

    set: str
    recipe: str
    seed: int
    accuracy: float
    core_seconds: float
    wall_seconds: float
    inference_core_seconds: float
    date: str
    settings: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.set, self.recipe, self.seed, self.settings


def read_rows(path: Path) -> list[Row]:
    """The runs that are there already."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    kinds = get_type_hints(Row)
    return [Row(**{name: kinds[name](value) for name, value in line.items()}) for line in cells]


def append_row(path: Path, row: Row) -> None:
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def settings_of(recipe: str) -> str:
    """What the recipe sets, as one cell of the table: a run of other settings is another run. An INI is told by its name."""
    return "; ".join(" ".join(part.split()) for part in RECIPES[recipe])


def missing_runs(experiments: Iterable[str], rows: Iterable[Row]) -> Iterator[tuple[str, str, int]]:
    """(set, recipe, seed) of every run of the experiments that has no row yet, each once, in their order."""
    there = {row.key for row in rows}
    for experiment in experiments:
        for name, recipe, seeds in EXPERIMENTS[experiment]:
            for seed in seeds:
                key = (name, recipe, seed, settings_of(recipe))
                if key not in there:
                    there.add(key)
                    yield name, recipe, seed


def arguments_of(recipe: str, folder: Path, images: Path, weights: Path, seed: int) -> list[str]:
    """What train.py and inference.py get: the recipe, and where everything is. A recipe's own settings come last, and win."""
    inis = [str(PROJECT / part) for part in RECIPES[recipe] if part.endswith(".ini")]
    overrides = [part for part in RECIPES[recipe] if not part.endswith(".ini")]
    places = [
        f"settings.data_path={folder}",
        f"settings.log_path={folder}/runs",
        f"settings.cache_path={folder}/cache",
        f"data.train_images={images}",
        f"data.test_images={images}",
        f"inference.submission_path={folder}/submissions",
        f"inference.answers={folder}/test.csv",
        f"model.pretrained={weights}",
        f"settings.seed={seed}",
        "settings.run_name=trained",
    ]
    return [*(inis or [str(folder / "plain.ini")]), *COMMON, *places, *overrides]


def photos(root: Path, seed: int, count: int) -> tuple[Table, Table]:
    """`count` of the training photos, as many of each class, and all test photos."""
    parts = {part: sorted(root.glob(f"{part}/*/*")) for part in ("train", "test")}
    train, test = ([(str(path.relative_to(root)), path.parent.name) for path in parts[part]] for part in ("train", "test"))
    if count < len(train):
        train, _ = train_test_split(train, train_size=count, random_state=seed, stratify=[label for _, label in train])
    return train, test


def masks(root: Path, seed: int) -> tuple[Table, Table]:
    """Seven tenths of the photos to train, three to test: classes evenly, nobody who is known in both."""
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [(f"images/{line['file']}", line["label"], line["person"] or line["file"]) for line in csv.DictReader(file)]
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
    _, labels, people = zip(*rows, strict=True)
    parts = [valid for _, valid in splitter.split(np.zeros(len(rows)), labels, people)]
    held = set(np.concatenate(parts[:3]).tolist())
    table = [row[:2] for row in rows]
    return [row for i, row in enumerate(table) if i not in held], [row for i, row in enumerate(table) if i in held]


def run(recipe: str, name: str, seed: int, tables: tuple[Table, Table], images: Path, weights: Path, work: Path) -> Row:
    """Trains, scores, removes what was made. Raises RuntimeError with the script's own words where one fails."""
    folder = work / f"{name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "plain.ini").write_text(PLAIN_INI, encoding="utf-8")
    for table, rows in zip(("train.csv", "test.csv"), tables, strict=True):
        with (folder / table).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "label"), *rows])
    arguments = arguments_of(recipe, folder, images, weights, seed)
    started = time.perf_counter()
    _, training = _script("train.py", arguments)
    wall = time.perf_counter() - started
    text, predicting = _script("inference.py", [*arguments, "inference.run=trained"])
    shutil.rmtree(folder)
    score = SCORE.search(text)
    if score is None:
        raise RuntimeError(f"inference.py told no score:\n{text}")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    training, wall, predicting = (round(value, 1) for value in (training, wall, predicting))
    return Row(name, recipe, seed, float(score[1]), training, wall, predicting, today, settings_of(recipe))


def _script(script: str, arguments: Sequence[str]) -> tuple[str, float]:
    """What it printed, and its core seconds."""
    before = os.times()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, script, *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{script} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    after = os.times()
    return done.stdout, after.children_user + after.children_system - before.children_user - before.children_system


def summary(rows: Iterable[Row]) -> Iterator[str]:
    """A line a set and recipe: mean accuracy, its spread over the seeds, core seconds."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.set, row.recipe, row.settings), []).append(row)
    yield "| photos | recipe | seeds | accuracy | core seconds |"
    yield "|---|---|---|---|---|"
    for (name, recipe, _), same in found.items():
        scores = np.array([row.accuracy for row in same])
        spread = f" ± {scores.std(ddof=1):.4f}" if len(same) > 1 else ""
        cost = np.mean([row.core_seconds for row in same])
        yield f"| {name} | {recipe} | {len(same)} | {scores.mean():.4f}{spread} | {cost:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=EXPERIMENTS)
    for name in ("photos", "masks", "weights"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=PROJECT / "runs/transfer")
    parser.add_argument("--rows", type=Path, default=PROJECT / "benchmarks/transfer.csv")
    options = parser.parse_args()
    for name, recipe, seed in missing_runs(options.experiments, read_rows(options.rows)):
        if name == "masks":
            images, tables = options.masks, masks(options.masks, seed)
        else:
            images, tables = options.photos, photos(options.photos, seed, int(name.removeprefix("photos")))
        row = run(recipe, name, seed, tables, images.resolve(), options.weights.resolve(), options.work.resolve())
        append_row(options.rows, row)
        print(f"{name} {recipe} seed {seed}: {row.accuracy:.4f}, {row.core_seconds:.0f} core seconds", flush=True)
    print(*summary(read_rows(options.rows)), sep="\n")


if __name__ == "__main__":
    main()
