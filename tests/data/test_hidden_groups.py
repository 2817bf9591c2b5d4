"""Ids that begin with a person are seen; ids that only have a shape are not."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter

import numpy as np
import pytest

from modules.data.hidden_groups import describe_hidden_groups, find_prefixes
from modules.data.splits import Fold

COUNT = 240


def binary(count: int = COUNT) -> list[str]:
    return [("no", "yes")[row % 2] for row in range(count)]


GROUPED = {
    "patient and view": ([f"patient{row // 4}_view{row % 4}" for row in range(COUNT)], "patient7", 4),
    "zero-padded and a suffix": ([f"{row // 3:06d}-{row % 3}.jpg" for row in range(COUNT)], "000007", 3),
    "folders": ([f"subj{row // 6:02d}/img{row % 6}.jpg" for row in range(COUNT)], "subj07", 6),
    "a class's folder first": ([f"{('no', 'yes')[row % 2]}/p{row // 8}/{row:04d}.png" for row in range(COUNT)], "no/p7", 4),
    "hospital, patient, view": ([f"h{row // 80}_p{row // 5}_v{row % 5}.dcm" for row in range(COUNT)], "h0_p7", 5),
    "patient before side before view": ([f"p{row // 8}_{'LR'[row % 2]}_{row}" for row in range(COUNT)], "p7", 8),
    "some have no suffix": ([f"{row // 2:05d}" + (f"-{row % 2}" if row % 2 else "") for row in range(COUNT)], "00007", 2),
    "tracks": ([f"{row % 2:05d}/{row // 12:05d}_{row % 12:05d}.ppm" for row in range(COUNT)], "00001/00007", 6),
    "date and camera": ([f"2021-03-{row // 10 + 1:02d} cam{row % 10}.jpeg" for row in range(COUNT)], "2021-03-07", 10),
}
BREEDS = [f"breed{row % 30}" for row in range(COUNT)]
NOT_GROUPED: dict[str, tuple[list[str], list[str]]] = {
    "a counter behind a word": ([f"train_{row:05d}" for row in range(COUNT)], binary()),
    "a counter": ([f"{row:06d}.jpg" for row in range(COUNT)], binary()),
    "numbers": ([str(row) for row in range(COUNT)], binary()),
    "digests": ([hashlib.sha1(str(row).encode()).hexdigest() + ".jpg" for row in range(COUNT)], binary()),
    "uuids": ([str(uuid.uuid5(uuid.NAMESPACE_OID, str(row))) for row in range(COUNT)], binary()),
    "dots": ([f"1.2.840.{row * 7919 % 1000}.{row}" for row in range(COUNT)], binary()),
    "two class names": ([f"{('cat', 'dog')[row % 2]}.{row}.jpg" for row in range(COUNT)], binary()),
    "thirty class names": ([f"{breed}_{row}.jpg" for row, breed in enumerate(BREEDS)], BREEDS),
    "thirty codes of classes": ([f"n{int(breed[5:]) * 77:08d}_{row}.jpg" for row, breed in enumerate(BREEDS)], BREEDS),
    "thirty class folders": ([f"{breed}/{row}.jpg" for row, breed in enumerate(BREEDS)], BREEDS),
    "class folders, names with the class": ([f"{breed}/{breed}_{row}.jpg" for row, breed in enumerate(BREEDS)], BREEDS),
    "a handful of kinds": ([f"camera{row % 5}_{row:04d}" for row in range(COUNT)], binary()),
    "each alone": ([f"patient{row}_view0" for row in range(COUNT)], binary()),
    "one holds nearly all": ([f"a_{row}" if row < 100 else f"p{row // 4}_{row}" for row in range(COUNT)], binary()),
    "few share": ([f"p{row // 2 if row < 60 else row}_x{row}" for row in range(COUNT)], binary()),
    "folders by the first letters": ([f"{row // 12:02d}/{row // 12:02d}{row:05d}.jpg" for row in range(COUNT)], binary()),
    "parts of a download": ([f"part{row // 12}/{row}.jpg" for row in range(COUNT)], binary()),
}


@pytest.mark.parametrize(("ids", "example", "size"), GROUPED.values(), ids=GROUPED)
def test_the_beginnings_are_the_groups(ids: list[str], example: str, size: int) -> None:
    prefixes = find_prefixes(ids, binary())
    assert prefixes is not None and Counter(prefixes)[example] == size


@pytest.mark.parametrize(("ids", "labels"), NOT_GROUPED.values(), ids=NOT_GROUPED)
def test_what_is_no_group_is_not_told(ids: list[str], labels: list[str]) -> None:
    assert find_prefixes(ids, labels) is None


def test_people_of_one_class_each_are_groups_where_a_class_has_many() -> None:
    ids = [f"{('cat', 'dog')[row // 120]}_{row // 4}_{row % 4}" for row in range(COUNT)]
    labels = [("cat", "dog")[row // 120] for row in range(COUNT)]
    assert Counter(find_prefixes(ids, labels) or [])["cat_7"] == 4


def test_the_line_has_three_examples_and_none_is_told_where_folds_keep_them_whole() -> None:
    ids = [f"p{row // 4:02d}_{row % 4}" for row in range(80)] + [f"x{row}" for row in range(20)]
    rows = np.arange(100)
    torn = (Fold(0, rows[rows % 2 == 0], rows[rows % 2 == 1]),)
    line = describe_hidden_groups("ids", ids, binary(100), torn)
    assert (
        line == "ids look like groups that folds tear: 20 beginnings are shared, such as p00 (4 samples), p01 (4 samples), p02 (4 samples)"
    )
    whole = (Fold(0, rows[rows // 4 % 2 == 0], rows[rows // 4 % 2 == 1]),)
    assert describe_hidden_groups("ids", ids, binary(100), whole) is None
