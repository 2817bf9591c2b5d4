"""Predictions to the file that is uploaded: in the template's form, looked at before it is written, entered in the ledger."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from modules.compute.storage import write_json, write_text
from modules.config.errors import DataError, OptionError, shorten
from modules.config.schema import Data
from modules.data.labels import encode_targets
from modules.data.samples import Text
from modules.data.tables import column_of_ids, parse_table, read_table, separator
from modules.data.task import Targets, Task
from modules.prediction.decisions import PLAIN
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Predictions, check_predictions, save_predictions, tell, to_csv

LEDGER = "ledger.csv"
PREDICTIONS = "predictions"  # a folder beside the submissions: what each was made of, as pseudo_labels takes it
LONGEST_NAME = 120  # bytes of UTF-8, of which a file's name may have 255
LEDGER_COLUMNS = ("file", "run", "cv_score", "date", "public_score", "private_score")


@dataclass(frozen=True)
class Template:
    """The contest's sample submission, known to fit the test set. columns: those to fill. form: what goes in, in words.

    path: None for one that was made, since the source has none.
    """

    path: Path | None
    table: pd.DataFrame
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    form: str
    takes_probability: bool


def read_template(path: Path | None, id_column: str, test_ids: Text, task: Task, metric: Metric) -> Template:
    """The template, looked at before anything is predicted; without a `path` one is made: the ids, and a column `label`.

    One column besides the id takes the class, or where there are two classes and the metric wants probabilities, that of
    the second one. Several take a probability a class, and are named as the classes are. Raises DataError where ids or
    columns do not fit.
    """
    if path is None:
        table = pd.DataFrame({id_column: test_ids, "label": ""})
        ids = [str(name) for name in test_ids]
    else:
        table = read_table(path, "data", "sample_submission")
        ids = column_of_ids(table, id_column, path)
        _check_ids(path, ids, [str(name) for name in test_ids])
    columns = tuple(str(name) for name in table.columns if name != id_column)
    takes_probability = len(columns) > 1 or (metric.takes == "values" and len(task.columns) == 2)
    if len(columns) == 1:
        value = f"the probability of {task.columns[1]}" if takes_probability else "the class"
        form = f"{value} in column '{columns[0]}'"
    else:
        assert path is not None
        _check_class_columns(path, columns, task.columns)
        form = f"a probability for each of {len(columns)} classes"
    return Template(path, table, tuple(ids), columns, form, takes_probability)


def fill_template(template: Template, predictions: Predictions) -> pd.DataFrame:
    """The template's rows, in its order, with the predictions in its columns. Raises DataError for NaN and the like."""
    check_predictions(predictions, "predictions")
    row_of = {str(name): row for row, name in enumerate(predictions.ids)}
    rows = np.array([row_of[name] for name in template.ids])
    filled = template.table.copy()
    if not template.takes_probability:
        (labels,) = tell("", predictions.task, PLAIN.decide(predictions.task, predictions.values)).values()
        filled[template.columns[0]] = [labels[row] for row in rows]
        return filled
    position = {name: index for index, name in enumerate(predictions.task.columns)}
    for name in template.columns:
        filled[name] = predictions.values[rows, position[name] if len(template.columns) > 1 else 1]
    return filled


