"""A template of each form, and what is written into it; and templates that do not fit, with what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import DataError, UserError
from modules.data.task import Output, Scale, Task, classification
from modules.prediction.decisions import Decision
from modules.prediction.forms import Question
from modules.prediction.metrics import Metric
from modules.prediction.predictions import Predictions
from modules.prediction.submission import fill_template, write_submission
from modules.prediction.template import Template, read_template

SCALE = Scale(5.0, 2.0, 0.0, 10.0)
THREE = classification("kind", ("cat", "dog", "eel"))
NAMED = classification("kind", ("cat", "dog"))
ZERO_ONE = classification("target", ("0", "1"), "binary")
ZEROS = classification("code", ("007", "7", "NA"))
GRADES = Task("ordinal", (Output("grade", ("0", "1", "2", "3"), SCALE),))
STARS = Task("ordinal", (Output("stars", ("1", "2", "3", "4"), SCALE),))
SCORE = Task("regression", (Output("score", (), SCALE),))
SIDES = Task("regression", (Output("width", (), SCALE), Output("height", (), SCALE)))
LABELS = classification("labels", ("rust", "scab", "ok"), "multilabel")
BLEEDS = classification("labels", ("epidural", "any"), "multilabel")
PARTS = Task("multioutput", (Output("root", ("10", "2")), Output("vowel", ("x", "y", "z"))))

TAKES_LABELS = Metric("macro_f1", True, "labels", lambda *_: 0.0)
TAKES_VALUES = Metric("roc_auc", True, "values", lambda *_: 0.0)
MAP = Metric("map", True, "values", lambda *_: 0.0)

# What is known of the images a and b, in the test set's order: b, a.
OF_TWO = {"b": [0.25, 0.75], "a": [0.875, 0.125]}
OF_THREE = {"b": [0.125, 0.25, 0.625], "a": [0.25, 0.5, 0.25]}
OF_FIVE = {"b": [0.125, 0.875, 0.25, 0.625, 0.125], "a": [0.75, 0.25, 0.5, 0.25, 0.25]}


@dataclass(frozen=True)
class Case:
    """A template, and the text that it must become. remarks: how they begin, behind the file's name."""

    name: str
    task: Task
    metric: Metric
    values: dict[str, list[float]]
    template: str
    filled: str
    form: str
    remarks: Sequence[str] = ()
    decision: Decision = Decision()
    between: str = " "


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


