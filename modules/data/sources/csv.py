"""A table of ids and labels, a folder of images for training and one for the test, and a template of the submission."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from modules.config.errors import DataError, OptionError, counted, gather, in_lines, shorten
from modules.config.schema import Data
from modules.data.images import ImageArrays, ImageChannels, ImageFiles
from modules.data.labels import read_task
from modules.data.metadata import encode_metadata, learn_inputs
from modules.data.row_ids import asked_names, split_row_ids
from modules.data.samples import Samples, Text
from modules.data.sources.corrections import correct_table
from modules.data.sources.pixel_table import read_pixel_table
from modules.data.sources.subfolders import find_below
from modules.data.tables import column, column_of_ids, header_of, is_index, read_table
from modules.data.task import Task

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DARK = 32  # pixels that go to 1, or to 16, are meant on another scale


def load_train(data: Data, folder: Path) -> Samples:
    """The labelled samples, in the table's order. Raises UserError in a line for whatever of the table is not as declared."""
    path = folder / data.train_csv
    table, pixels = read_part(path, "train_csv", data, folder)
    ids, (task, targets), groups, names, inputs = gather(
        lambda: column_of_ids(table, id_column(data, folder), path),
        lambda: read_task(_corrected(table, data, folder), data, path),
        lambda: groups_of(table, data.group_column, path),
        lambda: column(table, data.image_column, path, "image_column") if data.image_column else None,
        lambda: learn_inputs(table, data, path, folder),
    )
    images = image_files(data, names or ids, folder / data.train_images) if pixels is None else pixels
    _tell_dark(path, pixels)
    task, metadata = replace(task, inputs=inputs), encode_metadata(table, inputs, path)
    return Samples(ids=np.array(ids), images=images, task=task, targets=targets, groups=groups, metadata=metadata)


def load_test(data: Data, folder: Path, task: Task) -> Samples:
    """The samples to predict, in the order of the test table, or of the template where there is none."""
    name, option = (data.test_csv, "test_csv") if data.test_csv else (data.sample_submission, "sample_submission")
    path = folder / name
    if task.inputs and not data.test_csv:
        message = f"the metadata columns of the test images are read from it: {shorten(each.name for each in task.inputs)}"
        raise OptionError("data", "test_csv", message)
    table, pixels = read_part(path, option, data, folder)
    metadata = encode_metadata(table, task.inputs, path)
    key, own = _row_column(table, data, folder), id_column(data, folder)
    ids = column_of_ids(table, key, path)
    named = data.image_column if data.test_csv else None
    named = named or (own if own != key and own in table.columns else None)
    names = column(table, named, path, "image_column") if named else ids
    if pixels is not None:
        _tell_dark(path, pixels)
        return Samples(ids=np.array(ids), images=pixels, task=task, metadata=metadata)
    root = folder / data.test_images
    ids, names, rows = _once_an_image(ids, names, data, task, root)
    images = image_files(data, names, root)
    return Samples(ids=np.array(ids), images=images, task=task, metadata=None if metadata is None else metadata[rows])


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
    names = header_of(path, "sample_submission")
    name = names[1] if is_index(names[0]) and len(names) > 2 else names[0]
    train = folder / data.train_csv
    if data.image_column and train.is_file():
        known = header_of(train, "train_csv")
        if name not in known and data.image_column in known:  # the template's rows are not images
            return data.image_column
    return name


def _row_column(table: pd.DataFrame, data: Data, folder: Path) -> str:
    """The column of ids of the test's table: id_column, or where the template has another one, which the table has too, that one."""
    name, template = id_column(data, folder), folder / data.sample_submission
    if template.is_file():
        names = header_of(template, "sample_submission")
        if name not in names and names[0] in table.columns:
            return names[0]
    return name


def _once_an_image(ids: list[str], names: list[str], data: Data, task: Task, root: Path) -> tuple[list[str], list[str], list[int]]:
    """Where the table has several rows an image, every image's id and name once; else both as they are. And the rows they are of.

    Which it is, the names tell, where a column has them: they come several times. Else the files do.
    """
    rows = split_row_ids(ids, asked_names(task))
    whole = ids, names, list(range(len(ids)))
    if rows is None:
        return whole
    first = rows.first_rows()
    images = [rows.images[row] for row in first]
    if names is not ids:
        once = len(set(names)) == len(images) == len(set(zip(names, rows.images, strict=True)))
        return (images, [names[row] for row in first], first) if once else whole
    there = [image_files(data, each, root).sizes().max() >= 0 for each in (ids, images)]
    return (images, images, first) if there == [False, True] else whole


