"""The practice contest: scikit-learn's 1,797 handwritten digits, written as PNG files in the layout of any CSV contest.

Source of the images: `sklearn.datasets.load_digits`, 8 x 8 pixels, 17 levels of grey.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from modules.config.errors import OptionError, shorten

FILES = ("answers.csv", "sample_submission.csv", "test", "test.csv", "train", "train.csv")
TEST_SAMPLES = 360


def write_contest(folder: Path) -> Path:
    """Writes the practice contest to `folder`, whole or not at all, and returns the folder that holds it.

    A folder that holds it already is left as it is. One that holds something else is never written to: where it has a
    practice contest of its own in `digits`, that one is used, otherwise OptionError is raised.
    """
    if _holds_contest(folder):
        return folder
    if _holds_contest(folder / "digits"):
        return folder / "digits"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = shorten(sorted(entry.name for entry in folder.iterdir()), 3) if folder.is_dir() else "a file"
        raise OptionError(
            "settings", "data_path", f"{folder} holds something else ({found}); name an empty or a new folder for the practice contest"
        )
    target = folder.resolve()
    if target == Path.cwd():
        raise OptionError("settings", "data_path", "the current folder; name one of its own for the practice contest")
    target.parent.mkdir(parents=True, exist_ok=True)
    desk = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    try:
        _write(desk / "contest")
        try:
            os.rename(desk / "contest", target)
        except OSError:
            if not _holds_contest(folder):  # another process may have been first
                raise
    finally:
        shutil.rmtree(desk, ignore_errors=True)
    return folder


def _holds_contest(folder: Path) -> bool:
    return all((folder / name).exists() for name in FILES)


def _write(folder: Path) -> None:
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    rows = np.arange(len(pixels))
    train, test = train_test_split(rows, test_size=TEST_SAMPLES, random_state=0, stratify=digits.target)
    names = np.array([f"{row:04d}.png" for row in rows])
    for part, members in (("train", train), ("test", test)):
        (folder / part).mkdir(parents=True)
        for row in members:
            Image.fromarray(pixels[row]).save(folder / part / names[row])
    _write_table(folder / "train.csv", id=names[train], label=digits.target[train])
    _write_table(folder / "test.csv", id=names[test])
    _write_table(folder / "sample_submission.csv", id=names[test], label=np.zeros(len(test), dtype=int))
    _write_table(folder / "answers.csv", id=names[test], label=digits.target[test])


def _write_table(path: Path, **columns: np.ndarray) -> None:
    pd.DataFrame(columns).to_csv(path, index=False, lineterminator="\n")
