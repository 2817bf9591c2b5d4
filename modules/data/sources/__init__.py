"""One file a source; each turns a contest's own layout into Samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.sources import csv, digits, folder, torchvision
from modules.data.sources.csv import declared_folds
from modules.data.sources.extra import add_extra
from modules.data.sources.torchvision import statistics
from modules.data.task import Task

__all__ = ["contest_folder", "declared_folds", "id_column", "load_test", "load_train", "statistics", "template_path"]

TRAIN: dict[str, Callable[[Data, Path], Samples]] = {
    "digits": csv.load_train,
    "csv": csv.load_train,
    "folder": folder.load_train,
    "torchvision": torchvision.load_train,
}
TEST: dict[str, Callable[[Data, Path, Task], Samples]] = {
    "digits": csv.load_test,
    "csv": csv.load_test,
    "folder": folder.load_test,
    "torchvision": torchvision.load_test,
}


def contest_folder(data: Data, data_path: str) -> Path:
    """The folder that the paths in [data] start at. For digits, the practice contest is written there at first use."""
    return digits.write_contest(Path(data_path)) if data.source == "digits" else Path(data_path)


def load_train(data: Data, contest: Path) -> Samples:
    """The labelled samples of the source, and behind them those of extra_csv."""
    samples = TRAIN[data.source](data, contest)
    return samples if data.extra_csv is None else add_extra(samples, data, contest, id_column(data, contest))


def load_test(data: Data, contest: Path, task: Task) -> Samples:
    """The samples to predict, in the order of the source; with targets where it knows the answers."""
    return TEST[data.source](data, contest, task)


def template_path(data: Data, contest: Path) -> Path | None:
    """The contest's own template; None where the source has none, and one of ids and labels is made."""
    if data.source == "folder":
        return folder.template_path(data, contest)
    return None if data.source == "torchvision" else contest / data.sample_submission


def id_column(data: Data, contest: Path) -> str:
    """The column of ids: as configured, or the first one of the template; `id` where there is none."""
    return csv.id_column(data, contest) if template_path(data, contest) else data.id_column or "id"
