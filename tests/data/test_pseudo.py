"""Pseudo labels: which test images train, with which labels, and what is said of tables that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.config.errors import DataError, OptionError, UserError
from modules.config.schema import Data, Split
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.sources import load_test, load_train, without_taken
from modules.data.splits import make_folds

HERE = Path("contest")
TRAIN = "id,label,who\na,cat,p\nb,dog,q\n2,cat,r\nc,dog,s\n"


def contest(table: str, train: str = TRAIN, test: str = "id,who\n1,p\n2,z\n3,q\n", **options: Any) -> Samples:
    HERE.mkdir(exist_ok=True)
    for path, text in ((HERE / "train.csv", train), (HERE / "test.csv", test), (Path("mine/pseudo.csv"), table)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (HERE / "sample_submission.csv").write_text("id,label\n1,x\n2,x\n3,x\n", encoding="utf-8")
    given = {"source": "csv", "test_csv": "test.csv", "image_suffix": "png", "pseudo_labels": "mine/pseudo.csv", **options}
    return load_train(Data(**given), HERE)


def told(table: str, error: type[UserError] = DataError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        contest(table, **options)
    (line,) = caught.value.lines
    return line


def test_confident_rows_come_behind_the_others_with_an_id_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    samples = contest("confidence,id,label\n0.95,2,dog\n0.9499,1,cat\n1,3,cat\n")
    assert samples.ids.tolist() == ["a", "b", "2", "c", "pseudo:2", "pseudo:3"]
    assert samples.targets is not None and samples.targets.tolist() == [0, 1, 0, 1, 1, 0]
    assert samples.extra is not None and samples.extra.tolist() == [False] * 4 + [True] * 2
    assert isinstance(samples.images, ImageFiles) and samples.images.path(4).resolve() == (HERE / "test/2.png").resolve()
    assert capsys.readouterr().err == "pseudo_labels: 2 test images train too, of 3: those with a confidence of 0.95 or more\n"


def test_a_table_of_predictions_gives_the_most_probable_class_and_its_probability() -> None:
    table = "id,prediction,p:cat,p:dog\n1,dog,0.25,0.75\n2,cat,0.7,0.3\n3,cat,0.9,0.1\n"
    samples = contest(table, pseudo_threshold=0.75)
    assert samples.ids.tolist()[4:] == ["pseudo:1", "pseudo:3"] and samples.targets is not None and samples.targets.tolist()[4:] == [1, 0]
    swapped = contest("id,p:dog,p:cat\n1,0.75,0.25\n", pseudo_threshold=0.75)
    assert swapped.targets is not None and swapped.targets.tolist()[4:] == [1]


def test_no_fold_validates_them_and_every_fold_trains_them() -> None:
    samples = contest("id,label,confidence\n1,dog,1\n2,cat,1\n")
    for fold in make_folds(samples, Split(folds=2), seed=0):
        assert set(fold.valid_rows.tolist()) <= {0, 1, 2, 3} and {4, 5} <= set(fold.train_rows.tolist())


def test_a_fold_does_not_train_on_a_test_image_of_a_group_that_it_validates() -> None:
    """The test table has the column of groups: 1 is of p, 2 of nobody in training."""
    samples = contest("id,label,confidence\n1,dog,1\n2,cat,1\n", group_column="who")
    assert samples.groups is not None and samples.groups.tolist() == ["p", "q", "r", "s", "p", "z"]
    folds = make_folds(samples, Split(folds=2), seed=0)
    assert len(folds) == 2
    for fold in folds:
        assert (4 in fold.train_rows) is (0 not in fold.valid_rows) and 5 in fold.train_rows


def test_where_no_table_tells_its_group_a_test_image_is_its_own() -> None:
    for options in ({"test_csv": None}, {"test": "id\n1\n2\n3\n"}):
        samples = contest("id,label,confidence\n1,dog,1\n", group_column="who", **options)
        assert samples.groups is not None and samples.groups.tolist()[4:] == ["pseudo:1"]


def test_none_above_the_threshold_is_told_with_the_highest() -> None:
    line = told("id,label,confidence\n1,dog,0.5\n2,cat,0.9312\n", pseudo_threshold=0.94)
    assert line == "mine/pseudo.csv: no confidence is 0.94 (data.pseudo_threshold) or more; the highest is 0.9312"


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("id,label,confidence\n1,dog,1\n9,cat,1\nx,cat,1\n", "2 ids are not in the test set, of 3: 9, x"),
        ("id,label,confidence\n1,dog,1\n1,cat,1\n", "column 'id': 1 id stands more than once: '1' in lines 2 and 3"),
        ("id,label,confidence\n1,eel,1\n", "labels that no training sample has: 'eel'"),
        ("id,label\n1,dog\n", "expected a column confidence, or one p:CLASS a class; it has id, label"),
        (
            "id,label,confidense\n1,dog,1\n",
            "expected a column confidence, or one p:CLASS a class (did you mean confidense?); it has id, label, confidense",
        ),
        (
            "id,label,confidence\n1,dog,95\n2,cat,\n3,cat,high\n",
            "column 'confidence': expected numbers from 0 to 1; 3 cells are not: '95' in line 2, '' in line 3, 'high' in line 4",
        ),
        ("id,label,confidence\n1,dog,nan\n", "column 'confidence': expected numbers from 0 to 1; 1 cell is not: 'nan' in line 2"),
        ("id,p:cat,p:eel\n1,1,0\n", "its classes are not those of the training samples; p:eel, p:dog in one of them only"),
        ("id,p:cat,p:dog\n1,0.9,0.8\n", "rows of probabilities do not sum to 1; ranks are no confidence, use another [inference] ensemble"),
        ("id,label,confidence\n", "the table has no rows"),
        ("id,label,confidence\n1,dog,1,1\n", "not a table: expected 3 cells in line 2, got 4"),
        ("id,confidence,confidence\n1,1,1\n", "not a table: column 'confidence' stands more than once in its header"),
    ],
)
def test_a_table_that_tells_no_pseudo_labels_is_told_in_a_line(table: str, fault: str) -> None:
    line = told(table)
    assert line in (f"mine/pseudo.csv: {fault}", f"mine/pseudo.csv, {fault}")


def test_a_missing_table_and_a_missing_label_column_are_told_with_their_options() -> None:
    assert told("id,label,confidence\n1,dog,1\n", OptionError, pseudo_labels="mine/psuedo.csv").startswith(
        "[data] pseudo_labels: mine/psuedo.csv: no such file; mine has pseudo.csv (did you mean pseudo.csv?)"
    )
    assert told("id,lable,confidence\n1,dog,1\n", OptionError).startswith(
        "[data] label_columns: pseudo.csv has no column 'label' (did you mean lable?)"
    )


@pytest.mark.parametrize("separates", [";", "\t"])
def test_a_byte_order_mark_and_other_separators_are_read(separates: str) -> None:
    samples = contest("\ufeff" + "id,label,confidence\n1,dog,1\n".replace(",", separates))
    assert samples.ids.tolist()[4:] == ["pseudo:1"]


def test_counts_of_classes_are_told_where_one_has_far_more_than_another(capsys: pytest.CaptureFixture[str]) -> None:
    contest("id,label,confidence\n1,dog,1\n2,dog,1\n3,cat,0\n")
    assert capsys.readouterr().err.endswith("a confidence of 0.95 or more; dog 2, cat 0\n")


def test_labels_that_may_be_several_are_as_sure_as_the_least_sure_of_them() -> None:
    train = "id,cat,dog\na,1,1\nb,0,1\nc,1,0\n"
    options = {"train": train, "task": "multilabel", "label_columns": ("cat", "dog"), "pseudo_threshold": 0.8}
    samples = contest("id,p:cat,p:dog\n1,0.9,0.1\n2,0.99,0.7\n3,0.2,0.2\n", **options)
    assert samples.ids.tolist()[3:] == ["pseudo:1", "pseudo:3"]
    assert samples.targets is not None and samples.targets.tolist()[3:] == [[1, 0], [0, 0]]


def test_several_outputs_are_as_sure_as_the_least_sure_of_them() -> None:
    train = "id,kind,age\na,cat,1\nb,dog,2\nc,cat,2\n"
    options = {"train": train, "task": "multioutput", "label_columns": ("kind", "age"), "pseudo_threshold": 0.8}
    columns = "p:kind:cat,p:kind:dog,p:age:1,p:age:2"
    samples = contest(f"id,{columns}\n1,0.9,0.1,0.15,0.85\n2,0.99,0.01,0.7,0.3\n", **options)
    assert samples.ids.tolist()[3:] == ["pseudo:1"]
    assert samples.targets is not None and samples.targets.tolist()[3:] == [[0, 1]]


def test_numbers_need_a_confidence_of_their_own() -> None:
    options = {"train": "id,age\na,1\nb,2\n", "task": "regression", "label_columns": ("age",)}
    assert told("id,prediction,p:age\n1,3,3\n", **options).startswith(
        "mine/pseudo.csv: task = regression predicts values, which tell no confidence"
    )
    samples = contest("id,age,confidence\n1,1.5,0.99\n", **options)
    assert samples.targets is not None and samples.targets.tolist() == [[1], [2], [1.5]]


def test_labels_beside_shares_become_shares() -> None:
    train = "id,cat,dog\na,3,1\nb,0,2\n"
    samples = contest("id,p:cat,p:dog\n1,0.04,0.96\n", train=train, label_columns=("cat", "dog"))
    assert np.array_equal(samples.targets, np.array([[0.75, 0.25], [0, 1], [0, 1]], dtype=np.float32))


def test_they_come_behind_extra_rows_and_the_rest_of_the_test_set_is_without_them() -> None:
    HERE.mkdir()
    (HERE / "extra.csv").write_text("id,label\nx,dog\n", encoding="utf-8")
    samples = contest("id,label,confidence\n1,dog,1\n", extra_csv="extra.csv")
    assert samples.ids.tolist()[4:] == ["x", "pseudo:1"] and samples.extra is not None and samples.extra.tolist()[3:] == [False, True, True]
    test = load_test(Data(source="csv", test_csv="test.csv"), HERE, samples.task)
    assert without_taken(test, samples).ids.tolist() == ["2", "3"]


def test_test_pixels_of_a_table_are_taken_by_their_row() -> None:
    HERE.mkdir()
    options = {"train": "label,pixel0\na,1\nb,2\n", "test": "pixel0\n7\n8\n9\n", "pixel_columns": "pixel"}
    samples = contest("id,label,confidence\n3,b,1\n1,a,1\n", **options)
    assert samples.ids.tolist() == ["1", "2", "pseudo:3", "pseudo:1"]
    assert [samples.images.read(row, 1).item() for row in range(4)] == [1, 2, 9, 7]


def test_groups_are_found_where_the_test_table_has_several_rows_an_image() -> None:
    train = "id,x,y,who\na,0,1,p\nb,1,0,q\nc,0,1,r\nd,1,1,s\n"
    (HERE / "test").mkdir(parents=True)
    for name in "12":
        (HERE / "test" / f"{name}.png").touch()
    options = {"task": "multioutput", "label_columns": ("x", "y"), "group_column": "who"}
    test = "id,who\n1_x,p\n1_y,p\n2_x,z\n2_y,z\n"
    samples = contest("id,x,y,confidence\n2,0,1,1\n1,1,0,1\n", train, test, **options)
    assert samples.groups is not None and samples.groups.tolist() == ["p", "q", "r", "s", "z", "p"]


def test_a_pattern_names_the_groups_of_test_images_too() -> None:
    for place, names in (("train", ("p1_cat", "p1_dog", "p2_cat", "p2_dog")), ("test", ("p2_a", "p3_b", "c"))):
        (HERE / place).mkdir(parents=True)
        for name in names:
            (HERE / place / f"{name}.png").touch()
    Path("pseudo.csv").write_text("id,label,confidence\nc.png,cat,1\np2_a.png,cat,1\n")
    pattern = r"^(?P<group>p\d)_((?P<label>cat|dog)\.)?"
    samples = load_train(Data(source="folder", label_pattern=pattern, pseudo_labels="pseudo.csv"), HERE)
    assert samples.groups is not None and samples.groups.tolist() == ["p1", "p1", "p2", "p2", "pseudo:c.png", "p2"]
