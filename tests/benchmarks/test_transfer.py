"""benchmarks/transfer.py, but for the training itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import transfer
from modules.config.reader import read_config


def row_of(name: str, recipe: str, seed: int) -> transfer.Row:
    return transfer.Row(name, recipe, seed, 0.9, 100.0, 120.5, 9.0, "2026-11-21", transfer.settings_of(recipe))


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "RECIPES", {"short": ("hyper_params.epochs=1",), "long": ("configs/photos.ini", "hyper_params.epochs=9")})
    monkeypatch.setattr(
        transfer, "EXPERIMENTS", {"a": [("photos", "short", (0, 1)), ("masks", "long", (0,))], "b": [("photos", "short", (1, 2))]}
    )


def test_rows_are_read_back_as_they_were_written(tmp_path: Path, experiments: None) -> None:
    rows = [row_of("photos", "short", 0), row_of("masks", "long", 3)]
    for row in rows:
        transfer.append_row(tmp_path / "rows.csv", row)
    assert transfer.read_rows(tmp_path / "rows.csv") == rows
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3


def test_runs_that_have_a_row_are_not_done_again(experiments: None) -> None:
    assert list(transfer.missing_runs(["a", "b"], [])) == [
        ("photos", "short", 0),
        ("photos", "short", 1),
        ("masks", "long", 0),
        ("photos", "short", 2),
    ]
    there = [row_of("photos", "short", 1), row_of("masks", "long", 0)]
    assert list(transfer.missing_runs(["a", "b"], there)) == [("photos", "short", 0), ("photos", "short", 2)]


def test_a_recipe_that_has_changed_is_run_again(experiments: None, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [row_of("photos", "short", seed) for seed in (1, 2)]
    monkeypatch.setitem(transfer.RECIPES, "short", ("hyper_params.epochs=2",))
    assert list(transfer.missing_runs(["b"], there)) == [("photos", "short", 1), ("photos", "short", 2)]


def test_a_recipes_own_settings_win_over_what_all_have_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ("data.image_size=64", "augmentation.train=HorizontalFlip(p=0.5)\nVerticalFlip(p=0.5)")
    monkeypatch.setitem(transfer.RECIPES, "own", own)
    ini, *overrides = transfer.arguments_of("own", tmp_path / "set", tmp_path / "images", tmp_path / "some.safetensors", 7)
    Path(ini).parent.mkdir()
    Path(ini).touch()
    config, warnings = read_config([ini], overrides)
    assert warnings == []
    assert config.data.image_size == (64, 64) and config.settings.seed == 7 and config.split.method == "none"
    assert config.augmentation.train is not None and len(config.augmentation.train.calls) == 2
    assert config.model.pretrained == str(tmp_path / "some.safetensors")


@pytest.mark.parametrize("recipe", transfer.RECIPES)
def test_every_recipe_is_read(tmp_path: Path, recipe: str) -> None:
    (tmp_path / "plain.ini").write_text(transfer.PLAIN_INI)
    inis = [argument for argument in transfer.arguments_of(recipe, tmp_path, tmp_path, tmp_path, 0) if argument.endswith(".ini")]
    overrides = [argument for argument in transfer.arguments_of(recipe, tmp_path, tmp_path, tmp_path, 0) if not argument.endswith(".ini")]
    assert len(inis) == 1
    read_config(inis, overrides)


def test_every_experiment_names_recipes_that_there_are() -> None:
    for runs in transfer.EXPERIMENTS.values():
        assert {recipe for _, recipe, _ in runs} <= set(transfer.RECIPES)


def test_fewer_photos_are_drawn_evenly_and_the_test_photos_stay(tmp_path: Path) -> None:
    for part, count in (("train", 30), ("test", 4)):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                (tmp_path / part / label / f"{number}.jpg").touch()
    train, test = transfer.photos(tmp_path, 0, 20)
    assert [label for _, label in train].count("cat") == 10 and len(set(train)) == 20
    assert all(file.startswith(f"train/{label}/") for file, label in train)
    assert len(test) == 8 and all(file.startswith("test/") for file, _ in test)
    assert transfer.photos(tmp_path, 0, 20) == (train, test) and transfer.photos(tmp_path, 1, 20)[0] != train
    assert len(transfer.photos(tmp_path, 0, 60)[0]) == 60


def test_nobody_is_in_both_parts_of_the_masks(tmp_path: Path) -> None:
    people = {f"{number}.jpg": f"p{number // 3}" if number < 60 else "" for number in range(120)}
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [(name, "bare" if person else "mask", person) for name, person in people.items()]
        csv.writer(file).writerows([("file", "label", "person"), *rows])
    train, test = transfer.masks(tmp_path, 0)
    names = [{Path(file).name for file, _ in part} for part in (train, test)]
    assert names[0] | names[1] == set(people) and not names[0] & names[1]
    assert not {people[name] for name in names[0]} & {people[name] for name in names[1]} - {""}
    assert 30 <= len(test) <= 42 and 15 <= [label for _, label in test].count("bare") <= 21
    assert transfer.masks(tmp_path, 1) != (train, test)