PLACE = "its columns are called as the classes but for "
LEFT = "takes no prediction, and stays as it is"
CASES = [
    Case(
        "a class by its name", THREE, TAKES_LABELS, OF_THREE, "id,kind\na,\nb,\n", "id,kind\na,dog\nb,eel\n", "the class in column 'kind'"
    ),
    Case("a class that is a number", ZEROS, TAKES_LABELS, OF_THREE, "id,x\na,0\nb,0\n", "id,x\na,7\nb,NA\n", "the class in column 'x'"),
    Case(
        "a class that begins with zeros",
        ZEROS,
        TAKES_LABELS,
        {"b": [1, 0, 0], "a": [0, 1, 0]},
        "id,x\na,007\nb,007\n",
        "id,x\na,7\nb,007\n",
        "the class in column 'x'",
    ),
    Case(
        "classes that the template does not know",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        "id,kind\na,Katze\nb,Katze\n",
        "id,kind\na,dog\nb,eel\n",
        "the class in column 'kind'",
        ["warning: template.csv: it holds Katze, which is no class of training (cat, dog, eel)"],
    ),
    Case(
        "fractions, and more classes than one column has room for",
        THREE,
        TAKES_VALUES,
        OF_THREE,
        "id,kind\na,0.3\nb,0.3\n",
        "id,kind\na,dog\nb,eel\n",
        "the class in column 'kind'",
        ["warning: template.csv: it holds fractions such as 0.3, but one column takes no probabilities of 3 classes"],
    ),
    Case(
        "one probability, by the metric",
        ZERO_ONE,
        TAKES_VALUES,
        OF_TWO,
        "id,target\na,0\nb,0\n",
        "id,target\na,0.125\nb,0.75\n",
        "the probability of 1 in column 'target'",
    ),
    Case(
        "one probability, by the template, against the metric",
        ZERO_ONE,
        TAKES_LABELS,
        OF_TWO,
        "id,target\na,0.5\nb,0.5\n",
        "id,target\na,0.125\nb,0.75\n",
        "the probability of 1 in column 'target'",
        ["warning: template.csv: it holds fractions such as 0.5; probabilities are written, although the metric macro_f1 takes classes"],
    ),
    Case(
        "the probability of the class that the column is called after",
        NAMED,
        TAKES_VALUES,
        OF_TWO,
        "id,Cat\na,0.5\nb,0.5\n",
        "id,Cat\na,0.875\nb,0.25\n",
        "the probability of cat in column 'Cat'",
    ),
    Case(
        "one of two classes, by the metric",
        ZERO_ONE,
        TAKES_LABELS,
        OF_TWO,
        "id,t\na,1\nb,1\n",
        "id,t\na,0\nb,1\n",
        "the class in column 't'",
    ),
    Case(
        "one of two classes, by the template, against the metric",
        NAMED,
        TAKES_VALUES,
        OF_TWO,
        "id,kind\na,cat\nb,cat\n",
        "id,kind\na,cat\nb,dog\n",
        "the class in column 'kind'",
        ["warning: template.csv: it holds classes; they are written, although the metric roc_auc takes probabilities"],
    ),
    Case(
        "classes that are fractions",
        classification("dose", ("0.5", "1.5"), "binary"),
        TAKES_LABELS,
        OF_TWO,
        "id,dose\na,0.5\nb,0.5\n",
        "id,dose\na,0.5\nb,1.5\n",
        "the class in column 'dose'",
    ),
    Case(
        "a decision that is not plain",
        ZERO_ONE,
        TAKES_LABELS,
        OF_TWO,
        "id,t\na,0\nb,0\n",
        "id,t\na,1\nb,1\n",
        "the class in column 't'",
        decision=Decision(thresholds=(0.1,)),
    ),
    Case("a grade", GRADES, TAKES_LABELS, {"b": [2.4], "a": [-0.7]}, "id,g\na,0\nb,0\n", "id,g\na,0\nb,2\n", "the class in column 'g'"),
    Case(
        "a grade by cut points",
        GRADES,
        TAKES_LABELS,
        {"b": [2.4], "a": [0.7]},
        "id,g\na,0\nb,0\n",
        "id,g\na,0\nb,3\n",
        "the class in column 'g'",
        decision=Decision(cut_points=(0.8, 1.5, 2.3)),
    ),
    Case(
        "a grade as a number",
        STARS,
        TAKES_LABELS,
        {"b": [2.5], "a": [0.25]},
        "id,g\na,2.5\nb,2.5\n",
        "id,g\na,1.25\nb,3.5\n",
        "a number in column 'g'",
        ["warning: template.csv: it holds fractions such as 2.5; numbers are written, and no classes"],
    ),
    Case(
        "a grade as a number, where the metric takes numbers, though the template's are whole",
        STARS,
        TAKES_VALUES,
        {"b": [2.5], "a": [0.25]},
        "id,g\na,1\nb,1\n",
        "id,g\na,1.25\nb,3.5\n",
        "a number in column 'g'",
    ),
    Case(
        "a number with all of its digits, though the template's are whole",
        SCORE,
        TAKES_VALUES,
        {"b": [38.1234567], "a": [1e-7 / 3]},
        "Id,Pawpularity\na,38\nb,38\n",
        f"Id,Pawpularity\na,{np.float32(1e-7 / 3):.9g}\nb,{np.float32(38.1234567):.9g}\n",
        "a number in column 'Pawpularity'",
    ),
    Case(
        "several numbers by name",
        SIDES,
        TAKES_VALUES,
        {"b": [1.5, -2.0], "a": [3.0, 4.25]},
        "height,id,width\n0,a,0\n0,b,0\n",
        "height,id,width\n4.25,a,3\n-2,b,1.5\n",
        "2 numbers",
    ),
    Case(
        "a list of labels",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.9, 0.1], "a": [0.1, 0.2, 0.3]},
        "image,labels\na.jpg,ok\nb.jpg,ok\n",
        "image,labels\na.jpg,ok\nb.jpg,rust scab\n",
        "the labels in column 'labels', separated by a space",
        ["template.csv: its ids are those of the test set but for the image's suffix (a.jpg for a)"],
    ),
    Case(
        "a list with the separator that the template shows",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.9, 0.1], "a": [0.1, 0.2, 0.6]},
        "id,labels\na,ok|rust\nb,ok\n",
        "id,labels\na,ok\nb,rust|scab\n",
        "the labels in column 'labels', separated by a pipe",
        ["template.csv: labels are separated by a pipe in it, and by a comma in training; they are written as in it"],
        between=",",
    ),
    Case(
        "a list with the separator of training",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.9, 0.1], "a": [0.1, 0.2, 0.6]},
        "id,labels\na,0\nb,0\n",
        "id,labels\na,ok\nb,rust;scab\n",
        "the labels in column 'labels', separated by a semicolon",
        between=";",
    ),
    Case(
        "a list without a label, where that is wanted",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.9, 0.1], "a": [0.1, 0.2, 0.3]},
        "id,labels\na,ok\nb,ok\n",
        "id,labels\na,\nb,rust scab\n",
        "the labels in column 'labels', separated by a space",
        decision=Decision(empty_labels="none"),
    ),
    Case(
        "the most probable classes",
        THREE,
        MAP,
        OF_THREE,
        "id,kind\na,cat dog\nb,cat dog\n",
        "id,kind\na,dog cat\nb,eel dog\n",
        "the 2 most probable classes in column 'kind', separated by a space",
    ),
    Case(
        "the most probable classes, by the template alone",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        'id,kind\na,"cat,dog"\nb,"cat,eel"\n',
        'id,kind\na,"dog,cat"\nb,"eel,dog"\n',
        "the 2 most probable classes in column 'kind', separated by a comma",
        ["warning: template.csv: its cells hold up to 2 classes, so that as many are written; the metric for that is map"],
    ),
    Case(
        "a probability a class, from a template of means",
        THREE,
        TAKES_VALUES,
        OF_THREE,
        "eel,id,cat,dog\n0.3,a,0.3,0.3\n0.3,b,0.3,0.3\n",
        "eel,id,cat,dog\n0.25,a,0.25,0.5\n0.625,b,0.125,0.25\n",
        "a probability for each of 3 classes",
    ),
    Case(
        "a probability a class, from a template of one-hot rows",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        "id,cat,dog,eel\na,1,0,0\nb,1,0,0\n",
        "id,cat,dog,eel\na,0.25,0.5,0.25\nb,0.125,0.25,0.625\n",
        "a probability for each of 3 classes",
    ),
    Case(
        "columns called after classes in another case",
        THREE,
        TAKES_VALUES,
        OF_THREE,
        "id,Dog,CAT,eel\na,0,0,0\nb,0,0,0\n",
        "id,Dog,CAT,eel\na,0.5,0.25,0.25\nb,0.25,0.125,0.625\n",
        "a probability for each of 3 classes",
        [f"template.csv: {PLACE}case and punctuation"],
    ),
    Case(
        "columns with the same text before and behind the classes",
        ZERO_ONE,
        TAKES_VALUES,
        OF_TWO,
        "id,p_1_x,p_0_x\na,0,0\nb,0,0\n",
        "id,p_1_x,p_0_x\na,0.125,0.875\nb,0.75,0.25\n",
        "a probability for each of 2 classes",
        [f"template.csv: {PLACE}'p_' before and '_x' behind them"],
    ),
    Case(
        "classes with the same text before the columns",
        classification("class", ("c0", "c1")),
        TAKES_VALUES,
        OF_TWO,
        "id,1,0\na,0,0\nb,0,0\n",
        "id,1,0\na,0.125,0.875\nb,0.75,0.25\n",
        "a probability for each of 2 classes",
        [f"template.csv: {PLACE}'c' before them"],
    ),
    Case(
        "a probability a label",
        LABELS,
        TAKES_VALUES,
        {"b": [0.5, 0.875, 0.125], "a": [0.25, 0.75, 0.5]},
        "id,ok,rust,scab\na,0,0,0\nb,0,0,0\n",
        "id,ok,rust,scab\na,0.5,0.25,0.75\nb,0.125,0.5,0.875\n",
        "a probability for each of 3 labels",
    ),
    Case(
        "0 and 1 a label",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.875, 0.125], "a": [0.25, 0.75, 0.5]},
        "id,ok,rust,scab\na,0,1,0\nb,0,1,0\n",
        "id,ok,rust,scab\na,1,0,1\nb,0,1,1\n",
        "0 or 1 for each of 3 labels",
    ),
    Case(
        "a probability a label, by the template, against the metric",
        LABELS,
        TAKES_LABELS,
        {"b": [0.5, 0.875, 0.125], "a": [0.25, 0.75, 0.5]},
        "id,ok,rust,scab\na,0.5,0.5,0.5\nb,0.5,0.5,0.5\n",
        "id,ok,rust,scab\na,0.5,0.25,0.75\nb,0.125,0.5,0.875\n",
        "a probability for each of 3 labels",
        ["warning: template.csv: it holds fractions such as 0.5; probabilities are written, although the metric macro_f1"],
    ),
    Case(
        "a column an output",
        PARTS,
        TAKES_LABELS,
        OF_FIVE,
        "id,vowel,root\na,x,2\nb,x,2\n",
        "id,vowel,root\na,x,10\nb,y,2\n",
        "the class of each of 2 outputs",
    ),
    Case(
        "a probability for each class of each output",
        PARTS,
        TAKES_VALUES,
        OF_FIVE,
        "id,root_2,root_10,vowel_x,vowel_y,vowel_z\na,0,0,0,0,0\nb,0,0,0,0,0\n",
        "id,root_2,root_10,vowel_x,vowel_y,vowel_z\na,0.25,0.75,0.5,0.25,0.25\nb,0.875,0.125,0.25,0.625,0.125\n",
        "a probability for each of 5 classes",
        ["template.csv: its columns are called as the outputs but for case and punctuation"],
    ),
    Case(
        "a row an output",
        PARTS,
        TAKES_LABELS,
        OF_FIVE,
        "row_id,target\na_vowel,0\na_root,0\nb_vowel,0\nb_root,0\n",
        "row_id,target\na_vowel,x\na_root,10\nb_vowel,y\nb_root,2\n",
        "2 rows an image, with the class of an output each, in column 'target'",
    ),
    Case(
        "a row a label, those of an image not together",
        BLEEDS,
        TAKES_VALUES,
        OF_TWO,
        "ID,Label\nb_any,0.5\na_any,0.5\na_epidural,0.5\nb_epidural,0.5\n",
        "ID,Label\nb_any,0.75\na_any,0.125\na_epidural,0.875\nb_epidural,0.25\n",
        "2 rows an image, with the probability of a label each, in column 'Label'",
    ),
    Case(
        "a row a label, of 0 and 1, besides a column of text",
        BLEEDS,
        TAKES_LABELS,
        OF_TWO,
        "ID,Usage,Label\nb:any,Public,0\na:any,Public,0\na:epidural,Private,0\nb:epidural,Public,0\n",
        "ID,Usage,Label\nb:any,Public,1\na:any,Public,0\na:epidural,Private,1\nb:epidural,Public,0\n",
        "2 rows an image, with 0 or 1 for a label each, in column 'Label'",
        [f"template.csv: column 'Usage' {LEFT}"],
    ),
    Case(
        "a row a class",
        THREE,
        TAKES_VALUES,
        {"a": OF_THREE["a"]},
        "id,p\na-eel,0\na-cat,0\na-dog,0\n",
        "id,p\na-eel,0.25\na-cat,0.25\na-dog,0.5\n",
        "3 rows an image, with the probability of a class each, in column 'p'",
    ),
    Case(
        "a row a number",
        SIDES,
        TAKES_VALUES,
        {"a.png": [1.5, 2.5]},
        "id,p\na height,0\na width,0\n",
        "id,p\na height,2.5\na width,1.5\n",
        "2 rows an image, with a number each, in column 'p'",
        ["template.csv: its ids are those of the test set but for the image's suffix (a for a.png)"],
    ),
    Case(
        "numbers of rows, text, and one column to fill",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        ",id,kind,Usage\n0,a,cat,Public\n1,b,cat,\n",
        ",id,kind,Usage\n0,a,dog,Public\n1,b,eel,\n",
        "the class in column 'kind'",
        [f"template.csv: column '', 'Usage' {LEFT}"],
    ),
    Case(
        "text besides a column a class",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        "Unnamed: 0,id,cat,dog,eel,Usage\n0,a,0,0,0,Public\n1,b,0,0,0,Public\n",
        "Unnamed: 0,id,cat,dog,eel,Usage\n0,a,0.25,0.5,0.25,Public\n1,b,0.125,0.25,0.625,Public\n",
        "a probability for each of 3 classes",
        [f"template.csv: column 'Unnamed: 0', 'Usage' {LEFT}"],
    ),
    Case(
        "text everywhere, and the label's own name",
        THREE,
        TAKES_LABELS,
        OF_THREE,
        "id,Kind,Usage\na,?,Public\nb,?,Public\n",
        "id,Kind,Usage\na,dog,Public\nb,eel,Public\n",
        "the class in column 'Kind'",
        [f"template.csv: column 'Usage' {LEFT}", "warning: template.csv: it holds ?, which is no class of training"],
    ),
]


