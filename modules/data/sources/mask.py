"""The mask contest's own layout: train.csv has a row a person, whose folder holds seven photographs; 18 composite classes.

The person is the folder, and groups are people: an id may stand for two of them. Hidden files (`._mask1.jpg` of macOS) are left out.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modules.config.errors import DataError, OptionError, counted, gather, hint, shorten
from modules.config.schema import Data
from modules.data.images import ImageFiles
from modules.data.samples import Rows, Samples, Text
from modules.data.sources import csv
from modules.data.sources.corrections import read_corrections, tell_changes
from modules.data.tables import column, column_of_ids, read_table
from modules.data.task import Output, Task

MASK = Output("mask", ("worn", "incorrect", "none"))
GENDER = Output("gender", ("male", "female"))
AGE = Output("age", ("young", "middle", "old"))
# class = 6 * mask + 3 * gender + age, and all 18 of them, whoever is there: the contest's macro F1 is over all.
TASK = Task("multiclass", (Output("ans", tuple(str(number) for number in range(18))),), (MASK, GENDER, AGE))
# The seven photographs of a person, and what the mask does on each.
STATES = {**{f"mask{number}": 0 for number in range(1, 6)}, "incorrect_mask": 1, "normal": 2}
MIDDLE = 30  # years, at which one is no longer young
OLDEST = 120
OWN: dict[str, Any] = {
    "train_csv": "train/train.csv",
    "train_images": "train/images",
    "test_images": "eval/images",
    "sample_submission": "eval/info.csv",
    "label_columns": ("ans",),
}


@dataclass(frozen=True)
class People:
    """Of each row of train.csv, in its order: the folder, gender as a position in GENDER, years, and file of each of STATES."""

    folders: list[str]
    genders: Rows
    years: Rows
    files: list[dict[str, str]]


def as_laid_out(data: Data) -> Data:
    """The options with the contest's own names in the place of those that nobody set otherwise than they are by default."""
    return replace(data, **{name: own for name, own in OWN.items() if getattr(data, name) == getattr(Data, name)})


def load_train(data: Data, folder: Path) -> Samples:
    """Seven samples a person, in the order of the table; ids are FOLDER/FILE, groups the folders.

    Raises UserError, all mistakes at once, for people without a folder, photographs that are missing or there twice,
    genders and ages that are none, and corrections of what is not there.
    """
    people, root = _read_people(data, folder), folder / data.train_images
    ids = np.array([f"{person}/{file}" for person, files in zip(people.folders, people.files, strict=True) for file in files.values()])
    row_of_person = np.repeat(np.arange(len(people.folders)), [len(files) for files in people.files])
    states = np.array([STATES[state] for files in people.files for state in files], dtype=np.int64)
    groups = np.array(people.folders)[row_of_person]
    told = {MASK.name: states, GENDER.name: people.genders[row_of_person], AGE.name: people.years[row_of_person]}
    targets = _compose(told, data.age_boundary)
    if data.corrections is not None:
        path = folder / data.corrections
        rows, told = _correct(told, path, ids, groups)
        before, targets = targets, _compose(told, data.age_boundary)
        tell_changes(path, int((before != targets).sum()), len(ids), rows)
    images = ImageFiles(root, csv.named_by_id(data, ids.tolist(), root))
    return Samples(ids=ids, images=images, task=TASK, targets=targets, groups=groups)


def declared_folds(data: Data, folder: Path, name: str, samples: Samples) -> Text:
    """(N,) the cell of fold_column `name` of each sample's person; blank for those of no person of the table."""
    path = folder / data.train_csv
    table = read_table(path, "data", "train_csv")
    people = column_of_ids(table, "path", path, "train_csv")
    cell_of = dict(zip(people, column(table, name, path, "fold_column", section="split"), strict=True))
    assert samples.groups is not None
    return np.array([cell_of.get(str(person), "") for person in samples.groups])


def _compose(told: Mapping[str, Rows], age_boundary: int) -> Rows:
    """(N,) classes 0 to 17 of mask and gender, as positions, and age in years."""
    ages = (told[AGE.name] >= MIDDLE).astype(np.int64) + (told[AGE.name] >= age_boundary)
    return np.asarray(6 * told[MASK.name] + 3 * told[GENDER.name] + ages, dtype=np.int64)


def _read_people(data: Data, folder: Path) -> People:
    path, root = folder / data.train_csv, folder / data.train_images
    table = read_table(path, "data", "train_csv")

    def photographs() -> tuple[list[str], list[dict[str, str]]]:
        folders = column_of_ids(table, "path", path, "train_csv")
        return folders, _find_photographs(folders, root, path, data.bad_images == "skip")

    (folders, files), genders, years = gather(
        photographs,
        lambda: _read_cells(column(table, GENDER.name, path, "train_csv"), table.index, path, GENDER.name),
        lambda: _read_cells(column(table, AGE.name, path, "train_csv"), table.index, path, AGE.name),
    )
    return People(folders, genders, years, files)


