"""A table of ids and labels, a folder of images for training and one for the test, and a template of the submission."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from modules.config.errors import DataError, OptionError, gather, shorten
from modules.config.schema import Data
from modules.data.images import ImageArrays, ImageChannels, ImageFiles
from modules.data.labels import read_task
from modules.data.samples import Samples, Text
from modules.data.sources.corrections import correct_table
from modules.data.sources.pixel_table import read_pixel_table
from modules.data.tables import column, column_of_ids, read_table
from modules.data.task import Task

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def load_train(data: Data, folder: Path) -> Samples:
    """The labelled samples, in the table's order. Raises UserError in a line for whatever of the table is not as declared."""
    path = folder / data.train_csv
    table, pixels = read_part(path, "train_csv", data, folder)
    ids, (task, targets), groups, names = gather(
        lambda: column_of_ids(table, id_column(data, folder), path),
        lambda: read_task(_corrected(table, data, folder), data, path),
        lambda: groups_of(table, data.group_column, path),
        lambda: column(table, data.image_column, path, "image_column") if data.image_column else None,
    )
    images = image_files(data, names or ids, folder / data.train_images) if pixels is None else pixels
    return Samples(ids=np.array(ids), images=images, task=task, targets=targets, groups=groups)


def load_test(data: Data, folder: Path, task: Task) -> Samples:
    """The samples to predict, in the order of the test table, or of the template where there is none."""
    name, option = (data.test_csv, "test_csv") if data.test_csv else (data.sample_submission, "sample_submission")
    path = folder / name
    table, pixels = read_part(path, option, data, folder)
    ids = column_of_ids(table, id_column(data, folder), path)
    names = column(table, data.image_column, path, "image_column") if data.test_csv and data.image_column else ids
    images = image_files(data, names, folder / data.test_images) if pixels is None else pixels
    return Samples(ids=np.array(ids), images=images, task=task)


def declared_folds(data: Data, folder: Path, name: str, samples: Samples) -> Text:
    """(N,) the cells of fold_column `name`; those of extra samples are blank."""
    path = folder / data.train_csv
    table, _ = read_part(path, "train_csv", data, folder)
    ids = column_of_ids(table, id_column(data, folder), path)
    cell_of = dict(zip(ids, column(table, name, path, "fold_column", section="split"), strict=True))
    return np.array([cell_of.get(str(sample), "") for sample in samples.ids])


def read_part(path: Path, option: str, data: Data, folder: Path) -> tuple[pd.DataFrame, ImageArrays | None]:
    """The table that `option` names; and its images, where it holds their pixels, as [data] pixel_columns says.

    A table of pixels may have no ids: the test table then has those of the template, row by row, the others numbers from 1.
    """
    if data.pixel_columns is None:
        return read_table(path, "data", option), None
    read = read_pixel_table(path, option, data)
    table, name, template = read.table, id_column(data, folder), folder / data.sample_submission
    if name in table.columns or not template.is_file():
        return table, read.images()
    rows = read_table(template, "data", "sample_submission")
    if name in rows.columns:  # else it is a mistake of id_column, and told by who reads that
        table.insert(0, name, _ids_by_row(table, rows, name, path, template) if option == "test_csv" else _made_ids(table, option))
    return table, read.images()


def id_column(data: Data, folder: Path) -> str:
    """The column of ids: as configured, or the first one of the template."""
    if data.id_column:
        return data.id_column
    path = folder / data.sample_submission
    if not path.is_file():
        message = f"{path}: no such file; it names the id column too, unless [data] id_column does"
        raise OptionError("data", "sample_submission", message)
    return str(read_table(path, "data", "sample_submission").columns[0])


def _corrected(table: pd.DataFrame, data: Data, folder: Path) -> pd.DataFrame:
    return table if data.corrections is None else correct_table(table, data, folder / data.corrections, id_column(data, folder))


def with_suffix(name: str, suffix: str | None) -> str:
    """The name, with the suffix where it has no image's suffix of its own."""
    if not suffix or name.lower().endswith(IMAGE_SUFFIXES):
        return name
    return name + (suffix if suffix.startswith(".") else f".{suffix}")


def groups_of(table: pd.DataFrame, name: str | None, path: Path) -> Text | None:
    if name is None:
        return None
    groups = column(table, name, path, "group_column")
    blank = [line for line, group in zip(table.index, groups, strict=True) if not group.strip()]
    if blank:
        fault = f"{len(blank)} cells of group_column '{name}' are blank, in lines {shorten(blank)}"
        raise DataError(f"{path}: {fault}; give each a name of its own, such as its id")
    return np.array(groups)


def image_files(data: Data, names: list[str], root: Path) -> ImageFiles | ImageChannels:
    """The file of each name below `root`, or where there are channel_suffixes the files."""
    if data.channel_suffixes is None:
        return ImageFiles(root, named_by_id(data, names, root))
    files = [named_by_id(data, [_with_channel(name, suffix) for name in names], root) for suffix in data.channel_suffixes]
    return ImageChannels(root, np.array(names), np.stack(files, axis=1))


def named_by_id(data: Data, names: list[str], root: Path) -> Text:
    """Paths relative to `root`: the name, with `image_suffix` where it has no image's suffix of its own.

    Raises DataError for names that lead out of `root`, by `..`, as an absolute path, or through a link.
    """
    files = [with_suffix(name, data.image_suffix) for name in names]
    inside = os.path.realpath(root) + os.sep
    outside = [file for file in files if "\0" in file or not os.path.realpath(os.path.join(root, file)).startswith(inside)]
    if outside:
        raise DataError(f"{root}: {len(outside)} image paths lead out of the folder: {shorten(map(repr, outside), 3)}")
    return np.array(files)


def _with_channel(name: str, suffix: str) -> str:
    """The suffix stands before that of the file: a.png, _red: a_red.png."""
    stem, point, ending = name.rpartition(".")
    return f"{stem}{suffix}.{ending}" if f"{point}{ending}".lower() in IMAGE_SUFFIXES else name + suffix


def _made_ids(table: pd.DataFrame, option: str) -> list[str]:
    """1, 2, 3, ...: those of extra_csv are told apart from the training samples'."""
    return [f"{'extra:' if option == 'extra_csv' else ''}{number}" for number in range(1, len(table) + 1)]


def _ids_by_row(table: pd.DataFrame, rows: pd.DataFrame, name: str, path: Path, template: Path) -> list[str]:
    """The template's ids, in its order, for a test table without ids. Raises DataError where it has other rows."""
    ids = column_of_ids(rows, name, template)
    if len(ids) != len(table):
        fault = f"{len(table)} rows and no column '{name}', and {template.name} has {len(ids)} rows"
        raise DataError(f"{path}: {fault}; without ids both must have the same rows")
    return ids
