"""A folder a class: names are labels, whatever lies about besides is left out or refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modules.config.errors import DataError, OptionError
from modules.config.schema import Data
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.sources import folder, id_column, load_test, load_train, template_path
from modules.data.task import classification

HERE = Path()
CLASSES = ("cat", "dog")


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def train(*paths: str) -> Samples:
    touch(*(f"train/{path}" for path in paths))
    return load_train(Data(source="folder"), HERE)


def predicted(template: str | None, *paths: str, **options: Any) -> Samples:
    touch(*(f"test/{path}" for path in paths))
    if template is not None:
        Path("sample_submission.csv").write_text(template, encoding="utf-8")
    return load_test(Data(source="folder", **options), HERE, classification("label", CLASSES))


def files(samples: Samples) -> list[str]:
    assert isinstance(samples.images, ImageFiles)
    return [str(file) for file in samples.images.files]


def test_folders_are_classes_and_nested_files_belong_to_theirs() -> None:
    samples = train("10/b.png", "2/deep/er/a.JPG", "2/a.webp", "10/고양이.jpeg")
    assert samples.task.classes == ("2", "10"), "by number, as everywhere"
    assert samples.ids.tolist() == files(samples) == ["10/b.png", "10/고양이.jpeg", "2/a.webp", "2/deep/er/a.JPG"]
    assert samples.targets is not None and samples.targets.tolist() == [1, 1, 0, 0] and samples.extra is None


def test_hidden_files_are_skipped_and_others_that_are_no_images_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    samples = train("cat/1.png", "cat/._1.png", "cat/.DS_Store", ".cache/x.png", "dog/.hidden/x.png", "dog/1.png", "dog/Thumbs.db", "x.txt")
    assert samples.ids.tolist() == ["cat/1.png", "dog/1.png"]
    assert capsys.readouterr().err == "warning: 2 files are left out in train, with no image's suffix: dog/Thumbs.db, x.txt\n"


def test_images_beside_the_classes_are_left_out_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("cat/1.png", "dog/1.png", "1.png").ids.tolist() == ["cat/1.png", "dog/1.png"]
    assert capsys.readouterr().err == "warning: 1 image is left out in train, in no class's folder\n"


def test_a_class_without_images_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^train: 1 class folder has no image: eel$"):
        train("cat/1.png", "dog/1.png", "eel/readme.txt")


def test_a_single_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"^train: expected two classes or more, found only cat$"):
        train("cat/1.png")


def test_a_folder_without_folders_or_no_folder_at_all_is_refused_in_a_line() -> None:
    with pytest.raises(OptionError) as caught:
        train("1.png", "2.png")
    expected = "train: expected a folder a class, found 2 images in none; a table of labels goes with source = csv"
    assert caught.value.args == ("data", "train_images", expected)
    with pytest.raises(OptionError) as caught:
        load_train(Data(source="folder", train_images="trian"), HERE)
    assert caught.value.args == ("data", "train_images", "trian: no such folder (did you mean train?)")


@pytest.mark.parametrize("link", ["cat/2.png", "cat/more", "eel"])
def test_a_link_that_leads_out_of_the_folder_is_refused(link: str) -> None:
    touch("train/cat/1.png", "train/dog/1.png", "elsewhere/x.png")
    target = Path("elsewhere/x.png" if link.endswith(".png") else "elsewhere").resolve()
    Path("train", link).symlink_to(target)
    with pytest.raises(DataError, match=rf"^train: 1 link leads out of the folder, or to another folder: {link}$"):
        load_train(Data(source="folder"), HERE)


def test_a_link_inside_and_a_folder_that_is_a_link_itself_are_taken() -> None:
    touch("real/cat/1.png", "real/dog/1.png")
    Path("real/dog/2.png").symlink_to("1.png")
    Path("train").symlink_to("real")
    assert load_train(Data(source="folder"), HERE).ids.tolist() == ["cat/1.png", "dog/1.png", "dog/2.png"]


def test_without_a_template_all_test_images_are_predicted_sorted_by_path() -> None:
    samples = predicted(None, "b.png", "a/z.png", "a.txt", "._b.png")
    assert samples.ids.tolist() == files(samples) == ["a/z.png", "b.png"] and samples.targets is None
    data = Data(source="folder")
    assert template_path(data, HERE) is None and id_column(data, HERE) == "id"


def test_a_template_of_another_name_must_be_there() -> None:
    data = Data(source="folder", sample_submission="form.csv")
    assert template_path(data, HERE) == Path("form.csv")
    touch("test/a.png")
    with pytest.raises(OptionError, match=r"form\.csv: no such file"):
        load_test(data, HERE, classification("label", CLASSES))


@pytest.mark.parametrize("name", ["sub/one.png", "one.png", "sub/one", "one"])
def test_an_id_of_the_template_is_a_path_a_name_or_either_without_its_suffix(name: str) -> None:
    samples = predicted(f"key,label\ntwo.jpg,x\n{name},x\n", "sub/one.png", "two.jpg", "three.png")
    assert samples.ids.tolist() == ["two.jpg", name] and files(samples) == ["two.jpg", "sub/one.png"]


def test_the_path_goes_before_the_name_and_image_suffix_says_which_of_two_is_meant() -> None:
    assert files(predicted("id,label\na.png,x\n", "a.png", "sub/a.png")) == ["a.png"]
    assert files(predicted("id,label\nb,x\n", "b.png", "b.jpg", image_suffix="jpg")) == ["b.jpg"]


def test_an_id_that_fits_several_images_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^sample_submission\.csv: 1 id fits several images in test: a \(a\.jpg, a\.png\)$"):
        predicted("id,label\na,x\n", "a.png", "a.jpg")


def test_ids_without_an_image_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^sample_submission\.csv: 2 ids have no image in test: 7, \.\./a\.png$"):
        predicted("id,label\n7,x\na.png,x\n../a.png,x\n", "a.png")


def test_the_test_table_names_the_ids_with_and_without_a_template() -> None:
    Path("test.csv").write_text("name\nb.png\n", encoding="utf-8")
    assert predicted(None, "a.png", "b.png", test_csv="test.csv").ids.tolist() == ["b.png"]
    Path("test.csv").write_text("x,id\n1,a\n", encoding="utf-8")
    assert files(predicted("id,label\na,x\n", test_csv="test.csv")) == ["a.png"]


def test_folders_of_the_classes_names_are_answers_but_not_if_one_image_is_elsewhere() -> None:
    samples = predicted(None, "dog/1.png", "cat/deep/2.png", "dog/3.png")
    assert samples.ids.tolist() == ["cat/deep/2.png", "dog/1.png", "dog/3.png"]
    assert samples.targets is not None and samples.targets.tolist() == [0, 1, 1]
    assert predicted(None, "unknown/4.png").targets is None


def test_an_empty_test_folder_is_refused() -> None:
    Path("test").mkdir()
    with pytest.raises(OptionError) as caught:
        load_test(Data(source="folder"), HERE, classification("label", CLASSES))
    assert caught.value.args == ("data", "test_images", "test: no image is in it")


def test_nothing_is_written_to_the_folder() -> None:
    samples = train("cat/1.png", "dog/1.png")
    before = sorted(os.walk("train"))
    assert folder.load_train(Data(source="folder"), HERE).ids.tolist() == samples.ids.tolist()
    assert sorted(os.walk("train")) == before


@pytest.mark.parametrize("name", [b"\xff.png", b"a\rb.png"])
def test_names_that_no_table_can_hold_are_refused(name: bytes) -> None:
    touch("train/cat/1.png", "train/dog/1.png")
    Path(os.fsdecode(b"train/cat/" + name)).touch()
    with pytest.raises(DataError, match=r"^train: 1 file name is no UTF-8 text, or with a carriage return: 'cat/\S+'$") as caught:
        train()
    str(caught.value).encode()


def test_a_folder_that_cannot_be_read_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("train/cat/1.png", "train/cat/more/2.png", "train/dog/1.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="train/cat/more"):
        train()
