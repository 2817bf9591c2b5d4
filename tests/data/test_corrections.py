"""corrections: labels of the table's own rows changed, counted, and refused where row or label is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.config.errors import UserError
from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.sources import load_train
from tests import sets

HERE = Path()


def load(corrections: str, source: str = "csv", **options: Any) -> Samples:
    Path("train.csv").write_text("id,label\n007,dog\n7,cat\na,cat\nb,eel\n", encoding="utf-8")
    Path("sample_submission.csv").write_text("id,label\nt1,a\n", encoding="utf-8")
    Path("fix.csv").write_text(corrections, encoding="utf-8")
    return load_train(Data(source=source, corrections="fix.csv", **options), HERE)  # type: ignore[arg-type]


def labels(samples: Samples) -> dict[str, str]:
    assert samples.targets is not None
    return {str(name): samples.task.classes[target] for name, target in zip(samples.ids, samples.targets, strict=True)}


def fails(corrections: str, **options: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(corrections, **options)
    return list(caught.value.lines)


def test_named_rows_get_their_label_and_the_changes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    samples = load("label,id,why\neel,7,looked at\ncat,a,as it was\n,b,not sure\n")
    assert labels(samples) == {"007": "dog", "7": "eel", "a": "cat", "b": "eel"}
    assert capsys.readouterr().err == "fix.csv: 1 label of 4 changed, by 3 rows\n"
    assert Path("train.csv").read_text() == "id,label\n007,dog\n7,cat\na,cat\nb,eel\n"


def test_a_class_that_is_corrected_away_is_none_any_more() -> None:
    assert load("id,label\nb,dog\n").task.classes == ("cat", "dog")


def test_all_rows_and_all_labels_that_are_unknown_are_told_with_the_nearest() -> None:
    assert fails("id,label\n07,dog\na,cta\nz,cat\n") == [
        "fix.csv: 2 rows are of no training sample: '07' (did you mean 007?), 'z'",
    ]
    assert fails("id,label\n007,eal\na,cta\n") == [
        "fix.csv, column 'label': 2 labels that no training sample has:"
        " 'eal' in line 2 (did you mean eel?), 'cta' in line 3 (did you mean cat?)"
    ]


def test_the_same_row_twice_is_refused_with_its_lines() -> None:
    assert fails("id,label\na,dog\na,eel\n") == ["fix.csv, column 'id': 1 id stands more than once: 'a' in lines 2 and 3"]


def test_a_table_without_the_columns_is_refused_beside_what_else_is_wrong() -> None:
    assert fails("id,lable\nA,dog\n") == [
        "fix.csv: 1 row is of no training sample: 'A' (did you mean a?)",
        "[data] corrections: fix.csv: expected columns of label with what they should be; it has lable (did you mean label?)",
    ]
    assert fails("name,label\na,dog\n")[0].startswith("[data] corrections: fix.csv has no column 'id'")


def test_mistakes_of_the_training_table_are_told_besides() -> None:
    lines = fails("id,label\nz,dog\n", image_column="photo")
    assert len(lines) == 2 and "fix.csv: 1 row" in lines[0] and "train.csv has no column 'photo'" in lines[1]


def test_folders_of_classes_are_corrected_by_path(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        for number in range(2):
            Path("train", name).mkdir(parents=True, exist_ok=True)
            Path("train", name, f"{number}.png").touch()
    samples = load("id,label\ncat/1.png,dog\n", source="folder", sample_submission="sample_submission.csv")
    assert labels(samples) == {"cat/0.png": "cat", "cat/1.png": "dog", "dog/0.png": "dog", "dog/1.png": "dog"}
    assert capsys.readouterr().err == "fix.csv: 1 label of 4 changed, by 1 row\n"
    assert fails("id,label\ncat/1.pgn,dot\n", source="folder") == [
        "fix.csv: 1 row is of no training sample: 'cat/1.pgn' (did you mean cat/1.png?)"
    ]
    assert fails("id,label\ncat/1.png,dot\n", source="folder") == [
        "fix.csv, column 'label': 1 label that no training sample has: 'dot' in line 2 (did you mean dog?)"
    ]


def test_sets_of_torchvision_are_corrected_by_number(tmp_path: Path) -> None:
    sets.make_mnist(HERE, train=6, test=3)
    before = labels(load_train(Data(source="torchvision", dataset="FashionMNIST"), HERE))
    other = next(name for name in before.values() if name != before["train_00002"])
    after = labels(load(f"id,label\ntrain_00002,{other}\n", source="torchvision", dataset="FashionMNIST"))
    assert after == {**before, "train_00002": other} != before


def test_several_columns_are_corrected_each_by_its_own_labels() -> None:
    Path("outputs.csv").write_text("id,root,tail\na,1,x\nb,2,y\nc,2,y\n", encoding="utf-8")
    options: dict[str, Any] = {"task": "multioutput", "label_columns": ("root", "tail"), "train_csv": "outputs.csv"}
    samples = load("id,tail,root\na,y,\nb,x,1\n", **options)
    assert samples.targets is not None and samples.targets.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert fails("id,tail\na,2\n", **options) == ["fix.csv, column 'tail': 1 label that no training sample has: '2' in line 2"]


def test_a_number_may_be_any_other_number() -> None:
    Path("numbers.csv").write_text("id,label\na,1\nb,2.5\n", encoding="utf-8")
    samples = load("id,label\nb,7\n", task="regression", train_csv="numbers.csv")
    assert samples.targets is not None and samples.targets.tolist() == [[1], [7]]
    (line,) = fails("id,label\nb,seven\n", task="regression", train_csv="numbers.csv")
    assert "'seven'" in line


def test_a_label_of_several_in_a_cell_that_no_sample_has_is_told_and_makes_no_class() -> None:
    Path("several.csv").write_text("id,label\n007,dog cat\n7,cat\na,cat eel\nb,eel\n", encoding="utf-8")
    options = {"train_csv": "several.csv", "task": "multilabel", "label_separator": "space"}
    assert load("id,label\n7,dog eel\nb,\n", **options).task.classes == ("cat", "dog", "eel")
    assert fails('id,label\n7,dog eal\na,"cat,eel"\n', **options) == [
        "fix.csv, column 'label': 2 labels that no training sample has: 'eal' in line 2 (did you mean eel?),"
        " 'cat,eel' in line 3 (did you mean eel?)"
    ]


@pytest.mark.parametrize("cells", [",1", "1,1", "0,0"])
def test_an_image_keeps_one_class_where_a_column_a_class_has_a_single_1(cells: str) -> None:
    Path("hot.csv").write_text("id,cat,dog\n007,0,1\n7,1,0\n", encoding="utf-8")
    options = {"train_csv": "hot.csv", "label_columns": ("cat", "dog")}
    assert labels(load("id,cat,dog\n7,0,1\n", **options)) == {"007": "dog", "7": "dog"}
    assert fails(f"id,cat,dog\n7,{cells}\n", **options) == [
        "fix.csv: 1 sample would have no class, or several: '7' in line 2; write 0 or 1 in each of cat, dog"
    ]


@pytest.mark.parametrize(("task", "expected"), [("regression", "a number"), ("multilabel", "0 or 1"), ("multiclass", "a number")])
def test_a_cell_that_is_no_label_is_told_with_the_line_of_the_corrections(task: str, expected: str) -> None:
    Path("numbers.csv").write_text("id,cat,dog\n007,0,1\n7,1,0\n", encoding="utf-8")
    lines = fails("id,cat,dog\n7,,x\n", train_csv="numbers.csv", label_columns=("cat", "dog"), task=task)
    assert lines == [f"fix.csv, column 'dog': expected {expected}; 1 cell is not: 'x' in line 2"]
