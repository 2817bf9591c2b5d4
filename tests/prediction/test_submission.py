"""The file that is uploaded: the template's form and order, nothing overwritten, a ledger that belongs to the person."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import DataError, OptionError
from modules.config.schema import Data, HyperParams
from modules.data.task import Output, Scale, Task, classification
from modules.prediction.decisions import PLAIN
from modules.prediction.forms import Question
from modules.prediction.metrics import Metric, find_metric
from modules.prediction.predictions import Predictions
from modules.prediction.submission import fill_template, name_after, read_answers, write_submission
from modules.prediction.template import Template, read_template

METRICS = {name: find_metric(HyperParams(metric=name), "multiclass") for name in ("accuracy", "macro_f1", "log_loss", "roc_auc")}
ACCURACY = METRICS["accuracy"]
MANIFEST = {"run": "baseline", "members": [0, 1], "score": 0.5}


def predictions(ids: list[str], classes: tuple[str, ...] = ("cat", "dog", "eel"), seed: int = 0) -> Predictions:
    values = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), len(ids)).astype(np.float32)
    return Predictions(np.array(ids), classification("label", classes), values)


def labels(given: Predictions) -> list[str]:
    return [given.task.classes[place] for place in PLAIN.decide(given.task, given.values)]


def template(text: str) -> Path:
    Path("template.csv").write_text(text, encoding="utf-8")
    return Path("template.csv")


def fitted(path: Path, given: Predictions, metric: Metric = ACCURACY, id_column: str = "id") -> Template:
    return read_template(path, id_column, given.ids, Question(given.task, metric))


def submit(path: Path, given: Predictions, name: str = "sub", metric: Metric = ACCURACY, id_column: str = "id") -> Path:
    return write_submission(Path("submissions"), name, fitted(path, given, metric, id_column), given, MANIFEST, 0.987654321)


def cells(path: Path, separates: str = ",") -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=separates))


def test_rows_are_in_the_templates_order_whatever_the_order_of_the_test_set() -> None:
    given = predictions(["d", "b", "a", "c"])
    path = submit(template("id,label\nc,x\na,x\nd,x\nb,x\n"), given)
    label = dict(zip(given.ids, labels(given), strict=True))
    assert len(set(label.values())) > 1
    assert cells(path) == [["id", "label"], *([name, label[name]] for name in "cadb")]
    assert path == Path("submissions/sub.csv")


def test_labels_are_written_as_they_are_called() -> None:
    classes = ("007", "NA", "a, b", 'the "best"', "猫")
    given = Predictions(np.array(list("abcde")), classification("kind", classes), np.eye(5, dtype=np.float32))
    file = template("id,kind\na,\nb,\nc,\nd,\ne,\n")
    assert fitted(file, given).form == "the class in column 'kind'"
    path = submit(file, given)
    assert cells(path)[1:] == [[name, classes[row]] for row, name in enumerate("abcde")]
    assert path.read_text(encoding="utf-8") == 'id,kind\na,007\nb,NA\nc,"a, b"\nd,"the ""best"""\ne,猫\n'


def test_class_columns_are_filled_by_name_in_the_templates_order() -> None:
    given = predictions(["b", "a"])
    file = template("eel,id,cat,dog\n0,a,0,0\n0,b,0,0\n")
    assert fitted(file, given).form == "a probability for each of 3 classes"
    path = submit(file, given)
    header, *rows = cells(path)
    assert header == ["eel", "id", "cat", "dog"]
    assert [row[1] for row in rows] == ["a", "b"]
    found = np.array([[row[2], row[3], row[0]] for row in rows], dtype=np.float32)
    assert np.allclose(found, given.values[[1, 0]], rtol=2e-7, atol=0)


@pytest.mark.parametrize("name", ["log_loss", "roc_auc"])
def test_two_classes_and_a_metric_of_probabilities_want_that_of_the_second(name: str) -> None:
    given = predictions(["b", "a", "c"], ("no", "yes"))
    file = template("id,target\na,0.5\nb,0.5\nc,0.5\n")
    assert fitted(file, given, METRICS[name]).form == "the probability of yes in column 'target'"
    path = submit(file, given, metric=METRICS[name])
    found = np.array([row[1] for row in cells(path)[1:]], dtype=np.float32)
    assert np.allclose(found, given.values[[1, 0, 2], 1], rtol=2e-7, atol=0)


