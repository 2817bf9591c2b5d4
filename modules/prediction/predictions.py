"""Predictions: ids, classes and a probability for each, saved as a table and read back exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modules.compute.storage import write_text
from modules.config.errors import DataError
from modules.data.samples import Rows, Text

Probabilities = NDArray[np.float32]

PROBABILITY = "p:"


@dataclass(frozen=True)
class Predictions:
    """ids: (N,) text. classes: C names. probabilities: (N, C) float32, each row summing to 1."""

    ids: Text
    classes: tuple[str, ...]
    probabilities: Probabilities

    def __post_init__(self) -> None:
        assert self.probabilities.shape == (len(self.ids), len(self.classes))

    def labels(self) -> list[str]:
        """(N,) the name of the most probable class; the first of those that are equal."""
        return [self.classes[index] for index in self.probabilities.argmax(axis=1)]

    def to_frame(self) -> pd.DataFrame:
        """id, prediction, then a column `p:CLASS` a class."""
        columns = {f"{PROBABILITY}{name}": self.probabilities[:, index] for index, name in enumerate(self.classes)}
        return pd.DataFrame({"id": self.ids, "prediction": self.labels(), **columns})


def save_predictions(path: Path, predictions: Predictions, targets: Rows | None = None, folds: Rows | None = None) -> None:
    """The table of `to_frame`, with the columns `fold` and `target` behind the id where they are given."""
    table = predictions.to_frame()
    if targets is not None:
        table.insert(1, "target", [predictions.classes[target] for target in targets])
    if folds is not None:
        table.insert(1, "fold", folds)
    write_text(path, to_csv(table))


def to_csv(table: pd.DataFrame, separates: str = ",") -> str:
    """CSV text in which a 32-bit number keeps all of its digits."""
    return str(table.to_csv(index=False, sep=separates, float_format="%.9g", lineterminator="\n"))


def load_predictions(path: Path) -> Predictions:
    """What `save_predictions` wrote, to the bit. Raises DataError where the table is damaged."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}") from None
    names = [str(name) for name in table.columns if str(name).startswith(PROBABILITY)]
    if "id" not in table.columns or not names:
        raise DataError(f"{path}: no predictions in it; expected the columns id and {PROBABILITY}CLASS")
    try:
        probabilities = table[names].to_numpy(dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}") from None
    classes = tuple(name.removeprefix(PROBABILITY) for name in names)
    return Predictions(np.array(table["id"].tolist(), dtype=np.str_), classes, probabilities)


def check_probabilities(predictions: Predictions, where: str) -> None:
    """Raises DataError for NaN, values outside 0..1, or rows that do not sum to 1."""
    values = predictions.probabilities
    if not len(values):
        return
    if not np.isfinite(values).all():
        raise DataError(f"{where}: {int((~np.isfinite(values)).any(axis=1).sum())} rows have NaN or infinite probabilities")
    if values.min() < 0 or values.max() > 1 + 1e-6 or np.abs(values.sum(axis=1) - 1).max() > 1e-3:
        raise DataError(f"{where}: probabilities are outside of 0..1 or do not sum to 1")