def given(task: Task, values: dict[str, list[float]]) -> Predictions:
    return Predictions(np.array(list(values)), task, np.array(list(values.values()), dtype=np.float32))


def read(text: str, task: Task, metric: Metric, ids: Sequence[str], between: str = " ", top: int = 2) -> Template:
    Path("template.csv").write_text(text, encoding="utf-8")
    column = next(name for name in text.split("\n")[0].split(",") if name.lower() in ("id", "image", "row_id"))
    return read_template(Path("template.csv"), column, np.array(ids), Question(task, metric, between, top))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_template_is_filled_in_the_form_that_it_has(case: Case) -> None:
    predictions = given(case.task, case.values)
    template = read(case.template, case.task, case.metric, list(case.values), case.between)
    assert template.form == case.form
    assert len(template.remarks) == len(case.remarks), template.remarks
    assert all(told.startswith(wanted) for told, wanted in zip(template.remarks, case.remarks, strict=True)), template.remarks
    path = write_submission(Path("out"), "sub", template, predictions, {"run": "r"}, None, decision=case.decision)
    assert path.read_text(encoding="utf-8") == case.filled


REFUSED: list[tuple[Task, str, str]] = [
    (THREE, "id,cat,dog,eal\na,0,0,0\n", "one a class; no column for class eel; no class for column eal (did you mean eel?)"),
    (THREE, "id,cat,dog\na,0,0\n", "expected one column for the class, or one a class; no column for class eel"),
    (THREE, "id,cat,dog,eel,fox\na,0,0,0,0\n", "one a class; no class for column fox"),
    (THREE, "id,CAT,dog,eel,fox\na,0,0,0,0\n", "one a class; no class for column fox"),
    (THREE, "id,cat,note\na,0,none\n", "no column for class dog, eel; no class for column note"),
    (THREE, "id,one,two\na,0,0\n", "no column for class cat, dog, eel; no class for column one, two"),
    (THREE, "id,xcat,xdog,xeel,ycat,ydog,yeel\na,0,0,0,0,0,0\n", "no column for class cat, dog, eel; no class for column xcat"),
    (LABELS, "id,rust,scab\na,0,0\n", "expected one column for the labels, or one a label; no column for label ok"),
    (SIDES, "id,score\na,0\n", "expected one column for each number; no column for number width, height; no number for column score"),
    (SIDES, "id,width,hight\na,0,0\n", "no column for number height; no number for column hight (did you mean height?)"),
    (PARTS, "id,target\na,0\n", "expected one column for each output; no column for output root, vowel; no output for column target"),
    (
        GRADES,
        "id,0,1,2,3\na,0,0,0,0\n",
        "expected one column, for the class, got '0', '1', '2', '3'; task = ordinal has no probability of each",
    ),
    (THREE, "id\na\n", "expected one column for the class, or one a class; no column for class cat, dog, eel"),
    (THREE, "id,x\nb,\n", "1 id is in the template alone (b); 1 id is in the test set alone (a)"),
    (
        PARTS,
        "id,target\na_root,0\n",
        "is in the test set alone (a); nor has each image one row for each of root, vowel",
    ),
    (THREE, "id,x\na,\n", ""),
]


