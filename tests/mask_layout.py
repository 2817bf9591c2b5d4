"""The mask contest's layout as it is on disk, of generated people: what a person is like is told by colours."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

FILES = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
AGES = (18, 22, 25, 28, 29, 30, 33, 40, 47, 57, 58, 59, 60, 60, 60)
COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220))
SUFFIXES = (".jpg", ".jpg", ".jpeg", ".png", ".JPG")
TWICE = "003397"  # the id of two people


def make_mask_contest(folder: Path, people: int = 60, test: int = 36, size: int = 32, boundary: int = 60) -> Path:
    """train/train.csv and train/images, eval/info.csv and eval/images, and answers.csv (ImageID, ans).

    Every second person is a woman, and each AGES[k] is that of a man and the woman behind him. Pictures have three bands,
    for mask, gender and age, the last as `boundary` divides it.
    """
    rng = np.random.default_rng(0)
    rows = [_person(number) for number in range(people)]
    (folder / "train" / "images").mkdir(parents=True)
    (folder / "eval" / "images").mkdir(parents=True)
    for number, row in enumerate(rows):
        home = folder / "train" / "images" / row["path"]
        home.mkdir()
        for place, name in enumerate(FILES):
            suffix = SUFFIXES[(number + place) % len(SUFFIXES)]
            _draw(rng, home / f"{name}{suffix}", size, max(0, place - 4), row["gender"] == "female", _age(int(row["age"]), boundary))
        (home / "._mask1.jpg").write_bytes(b"\0\5\x16\7")
    (folder / "train" / "images" / rows[0]["path"] / ".DS_Store").touch()
    (folder / "train" / "images" / "._images").touch()
    pd.DataFrame(rows).to_csv(folder / "train" / "train.csv", index=False)
    names, answers = [sha1(str(number).encode()).hexdigest() + ".jpg" for number in range(test)], []
    for number, name in enumerate(names):
        label = (number * 7) % 18
        _draw(rng, folder / "eval" / "images" / name, size, label // 6, label // 3 % 2, label % 3)
        answers.append(label)
    (folder / "eval" / "images" / f"._{names[0]}").write_bytes(b"\0\5\x16\7")
    table = pd.DataFrame({"ImageID": names, "ans": answers})
    table.to_csv(folder / "answers.csv", index=False)
    table.assign(ans=0).to_csv(folder / "eval" / "info.csv", index=False)
    return folder


def _person(number: int) -> dict[str, str]:
    """Ids have gaps; the one of 2 has a suffix, and 3 and 4 have the same."""
    name = {2: "000003-1", 3: TWICE, 4: TWICE}.get(number, f"{number * 2 + 1:06d}")
    gender, age = ("male", "female")[number % 2], str(AGES[number // 2 % len(AGES)])
    return {"id": name, "gender": gender, "race": "Asian", "age": age, "path": f"{name}_{gender}_Asian_{age}"}


def _age(years: int, boundary: int) -> int:
    return 0 if years < 30 else 1 if years < boundary else 2


def _draw(rng: np.random.Generator, path: Path, size: int, *bands: int) -> None:
    pixels = np.repeat(np.array([COLOURS[band] for band in bands]), [size // 3, size // 3, size - 2 * (size // 3)], axis=0)
    pixels = rng.normal(pixels[:, None], 12, (size, size * 3 // 4, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
