"""Small contests and images for tests, made from nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.tiny import TINY

CLASSES = ("cat", "dog", "eel")
FAST = (
    "logging.plots=false",
    "data.source=csv",
    "data.image_size=32",
    f"model.name={TINY}",
    "model.pretrained=false",
    "settings.gpu=false",
    "settings.num_workers=0",
    "compute.threads=1",
    "split.folds=2",
    "hyper_params.epochs=2",
    "hyper_params.batch_size=8",
    "augmentation.preset=none",
    "data.near_duplicates=off",
)


def make_contest(folder: Path, train: int = 60, test: int = 12, size: int = 20, suffix: str = ".png", groups: int = 15) -> Path:
    """train.csv (id, label, person), test.csv, sample_submission.csv, answers.csv, and the images; colour tells the class.

    Ids have no suffix; each person has several images of one class.
    """
    rng = np.random.default_rng(0)
    colours = {"cat": (200, 40, 40), "dog": (40, 200, 40), "eel": (40, 40, 200)}
    tables = {}
    for part, count in (("train", train), ("test", test)):
        (folder / part).mkdir(parents=True)
        people = np.arange(count) % groups
        labels = [CLASSES[person % len(CLASSES)] for person in people]
        ids = [f"{part}_{row:03d}" for row in range(count)]
        for name, label in zip(ids, labels, strict=True):
            pixels = rng.normal(colours[label], 25, (size, size, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{name}{suffix}")
        tables[part] = pd.DataFrame({"id": ids, "label": labels, "person": [f"p{person:02d}" for person in people]})
    tables["train"].to_csv(folder / "train.csv", index=False)
    tables["test"][["id"]].to_csv(folder / "test.csv", index=False)
    tables["test"][["id", "label"]].assign(label="cat").to_csv(folder / "sample_submission.csv", index=False)
    tables["test"][["id", "label"]].to_csv(folder / "answers.csv", index=False)
    return folder


def write_config(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def fast(contest: Path, *more: str) -> list[str]:
    """Overrides that train `contest` in seconds: a tiny model, one thread, two folds, two epochs."""
    return [*FAST, f"settings.data_path={contest}", "data.image_suffix=.png", *more]