@pytest.mark.parametrize(("task", "text", "message"), REFUSED, ids=[case[2][-60:] for case in REFUSED])
def test_a_template_that_does_not_match_says_how(task: Task, text: str, message: str) -> None:
    if not message:
        assert read(text, task, TAKES_LABELS, ["a"]).form == "the class in column 'x'"
        return
    with pytest.raises(DataError) as caught:
        read(text, task, TAKES_LABELS, ["a"])
    (line,) = caught.value.lines
    assert line.startswith("template.csv: ") and message in line


@pytest.mark.parametrize(
    ("ids", "known", "message"),
    [
        (["1.jpg", "x.jpg"], ["1", "2"], "1 of them would fit but for the image's suffix, and the others would not"),
        (["7", "12"], ["007", "012"], "they differ by zeros in front alone, which are lost where a program takes ids for numbers"),
        (["1", "2"], ["1", "2", "3"], "1 id is in the test set alone (3)"),
        (["1.jpg", "1.png"], ["1", "2"], "2 ids are in the template alone"),
    ],
)
def test_ids_that_differ_say_how(ids: list[str], known: list[str], message: str) -> None:
    with pytest.raises(DataError, match=r"^template\.csv: ") as caught:
        read("id,x\n" + "".join(f"{name},\n" for name in ids), THREE, TAKES_LABELS, known)
    assert message in str(caught.value)


