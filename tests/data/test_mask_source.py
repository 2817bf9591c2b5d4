"""source = mask: the layout as it is on disk, its 18 classes, and what is wrong with it told at once."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modules.config.errors import DataError, OptionError, UserError
from modules.config.schema import Data, Split
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.sources import as_laid_out, declared_folds, id_column, load_test, load_train, template_path
from modules.data.sources.mask import TASK
from modules.data.splits import make_folds, resolve_method
from tests.mask_layout import FILES, TWICE, make_mask_contest
from tests.scripts.running import read

# Of 60 people, 30 men and 30 women, as many of each age: 10 under 30, 14 under 60, 6 of 60; under 58 they are 10 and 10.
COUNTS = [50, 70, 30, 50, 70, 30, 10, 14, 6, 10, 14, 6, 10, 14, 6, 10, 14, 6]
COUNTS_58 = [50, 50, 50, 50, 50, 50, *[10] * 12]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return make_mask_contest(tmp_path / "mask", test=6, size=9)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return make_mask_contest(tmp_path / "few", people=8, test=3, size=9)


def load(folder: Path, **options: Any) -> Samples:
    return load_train(Data(source="mask", **options), folder)


def classes_of(samples: Samples) -> dict[str, str]:
    assert samples.targets is not None
    return {str(name): samples.task.classes[target] for name, target in zip(samples.ids, samples.targets, strict=True)}


def change(folder: Path, line: int, **cells: str) -> None:
    table = read(folder / "train/train.csv")
    for name, cell in cells.items():
        table.loc[line - 2, name] = cell
    table.to_csv(folder / "train/train.csv", index=False)


def told(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(folder, **options)
    return [line.replace(str(folder), "HERE") for line in caught.value.lines]


def test_sixty_people_have_seven_images_each_and_these_counts_of_the_18_classes(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = load(people)
    assert len(samples) == 420 and samples.task.classes == tuple(str(number) for number in range(18))
    assert np.bincount(samples.targets, minlength=18).tolist() == COUNTS  # type: ignore[arg-type]
    assert capsys.readouterr().err == "", "hidden files are nothing to warn of"


def test_the_class_of_each_image_is_what_the_table_and_its_name_say(people: Path) -> None:
    found, table = classes_of(load(people)), read(people / "train/train.csv")
    for row in table.to_dict("records"):
        age = int(row["age"])
        for name, label in ((name, label) for name, label in found.items() if name.startswith(row["path"] + "/")):
            stem = name.split("/")[1].split(".")[0]
            mask = {"incorrect_mask": 1, "normal": 2}.get(stem, 0)
            assert int(label) == 6 * mask + 3 * (row["gender"] == "female") + (age >= 30) + (age >= 60), name
    assert len(found) == 7 * len(table)


def test_every_image_is_there_in_the_order_of_the_table_whatever_its_suffix(few: Path) -> None:
    samples, table = load(few), read(few / "train/train.csv")
    assert isinstance(samples.images, ImageFiles) and not any(samples.images.header_faults())
    assert [name.split(".")[0] for name in samples.ids] == [f"{path}/{file}" for path in table["path"] for file in FILES]
    assert {Path(name).suffix for name in samples.ids} == {".jpg", ".jpeg", ".png", ".JPG"}
    assert [samples.images.name(row) for row in range(len(samples))] == samples.ids.tolist()


def test_an_id_that_occurs_twice_is_two_people(few: Path) -> None:
    samples, table = load(few), read(few / "train/train.csv")
    assert samples.groups is not None and (table["id"] == TWICE).sum() == 2
    assert Counter(samples.groups.tolist()) == dict.fromkeys(table["path"], 7)


def test_a_boundary_of_58_moves_exactly_those_of_58_and_59(people: Path) -> None:
    before, after = classes_of(load(people)), classes_of(load(people, age_boundary=58))
    moved = {name for name, label in before.items() if after[name] != label}
    ages = read(people / "train/train.csv").set_index("path")["age"]
    assert moved == {name for name in before if ages[name.split("/")[0]] in ("58", "59")} and len(moved) == 8 * 7
    assert all(int(after[name]) == int(before[name]) + 1 for name in moved)
    assert np.bincount(load(people, age_boundary=58).targets).tolist() == COUNTS_58  # type: ignore[arg-type]


@pytest.mark.parametrize("age_boundary", [60, 58])
def test_no_person_is_in_two_folds_and_each_fold_has_each_class(people: Path, age_boundary: int) -> None:
    samples = load(people, age_boundary=age_boundary)
    assert samples.groups is not None and samples.targets is not None
    assert resolve_method(Split(), samples) == "stratified_group"
    folds = make_folds(samples, Split(), 42)
    homes: dict[str, set[int]] = {}
    for fold in folds:
        for person in samples.groups[fold.valid_rows].tolist():
            homes.setdefault(person, set()).add(fold.number)
        assert not set(samples.groups[fold.train_rows]) & set(samples.groups[fold.valid_rows])
        assert set(samples.targets[fold.valid_rows].tolist()) == set(range(18))
    assert len(folds) == 5 and len(homes) == 60 and {len(numbers) for numbers in homes.values()} == {1}


def test_all_18_classes_are_there_though_nobody_is_old_and_folds_say_who_is_missing(few: Path) -> None:
    samples = load(few, age_boundary=120)
    assert len(samples.task.classes) == 18
    with pytest.raises(OptionError, match=r"2 folds need 2 samples of every class; too few of 1 \(0\), 2 \(0\), 4 \(0\)"):
        make_folds(samples, Split(folds=2), 42)


def test_a_fold_column_is_of_people(few: Path) -> None:
    table = read(few / "train/train.csv")
    table.assign(part=[str(row % 2) for row in range(len(table))]).to_csv(few / "train/train.csv", index=False)
    samples = load(few)
    assert declared_folds(Data(source="mask"), few, "part", samples).tolist() == [str(row % 2) for row in range(8) for _ in range(7)]


def test_the_test_set_is_in_the_order_of_info_csv_and_not_of_the_folder(people: Path) -> None:
    data = Data(source="mask")
    test = load_test(data, people, TASK)
    listed = sorted(path.name for path in (people / "eval/images").glob("[!.]*"))
    assert test.ids.tolist() == read(people / "eval/info.csv")["ImageID"].tolist() != listed
    assert sorted(test.ids) == listed and test.targets is None
    assert isinstance(test.images, ImageFiles) and test.images.path(0) == people / "eval/images" / test.ids[0]
    assert id_column(data, people) == "ImageID" and template_path(data, people) == people / "eval/info.csv"


def test_places_of_ones_own_count_before_the_usual_ones(few: Path) -> None:
    (few / "eval").rename(few / "hidden")
    (few / "train/images").rename(few / "photographs")
    (few / "train/train.csv").rename(few / "people.csv")
    places = {"test_images": "hidden/images", "sample_submission": "hidden/info.csv"}
    data = Data(source="mask", train_csv="people.csv", train_images="photographs", label_columns=("truth",), **places)
    assert as_laid_out(data) == data
    assert len(load_train(data, few)) == 56 and len(load_test(data, few, TASK)) == 3
    assert as_laid_out(Data(source="csv")) == Data(source="csv"), "other sources keep theirs"


def test_everything_that_is_wrong_is_told_at_once(few: Path) -> None:
    images = few / "train/images"
    shutil.rmtree(images / "000015_female_Asian_28")
    (images / "000001_male_Asian_18/mask1.jpg").unlink()
    (images / "000001_male_Asian_18/normal.jpg").unlink()
    shutil.copy(images / "000011_female_Asian_25/normal.jpg", images / "000011_female_Asian_25/normal.png")
    change(few, 3, gender="femal", age="121")
    change(few, 5, gender="", age="old")
    change(few, 6, age="-1")
    states = "mask1, mask2, mask3, mask4, mask5, incorrect_mask, normal"
    assert told(few) == [
        "HERE/train/images: no folder of 1 person of train.csv: 000015_female_Asian_28",
        "HERE/train/images: 1 photograph is there more than once: 000011_female_Asian_25/normal.jpg and normal.png",
        f"HERE/train/images: 2 photographs are missing, of {states}: 000001_male_Asian_18/mask1, 000001_male_Asian_18/normal;"
        " [data] bad_images = skip goes without them",
        "HERE/train/train.csv, column 'gender': expected male or female, or 0 to 1; 2 cells are not: 'femal' in line 3, '' in line 5",
        "HERE/train/train.csv, column 'age': expected whole years from 0 to 120; 3 cells are not:"
        " '121' in line 3, 'old' in line 5, '-1' in line 6",
    ]


def test_a_folder_of_another_name_is_the_nearest_and_one_in_no_row_is_left_out(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = few / "train/images/000001_male_Asian_18"
    home.rename(home.with_name("000001_male_Asian_81"))
    assert told(few) == ["HERE/train/images: no folder of 1 person of train.csv: 000001_male_Asian_18 (did you mean 000001_male_Asian_81?)"]
    shutil.copytree(home.with_name("000001_male_Asian_81"), home)
    (home / "mask6.jpg").touch()
    (home / "notes.txt").touch()
    assert len(load(few)) == 56
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[-1] for line in warnings] == [f"{home.name}/mask6.jpg, {home.name}/notes.txt", "000001_male_Asian_81"]
    assert all(line.startswith("warning: ") for line in warnings)


def test_missing_photographs_are_gone_without_where_bad_images_are_skipped(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (few / "train/images/000001_male_Asian_18/mask1.jpg").unlink()
    samples = load(few, bad_images="skip")
    assert len(samples) == 55 and classes_of(samples)["000001_male_Asian_18/incorrect_mask.jpg"] == "6"
    assert "1 photograph is missing" in capsys.readouterr().err


def test_a_person_in_two_rows_and_paths_out_of_the_folder_are_refused(few: Path) -> None:
    change(few, 3, path="000001_male_Asian_18")
    assert told(few) == ["HERE/train/train.csv, column 'path': 1 id stands more than once: '000001_male_Asian_18' in lines 2 and 3"]
    shutil.copytree(few / "train/images/000001_male_Asian_18", few / "train/elsewhere")
    change(few, 3, path="../elsewhere")
    with pytest.raises(DataError, match="7 image paths lead out of the folder"):
        load(few)


@pytest.mark.parametrize("spelt", ["{}/", "./{}", "x/../{}"])
def test_a_person_in_two_rows_is_refused_however_the_folder_is_spelt(few: Path, spelt: str) -> None:
    table = read(few / "train/train.csv")
    (few / "train/images/x").mkdir()
    person = table["path"][0]
    pd.concat([table, table[:1].assign(path=spelt.format(person))]).to_csv(few / "train/train.csv", index=False)
    same = f"'{person}' and '{spelt.format(person)}'"
    assert told(few) == [f"HERE/train/train.csv, column 'path': 1 folder stands more than once: {same}"]


def test_a_missing_column_table_or_folder_is_one_line(few: Path) -> None:
    table = read(few / "train/train.csv")
    table.rename(columns={"age": "years"}).to_csv(few / "train/train.csv", index=False)
    assert told(few) == ["[data] train_csv: train.csv has no column 'age' (did you mean race?); it has id, gender, race, years, path"]
    table.to_csv(few / "train/train.csv", index=False)
    assert told(few, train_images="train/image") == ["[data] train_images: HERE/train/image: no such folder (did you mean images?)"]
    (few / "train/train.csv").unlink()
    assert told(few) == ["[data] train_csv: HERE/train/train.csv: no such file; HERE/train has no .csv"]


def test_ages_of_tables_with_a_gap_and_words_in_capitals_are_read(few: Path) -> None:
    before = classes_of(load(few))
    change(few, 2, age="18.0", gender=" Male ")
    assert classes_of(load(few)) == before


CORRECTIONS = """path,gender,age,mask,why
000001_male_Asian_18,female,60,,the folder is wrong
000001_male_Asian_18/mask2.jpg,male,,,but this one
000003_female_Asian_18/incorrect_mask.jpg,,,none,swapped
000003_female_Asian_18/normal.jpeg,,,1,swapped
000013_male_Asian_28,,29,,still young
"""


def test_people_and_images_are_corrected_and_the_changes_counted(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = classes_of(load(few))
    (few / "fix.csv").write_text(CORRECTIONS, encoding="utf-8")
    after = classes_of(load(few, corrections="fix.csv"))
    person = "000001_male_Asian_18/"
    swapped = {"000003_female_Asian_18/incorrect_mask.jpg": "15", "000003_female_Asian_18/normal.jpeg": "9"}
    expected = {f"{person}mask{number}": "5" for number in range(1, 6)} | {f"{person}incorrect_mask": "11", f"{person}normal": "17"}
    changed = {name: label for name, label in after.items() if before[name] != label}
    own = {name.rpartition(".")[0]: label for name, label in changed.items() if name.startswith(person)}
    assert own == {**expected, f"{person}mask2": "2"}
    assert {name: changed[name] for name in changed if not name.startswith(person)} == swapped
    assert capsys.readouterr().err == f"{few}/fix.csv: 9 labels of 56 changed, by 5 rows\n"


def test_corrections_of_nobody_to_nothing_and_twice_are_told(few: Path) -> None:
    def fails(text: str) -> list[str]:
        (few / "fix.csv").write_text(text, encoding="utf-8")
        return told(few, corrections="fix.csv")

    assert fails("path,age\n000001_male_Asian_19,20\n000001_male_Asian_18/mask1.gif,20\n") == [
        "HERE/fix.csv: 2 rows are of no person's folder and no FOLDER/FILE: '000001_male_Asian_19' (did you mean 000001_male_Asian_18?),"
        " '000001_male_Asian_18/mask1.gif' (did you mean 000001_male_Asian_18/mask1.jpg?)"
    ]
    assert fails("path,age\n000001_male_Asian_18,20\n000001_male_Asian_18,21\n") == [
        "HERE/fix.csv, column 'path': 1 id stands more than once: '000001_male_Asian_18' in lines 2 and 3"
    ]
    assert fails("path,age,mask,gender\n000001_male_Asian_18,200,off,woman\n") == [
        "HERE/fix.csv, column 'mask': expected worn or incorrect or none, or 0 to 2; 1 cell is not: 'off' in line 2",
        "HERE/fix.csv, column 'gender': expected male or female, or 0 to 1; 1 cell is not: 'woman' in line 2",
        "HERE/fix.csv, column 'age': expected whole years from 0 to 120; 1 cell is not: '200' in line 2",
    ]
    assert fails("path,gendre\n000001_male_Asian_18,female\n") == [
        "[data] corrections: fix.csv: expected columns of mask, gender, age with what they should be; it has gendre (did you mean gender?)"
    ]
    assert fails("id,age\n000001,20\n")[0].startswith("[data] corrections: fix.csv has no column 'path'")
    assert told(few, corrections="fixes.csv") == [
        "[data] corrections: HERE/fixes.csv: no such file; HERE has answers.csv, fix.csv (did you mean fix.csv?)"
    ]


def test_the_table_may_be_as_large_as_the_contests(tmp_path: Path) -> None:
    """2,700 people: only names are looked at, no image is opened. The first one's folder stands for all: 18,900 files take long to make."""
    rows = [f"{number:06d}_male_Asian_{18 + number % 43}" for number in range(2700)]
    (tmp_path / "train/images" / rows[0]).mkdir(parents=True)
    for name in FILES:
        (tmp_path / "train/images" / rows[0] / f"{name}.jpg").touch()
    for path in rows[1:]:
        (tmp_path / "train/images" / path).symlink_to(rows[0])
    table = pd.DataFrame({"id": "1", "gender": "male", "race": "Asian", "age": [path.rpartition("_")[2] for path in rows], "path": rows})
    table.to_csv(tmp_path / "train/train.csv", index=False)
    assert len(load(tmp_path)) == 18900
