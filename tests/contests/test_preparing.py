"""docs/contests.md: the code that makes a contest's own files into what its INI takes, on files of the contest's layout."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modules.data.pixels import read_image
from tests.contests.entering import PAGE

BLOCK = re.compile(r"```python\n(.*?)```\n", re.DOTALL)


@pytest.fixture(autouse=True)
def _parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Foldini does not need what reads parquet files; the blocks find tables of another format under their names."""
    monkeypatch.setattr(pd, "read_parquet", pd.read_pickle)


def prepare(title: str) -> None:
    _, _, behind = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    (code,) = BLOCK.findall(behind.partition("\n## ")[0])
    exec(compile(code, title, "exec"), {})


def test_hms_becomes_an_image_and_a_row_of_summed_votes_an_eeg() -> None:
    there = Path("hms-harmful-brain-activity-classification")
    names = [f"{name}_vote" for name in ("seizure", "lpd", "gpd", "lrda", "grda", "other")]
    about = ["eeg_id", "spectrogram_id", "spectrogram_label_offset_seconds", "patient_id", "expert_consensus", *names]
    rows = [(11, 7, 40.0, 1, "GPD", 0, 1, 2, 0, 0, 0), (11, 7, 46.0, 1, "GPD", 0, 0, 3, 0, 0, 0), (12, 7, 0.0, 1, "LPD", 0, 4, 0, 0, 0, 1)]
    levels = np.exp(np.linspace(-6, 10, 330))[:, None] * np.ones(400)
    levels[0] = np.nan
    for part in ("train", "test"):
        (there / f"{part}_spectrograms").mkdir(parents=True)
        table = pd.DataFrame(levels).assign(time=range(330))
        table.to_pickle(there / f"{part}_spectrograms" / "7.parquet")
    pd.DataFrame(rows, columns=about).to_csv(there / "train.csv", index=False)
    pd.DataFrame([(7, 13, 2)], columns=["spectrogram_id", "eeg_id", "patient_id"]).to_csv(there / "test.csv", index=False)
    prepare("HMS Harmful Brain Activity")
    made = pd.read_csv("data/hms/train.csv")
    assert made[["eeg_id", "patient_id", *names]].values.tolist() == [[11, 1, 0, 1, 5, 0, 0, 0], [12, 1, 0, 4, 0, 0, 0, 1]]
    assert pd.read_csv("data/hms/test.csv").values.tolist() == [[13, 7, 2]]
    for part, name, start in (("train", 11, 20), ("train", 12, 0), ("test", 13, 0)):
        image = read_image(Path(f"data/hms/{part}_spectrograms/{name}.png"), 1)
        expected = (np.linspace(-6, 10, 330)[start : start + 300].clip(-4, 8) + 4) / 12 * 255
        assert image.shape == (400, 300, 1)
        np.testing.assert_allclose(image[7, 1:, 0], expected[1:], atol=1)
        assert image[7, 0, 0] == 0


def test_bengali_becomes_a_file_an_image() -> None:
    there = Path("bengaliai-cv19")
    there.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 137, 236), dtype=np.uint8)
    for part, number, images in (("train", 0, pixels[:1]), ("train", 1, pixels[1:2]), ("test", 0, pixels[2:])):
        table = pd.DataFrame(images.reshape(1, -1)).rename(columns=str)
        table.insert(0, "image_id", f"{part.capitalize()}_{number}")
        table.to_pickle(there / f"{part}_image_data_{number}.parquet")
    prepare("Bengali.AI")
    for name, expected in zip(("train/Train_0", "train/Train_1", "test/Test_0"), pixels, strict=True):
        np.testing.assert_array_equal(read_image(Path(f"data/bengali/{name}.png"), 1)[..., 0], expected)