def test_labels_that_hold_their_separator_are_told_with_the_option_that_mends_it() -> None:
    task = classification("labels", ("ETT - Normal", "ok"), "multilabel")
    with pytest.raises(UserError) as caught:
        read("id,labels\na,\n", task, TAKES_LABELS, ["a"])
    told = "[data] label_separator: 1 name holds a space, which separates names in column 'labels': 'ETT - Normal'; name another one"
    assert caught.value.lines == (told,)
    assert read("id,labels\na,\n", task, TAKES_LABELS, ["a"], "|").form == "the labels in column 'labels', separated by a pipe"


@pytest.mark.parametrize("by_rows", [False, True])
def test_rows_that_must_sum_to_1_do_as_they_are_written(by_rows: bool) -> None:
    task, rng = classification("breed", tuple(f"b{number:03d}" for number in range(396))), np.random.default_rng(0)
    ids = [f"dog{row}" for row in range(20)]
    values = rng.dirichlet(np.full(396, 0.05), 20).astype(np.float32) * rng.uniform(0.9995, 1.0005, (20, 1)).astype(np.float32)
    assert np.abs(values.astype(np.float64).sum(axis=1) - 1).max() > 1e-4
    table = pd.DataFrame({"id": ids, **dict.fromkeys(task.classes, 0)})
    text = "id,p\n" + "".join(f"{name}_{each},0\n" for name in ids for each in task.classes) if by_rows else table.to_csv(index=False)
    template = read(text, task, TAKES_VALUES, ids)
    path = write_submission(Path("out"), "sub", template, Predictions(np.array(ids), task, values), {"run": "r"}, None)
    written = pd.read_csv(path).iloc[:, 1:].to_numpy(dtype=np.float64).reshape(20, 396)
    assert np.abs(written.sum(axis=1) - 1).max() < 1e-8
    assert np.allclose(written, values / values.astype(np.float64).sum(axis=1, keepdims=True), rtol=1e-8, atol=0)
    assert np.array_equal(written > 0, values > 0), "no probability is rounded to 0"


