"""One file a source; each turns a contest's own layout into Samples."""

from __future__ import annotations

from pathlib import Path

from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.sources import csv, digits
from modules.data.sources.csv import declared_folds, id_column

__all__ = ["contest_folder", "declared_folds", "id_column", "load_test", "load_train"]


def contest_folder(data: Data, data_path: str) -> Path:
    """The folder that the paths in [data] start at. For digits, the practice contest is written there at first use."""
    return digits.write_contest(Path(data_path)) if data.source == "digits" else Path(data_path)


def load_train(data: Data, folder: Path) -> Samples:
    return csv.load_train(data, folder)


def load_test(data: Data, folder: Path, classes: tuple[str, ...]) -> Samples:
    return csv.load_test(data, folder, classes)
