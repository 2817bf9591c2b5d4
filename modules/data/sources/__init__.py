"""One file a source; each turns a contest's own layout into Samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modules.config.schema import Data
from modules.data.samples import Samples, Text
from modules.data.sources import csv, digits, folder, mask, torchvision
from modules.data.sources.corrections import correct_samples
from modules.data.sources.extra import add_extra
from modules.data.sources.pseudo import add_pseudo, without_taken
from modules.data.sources.torchvision import statistics
from modules.data.task import Task

__all__ = [
    "as_laid_out",
    "contest_folder",
    "declared_folds",
    "id_column",
    "load_test",
    "load_train",
    "statistics",
    "template_path",
    "without_taken",
]

TRAIN: dict[str, Callable[[Data, Path], Samples]] = {
    "digits": csv.load_train,
    "csv": csv.load_train,
    "folder": folder.load_train,
    "torchvision": torchvision.load_train,
    "mask": mask.load_train,
}
TEST: dict[str, Callable[[Data, Path, Task], Samples]] = {
    "digits": csv.load_test,
    "csv": csv.load_test,
    "folder": folder.load_test,
    "torchvision": torchvision.load_test,
    "mask": csv.load_test,
}


def contest_folder(data: Data, data_path: str) -> Path:
    """The folder that the paths in [data] start at. For digits, the practice contest is written there at first use."""
    return digits.write_contest(Path(data_path)) if data.source == "digits" else Path(data_path)


def as_laid_out(data: Data) -> Data:
    """The options with the source's own file names in the place of those that nobody set."""
    return mask.as_laid_out(data) if data.source == "mask" else data


def load_train(data: Data, contest: Path) -> Samples:
    """The labelled samples of the source, corrected, and behind them those of extra_csv and pseudo_labels."""
    data = as_laid_out(data)
    samples = TRAIN[data.source](data, contest)
    if data.corrections is not None and data.source in ("folder", "torchvision"):  # the others correct their tables
        samples = correct_samples(samples, data, contest / data.corrections, id_column(data, contest))
    if data.extra_csv is not None:
        samples = add_extra(samples, data, contest, id_column(data, contest))
    if data.pseudo_labels is not None:
        samples = add_pseudo(samples, load_test(data, contest, samples.task), data, contest, id_column(data, contest))
    return samples


def load_test(data: Data, contest: Path, task: Task) -> Samples:
    """The samples to predict, in the order of the source; with targets where it knows the answers."""
    return TEST[data.source](as_laid_out(data), contest, task)


def declared_folds(data: Data, contest: Path, name: str, samples: Samples) -> Text:
    """(N,) the cells of fold_column `name`; those of extra samples are blank."""
    read = mask.declared_folds if data.source == "mask" else csv.declared_folds
    return read(as_laid_out(data), contest, name, samples)


def template_path(data: Data, contest: Path) -> Path | None:
    """The contest's own template; None where the source has none, and one of ids and labels is made."""
    if data.source == "folder":
        return folder.template_path(data, contest)
    return None if data.source == "torchvision" else contest / as_laid_out(data).sample_submission


def id_column(data: Data, contest: Path) -> str:
    """The column of ids: as configured, or the first one of the template; `id` where there is none."""
    return csv.id_column(as_laid_out(data), contest) if template_path(data, contest) else data.id_column or "id"