def _find_photographs(folders: Sequence[str], root: Path, table: Path, skip: bool) -> list[dict[str, str]]:
    """The file of each of STATES, in each folder. Other files, and folders that are in no row, are left out with a warning."""
    if not root.is_dir():
        near = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
        raise OptionError("data", "train_images", f"{root}: no such folder{hint(root.name, near)}")
    there = {entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")}
    lost = [person for person in folders if not (root / person).is_dir()]
    missing, twice, others, found = [], [], [], []
    rows_of: dict[str, list[str]] = defaultdict(list)
    for person in folders:
        rows_of[os.path.normpath(person)].append(person)
        files: dict[str, list[str]] = defaultdict(list)
        for name in sorted(os.listdir(root / person)) if person not in lost else ():
            stem, suffix = os.path.splitext(name)
            if stem.casefold() in STATES and suffix.lower() in csv.IMAGE_SUFFIXES:
                files[stem.casefold()].append(name)
            elif not name.startswith("."):
                others.append(f"{person}/{name}")
        missing += [f"{person}/{state}" for state in STATES if state not in files and person not in lost]
        twice += [f"{person}/{' and '.join(names)}" for names in files.values() if len(names) > 1]
        found.append({state: files[state][0] for state in STATES if state in files})
    faults = []
    if lost:
        told = [f"{person}{hint(person, there - set(folders)) if place < 3 else ''}" for place, person in enumerate(lost)]
        faults.append(DataError(f"{root}: no folder of {counted(len(lost), 'person', 'people')} of {table.name}: {shorten(told, 3)}"))
    same = [" and ".join(map(repr, names)) for names in rows_of.values() if len(names) > 1]
    if same:
        faults.append(
            DataError(f"{table}, column 'path': {counted(len(same), 'folder stands', 'folders stand')} more than once: {shorten(same, 3)}")
        )
    if twice:
        faults.append(
            DataError(f"{root}: {counted(len(twice), 'photograph is', 'photographs are')} there more than once: {shorten(twice, 3)}")
        )
    if missing and not skip:
        advice = "[data] bad_images = skip goes without them"
        many = counted(len(missing), "photograph is", "photographs are")
        faults.append(DataError(f"{root}: {many} missing, of {', '.join(STATES)}: {shorten(missing)}; {advice}"))
    if faults:
        raise faults[0] if len(faults) == 1 else DataError(*faults)
    if missing:
        _warn(f"{counted(len(missing), 'photograph is', 'photographs are')} missing in {root}, and left out: {shorten(missing)}")
    if others:
        many = counted(len(others), "file is", "files are")
        _warn(f"{many} left out in {root}, called like none of {', '.join(STATES)}: {shorten(others, 3)}")
    unnamed = sorted(there - {person.split("/", 1)[0] for person in folders})
    if unnamed:
        many = counted(len(unnamed), "folder is", "folders are")
        _warn(f"{many} left out in {root}, named by no row of {table.name}: {shorten(unnamed, 3)}")
    return found


def _correct(told: Mapping[str, Rows], path: Path, ids: Text, groups: Text) -> tuple[int, dict[str, Rows]]:
    """The number of corrections, and what they make of mask, gender and age. One of an image counts before one of its person."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, (name, person) in enumerate(zip(ids.tolist(), groups.tolist(), strict=True)):
        rows_of[person].append(row)
        rows_of[name].append(row)
    table = read_corrections(path, "path", list(told), rows_of, "person's folder and no FOLDER/FILE")
    corrected = {name: values.copy() for name, values in told.items()}
    said: list[pd.Series[str]] = [table[name][table[name].str.strip() != ""] for name in told if name in table.columns]
    read = gather(*(partial(_read_cells, cells.tolist(), cells.index, path, str(cells.name)) for cells in said))
    people = set(groups.tolist())
    for cells, values in zip(said, read, strict=True):
        keys = table["path"][cells.index].tolist()
        for key, value in sorted(zip(keys, values.tolist(), strict=True), key=lambda pair: pair[0] not in people):
            corrected[str(cells.name)][rows_of[key]] = value
    return len(table), corrected


def _read_cells(cells: Sequence[str], lines: Iterable[int], path: Path, name: str) -> Rows:
    """(N,) the cells' positions in the factor called `name`, or of ages the years. Raises DataError with the lines."""
    read, expected = READERS[name]
    numbers = [read(cell.strip().lower()) for cell in cells]
    wrong = [f"'{cell}' in line {line}" for cell, line, number in zip(cells, lines, numbers, strict=True) if number is None]
    if wrong:
        raise DataError(
            f"{path}, column '{name}': expected {expected}; {counted(len(wrong), 'cell is', 'cells are')} not: {shorten(wrong)}"
        )
    return np.array(numbers, dtype=np.int64)


def _years(cell: str) -> int | None:
    return int(float(cell)) if re.fullmatch(r"\d{1,3}(\.0*)?", cell, re.ASCII) and float(cell) <= OLDEST else None


def _position_in(factor: Output, cell: str) -> int | None:
    names = [*factor.classes, *(str(number) for number in range(len(factor.classes)))]
    return names.index(cell) % len(factor.classes) if cell in names else None


def _expected(factor: Output) -> str:
    return f"{' or '.join(factor.classes)}, or 0 to {len(factor.classes) - 1}"


READERS: dict[str, tuple[Callable[[str], int | None], str]] = {
    MASK.name: (partial(_position_in, MASK), _expected(MASK)),
    GENDER.name: (partial(_position_in, GENDER), _expected(GENDER)),
    AGE.name: (_years, f"whole years from 0 to {OLDEST}"),
}


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
