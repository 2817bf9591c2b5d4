"""Whole runs on pixels in tables, labels in paths, a file a channel, and pseudo labels: from the layout to the submission."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from modules.config.errors import OptionError
from modules.models.heads import adapt_stem
from modules.prediction.submission import find_output
from modules.runs.checkpoint import load_checkpoint
from tests.making import CLASSES, fast
from tests.scripts.running import read, refusal, run_inference, run_look, run_train
from tests.tiny import TINY

LEARNING = ("hyper_params.epochs=4", "hyper_params.learning_rate=3e-3")


@pytest.fixture(autouse=True)
def _nothing_but_overrides() -> None:
    Path("config.ini").touch()


@pytest.mark.slow
def test_pixels_in_tables_train_and_predict_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Digit Recognizer's layout: no id in train.csv, none in test.csv, 1-based ids in the template."""
    contest = tmp_path / "digits"
    contest.mkdir()
    rng = np.random.default_rng(0)

    def part(count: int) -> tuple[pd.DataFrame, list[int]]:
        labels = [row % 2 for row in range(count)]
        pixels = np.stack([rng.integers(0, 60, 144) + 180 * label for label in labels])
        return pd.DataFrame(pixels, columns=[f"pixel{number}" for number in range(144)]), labels

    train, labels = part(40)
    test, answers = part(10)
    train.assign(label=labels)[["label", *train.columns]].to_csv(contest / "train.csv", index=False)
    test.to_csv(contest / "test.csv", index=False)
    pd.DataFrame({"ImageId": range(1, 11), "Label": 0}).to_csv(contest / "sample_submission.csv", index=False)
    named = fast(contest, "data.pixel_columns=pixel", "data.test_csv=test.csv", "data.channels=1", "settings.run_name=f", *LEARNING)
    assert run_train(*named, "--check") == 0
    assert "40 to train with, 10 to predict" in capsys.readouterr().out
    assert run_train(*named, "--quiet") == 0
    assert run_inference(*named, "--quiet") == 0
    submission = read(Path("submissions/f.csv"))
    assert list(submission.columns) == ["ImageId", "Label"] and submission["ImageId"].tolist() == [str(row) for row in range(1, 11)]
    assert submission["Label"].tolist() == [str(answer) for answer in answers]
    assert run_look("data", *named) == 0
    (line,) = refusal(run_inference, [*named, "data.pixel_size=9, 16"], capsys)
    assert line.startswith("override data.pixel_size: 9, 16, but f was trained with blank; leave it out")
    train.loc[3, "pixel7"] = 99
    train.assign(label=labels).to_csv(contest / "train.csv", index=False)
    lines = refusal(run_train, [*named, "--resume", "f", "hyper_params.epochs=5"], capsys)
    assert "have changed since this run started" in lines[-1]