@pytest.mark.parametrize(("name", "classes"), [("accuracy", ("no", "yes")), ("macro_f1", ("no", "yes")), ("log_loss", ("a", "b", "c"))])
def test_otherwise_one_column_is_the_class(name: str, classes: tuple[str, ...]) -> None:
    given = predictions(["a", "b"], classes)
    form = fitted(template("id,target\na,0\nb,0\n"), given, METRICS[name])
    assert form.form == "the class in column 'target'" and fill_template(form, given)["target"].tolist() == labels(given)


REFUSED: list[tuple[str, list[str], str]] = [
    ("id,label\na,0\nb,0\nx,0\n", ["a", "b"], r"1 id is in the template alone \(x\)"),
    ("id,label\na,0\n", ["a", "b", "c"], r"2 ids are in the test set alone \(b, c\)"),
    ("id,label\na,0\nx,0\n", ["a", "b"], r"1 id is in the template alone \(x\); 1 id is in the test set alone \(b\)"),
    ("id,label\na,0\nb,0\na,0\n", ["a", "b"], r"column 'id': 1 id stands more than once: 'a' in lines 2 and 4"),
    ("id,label\na,0\n7,0\n", ["a", "007"], r"1 id is in the template alone \(7\)"),
    ("id,cat,dog\na,0,0\n", ["a"], r"expected one column for the class, or one a class; no column for class eel"),
    ("id,cat,dog,eal\na,0,0,0\n", ["a"], r"no column for class eel; no class for column eal"),
    ("id,cat,dog,eel,fox\na,0,0,0,0\n", ["a"], r"no class for column fox"),
    ("id,cat,dog,eel,eel\na,0,0,0,0\n", ["a"], r"column 'eel' stands more than once in its header$"),
    ("name,label\nx,0\n", ["a"], r"template\.csv has no column 'id'"),
    ("id\na\n", ["a"], r"expected one column for the class, or one a class"),
]


@pytest.mark.parametrize(("text", "ids", "message"), REFUSED, ids=[case[2][:50] for case in REFUSED])
def test_a_template_that_does_not_fit_is_refused_and_nothing_written(text: str, ids: list[str], message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message) as caught:
        submit(template(text), predictions(ids))
    assert len(caught.value.lines) == 1 and not Path("submissions").exists()


@pytest.mark.parametrize("value", [np.nan, 2.0])
def test_no_probability_is_submitted_that_is_none(value: float) -> None:
    given = Predictions(np.array(["a"]), classification("label", ("x", "y")), np.array([[value, 0.5]], dtype=np.float32))
    with pytest.raises(DataError, match=r"^predictions: "):
        submit(template("id,label\na,0\n"), given)
    assert not Path("submissions").exists()


@pytest.mark.parametrize("separates", [";", "\t"])
def test_a_templates_separator_is_kept(separates: str) -> None:
    given = predictions(["a,1", "b"])
    lines = [["id", "cat", "dog", "eel"], ["b", "0", "0", "0"], ["a,1", "0", "0", "0"]]
    path = submit(template("".join(f"{separates.join(line)}\n" for line in lines)), given)
    header, *rows = cells(path, separates)
    assert header == ["id", "cat", "dog", "eel"] and [row[0] for row in rows] == ["b", "a,1"]
    assert np.allclose(np.array([row[1:] for row in rows], dtype=np.float32), given.values[[1, 0]], rtol=2e-7, atol=0)


def test_ids_are_text_and_a_byte_order_mark_is_none_of_them() -> None:
    ids = ["007", "7", "NA", "1e5", "1.0"]
    path = submit(template("\ufeffid,label\n" + "".join(f"{name},0\n" for name in ids)), predictions(ids[::-1]))
    assert [row[0] for row in cells(path)] == ["id", *ids]


def test_the_id_column_may_stand_anywhere_and_be_called_anything() -> None:
    given = predictions(["a", "b"])
    path = submit(template("label,File Name\n0,b\n0,a\n"), given, id_column="File Name")
    label = dict(zip(given.ids, labels(given), strict=True))
    assert cells(path) == [["label", "File Name"], [label["b"], "b"], [label["a"], "a"]]


