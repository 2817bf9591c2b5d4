"""Predictions to the file that is uploaded: in the template's form, looked at before it is written, entered in the ledger."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from modules.compute.storage import write_json, write_text
from modules.config.errors import DataError, shorten
from modules.data.tables import column_of_ids, read_table, separator
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Predictions, check_probabilities

LEDGER = "ledger.csv"
LEDGER_COLUMNS = ("file", "run", "cv_score", "date", "public_score", "private_score")


def fill_template(template_path: Path, id_column: str, predictions: Predictions, metric: Metric) -> tuple[pd.DataFrame, str]:
    """The template's rows, in its order, with the predictions in its columns; and which form that is, in words.

    One column besides the id: the class, or where there are two classes and the metric wants probabilities, that of the
    second. Several: a probability a class, where their names are the classes. Raises DataError where the template's ids
    or columns are not those of the predictions.
    """
    check_probabilities(predictions, "predictions")
    template = read_table(template_path, "data", "sample_submission")
    ids = column_of_ids(template, id_column, template_path)
    row_of = {str(name): row for row, name in enumerate(predictions.ids)}
    _check_ids(template_path, ids, row_of)
    rows = np.array([row_of[name] for name in ids])
    columns = [str(name) for name in template.columns if name != id_column]
    filled = template.copy()
    if len(columns) == 1:
        form, values = _one_column(predictions, metric)
        filled[columns[0]] = [values[row] for row in rows]
        return filled, f"{form} in column '{columns[0]}'"
    _check_class_columns(template_path, columns, predictions.classes)
    position = {name: index for index, name in enumerate(predictions.classes)}
    for name in columns:
        filled[name] = predictions.probabilities[rows, position[name]]
    return filled, f"a probability for each of {len(columns)} classes"


def write_submission(
    folder: Path, name: str, table: pd.DataFrame, template_path: Path, manifest: Mapping[str, Any], cv_score: float
) -> Path:
    """Writes `folder/name.csv`, `name.json` beside it and a row of the ledger; returns the CSV's path.

    Nothing that is there is overwritten: a second submission of that name is called `name-2`. The ledger keeps what the
    person wrote into it, further columns too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{LEDGER}.lock"):
        ledger = _read_ledger(folder / LEDGER)
        path = _free_name(folder, name)
        text = to_text(table, separator(template_path))
        _check_written(text, table, separator(template_path))
        write_text(path, text)
        write_json(path.with_suffix(".json"), {"file": path.name, **manifest})
        row = {"file": path.name, "run": manifest["run"], "cv_score": f"{cv_score:.6g}", "date": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        entered = pd.concat([ledger, pd.DataFrame([row])], ignore_index=True).fillna("")
        write_text(folder / LEDGER, to_text(entered, ","))
    return path


def to_text(table: pd.DataFrame, separates: str) -> str:
    """The table as text; numbers with the digits that a 32-bit number has."""
    return str(table.to_csv(index=False, sep=separates, float_format="%.9g", lineterminator="\n"))


def score_answers(path: Path, id_column: str, label_column: str, predictions: Predictions, score: Callable[..., float]) -> float:
    """The score of predictions against a table of true labels. Raises DataError where ids are missing or labels unknown."""
    table = read_table(path, "inference", "answers")
    ids = column_of_ids(table, id_column, path, "id_column")
    if label_column not in table.columns:
        raise DataError(f"{path}: no column '{label_column}'; it has {shorten(table.columns)}")
    answer_of = dict(zip(ids, table[label_column], strict=True))
    missing = [str(name) for name in predictions.ids if name not in answer_of]
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(predictions.ids)} ids are not in it: {shorten(missing)}")
    position = {name: index for index, name in enumerate(predictions.classes)}
    answers = [str(answer_of[name]) for name in predictions.ids]
    unknown = sorted({answer for answer in answers if answer not in position})
    if unknown:
        raise DataError(f"{path}: labels that the model does not know: {shorten(unknown)}")
    return score(np.array([position[answer] for answer in answers], dtype=np.int64), predictions.probabilities)


def _one_column(predictions: Predictions, metric: Metric) -> tuple[str, list[Any]]:
    if metric.takes_probabilities and len(predictions.classes) == 2:
        return f"the probability of {predictions.classes[1]}", list(predictions.probabilities[:, 1])
    return "the class", list(predictions.labels())


def _check_ids(path: Path, ids: list[str], row_of: Mapping[str, int]) -> None:
    missing, left = [name for name in ids if name not in row_of], sorted(set(row_of) - set(ids))
    told = []
    if missing:
        told.append(f"{len(missing)} ids of the template are not in the test set ({shorten(missing, 3)})")
    if left:
        told.append(f"{len(left)} ids of the test set are not in the template ({shorten(left, 3)})")
    if told:
        raise DataError(f"{path}: {'; '.join(told)}")


def _check_class_columns(path: Path, columns: list[str], classes: tuple[str, ...]) -> None:
    missing, unknown = [name for name in classes if name not in columns], [name for name in columns if name not in classes]
    if missing or unknown or len(columns) != len(set(columns)):
        found = [f"no column for class {shorten(missing)}"] if missing else []
        found += [f"no class for column {shorten(unknown)}"] if unknown else []
        raise DataError(f"{path}: expected one column for the class, or one a class; {'; '.join(found) or 'a column stands twice'}")


def _read_ledger(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(LEDGER_COLUMNS), dtype=str)
    return read_table(path, "inference", "submission_path")


def _free_name(folder: Path, name: str) -> Path:
    path, number = folder / f"{name}.csv", 1
    while path.exists() or path.with_suffix(".json").exists():
        number += 1
        path = folder / f"{name}-{number}.csv"
    return path


def _check_written(text: str, table: pd.DataFrame, separates: str) -> None:
    """The text read back must be the table: as many rows, the same header, no blank cell."""
    back = pd.read_csv(io.StringIO(text), sep=separates, dtype=str, keep_default_na=False)
    assert list(back.columns) == [str(name) for name in table.columns] and len(back) == len(table)
    blank = [str(name) for name in back.columns if (back[name] == "").any()]
    if blank:
        raise DataError(f"the submission would have blank cells in {shorten(blank)}")
