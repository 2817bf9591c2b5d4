"""A contest whose images say everything that a task may ask: each channel is dark, middle or bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

CHANNELS = ("red", "green", "blue")
LEVELS = (30, 128, 225)


def make_colours(folder: Path, train: int = 90, test: int = 18, size: int = 16) -> Path:
    """train.csv and answers.csv with columns for every task, test.csv, and the images.

    red_level, green_level, blue_level: 0, 1, 2. red, green, blue: 1 where the level is 2. labels: those channels, by spaces.
    bright: yes where green is 2. count: how many levels red and blue add up to, 0 to 4. mean: of the three levels' brightness.
    votes_a, votes_b, votes_c: shares that follow the levels.
    """
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        (folder / part).mkdir(parents=True)
        levels = np.stack([rng.permutation(np.arange(count) % 3) for _ in CHANNELS], axis=1)
        ids = [f"{part}_{row:03d}" for row in rng.permutation(count)]
        for name, row in zip(ids, levels, strict=True):
            pixels = rng.normal([LEVELS[level] for level in row], 8, (size, size, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{name}.png")
        table = pd.DataFrame({"id": ids})
        for index, channel in enumerate(CHANNELS):
            table[f"{channel}_level"] = levels[:, index]
            table[channel] = (levels[:, index] == 2).astype(int)
        table["labels"] = [" ".join(name for name, level in zip(CHANNELS, row, strict=True) if level == 2) for row in levels]
        table["bright"] = np.where(levels[:, 1] == 2, "yes", "no")
        table["count"] = levels[:, 0] + levels[:, 2]
        table["mean"] = np.asarray(LEVELS)[levels].mean(axis=1).round(3)
        for index, name in enumerate("abc"):
            table[f"votes_{name}"] = 2 * levels[:, index] + 1
        table.to_csv(folder / ("train.csv" if part == "train" else "answers.csv"), index=False)
        if part == "test":
            table[["id"]].to_csv(folder / "test.csv", index=False)
    return folder


def write_template(folder: Path, **columns: object) -> None:
    """sample_submission.csv with these columns behind the ids, in an order of its own."""
    ids = pd.read_csv(folder / "test.csv")["id"].sort_values()
    pd.DataFrame({"id": ids, **columns}).to_csv(folder / "sample_submission.csv", index=False)