def test_a_second_submission_never_overwrites_the_first() -> None:
    path = template("id,label\na,0\nb,0\n")
    first = submit(path, predictions(["a", "b"], seed=1))
    kept = first.read_bytes(), first.with_suffix(".json").read_bytes()
    others = [submit(path, predictions(["a", "b"], seed=seed)) for seed in (2, 3)]
    assert [other.name for other in others] == ["sub-2.csv", "sub-3.csv"]
    assert (first.read_bytes(), first.with_suffix(".json").read_bytes()) == kept
    assert [row[0] for row in cells(Path("submissions/ledger.csv"))] == ["file", "sub.csv", "sub-2.csv", "sub-3.csv"]
    assert json.loads(Path("submissions/sub-3.json").read_text())["file"] == "sub-3.csv"


def test_a_manifest_alone_takes_its_name_too() -> None:
    Path("submissions").mkdir()
    Path("submissions/sub.json").write_text("mine")
    assert submit(template("id,label\na,0\n"), predictions(["a"])).name == "sub-2.csv"
    assert Path("submissions/sub.json").read_text() == "mine"


def test_the_manifest_says_what_the_submission_was_made_of() -> None:
    path = submit(template("id,label\na,0\n"), predictions(["a"]))
    assert json.loads(path.with_suffix(".json").read_text()) == {"file": "sub.csv", "form": "the class in column 'label'", **MANIFEST}


def test_the_ledger_has_a_row_a_submission_with_room_for_the_scores() -> None:
    submit(template("id,label\na,0\n"), predictions(["a"]))
    header, row = cells(Path("submissions/ledger.csv"))
    assert header == ["file", "run", "cv_score", "date", "public_score", "private_score"]
    assert row[:3] == ["sub.csv", "baseline", "0.987654"] and row[4:] == ["", ""]
    assert pd.Timestamp(row[3]) <= pd.Timestamp.now()


EDITS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "with semicolons": lambda text: text.replace(",", ";"),
    "with a byte order mark": lambda text: "\ufeff" + text,
    "with CRLF": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_ledger_keeps_what_the_person_wrote_and_further_columns(edit: str) -> None:
    path = template("id,label\na,0\n")
    submit(path, predictions(["a"]))
    ledger = Path("submissions/ledger.csv")
    table = pd.read_csv(ledger, dtype=str, keep_default_na=False)
    table["public_score"], table["private_score"] = "0.7150", "007"
    table["note"] = "NA"
    with open(ledger, "w", encoding="utf-8", newline="") as file:
        file.write(EDITS[edit](table.to_csv(index=False)))
    submit(path, predictions(["a"]))
    header, first, second = cells(ledger)
    assert header == ["file", "run", "cv_score", "date", "public_score", "private_score", "note"]
    assert first == table.iloc[0].tolist() and first[4:] == ["0.7150", "007", "NA"]
    assert second[:2] == ["sub-2.csv", "baseline"] and second[4:] == ["", "", ""]


def test_a_ledger_of_which_every_row_was_deleted_goes_on() -> None:
    Path("submissions").mkdir()
    Path("submissions/ledger.csv").write_text("file,run,cv_score,date,public_score,private_score\n")
    submit(template("id,label\na,0\n"), predictions(["a"]))
    assert [row[0] for row in cells(Path("submissions/ledger.csv"))] == ["file", "sub.csv"]


def test_a_damaged_ledger_is_told_before_anything_is_written() -> None:
    Path("submissions").mkdir()
    Path("submissions/ledger.csv").write_text('file,run\n"a,b\n')
    with pytest.raises(DataError, match=r"ledger\.csv: not a table: "):
        submit(template("id,label\na,0\n"), predictions(["a"]))
    assert sorted(path.name for path in Path("submissions").glob("*.*") if not path.name.startswith(".")) == ["ledger.csv"]


def test_answers_are_found_by_id_in_any_order_with_rows_to_spare() -> None:
    Path("answers.csv").write_text("kind,name\ndog,007\ncat,zzz\ndog,b\ncat,a\nfox,7\n")
    data, task = Data(label_columns=("kind",)), classification("kind", ("dog", "cat"))
    found = read_answers(Path("answers.csv"), "name", data, np.array(["a", "b", "007"]), task)
    assert found.tolist() == [1, 0, 0] and found.dtype == np.int64


