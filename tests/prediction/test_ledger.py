"""The ledger as a person leaves it: read whatever the spreadsheet made of it, and what cannot be read is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.prediction.ledger import Submission, read_score, read_submissions

FOLDER = Path("submissions")
HEAD = "file,run,cv_score,date,public_score,private_score\n"


def write(text: str, encoding: str = "utf-8") -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "ledger.csv").write_text(text, encoding=encoding, newline="")


def test_scores_are_numbers_and_blank_cells_are_none() -> None:
    write(HEAD + "a.csv,a,0.81,2026-01-02 03:04:05,0.79,\nb.csv,b,,2026-01-03 03:04:05,,0.5\n")
    assert read_submissions(FOLDER, ()) == (
        [
            Submission("a.csv", ("a",), "2026-01-02 03:04:05", 0.81, 0.79, None),
            Submission("b.csv", ("b",), "2026-01-03 03:04:05", None, None, 0.5),
        ],
        [],
    )


def test_a_spreadsheets_semicolons_mark_decimal_commas_and_blank_rows_are_understood() -> None:
    head = "file;run;cv_score;date;public_score ;private_score;what I tried"
    write(f"{head}\r\na.csv;a;0,81;02.01.2026;0,79;;big\r\n;;;;;;\r\n", "utf-8-sig")
    (found,), remarks = read_submissions(FOLDER, ())
    assert (found.file, found.cv, found.public, found.private, found.date, remarks) == ("a.csv", 0.81, 0.79, None, "02.01.2026", [])


@pytest.mark.parametrize(
    ("cell", "score"),
    [
        ("0.5", 0.5), (" 0,5 ", 0.5), ("-1.5e-3", -0.0015), ("1", 1.0), ("", None), ("soon", None), ("nan", None), ("inf", None),
        ("1_0", None), ("1.234,5", None), ("1,2,3", None), ("93 %", None),
    ],
)  # fmt: skip
def test_a_score_is_a_finite_number_or_none(cell: str, score: float | None) -> None:
    assert read_score(cell) == score


def test_what_is_no_number_is_said_with_its_line_and_the_row_is_kept() -> None:
    write(HEAD + "a.csv,a,0.8,,,\nb.csv,b,0.9,,soon,\n,b,0.9,,0.7,\n")
    found, remarks = read_submissions(FOLDER, ())
    assert [each.file for each in found] == ["a.csv", "b.csv"]
    assert remarks == [
        "submissions/ledger.csv, line 3: public_score: expected a number, got 'soon'",
        "submissions/ledger.csv, line 4: no file is named; the row is passed over",
    ]


def test_columns_that_were_thrown_away_are_blank() -> None:
    write("file,cv_score\na.csv,0.8\n")
    assert read_submissions(FOLDER, ()) == ([Submission("a.csv", (), "", 0.8, None, None)], [])


def test_a_blend_has_the_runs_of_its_manifest() -> None:
    write(HEAD + "x.csv,a+b+c,0.8,,,\n")
    manifest = {"metric": "qwk", "runs": [{"name": "a+b", "run_id": "1"}, {"name": "c", "run_id": "2"}]}
    (FOLDER / "x.json").write_text(json.dumps(manifest))
    ((found,), _) = read_submissions(FOLDER, ("a", "b", "c"))
    assert (found.runs, found.run_ids, found.metric) == (("a+b", "c"), ("1", "2"), "qwk")


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"runs": 3, "metric": "f1"}'])
def test_without_a_manifest_the_runs_are_those_of_the_cell(manifest: str | None) -> None:
    write(HEAD + "x.csv,a+b,0.8,,,\ny.csv,c+d,0.8,,,\n")
    if manifest is not None:
        (FOLDER / "x.json").write_text(manifest)
    found, _ = read_submissions(FOLDER, ("c+d", "a"))
    assert [each.runs for each in found] == [("a", "b"), ("c+d",)] and [each.metric for each in found] == [None, None]


def test_no_ledger_is_no_submission_and_no_remark() -> None:
    assert read_submissions(FOLDER, ()) == ([], [])


def test_a_ledger_that_is_no_table_is_a_line() -> None:
    write("file,file\na,b\n")
    found, (line,) = read_submissions(FOLDER, ())
    assert found == [] and line == "submissions/ledger.csv: not a table: column 'file' stands more than once in its header"
    write("file,run\nü.csv,a\n", "latin-1")
    assert read_submissions(FOLDER, ())[1] == ["submissions/ledger.csv: expected UTF-8 text, got byte 0xfc; save the table as UTF-8"]


@pytest.mark.parametrize("file", ["/", "..", ".", "a/b/c.csv"])
def test_a_file_that_is_none_is_no_crash(file: str) -> None:
    write(HEAD + f"{file},a,0.8,,,\n")
    ((found,), _) = read_submissions(FOLDER, ("a",))
    assert (found.file, found.cv) == (file, 0.8)


def test_a_score_that_no_plot_can_hold_is_remarked() -> None:
    write(HEAD + "a.csv,a,0.8,,1e308,\n")
    ((found,), remarks) = read_submissions(FOLDER, ("a",))
    assert found.public is None and remarks == ["submissions/ledger.csv, line 2: public_score: expected a number, got '1e308'"]
