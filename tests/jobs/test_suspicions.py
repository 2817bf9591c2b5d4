"""Warnings of folds that can be trained, and that a person may not have meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modules.config.schema import Split
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.splits import make_folds
from modules.data.task import classification
from modules.jobs.suspicions import suspect_folds


def test_labels_that_a_fold_cannot_learn_and_torn_groups_are_a_line_each() -> None:
    names = np.array([f"id{row}" for row in range(20)])
    targets = np.ones((20, 3), dtype=np.float32)
    targets[1:, 1] = 0
    task = classification("labels", ("a", "rare", "c"), "multilabel")
    samples = Samples(names, ImageFiles(Path(), names), task, targets, np.array(["ann", "bob"] * 10))
    rare = "warning: 1 class or label is so rare that a fold trains without any sample: rare"
    torn = "warning: 2 groups are in several folds, so that scores are too good: ann, bob; see [split] method"
    assert suspect_folds(samples, make_folds(samples, Split(method="kfold"), 0)) == [torn, rare]
    assert suspect_folds(samples, make_folds(samples, Split(folds=2), 0)) == [rare]
    assert suspect_folds(samples.take(np.arange(1)), make_folds(samples.take(np.arange(1)), Split(method="none"), 0)) == []
