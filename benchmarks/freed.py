"""Steps of training on a CPU with freed memory kept for the next arrays, and given back to the system: `compute.memory.keep_freed_memory`.

    python -m benchmarks.freed [MODEL:SIZE:BATCH ...]

Each way is a process of its own, ROUNDS times in turn, since what a process asked of its C library it cannot take back; both
train the same steps on batches in memory. Told are medians: milliseconds a step, how much of that the system took, the
memory pages that it gave, and the most that the process held.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from statistics import median

import torch

from benchmarks.learners import make_batches, make_learner
from modules.compute import process as process_module
from modules.compute.process import start_process
from modules.config.schema import Compute, HyperParams, Model, Settings
from modules.config.values import Size
from modules.models.build import build_network
from modules.reporting.sinks import Silence
from modules.training.epoch import train_epoch

MODELS = ("mobilenetv3_small_100:128:64", "resnet18:224:32")
WAYS = ("given back", "kept")
ROUNDS = 5
STEPS = 6
CLASSES = 10


def measure(name: str, size: int, batch_size: int, kept: bool) -> list[float]:
    """Seconds a step, seconds of the system, pages and MiB, in this process."""
    if not kept:
        process_module.keep_freed_memory = lambda: False  # type: ignore[assignment]
    process, _ = start_process(Settings(gpu=False), Compute())
    torch.manual_seed(0)
    module = process.place(build_network(Model(name=name), CLASSES, 3, Size(size, size), False).module)
    learner = make_learner(module, HyperParams(epochs=2), process, size, STEPS)
    batches = make_batches(size, batch_size, STEPS, CLASSES, process)
    train_epoch(learner, batches, 0, Silence())
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    train_epoch(learner, batches, STEPS, Silence())
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    spent = (wall, after.ru_stime - before.ru_stime, after.ru_minflt - before.ru_minflt)
    return [*(each / STEPS for each in spent), after.ru_maxrss / 1024]


def main() -> int:
    words = sys.argv[1:]
    if words and words[0] in WAYS:
        name, size, batch_size = words[1].split(":")
        print(*measure(name, int(size), int(batch_size), words[0] == "kept"))
        return 0
    print(f"{'model':24}{'px':>5}{'batch':>6}  {'freed memory':12}{'ms':>8}{'system':>8}{'pages':>9}{'MiB':>7}   ratio", flush=True)
    for text in words or MODELS:
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.freed", way, text]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append([float(word) for word in done.stdout.split()])
        walls = {way: median(each[0] for each in rounds) for way, rounds in found.items()}
        for way, rounds in found.items():
            wall, system, pages, held = (median(each[column] for each in rounds) for column in range(4))
            name, size, batch_size = text.split(":")
            ratio = wall / walls["given back"]
            print(
                f"{name:24}{size:>5}{batch_size:>6}  {way:12}{wall * 1e3:8.0f}{system * 1e3:8.0f}{pages:9.0f}{held:7.0f}   {ratio:.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
