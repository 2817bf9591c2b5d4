"""What the ledger says of submissions: their runs, their CV scores, and the leaderboard's scores that the person filled in."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from modules.config.errors import UserError
from modules.prediction.submission import LEDGER, read_ledger

BOARDS = ("public", "private")

LARGEST = 1e12  # a score; what is larger is a slip of the pen, and no plot can hold it


@dataclass(frozen=True)
class Submission:
    """A row of the ledger. runs: those that it is made of. Scores are None where nothing is filled in, or where none is known.

    metric: that of its CV score. run_ids: of each of `runs`, since a name may be used again; both only where a manifest beside
    the submission tells them.
    """

    file: str
    runs: tuple[str, ...]
    date: str
    cv: float | None
    public: float | None
    private: float | None
    metric: str | None = None
    run_ids: tuple[str, ...] = ()

    def on(self, board: str) -> float | None:
        """Its score on one of BOARDS."""
        return self.public if board == "public" else self.private


def read_submissions(folder: Path, known: Container[str]) -> tuple[list[Submission], list[str]]:
    """The ledger's rows, the oldest first, and a line for each thing in it that cannot be read.

    known: names of runs, for rows whose submission has no manifest any more: a name may itself hold the + that stands between names.
    """
    path = folder / LEDGER
    try:
        table = read_ledger(path)
    except (UserError, OSError) as error:
        return [], [str(error).splitlines()[0]]
    remarks: list[str] = []
    table = table.rename(columns=lambda name: str(name).strip())
    found = [_read_row(row, folder, known, f"{path}, line {line}", remarks) for line, row in _rows(table)]
    return [each for each in found if each is not None], remarks


def _rows(table: pd.DataFrame) -> Iterable[tuple[int, dict[str, str]]]:
    """Each row with the line of the file that it begins at."""
    records = ({str(name): str(cell).strip() for name, cell in row.items()} for row in table.to_dict("records"))
    return zip(table.index.tolist(), records, strict=True)


def _read_row(row: dict[str, str], folder: Path, known: Container[str], where: str, remarks: list[str]) -> Submission | None:
    """None, which is remarked, for a row that names no submission; blank ones, as spreadsheets leave them, are passed over."""
    if not any(row.values()):
        return None
    file = row.get("file", "")
    if not file:
        remarks.append(f"{where}: no file is named; the row is passed over")
        return None
    cv, public, private = (_score_in(row, name, where, remarks) for name in ("cv_score", "public_score", "private_score"))
    runs, run_ids, metric = _told_by_manifest(folder / f"{Path(file).stem}.json")
    return Submission(file, runs or _split(row.get("run", ""), known), row.get("date", ""), cv, public, private, metric, run_ids)


def _score_in(row: dict[str, str], name: str, where: str, remarks: list[str]) -> float | None:
    score = read_score(row.get(name, ""))
    if score is None and row.get(name):
        remarks.append(f"{where}: {name}: expected a number, got '{row[name]}'")
    return score


def read_score(cell: str) -> float | None:
    """The finite number in a cell of the ledger, with a point or a decimal comma; None where it is none."""
    text = cell.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        score = float(text)
    except ValueError:
        return None
    return score if abs(score) < LARGEST and "_" not in text else None


def _told_by_manifest(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """The runs of a submission, their ids, and the metric of its CV score; nothing where there is no manifest that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = [(str(run["name"]), str(run["run_id"])) for run in content["runs"]]
        return tuple(name for name, _ in runs), tuple(run_id for _, run_id in runs), str(content["metric"])
    except (OSError, ValueError, KeyError, TypeError):
        return (), (), None


def _split(cell: str, known: Container[str]) -> tuple[str, ...]:
    """The runs that a cell names, with + between them."""
    return (cell,) if cell in known else tuple(name for name in cell.split("+") if name)
