"""Every row's prediction stays with its id: tables, template and folder are shuffled, and a model says which image it saw.

From files on the disk through the project's own reading, batches, prediction and filling; nothing but the model is made up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from modules.compute.process import Process
from modules.config.pipeline import Pipeline
from modules.config.schema import Data
from modules.config.values import Size
from modules.data.draws import BatchSampler
from modules.data.loaders import Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.data.samples import Samples
from modules.data.sources import contest_folder, id_column, load_test, load_train, template_path
from modules.models.losses import softmax
from modules.models.objectives import Objective
from modules.prediction.forms import Question
from modules.prediction.metrics import Metric
from modules.prediction.predict import predict
from modules.prediction.predictions import Predictions, to_csv
from modules.prediction.submission import fill_template
from modules.prediction.template import read_template
from modules.prediction.tta import VIEWS

CLASSES = ("eel", "007", "cat", "7")
COUNT, STEP = 24, 10
PROCESS = Process(torch.device("cpu"), "float32", False, 0, 1)
PREPROCESSING = Preprocessing(Size(8, 8), "stretch", 3, (0.0,) * 3, (1.0,) * 3, Pipeline())
# Zeros in front, ids that are others' beginnings, and one that ends as a row of another would.
IDS = [f"{number:03d}" for number in range(8)] + [str(number) for number in range(8)] + [f"x_{number}_7" for number in range(8)]
METRIC = Metric("log_loss", False, "values", lambda *_: 0.0)


def logit(number: int, name: str) -> float:
    """What the model says of image `number` and a class; other images and other classes have others."""
    place = CLASSES.index(name)
    return ((number * 7 + 3 * place**2 + number * place) % 29) / 7 + 0.01 * place


def probability(number: int, name: str) -> float:
    powers = {each: np.exp(logit(number, each)) for each in CLASSES}
    return float(powers[name] / sum(powers.values()))


class Seer(nn.Module):
    """Reads the image's number from its colour. Its outputs are in the order that training gave the classes."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.table = torch.tensor([[logit(number, name) for name in classes] for number in range(COUNT)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.table[(images.mean(dim=(1, 2, 3)) * 255 / STEP).round().long()]


def predictions(test: Samples) -> Predictions:
    rows = np.arange(len(test))
    makers = image_workers(test, PixelCache(None, test.images, PREPROCESSING), None, PROCESS)
    batches = Loader(makers, BatchSampler(rows, 7), "valid", (0, "valid")).epoch(0)
    objective = Objective(lambda *_: torch.zeros(()), softmax)
    normalizer = Normalizer(PREPROCESSING, PROCESS.device, False)
    outcome = predict([Seer(test.task.classes)], batches, rows, len(CLASSES), normalizer, objective, VIEWS["none"], PROCESS)
    return Predictions(test.ids, test.task, outcome.values[0])


