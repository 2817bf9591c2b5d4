"""The practice contest: scikit-learn's digits as files, written once and never over anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from modules.config.errors import OptionError
from modules.config.schema import Data
from modules.data.sources import contest_folder, csv, digits, load_test, load_train
from modules.data.task import classification


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write_contest(tmp_path_factory.mktemp("practice") / "data" / "digits")


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder in it, with what changes when it is written."""
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in sorted(folder.rglob("*"))}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


def rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_files_are_laid_out_as_those_of_any_csv_contest(written: Path) -> None:
    assert sorted(entry.name for entry in written.iterdir()) == [
        "answers.csv",
        "sample_submission.csv",
        "test",
        "test.csv",
        "train",
        "train.csv",
    ]
    assert [entry.name for entry in written.parent.iterdir()] == ["digits"], "no draft is left"
    train, test = rows(written / "train.csv"), rows(written / "test.csv")
    assert list(train.columns) == ["id", "label"] and list(test.columns) == ["id"] and (len(train), len(test)) == (1437, 360)
    for part, table in (("train", train), ("test", test)):
        assert sorted(table["id"]) == sorted(file.name for file in (written / part).iterdir())
    assert not set(train["id"]) & set(test["id"]) and len(set(train["id"]) | set(test["id"])) == 1797
    template, answers = rows(written / "sample_submission.csv"), rows(written / "answers.csv")
    assert list(template.columns) == list(answers.columns) == ["id", "label"]
    assert list(template["id"]) == list(answers["id"]) == list(test["id"]) and set(template["label"]) == {"0"}


def test_pixels_and_labels_are_those_of_scikit_learn(written: Path) -> None:
    source = load_digits()
    expected = np.floor(source.images * 255 / 16 + 0.5).astype(np.uint8)
    answers = pd.concat([rows(written / "train.csv"), rows(written / "answers.csv")]).set_index("id")["label"]
    for part in ("train", "test"):
        for file in (written / part).iterdir():
            row = int(file.stem)
            with Image.open(file) as image:
                assert image.mode == "L" and image.format == "PNG"
                assert np.array_equal(np.asarray(image), expected[row]), file
            assert answers[file.name] == str(source.target[row]), file
    assert expected.max() == 255 and expected.min() == 0


def test_every_digit_has_its_share_of_the_test_set(written: Path) -> None:
    everything = np.bincount(load_digits().target)
    test = np.bincount(rows(written / "answers.csv")["label"].astype(int))
    assert np.abs(test - everything * 360 / 1797).max() <= 1


def test_a_second_call_writes_nothing(written: Path) -> None:
    before = snapshot(written.parent)
    assert digits.write_contest(written) == written
    assert snapshot(written.parent) == before


def test_a_folder_that_holds_the_contest_in_digits_is_left_as_it_is(written: Path) -> None:
    before = snapshot(written.parent)
    assert digits.write_contest(written.parent) == written
    assert contest_folder(Data(source="digits"), str(written.parent)) == written
    assert snapshot(written.parent) == before


def test_an_empty_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_write", make_names)
    (tmp_path / "empty").mkdir()
    assert digits.write_contest(tmp_path / "empty") == tmp_path / "empty"
    assert sorted(entry.name for entry in (tmp_path / "empty").iterdir()) == sorted(digits.FILES)


def make_names(folder: Path) -> None:
    folder.mkdir()
    for name in digits.FILES:
        (folder / name).touch()


def test_a_folder_with_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "train.csv"):
        (folder / name).write_text("precious", encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(OptionError) as caught:
        digits.write_contest(folder)
    message = f"{folder} holds something else (a.txt, b.txt, sub and 1 more); name an empty or a new folder for the practice contest"
    assert caught.value.args == ("settings", "data_path", message)
    assert snapshot(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("precious", encoding="utf-8")
    with pytest.raises(OptionError, match=r"holds something else \(a file\); name an empty or a new folder"):
        digits.write_contest(tmp_path / "digits")
    assert (tmp_path / "digits").read_text(encoding="utf-8") == "precious"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        make_names(folder)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(digits, "_write", fail)
    with pytest.raises(OSError, match="No space left on device"):
        digits.write_contest(tmp_path / "new" / "digits")
    assert list((tmp_path / "new").iterdir()) == []


def test_where_another_process_was_first_its_contest_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "digits"

    def write_while_another_does(draft: Path) -> None:
        make_names(draft)
        make_names(folder)

    monkeypatch.setattr(digits, "_write", write_while_another_does)
    assert digits.write_contest(folder) == folder
    assert [entry.name for entry in tmp_path.iterdir() if entry.name not in ("here", "digits")] == []


def test_the_csv_source_reads_the_contest(written: Path) -> None:
    data = Data(source="digits", test_csv="test.csv")
    train, test = load_train(data, written), load_test(data, written, classification("label", tuple("0123456789")))
    assert train.task.classes == tuple("0123456789") and (len(train), len(test)) == (1437, 360)
    assert train.targets is not None
    target = load_digits().target
    assert all(target[int(Path(name).stem)] == label for name, label in zip(train.images.files, train.targets, strict=True))
    assert all(test.images.path(row).is_file() for row in range(len(test)))
    assert csv.id_column(data, written) == "id"


def test_the_current_folder_is_no_place_for_the_contest() -> None:
    with pytest.raises(OptionError, match="the current folder; name one of its own"):
        digits.write_contest(Path("."))
    assert not list(Path().iterdir())
