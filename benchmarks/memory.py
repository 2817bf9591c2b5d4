"""Memory of the processes that make batches, over the number of images and of workers (Linux).

    python -m benchmarks.memory [counts=1000,10000] [workers=0,1,2]

A process of its own for each: it goes through an epoch of decoded pixels of 128 x 128, of so many images, and adds up the
proportional set sizes of itself and its workers. "pixels" are the pages of the mapped file, which the system takes back when it
needs them; "the rest" is everything else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.measuring import Row, settle
from modules.compute.process import Process
from modules.config.pipeline import Pipeline
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data.draws import BatchSampler
from modules.data.images import ImageFiles
from modules.data.loaders import Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Preprocessing
from modules.data.samples import Samples
from modules.data.task import classification
from modules.reporting.sinks import Silence

SIDE = 128
CLASSES = ("a", "b")


def measure(work: Path, counts: list[int], workers: list[int]) -> list[Row]:
    """Two rows: the most of the images against the fewest, and the most workers against none; of the rest of memory, in MiB."""
    found: dict[tuple[int, int], float] = {}
    print(f"{'images':>8}{'workers':>9}{'pixels':>12}{'the rest':>12}   MiB, proportional set size of all processes")
    for count in counts:
        _make(work, count)
        _one_process(work, count, 0)  # decodes
        for number in workers:
            pixels, rest = _one_process(work, count, number)
            found[count, number] = rest
            print(f"{count:8,}{number:9}{pixels:12.0f}{rest:12.0f}", flush=True)
    few, many, most = counts[0], counts[-1], workers[-1]
    return [
        Row(f"memory, {many:,} / {few:,} images, {most} workers", found[few, most], found[many, most], "independent of N", "MiB"),
        Row(f"memory, {most} / no workers, {many:,} images", found[many, 0], found[many, most], "pages shared", "MiB"),
    ]


def _one_process(work: Path, count: int, workers: int) -> tuple[float, float]:
    """MiB of the mapped pixels, and of the rest."""
    command = [sys.executable, "-m", "benchmarks.memory", "one", str(work), str(count), str(workers)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    pixels, rest = (float(word) for word in done.stdout.split())
    return pixels, rest


def _make(work: Path, count: int) -> None:
    """So many small files, each of another content."""
    (work / "images").mkdir(exist_ok=True)
    header = f"P6 {8} {8} 255\n".encode()
    for number in range(count):
        path = work / "images" / f"{number:06d}.ppm"
        if not path.is_file():
            path.write_bytes(header + np.random.default_rng(number).bytes(8 * 8 * 3))


def _one(work: Path, count: int, workers: int) -> str:
    """Of this process and its workers, after an epoch."""
    names = np.array([f"{number:06d}.ppm" for number in range(count)])
    samples = Samples(names, ImageFiles(work / "images", names), classification("label", CLASSES), np.arange(count) % 2)
    preprocessing = Preprocessing(Size(SIDE, SIDE), "stretch", 3, (0.5,) * 3, (0.5,) * 3, Pipeline())
    cache = PixelCache(work / "cache", samples.images, preprocessing)
    cache.provide(np.arange(count), Silence().follow, lambda: None)
    process = replace(Process(torch.device("cpu"), "float32", False, 0, 1), workers=workers)
    makers = image_workers(samples, cache, Augmentation(preset="none"), process)
    batches = Loader(makers, BatchSampler(np.arange(count), 64, (1, 1)), "train", (1, 1))
    for _ in batches.epoch(1):
        pass
    running = [] if not workers else [worker.pid for worker in makers.batches._iterator._workers]  # type: ignore[union-attr]
    sizes = np.sum([_sizes(pid) for pid in (os.getpid(), *running)], axis=0) / 1024
    return f"{sizes[0]:.1f} {sizes[1]:.1f}"


def _sizes(pid: int) -> tuple[int, int]:
    """KiB of the mapped pixels, and of the rest."""
    pixels = rest = 0
    of_pixels = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            of_pixels = line.endswith("rows.bin") and "/pixels/" in line
        elif words[0] == "Pss:":
            pixels, rest = (pixels + int(words[1]), rest) if of_pixels else (pixels, rest + int(words[1]))
    return pixels, rest


def main() -> int:
    if sys.argv[1:2] == ["one"]:
        print(_one(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
        return 0
    _, said = settle(sys.argv[1:])
    numbers = {name: [int(each) for each in said.get(name, default).split(",")] for name, default in _DEFAULTS.items()}
    with TemporaryDirectory() as work:
        print(*measure(Path(work), numbers["counts"], numbers["workers"]), sep="\n")
    return 0


_DEFAULTS = {"counts": "1000,10000", "workers": "0,1,2"}


if __name__ == "__main__":
    sys.exit(main())
