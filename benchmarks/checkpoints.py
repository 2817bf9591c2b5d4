"""What it costs to keep every epoch: writing checkpoints, and the digest that finds their damage, as a share of an epoch.

    python -m benchmarks.checkpoints [epochs=N] [section.option=value ...]

The practice contest, one fold. An epoch's floor is the epoch without what is written behind it. The digest's is torch.save and
torch.load of the same content, to the disk and from it, of a ResNet-50 and its optimiser's state.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import timm
import torch

from benchmarks.measuring import Row, describe_machine, in_turn, settle, show
from modules.config.reader import read_config
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint, save_checkpoint
from modules.runs.directory import create_run
from modules.runs.records import EpochRecord

EPOCHS = 6


class Clock(Silence):
    """epochs: seconds of each without, and with what is written behind it."""

    def __init__(self) -> None:
        self.begun = 0.0
        self.epochs: list[tuple[float, float]] = []

    def start_epoch(self, fold: int, epoch: int, epochs: int, steps: int) -> None:
        self.begun = time.perf_counter()

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        self.epochs.append((record.seconds, time.perf_counter() - self.begun))


def of_an_epoch(epochs: int, overrides: Sequence[str], work: Path) -> Row:
    """The first epoch, in which the model is built too, is not counted."""
    shared = (
        f"settings.log_path={work / 'runs'}",
        f"settings.cache_path={work / 'cache'}",
        "split.train_folds=0",
        "hyper_params.patience=0",
    )
    config, _ = read_config(["config.ini"], [*shared, f"hyper_params.epochs={epochs + 1}", *overrides])
    plan, clock = prepare(config), Clock()
    train_folds(plan, create_run(config.settings.log_path, "measured", config.model.name), clock)
    without, written = zip(*clock.epochs[1:], strict=True)
    return Row("an epoch / with its checkpoints written", median(without), median(written))


def of_a_file(work: Path) -> list[Row]:
    model = timm.create_model("resnet50")
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    plain, sealed = work / "plain.pt", work / "sealed.pt"

    def save_plain() -> None:
        with open(plain, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())

    def load_plain() -> Any:
        return torch.load(plain, map_location="cpu", weights_only=True)

    found = in_turn({"save": save_plain, "sealed": lambda: save_checkpoint(sealed, content)})
    read = in_turn({"load": load_plain, "sealed": lambda: load_checkpoint(sealed)})
    size = f"{sealed.stat().st_size / 1e6:.0f} MB"
    return [
        Row(f"torch.save / with a digest, {size}", found["save"], found["sealed"]),
        Row(f"torch.load / with a digest, {size}", read["load"], read["sealed"]),
    ]


def main(arguments: list[str]) -> int:
    overrides, said = settle(arguments)
    print(describe_machine())
    with TemporaryDirectory() as folder:
        show([of_an_epoch(int(said.get("epochs", EPOCHS)), overrides, Path(folder)), *of_a_file(Path(folder))])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