class Contest:
    """One on the disk, whose every order can be shuffled."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, Random(seed)
        (root / "images").mkdir(parents=True)
        for number, name in enumerate(IDS):
            Image.new("RGB", (8, 8), (number * STEP,) * 3).save(root / "images" / f"{name}.png")

    def shuffled(self, items: list[str]) -> list[str]:
        return self.random.sample(items, len(items))

    def write(self, place: Path, form: str) -> None:
        """Files are linked, tables written, in another order each time. form: columns, rows, or label."""
        (place / "test").mkdir(parents=True)
        for name in self.shuffled(IDS):
            os.link(self.root / "images" / f"{name}.png", place / "test" / f"{name}.png")
        for label in self.shuffled(list(CLASSES)):
            (place / "train" / label).mkdir(parents=True)
            os.link(self.root / "images/000.png", place / "train" / label / f"{label}.png")
        train = [(f"{label}/{label}.png", label) for label in self.shuffled(list(CLASSES))]
        pd.DataFrame(train, columns=["id", "label"]).to_csv(place / "train.csv", index=False)
        pd.DataFrame({"id": self.shuffled(IDS)}).to_csv(place / "test.csv", index=False)
        if form == "rows":
            template = pd.DataFrame({"id": self.shuffled([f"{name}_{label}" for name in IDS for label in CLASSES]), "p": 0})
        elif form == "columns":
            template = pd.DataFrame({"id": self.shuffled(IDS), **dict.fromkeys(self.shuffled(list(CLASSES)), 0)})
        else:
            template = pd.DataFrame({"id": self.shuffled(IDS), "label": "cat"})
        template[self.shuffled(list(template.columns))].to_csv(place / "sample_submission.csv", index=False)

    def follow(self, place: Path, source: str, with_table: bool) -> pd.DataFrame:
        """The submission, as the scripts come to it."""
        data = Data(source=source, image_suffix=".png", id_column="id", test_csv="test.csv" if with_table else None)
        folder = contest_folder(data, str(place))
        test = load_test(data, folder, load_train(data, folder).task)
        template = read_template(template_path(data, folder), id_column(data, folder), test.ids, Question(test.task, METRIC))
        (place / "out.csv").write_text(to_csv(fill_template(template, predictions(test))))
        return pd.read_csv(place / "out.csv", dtype=str, keep_default_na=False)


def wrong(written: pd.DataFrame, template: pd.DataFrame, form: str) -> int:
    """How many cells are not those of their id; all of them where the header or the order is not the template's."""
    assert list(written.columns) == list(template.columns) and written["id"].tolist() == template["id"].tolist()
    number_of = {name: number for number, name in enumerate(IDS)}
    found = 0
    for row in written.to_dict("records"):
        if form == "rows":
            name, _, label = row["id"].rpartition("_")
            cells = {label: row["p"]}
        else:
            name, cells = row["id"], {label: row.get(label, "") for label in CLASSES}
        number = number_of[name]
        if form == "label":
            found += row["label"] != max(CLASSES, key=lambda label, number=number: logit(number, label))
        else:
            found += sum(abs(float(cell) - probability(number, label)) > 1e-6 for label, cell in cells.items())
    return found


def shuffles(root: Path, count: int) -> str:
    """Fails at the first cell that went astray; else a line of what was looked at."""
    contest, cells, began = Contest(root, seed=count), 0, time.monotonic()
    for turn in range(count):
        form = ("columns", "label", "rows")[turn % 3]
        source = "csv" if form == "rows" else ("csv", "folder")[turn // 3 % 2]
        with_table = bool(turn // 6 % 2)
        place = root / str(turn)
        contest.write(place, form)
        written = contest.follow(place, source, with_table)
        template = pd.read_csv(place / "sample_submission.csv", dtype=str, keep_default_na=False)
        assert wrong(written, template, form) == 0, f"shuffle {turn}: {source}, {form}"
        cells += len(written) * (len(written.columns) - 1)
    return f"{count} shuffles, {cells} cells, 0 with another id's prediction, {time.monotonic() - began:.0f} s"


def test_every_image_has_predictions_of_its_own() -> None:
    """Else the tests below could not see a row that went astray."""
    assert len({tuple(round(probability(number, name), 4) for name in CLASSES) for number in range(COUNT)}) == COUNT
    assert len({max(CLASSES, key=lambda label, number=number: logit(number, label)) for number in range(COUNT)}) == len(CLASSES)


def test_a_prediction_that_went_astray_is_seen(tmp_path: Path) -> None:
    contest = Contest(tmp_path, seed=0)
    for form in ("columns", "label", "rows"):
        contest.write(tmp_path / form, form)
        template = pd.read_csv(tmp_path / form / "sample_submission.csv", dtype=str, keep_default_na=False)
        written = contest.follow(tmp_path / form, "csv", True)
        ids = written["id"].copy()
        moved = written.drop(columns="id").sample(frac=1, random_state=1).reset_index(drop=True).assign(id=ids)[list(template.columns)]
        assert wrong(written, template, form) == 0 and wrong(moved, template, form) > len(ids) / 4


def test_every_rows_prediction_stays_with_its_id_whatever_is_shuffled(tmp_path: Path) -> None:
    assert shuffles(tmp_path, 24).startswith("24 shuffles, ")


@pytest.mark.slow
def test_every_rows_prediction_stays_with_its_id_in_1000_shuffles(tmp_path: Path) -> None:
    print(shuffles(tmp_path, 1000))