def test_ranks_need_not_sum_to_1() -> None:
    ranks = Predictions(np.array(["a"]), THREE, np.array([[0.5, 0.5, 1.0]], dtype=np.float32), are_ranks=True)
    filled = fill_template(read("id,cat,dog,eel\na,0,0,0\n", THREE, TAKES_VALUES, ["a"]), ranks)
    assert filled.iloc[0].tolist() == ["a", 0.5, 0.5, 1.0]


def test_where_there_is_no_template_one_is_made_for_every_task() -> None:
    def made(task: Task) -> list[str]:
        template = read_template(None, "id", np.array(["b", "a"]), Question(task, TAKES_LABELS))
        assert template.ids == ("b", "a") and template.remarks == ()
        return list(template.columns)

    assert [made(task) for task in (THREE, ZERO_ONE, GRADES, SCORE, LABELS)] == [["label"]] * 5
    assert made(PARTS) == ["root", "vowel"] and made(SIDES) == ["width", "height"]


def test_a_template_that_calls_its_ids_otherwise_has_them_in_its_first_column() -> None:
    Path("template.csv").write_text("Id,x\nb,\na,\n")
    template = read_template(Path("template.csv"), "image_id", np.array(["a", "b"]), Question(THREE, TAKES_LABELS))
    assert template.ids == ("b", "a") and template.columns == ("x",)
    assert template.remarks == ("template.csv: it has no column 'image_id'; its ids are in column 'Id'",)
