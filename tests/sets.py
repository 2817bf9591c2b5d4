"""torchvision's data sets in small: files in its own formats, made from nothing."""

from __future__ import annotations

import bz2
import csv
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

TRAIN, TEST = 8, 4  # images of the small sets of arrays


def pixels_of(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels_of(count: int, classes: int) -> np.ndarray:
    return (np.arange(count) * 7 + 1) % classes


def write_idx(path: Path, values: np.ndarray, kind: int = 8) -> None:
    """The idx format: two zeros, the type (8: uint8, 12: int32), the dimensions, then big-endian values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(int(size).to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, kind, values.ndim]) + sizes + values.astype(">u1" if kind == 8 else ">i4").tobytes())


def make_mnist(root: Path, name: str = "FashionMNIST", train: int = TRAIN, test: int = TEST, classes: int = 3) -> None:
    """Brightness tells the class."""
    for part, count in (("train", train), ("t10k", test)):
        labels = labels_of(count, classes)
        images = (pixels_of(count, 28, 28) // 4 + (labels * 60)[:, None, None].astype(np.uint8)).astype(np.uint8)
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", labels)


def make_qmnist(root: Path) -> None:
    for part, count in (("train", TRAIN), ("test", TEST)):
        write_idx(root / "QMNIST/raw" / f"qmnist-{part}-images-idx3-ubyte", pixels_of(count, 28, 28))
        table = np.stack([labels_of(count, 10), *[np.full(count, 5)] * 7], axis=1)
        write_idx(root / "QMNIST/raw" / f"qmnist-{part}-labels-idx2-int", table, kind=12)


def make_emnist(root: Path) -> None:
    for part, count in (("train", TRAIN), ("test", TEST)):
        write_idx(root / "EMNIST/raw" / f"emnist-letters-{part}-images-idx3-ubyte", pixels_of(count, 28, 28))
        write_idx(root / "EMNIST/raw" / f"emnist-letters-{part}-labels-idx1-ubyte", 1 + labels_of(count, 3))


def make_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, train: int = TRAIN, test: int = TEST) -> None:
    """CIFAR10 in one batch of each part, with the checksums of these files instead of the real ones."""
    kind, folder = torchvision.datasets.CIFAR10, root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def dump(name: str, content: Any) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    for attribute, name, count in (("train_list", "data_batch_1", train), ("test_list", "test_batch", test)):
        entry = {"data": pixels_of(count, 3072), "labels": labels_of(count, 3).tolist()}
        monkeypatch.setattr(kind, attribute, [dump(name, entry)])
    name, checksum = dump("batches.meta", {"label_names": ["zebra", "ant", "moth"]})
    monkeypatch.setattr(kind, "meta", {"filename": name, "key": "label_names", "md5": checksum})


def make_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        path = root / f"{part}_32x32.mat"
        savemat(path, {"X": pixels_of(count, 32, 32, 3).transpose(1, 2, 3, 0), "y": 1 + labels_of(count, 10)[:, None]})
        found[part] = ["http://none.invalid/x", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", found)


def make_usps(root: Path) -> None:
    for name, count in (("usps.bz2", TRAIN), ("usps.t.bz2", TEST)):
        lines = [
            f"{label + 1} " + " ".join(f"{place}:{value / 127.5 - 1:.4f}" for place, value in enumerate(image, 1))
            for image, label in zip(pixels_of(count, 256), labels_of(count, 3), strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def make_images(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_of(1, 12, 10, 3, seed=number)[0]).save(root / path)


def make_dtd(root: Path) -> None:
    make_images(root / "dtd/dtd/images", "dotted/1.jpg", "banded/1.jpg", "dotted/2.jpg")
    for part, names in (("train", ["dotted/1.jpg", "banded/1.jpg"]), ("test", ["dotted/2.jpg"])):
        path = root / "dtd/dtd/labels" / f"{part}1.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))


def make_food(root: Path) -> None:
    make_images(root / "food-101/images", "pie/1.jpg", "ham/2.jpg", "pie/3.jpg")
    for part, names in (("train", {"pie": ["pie/1"], "ham": ["ham/2"]}), ("test", {"ham": [], "pie": ["pie/3"]})):
        path = root / "food-101/meta" / f"{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(names))


def make_pets(root: Path) -> None:
    make_images(root / "oxford-iiit-pet/images", "Siamese_1.jpg", "beagle_2.jpg", "beagle_3.jpg", "Siamese_4.jpg")
    for part, lines in (("trainval", "Siamese_1 1 1 1\nbeagle_2 2 2 1\n"), ("test", "beagle_3 2 2 1\nSiamese_4 1 1 1\n")):
        path = root / "oxford-iiit-pet/annotations" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)


def make_gtsrb(root: Path) -> None:
    make_images(root / "gtsrb/GTSRB", "Training/00000/1.ppm", "Training/00001/2.ppm", "Final_Test/Images/3.ppm")
    with open(root / "gtsrb/GT-final_test.csv", "w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["Filename", "ClassId"], ["3.ppm", 1]])


def make_aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b/data"
    make_images(data / "images", "1.jpg", "2.jpg", "3.jpg")
    (data / "variants.txt").write_text("DC-3\nA 300\n")
    (data / "images_variant_trainval.txt").write_text("1 A 300\n2 DC-3\n")
    (data / "images_variant_test.txt").write_text("3 A 300\n")


def make_countries(root: Path) -> None:
    make_images(root / "country211", "train/KR/1.jpg", "train/AD/2.jpg", "test/KR/3.jpg", "test/AD/4.jpg")


def make_sst(root: Path) -> None:
    make_images(root / "rendered-sst2", "train/positive/1.png", "train/negative/2.png", "test/negative/3.png", "test/positive/4.png")


def make_imagenette(root: Path) -> None:
    paths = ("train/n03888257/1.JPEG", "train/n01440764/2.JPEG", "val/n01440764/3.JPEG", "val/n03888257/4.JPEG")
    make_images(root / "imagenette2", *paths)


# Of sets of files: how they are made; the classes; the training and test files with their labels.
OF_FILES: dict[str, tuple[Callable[[Path], None], tuple[str, ...], dict[str, str], dict[str, str]]] = {
    "DTD": (
        make_dtd,
        ("banded", "dotted"),
        {"dtd/dtd/images/dotted/1.jpg": "dotted", "dtd/dtd/images/banded/1.jpg": "banded"},
        {"dtd/dtd/images/dotted/2.jpg": "dotted"},
    ),
    "Food101": (
        make_food,
        ("ham", "pie"),
        {"food-101/images/pie/1.jpg": "pie", "food-101/images/ham/2.jpg": "ham"},
        {"food-101/images/pie/3.jpg": "pie"},
    ),
    "OxfordIIITPet": (
        make_pets,
        ("Siamese", "Beagle"),
        {"oxford-iiit-pet/images/Siamese_1.jpg": "Siamese", "oxford-iiit-pet/images/beagle_2.jpg": "Beagle"},
        {"oxford-iiit-pet/images/beagle_3.jpg": "Beagle", "oxford-iiit-pet/images/Siamese_4.jpg": "Siamese"},
    ),
    "GTSRB": (
        make_gtsrb,
        ("0", "1"),
        {"gtsrb/GTSRB/Training/00000/1.ppm": "0", "gtsrb/GTSRB/Training/00001/2.ppm": "1"},
        {"gtsrb/GTSRB/Final_Test/Images/3.ppm": "1"},
    ),
    "FGVCAircraft": (
        make_aircraft,
        ("DC-3", "A 300"),
        {"fgvc-aircraft-2013b/data/images/1.jpg": "A 300", "fgvc-aircraft-2013b/data/images/2.jpg": "DC-3"},
        {"fgvc-aircraft-2013b/data/images/3.jpg": "A 300"},
    ),
    "Country211": (
        make_countries,
        ("AD", "KR"),
        {"country211/train/AD/2.jpg": "AD", "country211/train/KR/1.jpg": "KR"},
        {"country211/test/AD/4.jpg": "AD", "country211/test/KR/3.jpg": "KR"},
    ),
    "RenderedSST2": (
        make_sst,
        ("negative", "positive"),
        {"rendered-sst2/train/negative/2.png": "negative", "rendered-sst2/train/positive/1.png": "positive"},
        {"rendered-sst2/test/negative/3.png": "negative", "rendered-sst2/test/positive/4.png": "positive"},
    ),
    "Imagenette": (
        make_imagenette,
        ("tench", "parachute"),
        {"imagenette2/train/n01440764/2.JPEG": "tench", "imagenette2/train/n03888257/1.JPEG": "parachute"},
        {"imagenette2/val/n01440764/3.JPEG": "tench", "imagenette2/val/n03888257/4.JPEG": "parachute"},
    ),
}
