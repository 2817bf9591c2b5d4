"""Predictions to the file that is uploaded: in the template's form, looked at before it is written, entered in the ledger."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from modules.compute.storage import write_json, write_text
from modules.config.errors import DataError, OptionError, counted, shorten
from modules.config.schema import Data
from modules.data.labels import encode_targets
from modules.data.samples import Text
from modules.data.tables import column_of_ids, parse_table, read_table, separator
from modules.data.task import SUM_TO_ONE, Targets, Task, class_numbers
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.forms import Form
from modules.prediction.predictions import Predictions, Values, check_predictions, save_predictions, tell, to_csv
from modules.prediction.template import Template

LEDGER = "ledger.csv"
PREDICTIONS = "predictions"  # a folder beside the submissions: what each was made of, as pseudo_labels takes it
LONGEST_NAME = 120  # bytes of UTF-8, of which a file's name may have 255
LEDGER_COLUMNS = ("file", "run", "cv_score", "date", "public_score", "private_score")


def fill_template(template: Template, predictions: Predictions, decision: Decision = PLAIN) -> pd.DataFrame:
    """The template's rows, in its order, with the predictions in its columns. Raises DataError for NaN and the like."""
    check_predictions(predictions, "predictions")
    form, filled = template.fill, template.table.copy()
    row_of = {str(name): row for row, name in enumerate(predictions.ids)}
    rows = np.array([row_of[name] for name in template.images], dtype=np.int64)
    answers = _answers(form, predictions, decision)
    if form.by_rows:
        filled[form.columns[0]] = answers[rows, np.array(form.places, dtype=np.int64)]
    else:
        for name, place in zip(form.columns, form.places, strict=True):
            filled[name] = answers[rows, place]
    return filled


def write_submission(
    folder: Path,
    name: str,
    template: Template,
    predictions: Predictions,
    manifest: Mapping[str, Any],
    cv_score: float | None,
    output: Path | None = None,
    decision: Decision = PLAIN,
) -> Path:
    """Writes `folder/name.csv`, `name.json` beside it, `predictions/name.csv` and a row of the ledger; returns the CSV's path.

    Nothing that is there is overwritten: a second submission of that name is called `name-2`. The ledger keeps what the
    person wrote into it, further columns too. `output`: a copy, which replaces the one before.
    """
    separates = separator(template.path) if template.path else ","
    text = to_csv(fill_template(template, predictions, decision), separates)
    _check_written(text, separates, template, predictions)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{LEDGER}.lock"):
        ledger = read_ledger(folder / LEDGER)
        path = _free_name(folder, name, output)
        (folder / PREDICTIONS).mkdir(exist_ok=True)
        save_predictions(folder / PREDICTIONS / path.name, predictions, decision=decision)
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
        many = counted(len(missing), "id is", "ids are")
        raise DataError(f"{path}: {many} not in it, of {len(test_ids)}: {shorten(missing)}; blank [inference] answers if unknown")
    return encode_targets(table.iloc[[row_of[str(name)] for name in test_ids]], data, task, path)


def _answers(form: Form, predictions: Predictions, decision: Decision) -> NDArray[Any]:
    """(N, things that can be told): what the form's places choose from; text, or numbers."""
    task, values = predictions.task, predictions.values
    if form.kind == "probability":
        return values if predictions.are_ranks or task.kind not in SUM_TO_ONE else _summing_to_one(task, values)
    if form.kind == "number":
        return class_numbers(task, values) if task.kind == "ordinal" else values
    if form.kind == "top":
        best = np.argsort(-values, axis=1, kind="stable")[:, : form.top]
        return _text([[form.between.join(task.classes[place] for place in row)] for row in best])
    decided = decision.decide(task, values)
    if form.kind == "flag":
        return np.asarray(decided, dtype=np.int64)
    if form.kind == "list":
        return _text([[form.between.join(name for name, there in zip(task.classes, row, strict=True) if there)] for row in decided])
    return _text(list(zip(*tell("", task, decided, decision).values(), strict=True)))


def _text(rows: Sequence[Sequence[str]]) -> NDArray[np.object_]:
    return np.array(rows, dtype=object)


def _summing_to_one(task: Task, values: Values) -> NDArray[np.float64]:
    """In 64 bits, so that what is written sums to 1 to the digits that are written."""
    scaled = values.astype(np.float64)
    for part in task.parts:
        scaled[:, part] /= scaled[:, part].sum(axis=1, keepdims=True)
    return scaled


def read_ledger(path: Path) -> pd.DataFrame:
    """As text, however a spreadsheet has saved it; without rows where there is none yet. Raises DataError where it is no table."""
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


def _check_written(text: str, separates: str, template: Template, predictions: Predictions) -> None:
    """The text read back must be the template, filled: its header, its ids in their order, no blank cell but where a list may be
    empty, finite numbers, and rows that sum to 1 where they should. Raises DataError."""
    back, form, task = parse_table(io.StringIO(text), separates), template.fill, predictions.task
    assert list(back.columns) == [str(name) for name in template.table.columns]
    assert tuple(back[template.id_column]) == template.ids
    blank = [] if form.kind == "list" else [name for name in form.columns if (back[name].str.strip() == "").any()]
    if blank:
        raise DataError(f"the submission would have blank cells in {shorten(blank)}")
    if form.kind not in ("number", "probability"):
        return
    numbers = back[list(form.columns)].to_numpy(dtype=np.float64)
    assert np.isfinite(numbers).all()
    if form.sums_to_one(task) and not predictions.are_ranks:
        assert np.abs(_sums(numbers, template, task) - 1).max() < 1e-6


def _sums(numbers: NDArray[np.float64], template: Template, task: Task) -> NDArray[np.float64]:
    """The sum of every image's probabilities, of each output, as they are written."""
    form = template.fill
    if form.by_rows:
        images = np.unique(np.array(template.images), return_inverse=True)[1]
        return np.asarray(np.bincount(images, weights=numbers[:, 0]), dtype=np.float64)
    by_place = numbers[:, np.argsort(form.places)]
    return np.stack([by_place[:, part].sum(axis=1) for part in task.parts])
