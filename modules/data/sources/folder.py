"""A folder of images for training and one for the test: labels are the names of folders, or what a pattern finds in the paths.

Hidden files (`._x.jpg` of macOS too) and files that are no images by their suffix are left out. Ids are paths in the folder.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from modules.config.errors import DataError, OptionError, counted, hint, shorten
from modules.config.schema import Data
from modules.data.images import ImageFiles
from modules.data.labels import name_classes, read_task
from modules.data.samples import Rows, Samples, Text, encode_labels
from modules.data.sources.csv import IMAGE_SUFFIXES, id_column, with_suffix
from modules.data.tables import column_of_ids, read_table
from modules.data.task import Task


def load_train(data: Data, folder: Path) -> Samples:
    """Every image below a class's folder, sorted by path. Raises UserError for what is no folder of classes."""
    root = folder / data.train_images
    files = _list_images(root, "train_images")
    if data.label_pattern is not None:
        return _labelled_by_pattern(data, data.label_pattern, root, files)
    inside = [file for file in files if "/" in file]
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        advice = "a table of labels goes with source = csv" if files else "nothing is in it"
        raise OptionError(
            "data", "train_images", f"{root}: expected a folder a class, found {counted(len(files), 'image')} in none; {advice}"
        )
    labels = [_first_part(file) for file in inside]
    empty = sorted(set(names) - set(labels))
    if empty:
        raise DataError(f"{root}: {counted(len(empty), 'class folder has', 'class folders have')} no image: {shorten(empty)}")
    if len(inside) < len(files):
        _warn(f"{counted(len(files) - len(inside), 'image is', 'images are')} left out in {root}, in no class's folder")
    classes, targets = encode_labels(labels, range(len(labels)), str(root))
    task = name_classes(data, "label", classes, str(root))
    return Samples(ids=np.array(inside), images=ImageFiles(root, np.array(inside)), task=task, targets=targets)


def load_test(data: Data, folder: Path, task: Task) -> Samples:
    """The images of the test folder: those that test_csv or the template names, in its order; else all, sorted by path.

    Where they lie in folders of the classes' names, and there is no label_pattern, those are their answers. Raises UserError
    for ids without an image.
    """
    root = folder / data.test_images
    files = _list_images(root, "test_images")
    if not files:
        raise OptionError("data", "test_images", f"{root}: no image is in it")
    template = template_path(data, folder)
    ids = files
    if data.test_csv or template:
        path, option = (folder / data.test_csv, "test_csv") if data.test_csv else (template, "sample_submission")
        assert path is not None
        table = read_table(path, "data", option)
        name = id_column(data, folder) if data.id_column or template else str(table.columns[0])
        ids = column_of_ids(table, name, path)
        files = _find(ids, files, data.image_suffix, root, path)
    answers = None if data.label_pattern is not None else _answers(files, task.classes)
    return Samples(ids=np.array(ids), images=ImageFiles(root, np.array(files)), task=task, targets=answers)


def groups_in_paths(pattern: str, files: Sequence[str], root: Path) -> Text:
    """What the pattern's group `group` finds in each path. Raises DataError where it finds nothing."""
    return np.array(_find_in_paths(pattern, "group", files, root))


def template_path(data: Data, folder: Path) -> Path | None:
    """The template, where there is one; None where it is missing and nobody gave it another name than the usual."""
    path = folder / data.sample_submission
    return path if path.is_file() or data.sample_submission != Data.sample_submission else None


def _labelled_by_pattern(data: Data, pattern: str, root: Path, files: list[str]) -> Samples:
    """Every image below `root`, with the label, and the group where the pattern has one, that its path tells."""
    if not files:
        raise OptionError("data", "train_images", f"{root}: no image is in it")
    labels = _find_in_paths(pattern, "label", files, root)
    groups = groups_in_paths(pattern, files, root) if "group" in re.compile(pattern).groupindex else None
    table = pd.DataFrame({data.label_columns[0]: labels}, index=files, dtype=str)
    task, targets = read_task(table, data, root)
    return Samples(ids=np.array(files), images=ImageFiles(root, np.array(files)), task=task, targets=targets, groups=groups)


