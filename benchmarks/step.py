"""Steps of training and of inference under each memory layout and precision: what `channels_last = auto` and `precision = auto` go by.

    python -m benchmarks.step [cpu | cuda] [threads=N] [MODEL:SIZE ...]

Every way of one row runs in the same process, in turn, over the same images in memory, through the project's own `train_epoch`
and `predict`: normalising, optimiser and metrics' part counted, decoding not. A figure is how many times faster than
float32 in the contiguous layout, by the median of ROUNDS. A way that its first step shows to be more than SLOW times slower
is not measured further, and shown as `<`.

On a CPU what is measured is the time of cores, since others may want them too; one thread is measured more evenly than all,
which wait for each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch

from benchmarks.learners import make_batches, make_learner
from modules.compute.process import Process, start_process
from modules.config.schema import Compute, HyperParams, Model, Settings
from modules.config.values import Size
from modules.data.loaders import Batch
from modules.models.build import build_network
from modules.prediction.predict import predict
from modules.prediction.tta import VIEWS
from modules.reporting.sinks import Silence
from modules.training.epoch import train_epoch

MODELS = ("resnet18", "resnet50", "mobilenetv3_small_100", "efficientnet_b0", "convnext_atto", "vit_tiny_patch16_224")
ROWS = (*((model, size) for model in MODELS for size in (128, 224)), ("resnet18", 32))
ROUNDS = 5
SLOW = 4.0
CLASSES = 10


@dataclass(frozen=True)
class Way:
    """A memory layout and a precision."""

    channels_last: bool
    precision: str

    def __str__(self) -> str:
        return f"{self.precision}{', channels_last' if self.channels_last else ''}"


BASE = Way(False, "float32")
WAYS = (BASE, Way(True, "float32"), Way(False, "bfloat16"), Way(True, "bfloat16"))


class Steps:
    """One model under one way, with a batch in memory."""

    def __init__(self, name: str, size: int, way: Way, process: Process, batch_size: int, steps: int) -> None:
        self.process = replace(process, precision=way.precision, channels_last=way.channels_last)
        self.clock = time.perf_counter if process.device.type == "cuda" else time.process_time
        hyper = HyperParams(optimizer="adamw", scheduler="constant", epochs=1)
        torch.manual_seed(0)
        module = build_network(Model(name=name), CLASSES, 3, Size(size, size), False).module
        self.process.place(module)
        self.learner = make_learner(module, hyper, self.process, size, 1)
        self.batches = make_batches(size, batch_size, steps, CLASSES, process)

    def train(self, batches: Sequence[Batch]) -> float:
        """Seconds."""
        started = self.clock()
        train_epoch(self.learner, batches, 0, Silence())
        return self.clock() - started

    def infer(self, batches: Sequence[Batch]) -> float:
        rows, one = np.concatenate([batch.rows.numpy() for batch in batches]), self.learner
        started = self.clock()
        predict([one.module], batches, rows, CLASSES, one.prepare, one.objective, VIEWS["none"], self.process)
        return self.clock() - started

    def warm_up(self, part: str) -> float:
        """Seconds of the second of two small batches; on a GPU after a batch of full size."""
        small = [Batch(each.images[:4], each.targets[:4], each.rows[:4]) for each in self.batches[:1] if each.targets is not None]
        if self.process.device.type == "cuda":
            getattr(self, part)(self.batches)
        getattr(self, part)(small)
        return float(getattr(self, part)(small))


def compare(name: str, size: int, process: Process) -> tuple[float, list[tuple[str, str]]]:
    """Images a second in training the base way; of each way how many times faster it trains and infers."""
    batch_size, steps = _batch(size, process.device.type == "cuda")
    made = {way: Steps(name, size, way, process, batch_size, steps) for way in WAYS}
    ratios: dict[str, dict[Way, str]] = {}
    for part in ("train", "infer"):
        first = {way: one.warm_up(part) for way, one in made.items()}
        slow = [way for way in WAYS if first[way] > SLOW * first[BASE]]
        seconds: dict[Way, list[float]] = {way: [] for way in WAYS if way not in slow}
        for _ in range(ROUNDS):
            for way, spent in seconds.items():
                spent.append(getattr(made[way], part)(made[way].batches))
        ratios[part] = {way: f"{median(seconds[BASE]) / median(spent):.2f}" for way, spent in seconds.items()}
        ratios[part] |= dict.fromkeys(slow, f"< {1 / SLOW:.2f}")
        if part == "train":
            rate = batch_size * steps / median(seconds[BASE])
    return rate, [(ratios["train"][way], ratios["infer"][way]) for way in WAYS]


def table(rows: Sequence[tuple[str, int]], process: Process) -> Iterator[str]:
    yield "| model | px | images/s | " + " | ".join(f"{way}: train | infer" for way in WAYS[1:]) + " |"
    yield "|---|---|---|" + "---|" * (2 * len(WAYS) - 2)
    for name, size in rows:
        rate, ratios = compare(name, size, process)
        yield f"| `{name}` | {size} | {rate:,.0f} | " + " | ".join(f"{train} | {infer}" for train, infer in ratios[1:]) + " |"


def _batch(size: int, on_gpu: bool) -> tuple[int, int]:
    """Images a batch, and batches a round."""
    if on_gpu:
        return (512, 20) if size <= 64 else (128, 20)
    return (64, 2) if size <= 64 else (16, 1) if size <= 128 else (8, 1)


def _threads() -> int:
    return next((int(each.partition("=")[2]) for each in sys.argv if each.startswith("threads=")), 0)


def main() -> int:
    device = "cpu" if "cpu" in sys.argv or not torch.cuda.is_available() else "cuda"
    named = [each.split(":") for each in sys.argv[1:] if ":" in each]
    process, _ = start_process(Settings(gpu=device == "cuda", deterministic=False), Compute(threads=_threads()))
    amx = torch.cpu.get_capabilities().get("amx_bf16", False)
    what = torch.cuda.get_device_name() if device == "cuda" else f"{torch.backends.cpu.get_cpu_capability()}, AMX {amx}"
    print(f"{process.device}: {what}, {process.threads} threads, torch {torch.__version__}, median of {ROUNDS} rounds", flush=True)
    for line in table([(name, int(size)) for name, size in named] or ROWS, process):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
