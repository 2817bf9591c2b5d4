"""docs/contests.md: each INI, on a generated copy of its contest, to a submission that the contest takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm

from modules.data.transforms import check_pipeline, make_train_pipeline
from modules.models.names import check_name
from tests.contests.__main__ import main
from tests.contests.entering import enter, overview, sections, settings_of
from tests.contests.layouts import CONTESTS, Copy

TITLES = list(sections())
# Of a form that another one of the list has; `python -m tests.contests` and --runslow enter all.
LIKE_OTHERS = {
    "Cassava Leaf Disease",
    "RANZCR CLiP",
    "Dog Breed Identification",
    "iMet 2020",
    "DACON crop disease",
    "Upstage document types",
}


def test_every_section_has_an_ini_a_contest_and_a_line_of_the_table_and_they_agree(tmp_path: Path) -> None:
    assert list(overview()) == TITLES and list(CONTESTS) == TITLES
    for title, cells in overview().items():
        config = settings_of(title, tmp_path)
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        assert cells[:3] == [anchor, config.data.task, config.hyper_params.metric], title


@pytest.mark.parametrize("title", TITLES)
def test_the_model_and_the_augmentation_of_a_block_are_there_as_large_as_it_says(title: str, tmp_path: Path) -> None:
    config = settings_of(title, tmp_path)
    check_name(config.model)
    assert config.model.pretrained is False or timm.is_model_pretrained(config.model.name)
    size, channels = config.data.image_size, config.data.channels
    check_pipeline(make_train_pipeline(config.augmentation, size, channels), "train", size, channels)


def test_those_that_are_like_others_are_contests_of_the_list() -> None:
    assert set(TITLES) > LIKE_OTHERS and len(set(TITLES) - LIKE_OTHERS) >= 15


@pytest.mark.parametrize("title", [pytest.param(title, marks=[pytest.mark.slow] * (title in LIKE_OTHERS)) for title in TITLES])
def test_the_ini_of_a_contest_leads_to_a_submission_that_it_takes(title: str, tmp_path: Path) -> None:
    entry = enter(CONTESTS[title], tmp_path)
    assert entry.faults == []
    assert entry.right > CONTESTS[title].chance, "the images tell the answers, so rows or columns are mixed up"


@pytest.mark.parametrize("title", TITLES)
def test_a_copy_has_its_rows_in_another_order_than_its_files(title: str, tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    CONTESTS[title].make(copy)
    assert list(copy.answers) != sorted(copy.answers) and len(copy.answers) >= 12


@pytest.mark.slow
def test_the_command_prints_a_line_a_contest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cassava"]) == 0
    header, row, last = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["contest", "task", "metric", "score"]
    assert row.startswith("Cassava Leaf Disease") and " yes " in row and last == "1 contests, 0 not valid"
