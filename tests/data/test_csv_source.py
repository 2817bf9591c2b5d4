"""A table and folders of images to Samples: ids, paths, classes, groups, and what leads out of the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.config.errors import DataError, OptionError, UserError
from modules.config.schema import Data
from modules.data.samples import Samples
from modules.data.sources import csv
from modules.data.task import classification
from tests.making import make_contest

HERE = Path()


def contest(table: str, template: str = "id,label\nt1,a\n", **options: Any) -> Samples:
    """The training samples of a table that is written where the test stands."""
    Path("train.csv").write_text(table, encoding="utf-8")
    Path("sample_submission.csv").write_text(template, encoding="utf-8")
    return csv.load_train(Data(source="csv", **options), HERE)


def test_samples_are_in_the_order_of_the_table() -> None:
    samples = contest("id,label,person\nb,10,x\na,2,NA\n007,10,\u00e9\n", group_column="person")
    assert (samples.ids.tolist(), samples.images.files.tolist(), samples.images.root) == (
        ["b", "a", "007"],
        ["b", "a", "007"],
        Path("train"),
    )
    assert samples.task.classes == ("2", "10") and samples.targets is not None and samples.targets.tolist() == [1, 0, 1]
    assert samples.groups is not None and samples.groups.tolist() == ["x", "NA", "é"]


def test_a_contest_of_files_is_read_and_its_images_are_there(tmp_path: Path) -> None:
    folder = make_contest(tmp_path / "made", train=6, test=3)
    data = Data(source="csv", image_suffix="png", test_csv="test.csv")
    train, test = csv.load_train(data, folder), csv.load_test(data, folder, classification("label", ("cat", "dog", "eel")))
    assert len(train) == 6 and len(test) == 3 and train.task.classes == ("cat", "dog", "eel")
    assert all(samples.images.path(row).is_file() for samples in (train, test) for row in range(len(samples)))


@pytest.mark.parametrize(
    ("suffix", "name", "file"),
    [
        (None, "1", "1"),
        (None, "1.png", "1.png"),
        (".jpg", "1", "1.jpg"),
        ("jpg", "1", "1.jpg"),
        (".jpg", "1.png", "1.png"),
        (".jpg", "1.PNG", "1.PNG"),
        (".jpg", "v1.5", "v1.5.jpg"),
        (".png", "sub/1", "sub/1.png"),
        (".JPG", "1", "1.JPG"),
        ("_thumbnail.png", "4", "4_thumbnail.png"),
        (".png", "고양이 😀", "고양이 😀.png"),
    ],
)
def test_a_suffix_is_added_to_ids_that_have_none(suffix: str | None, name: str, file: str) -> None:
    samples = contest(f"id,label\n{name},a\nz.png,b\n", image_suffix=suffix)
    assert samples.images.files.tolist() == [file, "z.png"]
    assert samples.ids.tolist() == [name, "z.png"], "the id stays as it is"


def test_an_image_column_names_the_files() -> None:
    samples = contest("id,path,label\n1,a/x.jpg,c\n2,b/y,d\n", image_column="path", image_suffix=".png")
    assert samples.ids.tolist() == ["1", "2"] and samples.images.files.tolist() == ["a/x.jpg", "b/y.png"]


def touch(*files: str) -> None:
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()


def test_images_in_folders_that_no_id_tells_of_are_found_by_their_names() -> None:
    touch("train/c0/1.jpg", "train/c1/2.jpg", "train/2/deep/3.jpg", "train/.hidden/1.jpg")
    samples = contest("id,label\n2,a\n1,b\n3,b\n4,a\n", image_suffix="jpg")
    assert samples.images.files.tolist() == ["c1/2.jpg", "c0/1.jpg", "2/deep/3.jpg", "4.jpg"], "4 is missing, and told later"


def test_where_some_images_lie_in_the_folder_itself_no_other_folder_is_looked_at() -> None:
    touch("train/1.jpg", "train/old/2.jpg")
    assert contest("id,label\n1.jpg,a\n2.jpg,b\n").images.files.tolist() == ["1.jpg", "2.jpg"]


def test_a_name_that_several_folders_have_is_refused() -> None:
    touch("train/a/1.jpg", "train/b/1.jpg", "train/b/2.jpg")
    with pytest.raises(DataError, match=r"^train: 1 image lies in several folders below it: a/1.jpg, b/1.jpg; name one in train_images$"):
        contest("id,label\n1.jpg,a\n2.jpg,b\n")


def test_a_link_below_the_folder_that_leads_out_of_it_is_refused() -> None:
    touch("secret/1.jpg", "train/a/2.jpg")
    Path("train/a/1.jpg").symlink_to(Path("secret/1.jpg").resolve())
    with pytest.raises(DataError, match=r"^train: 1 image path leads out of the folder: 'a/1.jpg'$"):
        contest("id,label\n1.jpg,a\n2.jpg,b\n")


def test_several_rows_may_share_an_image_but_not_an_id() -> None:
    samples = contest("id,path,label\n1,x.jpg,c\n2,x.jpg,d\n", image_column="path")
    assert samples.images.files.tolist() == ["x.jpg", "x.jpg"]
    with pytest.raises(DataError, match=r"^train\.csv, column 'id': 1 id stands more than once: '1' in lines 2 and 3$"):
        contest("id,path,label\n1,x.jpg,c\n1,y.jpg,d\n", image_column="path")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "a/../../secret.png",
        "/etc/passwd",
        "..",
        ".",
        "../train_other/x.png",
        "a/../../../x",
        "\0.png",
        "link/x.png",
        "link.png",
    ],
)
def test_an_image_outside_the_folder_is_refused(name: str) -> None:
    Path("train").mkdir()
    Path("elsewhere").mkdir()
    Path("train/link").symlink_to(Path("elsewhere").resolve())
    Path("train/link.png").symlink_to(Path("elsewhere/x.png").resolve())
    with pytest.raises(DataError) as caught:
        contest(f"id,path,label\n1,ok.png,a\n2,{name},b\n", image_column="path")
    (line,) = caught.value.lines
    assert line == f"train: 1 image path leads out of the folder: {name!r}"


@pytest.mark.parametrize("name", ["a/../b.png", "...png", "..a.png", "inside/x.png", "a//b.png"])
def test_a_path_that_stays_inside_is_taken(name: str) -> None:
    Path("train/real").mkdir(parents=True)
    Path("train/inside").symlink_to("real")
    assert contest(f"id,path,label\n1,{name},a\n2,x.png,b\n", image_column="path").images.files[0] == name


def test_the_folder_itself_may_be_a_link() -> None:
    Path("images").mkdir()
    Path("train").symlink_to("images")
    assert contest("id,label\n1.png,a\n2.png,b\n").images.files.tolist() == ["1.png", "2.png"]


def test_a_test_image_outside_the_folder_is_refused_too() -> None:
    Path("sample_submission.csv").write_text("id,label\n../x,a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^test: 1 image path leads out of the folder: '\.\./x'$"):
        csv.load_test(Data(source="csv"), HERE, classification("label", ("a", "b")))


def test_the_first_column_of_the_template_is_the_id() -> None:
    samples = contest("label,file,id\na,x,1\nb,y,2\n", template="file,label\nt,a\n")
    assert samples.ids.tolist() == ["x", "y"]
    assert csv.id_column(Data(source="csv"), HERE) == "file"
    assert csv.id_column(Data(source="csv", id_column="id"), HERE) == "id"


def test_a_training_table_without_the_templates_id_column_is_told_the_columns() -> None:
    with pytest.raises(OptionError) as caught:
        contest("image,label\nx,a\ny,b\n", template="image_id,label\nt,a\n")
    message = "train.csv has no column 'image_id' (did you mean image?); it has image, label"
    assert caught.value.args == ("data", "id_column", message)


def test_without_id_column_and_template_the_column_must_be_named() -> None:
    Path("train.csv").write_text("id,label\n1,a\n2,b\n", encoding="utf-8")
    message = r"sample_submission\.csv: no such file; it names the id column too, unless \[data\] id_column does$"
    with pytest.raises(OptionError, match=message):
        csv.load_train(Data(source="csv"), HERE)
    assert len(csv.load_train(Data(source="csv", id_column="id"), HERE)) == 2


def test_blank_groups_are_refused_with_their_lines() -> None:
    with pytest.raises(
        DataError,
        match=r"^train\.csv: 2 cells are blank in group_column 'person', in lines 3, 4; give each a name of its own, such as its id$",
    ):
        contest("id,label,person\n1,a,p\n2,b,\n3,b, \n", group_column="person")


def test_missing_labels_and_a_single_class_are_refused_with_the_table_and_column() -> None:
    with pytest.raises(DataError, match=r"^train\.csv, column 'label': 1 label is missing, in line 3$"):
        contest("id,label\n1,a\n2,\n3,b\n")
    with pytest.raises(DataError, match=r"^train\.csv, column 'label': expected two classes or more, found only NA$"):
        contest("id,label\n1,NA\n2,NA\n")


def test_every_wrong_column_of_a_table_is_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        contest("key,kind,who\n1,a,p\n2,b,q\n", label_columns=("label",), group_column="person", image_column="path")
    assert sorted(line.split(":")[0] for line in caught.value.lines) == [
        "[data] group_column",
        "[data] id_column",
        "[data] image_column",
        "[data] label_columns",
    ]


def test_test_samples_come_from_the_test_table_else_from_the_template_in_their_order() -> None:
    Path("sample_submission.csv").write_text("id,label\n9,x\n007,x\n10,x\n", encoding="utf-8")
    Path("test.csv").write_text("path,id\nc.png,10\na.png,9\n", encoding="utf-8")
    data = Data(source="csv", image_suffix=".jpg")
    template = csv.load_test(data, HERE, classification("label", ("x", "y")))
    assert (template.ids.tolist(), template.images.files.tolist()) == (["9", "007", "10"], ["9.jpg", "007.jpg", "10.jpg"])
    assert template.task.classes == ("x", "y") and template.targets is None and template.images.root == Path("test")
    table = csv.load_test(
        Data(source="csv", test_csv="test.csv", image_column="path", test_images="im"), HERE, classification("label", ("x", "y"))
    )
    assert (table.ids.tolist(), table.images.files.tolist(), table.images.root) == (["10", "9"], ["c.png", "a.png"], Path("im"))


def test_a_missing_table_is_told_with_the_option_that_names_it() -> None:
    Path("sample_submission.csv").write_text("id,label\n9,x\n", encoding="utf-8")
    for data, option in (
        (Data(test_csv="tset.csv", id_column="id"), "test_csv"),
        (Data(sample_submission="no.csv", id_column="id"), "sample_submission"),
    ):
        with pytest.raises(OptionError, match="no such file") as caught:
            csv.load_test(data, HERE, classification("label", ("a", "b")))
        assert caught.value.args[:2] == ("data", option)
    with pytest.raises(OptionError, match="no such file") as caught:
        csv.load_train(Data(train_csv="no.csv", id_column="id"), HERE)
    assert caught.value.args[:2] == ("data", "train_csv")