SCALE = Scale(5.0, 2.0, 0.0, 10.0)
UV: dict[str, object] = {"label_columns": ("u", "v")}
PQ: dict[str, object] = {"label_columns": ("p", "q")}
TASKS: list[tuple[Task, dict[str, object], str, list[object]]] = [
    (classification("y", ("no", "yes"), "binary"), {}, "y\nyes\nno\n", [0, 1]),
    (Task("ordinal", (Output("y", ("0", "1", "2"), SCALE),)), {}, "y\n2\n0\n", [0, 2]),
    (Task("regression", (Output("y", (), SCALE),)), {}, "y\n2.5\n-1e3\n", [[-1000.0], [2.5]]),
    (
        Task("regression", (Output("u", (), SCALE), Output("v", (), SCALE))),
        {"label_columns": ("u", "v")},
        "u,v\n1,2\n3,4\n",
        [[3, 4], [1, 2]],
    ),
    (classification("y", ("p", "q", "r"), "multilabel"), {"label_separator": "pipe"}, 'y\np|r\n""\n', [[0, 0, 0], [1, 0, 1]]),
    (classification("labels", ("p", "q"), "multilabel"), PQ, "p,q\n1,1\n0,1\n", [[0, 1], [1, 1]]),
    (
        Task("multioutput", (Output("u", ("a", "b")), Output("v", ("0", "1")))),
        {"label_columns": ("u", "v")},
        "u,v\na,1\nb,0\n",
        [[1, 0], [0, 1]],
    ),
    (classification("class", ("p", "q")), PQ, "p,q\n1,0\n0,1\n", [1, 0]),
    (classification("class", ("p", "q")), PQ, "p,q\n3,1\n0,5\n", [[0, 1], [0.75, 0.25]]),
]


@pytest.mark.parametrize(("task", "options", "text", "expected"), TASKS)
def test_answers_of_every_task_are_read(task: Task, options: dict[str, object], text: str, expected: list[object]) -> None:
    header, first, second, _ = text.split("\n")
    Path("answers.csv").write_text(f"id,{header}\nb,{first}\na,{second}\n")
    data = Data(task=task.kind, **{"label_columns": ("y",), **options})
    assert read_answers(Path("answers.csv"), "id", data, np.array(["a", "b"]), task).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na,cat\n", r"^answers\.csv: 2 ids are not in it, of 3: b, c; blank \[inference\] answers if unknown$"),
        ("id,label\na,cat\nb,fox\nc,\n", r"^answers\.csv: labels that no training sample has: '', 'fox'$"),
        ("id,label\na,cat\nb,Dog\nc,cat\n", r"^answers\.csv: labels that no training sample has: 'Dog' \(did you mean dog\?\)$"),
        ("id,kind\na,cat\nb,cat\nc,cat\n", r"answers\.csv has no column 'label'; it has id, kind$"),
        ("id,label\na,cat\na,cat\n", r"stands more than once: 'a' in lines 2 and 3$"),
    ],
)
def test_answers_that_do_not_fit_are_refused(text: str, message: str) -> None:
    Path("answers.csv").write_text(text)
    with pytest.raises((DataError, OptionError), match=message):
        read_answers(Path("answers.csv"), "id", Data(), np.array(["a", "b", "c"]), classification("label", ("cat", "dog")))


def test_the_copy_is_told_from_the_submission_however_its_path_is_written() -> None:
    given, output = predictions(["a", "b"]), Path("submissions/../submissions/sub.csv")
    fits = fitted(template("id,label\na,\nb,\n"), given)
    for number in (2, 3):
        assert write_submission(Path("submissions"), "sub", fits, given, MANIFEST, None, output).name == f"sub-{number}.csv"
    assert not Path("submissions/sub.json").exists() and output.read_bytes() == Path("submissions/sub-3.csv").read_bytes()


def test_a_name_after_runs_in_any_script_fits_a_file_system() -> None:
    runs = ["画" * 60, "像" * 60]
    name = name_after(runs)
    assert len(f".{name}.csv.tmp".encode()) <= 255 and name.startswith("画" * 37) and name != name_after([runs[0], runs[0]])
    assert name_after(["a" * 60, "b" * 59]) == "a" * 60 + "+" + "b" * 59