def _corrected(table: pd.DataFrame, data: Data, folder: Path) -> pd.DataFrame:
    return table if data.corrections is None else correct_table(table, data, folder / data.corrections, id_column(data, folder))


def with_suffix(name: str, suffix: str | None) -> str:
    """The name, with the suffix where it has no image's suffix of its own."""
    if not suffix or name.lower().endswith(IMAGE_SUFFIXES):
        return name
    return name + (suffix if "." in suffix else f".{suffix}")  # jpg, .jpg, _thumbnail.png


def groups_of(table: pd.DataFrame, name: str | None, path: Path) -> Text | None:
    if name is None:
        return None
    groups = column(table, name, path, "group_column")
    blank = [line for line, group in zip(table.index, groups, strict=True) if not group.strip()]
    if blank:
        fault = f"{counted(len(blank), 'cell is', 'cells are')} blank in group_column '{name}', {in_lines(blank)}"
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

    Where none lies in `root` itself, they are looked for below it. Raises DataError for names that lead out of `root`, by
    `..`, as an absolute path, or through a link.
    """
    files = find_below([with_suffix(name, data.image_suffix) for name in names], root)
    inside, home_of = os.path.realpath(root) + os.sep, cache(os.path.realpath)
    outside = [file for file in files if "\0" in file or not _in_the_end(os.path.join(root, file), home_of).startswith(inside)]
    if outside:
        raise DataError(
            f"{root}: {counted(len(outside), 'image path leads', 'image paths lead')} out of the folder: {shorten(map(repr, outside), 3)}"
        )
    return np.array(files)


def _in_the_end(path: str, home_of: Callable[[str], str]) -> str:
    """Where a path leads to, links followed; `home_of` says it of a folder, and remembers it: many files lie in one."""
    folder, name = os.path.split(path)
    found = os.path.join(home_of(folder), name)
    return os.path.realpath(path) if name in ("", ".", "..") or os.path.islink(found) else found


def _with_channel(name: str, suffix: str) -> str:
    """The suffix stands before that of the file: a.png, _red: a_red.png."""
    stem, point, ending = name.rpartition(".")
    return f"{stem}{suffix}.{ending}" if f"{point}{ending}".lower() in IMAGE_SUFFIXES else name + suffix


def _tell_dark(path: Path, images: ImageArrays | None) -> None:
    if images is not None and (brightest := int(images.pixels.max())) < DARK:
        print(f"warning: {path}: no pixel is above {brightest} of 255, so that all images are nearly black; scale them", file=sys.stderr)


def _made_ids(table: pd.DataFrame, option: str) -> list[str]:
    """1, 2, 3, ...: those of extra_csv are told apart from the training samples'."""
    return [f"{'extra:' if option == 'extra_csv' else ''}{number}" for number in range(1, len(table) + 1)]


def _ids_by_row(table: pd.DataFrame, rows: pd.DataFrame, name: str, path: Path, template: Path) -> list[str]:
    """The template's ids for a test table without ids: by their number where they count the rows, else in the template's order.

    Raises DataError where it has other rows, or another column tells that they go otherwise.
    """
    ids = column_of_ids(rows, name, template)
    if len(ids) != len(table):
        fault = f"{counted(len(table), 'row')} and no column '{name}', and {template.name} has {counted(len(ids), 'row')}"
        raise DataError(f"{path}: {fault}; without ids both must have the same rows")
    by_count = ([str(number) for number in range(first, first + len(ids))] for first in (1, 0))
    by_row = next((numbers for numbers in by_count if set(numbers) == set(ids)), ids)
    for other in table.columns:
        if table[other].tolist() != by_row and sorted(table[other]) == sorted(ids):
            fault = f"no column '{name}', and column '{other}' has the ids of {template.name} in another order"
            raise DataError(f"{path}: {fault}; call it '{name}', so that rows are joined by it")
    return by_row