def _find_in_paths(pattern: str, name: str, files: Sequence[str], root: Path) -> list[str]:
    """What the named group of the pattern finds in each path. Raises DataError for paths in which it finds nothing."""
    matches = [re.search(pattern, file) for file in files]
    found = [(match[name] or "").strip() if match else "" for match in matches]
    missed = [file for file, text in zip(files, found, strict=True) if not text]
    if missed:
        message = f"{root}: label_pattern finds no {name} in {len(missed)} of {counted(len(files), 'path')}: {shorten(missed, 3)}"
        raise OptionError("data", "label_pattern", message)
    return found


def _answers(files: list[str], classes: tuple[str, ...]) -> Rows | None:
    position = {name: index for index, name in enumerate(classes)}
    labels = [_first_part(file) for file in files]
    if any(label not in position for label in labels):
        return None
    return np.array([position[label] for label in labels], dtype=np.int64)


def _first_part(file: str) -> str:
    """The folder that a file of `root` is in; blank for one that is in `root` itself."""
    return file.split("/", 1)[0] if "/" in file else ""


def _list_images(root: Path, option: str) -> list[str]:
    """Paths, relative to `root` and sorted, of every image below it. Warns of files that are none.

    Raises OptionError where there is no such folder, DataError for links that lead out of it, or to another folder.
    """
    if not root.is_dir():
        near = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
        raise OptionError("data", option, f"{root}: no such folder{hint(root.name, near)}")
    inside = os.path.realpath(root) + os.sep
    files, others, links = [], [], []

    def refuse(error: OSError) -> None:  # os.walk passes over a folder that cannot be read
        raise error

    for place, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links += [path for name in folders if os.path.islink(path := os.path.join(place, name))]
        for name in names:
            path = os.path.join(place, name)
            relative = Path(path).relative_to(root).as_posix()
            if name.startswith("."):
                continue
            if not name.lower().endswith(IMAGE_SUFFIXES):
                others.append(relative)
            elif os.path.islink(path) and not os.path.realpath(path).startswith(inside):
                links.append(path)
            else:
                files.append(relative)
    if links:
        told = sorted(Path(path).relative_to(root).as_posix() for path in links)
        raise DataError(
            f"{root}: {counted(len(links), 'link leads', 'links lead')} out of the folder, or to another folder: {shorten(told)}"
        )
    broken = sorted(name for name in files if "\r" in name or _is_no_text(name))
    if broken:
        many = counted(len(broken), "file name is", "file names are")
        raise DataError(f"{root}: {many} no UTF-8 text, or with a carriage return: {shorten(map(repr, broken), 3)}")
    if others:
        _warn(f"{counted(len(others), 'file is', 'files are')} left out in {root}, with no image's suffix: {shorten(sorted(others), 3)}")
    return sorted(files)


def _is_no_text(name: str) -> bool:
    """Whether bytes that are no UTF-8 stand in a name, as Python's surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in name)


def _find(ids: list[str], files: list[str], suffix: str | None, root: Path, where: Path) -> list[str]:
    """The file of each id, which is its path, its name, or one of the two without the suffix; the first that fits counts.

    Raises DataError for ids that fit no file, or several alike.
    """
    levels: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for file in files:
        path = PurePosixPath(file)
        for level, key in zip(levels, (file, path.name, str(path.with_suffix("")), path.stem), strict=True):
            level[key].append(file)
    found = []
    for each in ids:
        keys = (with_suffix(each, suffix), with_suffix(each, suffix), each, each)
        found.append(next((level[key] for level, key in zip(levels, keys, strict=True) if key in level), []))
    lost = [each for each, fitting in zip(ids, found, strict=True) if not fitting]
    if lost:
        raise DataError(f"{where}: {counted(len(lost), 'id has', 'ids have')} no image in {root}: {shorten(lost, 3)}")
    several = [f"{each} ({shorten(fitting, 3)})" for each, fitting in zip(ids, found, strict=True) if len(fitting) > 1]
    if several:
        raise DataError(f"{where}: {counted(len(several), 'id fits', 'ids fit')} several images in {root}: {shorten(several, 3)}")
    return [fitting[0] for fitting in found]


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