def test_a_pattern_over_paths_trains_folds_by_person_and_predicts_by_the_template(
    contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read(contest / "train.csv")
    for name, label, person in zip(table["id"], table["label"], table["person"], strict=True):
        (contest / "train" / person).mkdir(exist_ok=True)
        shutil.move(contest / "train" / f"{name}.png", contest / "train" / person / f"{label}.{name}.png")
    (contest / "train.csv").unlink()
    named = fast(contest, "data.source=folder", r"data.label_pattern=^(?P<group>p\d+)/(?P<label>\w+)\.", "settings.run_name=f")
    assert run_train(*named, "--quiet") == 0 and run_inference(*named, "--quiet") == 0
    oof = read(Path("runs/f/oof.csv"))
    people = oof["id"].str.split("/").str[0]
    assert len(oof) == 60 and oof.groupby(people)["fold"].nunique().eq(1).all(), "no person is in two folds"
    assert (oof["target"] == oof["id"].str.extract(r"/(\w+)\.", expand=False)).all() and set(oof["target"]) == set(CLASSES)
    assert read(Path("submissions/f.csv"))["id"].tolist() == [f"test_{row:03d}" for row in range(12)]
    lines = refusal(run_train, [*named, r"data.label_pattern=^(?P<label>cat|dog)\."], capsys)
    told = f"label_pattern finds no label in 60 of 60 paths: {', '.join(sorted(oof['id'])[:3])} and 57 more"
    assert lines == [f"override data.label_pattern: {contest / 'train'}: {told}"]


@pytest.mark.slow
def test_four_files_an_image_are_four_channels_from_pretrained_weights_to_the_submission(
    contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffixes = ("_red", "_green", "_blue", "_yellow")
    for path in [*contest.glob("train/*.png"), *contest.glob("test/*.png")]:
        pixels = np.array(Image.open(path))
        for suffix, channel in zip(suffixes, np.moveaxis(np.concatenate([pixels, pixels[..., :1]], axis=2), 2, 0), strict=True):
            Image.fromarray(channel).save(path.with_name(f"{path.stem}{suffix}.png"))
        path.unlink()
    weights = timm.create_model(TINY).state_dict()
    torch.save(weights, "weights.pth")
    four = ["data.channels=4", f"data.channel_suffixes={', '.join(suffixes)}", "augmentation.preset=heavy"]
    frozen = ["model.pretrained=weights.pth", "model.freeze=backbone"]
    named = fast(contest, *four, *frozen, "settings.run_name=f", "model.feature_cache=off")
    assert run_train(*named, "--quiet") == 0
    checkpoint = load_checkpoint(Path("runs/f/fold0/best.pt"))
    (stem,) = [name for name, tensor in checkpoint["model"].items() if tensor.ndim == 4 and tensor.shape[1] == 4]
    assert torch.equal(checkpoint["model"][stem], adapt_stem(weights[stem], 4)), "a frozen first layer is the pretrained one's"
    own = timm.get_pretrained_cfg(TINY)
    assert checkpoint["preprocessing"]["mean"] == pytest.approx([*own.mean, sum(own.mean) / 3])
    assert run_train(*named, "--resume", "f", "hyper_params.epochs=3", "--quiet") == 0
    assert run_inference(*named, "--quiet") == 0 and len(read(Path("submissions/f.csv"))) == 12
    swapped = f"data.channel_suffixes={', '.join(suffixes[::-1])}"
    (line,) = refusal(run_inference, [*named, swapped], capsys)
    assert line.startswith(f"override {swapped.replace('=', ': ')}, but f was trained with {', '.join(suffixes)}; ")
    assert run_look("data", *named) == 0 and run_look("export", "f", *named) == 0
    about = json.loads(Path("runs/f/export/model.json").read_text())
    assert about["channels"] == 4 and about["library_alone_builds_it"]
    (contest / "train/train_003_blue.png").unlink()
    capsys.readouterr()
    assert refusal(run_train, named[:-2], capsys) == [f"{contest / 'train/train_003_blue.png'}: no such file"]


def test_a_copy_never_takes_the_place_of_the_predictions() -> None:
    with pytest.raises(OptionError, match=r"submissions/predictions is the folder of predictions; name another file"):
        find_output(Path("submissions"), "predictions", [])


def test_the_predictions_beside_a_submission_are_pseudo_labels_of_the_next_run(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = fast(contest, "settings.run_name=first", *LEARNING)
    assert run_train(*first, "--quiet") == 0 and run_inference(*first, "--quiet") == 0
    table = read(Path("submissions/predictions/first.csv"))
    assert table["id"].tolist() == read(contest / "sample_submission.csv")["id"].tolist()
    confidence = table[[f"p:{name}" for name in CLASSES]].astype(float).max(axis=1)
    threshold = float(confidence.sort_values().iloc[6])
    named = fast(
        contest, "settings.run_name=second", "data.pseudo_labels=submissions/predictions/first.csv", f"data.pseudo_threshold={threshold}"
    )
    capsys.readouterr()
    assert run_train(*named, "--quiet") == 0
    err = capsys.readouterr().err.splitlines()
    taken = table[confidence >= threshold]
    (line,) = (line for line in err if line.startswith("pseudo_labels"))
    assert line.startswith(f"pseudo_labels: {len(taken)} test images train too, of 12")
    assert not [line for line in err if "in the test set" in line], "a test image is no copy of itself"
    folds = read(Path("runs/second/folds.csv"))
    assert folds[folds["fold"] == "-1"]["id"].tolist() == [f"pseudo:{name}" for name in taken["id"]]
    assert sorted(read(Path("runs/second/oof.csv"))["id"]) == [f"train_{row:03d}" for row in range(60)]
    assert json.loads(Path("runs/second/result.json").read_text())["oof"] is not None
    assert run_train(*named, "--resume", "second", "hyper_params.epochs=3", "--quiet") == 0
    changed = table.copy()
    row = int(taken.index[0])
    other = next(f"p:{name}" for name in CLASSES if name != table["prediction"][row])
    own = f"p:{table['prediction'][row]}"
    changed.loc[row, [own, other]] = table.loc[row, [other, own]].tolist()
    changed.to_csv("submissions/predictions/first.csv", index=False)
    lines = refusal(run_train, [*named, "--resume", "second", "hyper_params.epochs=4"], capsys)
    assert any("have changed since this run started" in line for line in lines)
