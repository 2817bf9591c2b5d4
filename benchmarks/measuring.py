"""What the benchmarks of speed have in common: photos to work on, plans, clocks, and a row of the table."""

from __future__ import annotations

import csv
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from modules.config.reader import read_config
from modules.config.schema import Config

TIMES = 5


@dataclass(frozen=True)
class Row:
    """A line of the table: seconds of the floor and of what was measured, of one run; ratio: figure / floor."""

    what: str
    floor: float
    figure: float
    target: str = ""
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.figure / self.floor

    def __str__(self) -> str:
        told = f"{self.what:46}{self.floor:10.3f} {self.unit:4}{self.figure:10.3f} {self.unit:4}{self.ratio:8.3f}"
        return f"{told}  {self.target}".rstrip()


HEADING = f"{'':46}{'floor':>10}     {'figure':>10}     {'ratio':>7}  target"


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call; what the device still does is waited for."""
    _wait()
    started = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - started


def in_turn(works: Mapping[str, Callable[[], object]], times: int = TIMES) -> dict[str, float]:
    """The median seconds of each, done in turn so that whatever else the machine does is shared by all; once before, uncounted."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(times + 1):
        for name, work in works.items():
            spent = seconds(work)
            if number:
                found[name].append(spent)
    return {name: median(each) for name, each in found.items()}


def make_photos(folder: Path, count: int, side: int, originals: Path | None = None) -> Path:
    """A contest: `count` JPEG photos of side x side in `train`, and train.csv (id, label), and a template for as many test images.

    They are changed copies of the photos that `originals` has (labels.csv: file, label; and images), or else are made:
    noise on a coloured ground, with as many bytes as photos have.
    """
    (folder / "train").mkdir(parents=True, exist_ok=True)
    sources = _originals(originals) if originals else _made(side)
    rng = np.random.default_rng(0)
    with open(folder / "train.csv", "w", newline="") as table, open(folder / "sample_submission.csv", "w", newline="") as template:
        rows, wanted = csv.writer(table), csv.writer(template)
        rows.writerow(["id", "label"])
        wanted.writerow(["id", "label"])
        for number in range(count):
            pixels, label = sources[number % len(sources)]
            name = f"{number:05d}.jpg"
            if not (folder / "train" / name).is_file():
                image = cv2.imread(str(pixels)) if isinstance(pixels, Path) else pixels
                cv2.imwrite(str(folder / "train" / name), _changed(image, side, rng), [cv2.IMWRITE_JPEG_QUALITY, 90])
            rows.writerow([name, label])
            wanted.writerow([name, label])
    return folder


def contest_config(folder: Path, work: Path, *overrides: str) -> Config:
    """The config of a benchmark on the photos of make_photos; runs and caches go to `work`."""
    shared = (
        "data.source=csv", f"settings.data_path={folder}", "data.test_images=train", f"settings.log_path={work / 'runs'}",
        f"settings.cache_path={work / 'cache'}", f"inference.submission_path={work / 'submissions'}", "data.near_duplicates=off",
        "model.pretrained=false", "hyper_params.patience=0",
    )  # fmt: skip
    return read_config([], [*shared, *overrides])[0]


def describe_machine() -> str:
    """What the figures are of."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found = re.search(r"model name\s*: (.*)", _read(Path("/proc/cpuinfo")))
    name = found.group(1) if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def show(rows: Iterable[Row]) -> None:
    print(HEADING, *rows, sep="\n", flush=True)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _originals(folder: Path) -> list[tuple[Path | np.ndarray, str]]:
    with open(folder / "labels.csv", newline="") as file:
        found = [(folder / "images" / row["file"], row["label"]) for row in csv.DictReader(file)]
    readable = [(path, label) for path, label in found if cv2.imread(str(path)) is not None]
    return [readable[place] for place in np.random.default_rng(0).permutation(len(readable))]


def _made(side: int) -> list[tuple[Path | np.ndarray, str]]:
    rng, found = np.random.default_rng(1), []
    for number in range(60):
        coarse = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        pixels[..., number % 2] = cv2.add(pixels[..., number % 2], 60)
        found.append((pixels, ("red", "green")[number % 2]))
    return found  # type: ignore[return-value]


def _changed(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A crop of at least 85% of each side, brought to side x side, a little brighter or darker."""
    height, width = image.shape[:2]
    high, wide = (int(length * rng.uniform(0.85, 1)) for length in (height, width))
    top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
    cut = cv2.resize(image[top : top + high, left : left + wide], (side, side), interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(cut, alpha=rng.uniform(0.9, 1.1), beta=rng.uniform(-10, 10))


def settle(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Words of a command line, and what NAME=VALUE among them say of the benchmark itself: those without a dot in the name."""
    plain, said = [], {}
    for word in names:
        name, equals, value = word.partition("=")
        if equals and "." not in name:
            said[name] = value
        else:
            plain.append(word)
    return plain, said
