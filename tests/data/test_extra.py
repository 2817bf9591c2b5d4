"""extra_csv: rows behind the others, marked, of known classes and with ids of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modules.config.errors import DataError, OptionError
from modules.config.schema import Data
from modules.data.images import ImageFiles
from modules.data.samples import Samples
from modules.data.sources import load_train
from tests.making import make_contest

HERE = Path()


def contest(extra: str, **options: Any) -> Samples:
    Path("train.csv").write_text("id,label,who\nb,dog,p\na,cat,q\n", encoding="utf-8")
    Path("sample_submission.csv").write_text("id,label\nt1,a\n", encoding="utf-8")
    Path("extra.csv").write_text(extra, encoding="utf-8")
    return load_train(Data(source="csv", extra_csv="extra.csv", **options), HERE)


def test_extra_rows_come_behind_the_others_and_are_marked() -> None:
    samples = contest("label,who,id\ncat,p,x\ndog,r,y\n", group_column="who", extra_images="more", image_suffix="png")
    assert samples.ids.tolist() == ["b", "a", "x", "y"] and samples.task.classes == ("cat", "dog")
    assert samples.targets is not None and samples.groups is not None and samples.extra is not None
    assert samples.targets.tolist() == [1, 0, 0, 1] and samples.groups.tolist() == ["p", "q", "p", "r"]
    assert samples.extra.tolist() == [False, False, True, True]
    taken = samples.take(samples.extra.nonzero()[0])
    assert taken.ids.tolist() == ["x", "y"] and taken.extra is not None and taken.extra.all()


def test_without_extra_csv_nothing_is_marked(tmp_path: Path) -> None:
    assert load_train(Data(source="csv"), make_contest(tmp_path / "made", train=6, test=3)).extra is None


@pytest.mark.parametrize("linked", [False, True])
def test_extra_images_are_found_in_their_folder_though_the_others_folder_be_a_link(linked: bool, tmp_path: Path) -> None:
    Path("more").mkdir()
    Path("more/x.png").write_bytes(b"extra")
    Path("train.csv").touch()
    if linked:
        (tmp_path / "far" / "away").mkdir(parents=True)
        Path("train").symlink_to(tmp_path / "far" / "away")
    else:
        Path("train").mkdir()
    (Path("train") / "b.png").write_bytes(b"own")
    samples = contest("id,label,who\nx,dog,p\n", extra_images="more", image_suffix="png")
    assert isinstance(samples.images, ImageFiles)
    assert [samples.images.path(row).read_bytes() for row in (0, 2)] == [b"own", b"extra"]


def test_extra_images_are_those_of_training_where_no_folder_is_named() -> None:
    samples = contest("id,label,who\nx,dog,p\n")
    assert isinstance(samples.images, ImageFiles) and samples.images.path(2) == Path("train/x")


def test_labels_that_no_training_sample_has_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^extra\.csv: labels that no training sample has: 'Dog', 'eel' \(did you mean dog\?\)$"):
        contest("id,label,who\nx,eel,p\ny,Dog,p\nz,cat,p\n")


def test_ids_of_training_samples_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^extra\.csv: 2 ids are of training samples too: a, b$"):
        contest("id,label,who\na,cat,p\nb,dog,p\nz,cat,p\n")


def test_a_missing_group_column_blank_groups_and_paths_out_of_the_folder_are_refused() -> None:
    with pytest.raises(OptionError, match=r"extra\.csv has no column 'who'"):
        contest("id,label\nx,cat\n", group_column="who")
    with pytest.raises(
        DataError, match=r"^extra\.csv: 1 cell is blank in group_column 'who', in line 2; give each a name of its own, such as its id$"
    ):
        contest("id,label,who\nx,cat,\n", group_column="who")
    with pytest.raises(DataError, match=r"^more: 1 image path leads out of the folder: '\.\./x'$"):
        contest("id,label,who\n../x,cat,p\n", extra_images="more")


def test_a_folder_of_classes_takes_extra_rows_from_a_table_too() -> None:
    for name in ("cat", "dog"):
        Path("train", name).mkdir(parents=True)
        Path("train", name, "1.png").touch()
    Path("extra.csv").write_text("id,label\nsub/9.png,dog\n", encoding="utf-8")
    samples = load_train(Data(source="folder", extra_csv="extra.csv", extra_images="more"), HERE)
    assert samples.ids.tolist() == ["cat/1.png", "dog/1.png", "sub/9.png"] and samples.extra is not None and samples.extra.sum() == 1
    assert isinstance(samples.images, ImageFiles) and samples.images.path(2).resolve() == Path("more/sub/9.png").resolve()
