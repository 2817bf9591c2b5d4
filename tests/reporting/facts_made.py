"""Facts of a run that never was, for the report's and the advice's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from modules.config.reader import read_config
from modules.data.task import Task, classification
from modules.prediction.decisions import PLAIN
from modules.reporting.facts import Facts, Picture
from modules.runs.records import EpochRecord

ANIMALS = classification("animal", ("cat", "dog", "eel"))


def record(fold: int, epoch: int, train: float = 0.5, valid: float = 0.5, score: float = 0.8) -> EpochRecord:
    return EpochRecord(fold, epoch, train, valid, score, score, 1e-3, 100.0, 2.0)


def made_facts(
    overrides: tuple[str, ...] = (), task: Task = ANIMALS, targets: Any = None, values: Any = None, result: Any = None, **more: Any
) -> Facts:
    """Nothing stands out: two folds of 60 rows, all right and as sure as that, best in the fifth of ten epochs."""
    config, _ = read_config([], ["hyper_params.epochs=10", *overrides])
    targets = np.arange(120) % 3 if targets is None else np.asarray(targets)
    values = np.eye(3, dtype=np.float32)[targets] * 0.97 + 0.01 if values is None else np.asarray(values, dtype=np.float32)
    content = {
        "metric": "accuracy",
        "folds": [1.0, 1.0],
        "mean": 1.0,
        "std": 0.0,
        "oof": 1.0,
        "coverage": 1.0,
        "fold_numbers": [0, 1],
        "best_epochs": [5, 5],
        "tta": "none",
        "debug": False,
        "ended": "2026-11-22T07:00:00.000000+00:00",
        "memory": {"process": 2**30},
    }
    made = Facts(
        name="a run",
        config=config,
        result=content | (result or {}),
        environment={"device": "cpu", "precision": "float32", "threads": 2, "versions": {"torch": "2.15"}},
        histories={fold: [record(fold, epoch) for epoch in range(1, 11)] for fold in (0, 1)},
        task=task,
        metric="accuracy",
        greater_is_better=True,
        decision=PLAIN,
        targets=targets,
        values=values,
        folds=np.arange(len(targets)) % 2,
    )
    return replace(made, **more)


def picture(name: str, size: tuple[int, int] = (32, 48), channels: int = 3) -> Picture:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    return Picture(name, pixels, rng.random(size).astype(np.float32), (name, "is cat", "told dog (99%)"))