def write_submission(
    folder: Path,
    name: str,
    template: Template,
    predictions: Predictions,
    manifest: Mapping[str, Any],
    cv_score: float | None,
    output: Path | None = None,
) -> Path:
    """Writes `folder/name.csv`, `name.json` beside it, `predictions/name.csv` and a row of the ledger; returns the CSV's path.

    Nothing that is there is overwritten: a second submission of that name is called `name-2`. The ledger keeps what the
    person wrote into it, further columns too. `output`: a copy, which replaces the one before.
    """
    table, separates = fill_template(template, predictions), separator(template.path) if template.path else ","
    text = to_csv(table, separates)
    _check_written(text, table, separates)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{LEDGER}.lock"):
        ledger = _read_ledger(folder / LEDGER)
        path = _free_name(folder, name, output)
        (folder / PREDICTIONS).mkdir(exist_ok=True)
        save_predictions(folder / PREDICTIONS / path.name, predictions)
        write_text(path, text)
        write_json(path.with_suffix(".json"), {"file": path.name, "form": template.form, **manifest})
        score = "" if cv_score is None else f"{cv_score:.6g}"
        row = {"file": path.name, "run": manifest["run"], "cv_score": score, "date": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        entered = pd.concat([ledger, pd.DataFrame([row])], ignore_index=True).fillna("")
        write_text(folder / LEDGER, to_csv(entered))
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_text(output, text)
    return path


def find_output(folder: Path, output: str | None, inputs: Iterable[Path]) -> Path | None:
    """The path of [inference] output: a bare name lies in `folder`, one with a folder is taken as it is.

    Raises OptionError for a folder, the ledger, a submission that the ledger tells of, or one of the contest's own files.
    """
    if output is None:
        return None
    path = folder / output if Path(output).name == output else Path(output)
    taken = ""
    if path.is_dir() or not path.name or output.endswith(("/", "\\")):
        taken = "is a folder"
    elif path.name.casefold() == LEDGER and path.resolve().parent == folder.resolve():
        taken = "is the ledger"
    elif path.name.casefold() == PREDICTIONS and path.resolve().parent == folder.resolve():
        taken = "is the folder of predictions"
    elif path.exists() and path.with_suffix(".json").exists() and path.resolve().parent == folder.resolve():
        taken = "is a submission of its own, which the ledger tells of"
    elif path.resolve() in {file.resolve() for file in inputs}:
        taken = "is a file of the contest"
    if taken:
        raise OptionError("inference", "output", f"{path} {taken}; name another file, such as submission.csv")
    return path


def name_after(runs: Sequence[str]) -> str:
    """What belongs to these runs is called after them; a name too long for a file is cut, and told apart by a digest."""
    name = "+".join(runs)
    text = name.encode()
    if len(text) <= LONGEST_NAME:
        return name
    return f"{text[: LONGEST_NAME - 9].decode(errors='ignore')}-{sha256(text).hexdigest()[:8]}"


def read_answers(path: Path, id_column: str, data: Data, test_ids: Text, task: Task) -> Targets:
    """The true targets of the test ids, in their order. Raises DataError where ids are missing or labels unknown."""
    table = read_table(path, "inference", "answers")
    ids = column_of_ids(table, id_column, path, "id_column")
    row_of = {name: row for row, name in enumerate(ids)}
    missing = [str(name) for name in test_ids if name not in row_of]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(test_ids)} ids are not in it: {shorten(missing)}; blank [inference] answers if unknown"
        )
    return encode_targets(table.iloc[[row_of[str(name)] for name in test_ids]], data, task, path)


def _check_ids(path: Path, ids: list[str], test_ids: list[str]) -> None:
    missing, left = sorted(set(ids) - set(test_ids)), sorted(set(test_ids) - set(ids))
    told = []
    if missing:
        told.append(f"{len(missing)} ids of the template are not in the test set ({shorten(missing, 3)})")
    if left:
        told.append(f"{len(left)} ids of the test set are not in the template ({shorten(left, 3)})")
    if told:
        raise DataError(f"{path}: {'; '.join(told)}")


def _check_class_columns(path: Path, columns: tuple[str, ...], classes: tuple[str, ...]) -> None:
    missing, unknown = [name for name in classes if name not in columns], [name for name in columns if name not in classes]
    if missing or unknown or len(columns) != len(set(columns)):
        found = [f"no column for class {shorten(missing)}"] if missing else []
        found += [f"no class for column {shorten(unknown)}"] if unknown else []
        raise DataError(f"{path}: expected one column for the class, or one a class; {'; '.join(found) or 'a column stands twice'}")


def _read_ledger(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(LEDGER_COLUMNS), dtype=str)
    return read_table(path, "inference", "submission_path", may_be_empty=True)


def _free_name(folder: Path, name: str, output: Path | None) -> Path:
    path, number, taken = folder / f"{name}.csv", 1, None if output is None else output.resolve()

    def free(path: Path) -> bool:
        written = (path, path.with_suffix(".json"), folder / PREDICTIONS / path.name)
        return path.name != LEDGER and not any(each.exists() or each.resolve() == taken for each in written)

    while not free(path):
        number += 1
        path = folder / f"{name}-{number}.csv"
    return path


def _check_written(text: str, table: pd.DataFrame, separates: str) -> None:
    """The text read back must be the table: as many rows, the same header, no blank cell."""
    back = parse_table(io.StringIO(text), separates)
    assert list(back.columns) == [str(name) for name in table.columns] and len(back) == len(table)
    blank = [str(name) for name in back.columns if (back[name] == "").any()]
    if blank:
        raise DataError(f"the submission would have blank cells in {shorten(blank)}")
