"""torchvision's data sets: the pixels, labels and classes that torchvision itself gives, and a line where files are missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from modules.config.errors import DataError, OptionError
from modules.config.schema import Data
from modules.data.images import ImageArrays, ImageFiles
from modules.data.samples import Samples
from modules.data.sources import load_test, load_train, statistics, template_path
from modules.data.sources import torchvision as source
from modules.data.task import classification
from tests import sets


def data(name: str) -> Data:
    return Data(source="torchvision", dataset=name)


def both(name: str, root: Path) -> tuple[Samples, Samples]:
    train = load_train(data(name), root)
    return train, load_test(data(name), root, train.task)


def labels(samples: Samples) -> list[str]:
    assert samples.targets is not None
    return [samples.task.classes[target] for target in samples.targets]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_labels_are_those_that_torchvision_gives(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make_mnist(tmp_path, "MNIST")
    sets.make_qmnist(tmp_path)
    sets.make_cifar(tmp_path, monkeypatch)
    sets.make_svhn(tmp_path, monkeypatch)
    sets.make_usps(tmp_path)
    for name in ("MNIST", "QMNIST", "CIFAR10", "SVHN", "USPS"):
        kind = source.KINDS[name]
        for samples, options in zip(both(name, tmp_path), (kind.train, kind.test), strict=True):
            dataset = getattr(torchvision.datasets, name)(root=str(tmp_path), **options)
            assert isinstance(samples.images, ImageArrays) and len(samples) == len(dataset) > 0
            names = getattr(dataset, "classes", [str(digit) for digit in range(10)])
            for row in range(len(dataset)):
                image, target = dataset[row]
                expected = np.asarray(image.convert("L" if channels == 1 else "RGB"))
                assert np.array_equal(samples.images.read(row, channels), expected.reshape(*expected.shape[:2], channels)), name
                assert labels(samples)[row] == names[int(target)], name


def test_ids_are_numbered_rows_and_classes_are_in_the_sets_own_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make_mnist(tmp_path, classes=4)
    train, test = both("FashionMNIST", tmp_path)
    assert train.ids.tolist() == [f"train_{row:05d}" for row in range(8)] and test.ids.tolist()[-1] == "test_00003"
    assert train.task.classes == ("T-shirt/top", "Trouser", "Pullover", "Dress")
    sets.make_cifar(tmp_path, monkeypatch)
    train, test = both("CIFAR10", tmp_path)
    assert train.task.classes == test.task.classes == ("zebra", "ant", "moth"), "not alphabetically"
    assert train.targets is not None and train.targets.tolist() == sets.labels_of(8, 3).tolist()


def test_a_class_without_an_image_is_none(tmp_path: Path) -> None:
    sets.make_emnist(tmp_path)
    train, test = both("EMNIST-letters", tmp_path)
    assert train.task.classes == ("a", "b", "c"), "torchvision's list begins with N/A"
    assert labels(train) == ["abc"[label] for label in sets.labels_of(8, 3)] and labels(test) == labels(train)[:4]


@pytest.mark.parametrize("name", sorted(sets.OF_FILES))
def test_sets_of_files_are_read_where_they_are(name: str, tmp_path: Path) -> None:
    make, classes, train_files, test_files = sets.OF_FILES[name]
    make(tmp_path)
    train, test = both(name, tmp_path)
    assert train.task.classes == test.task.classes == classes
    for samples, expected in ((train, train_files), (test, test_files)):
        assert isinstance(samples.images, ImageFiles)
        assert samples.ids.tolist() == samples.images.files.tolist()
        assert dict(zip(samples.ids.tolist(), labels(samples), strict=True)) == expected
        assert samples.images.header_faults() == [None] * len(samples)


def test_every_set_of_the_table_is_one_of_torchvisions_with_addresses() -> None:
    for name, kind in source.KINDS.items():
        addresses = kind.addresses(getattr(torchvision.datasets, kind.name))
        assert addresses and all(address.startswith("http") for address in addresses), name
    assert set(source.STATISTICS) <= set(source.KINDS)


def test_a_read_only_folder_is_read_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make_mnist(tmp_path)
    monkeypatch.setattr(os, "makedirs", lambda *arguments, **keywords: pytest.fail("it would write"))
    before = sorted(os.walk(tmp_path))
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        assert [len(samples) for samples in both("FashionMNIST", tmp_path)] == [8, 4]
    finally:
        for path in folders:
            path.chmod(0o755)
    assert sorted(os.walk(tmp_path)) == before


def test_an_unknown_set_is_told_the_nearest() -> None:
    with pytest.raises(OptionError) as caught:
        load_train(data("fashion_mnist"), Path())
    expected = "'fashion_mnist' is no data set of torchvision with labelled training and test images; the nearest are FashionMNIST, "
    assert caught.value.args[:2] == ("data", "dataset") and caught.value.args[2].startswith(expected)


def test_missing_files_that_cannot_be_fetched_are_a_line_with_folder_and_address() -> None:
    with pytest.raises(OptionError) as caught:
        load_train(data("FashionMNIST"), Path("here"))
    (line,) = caught.value.lines
    assert line == (
        "[data] dataset: FashionMNIST is not in here/FashionMNIST/raw, or damaged, and "
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz cannot be reached; "
        "put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz there, unpacked"
    )
    assert not Path("here").exists(), "nothing is made for what cannot come"


def test_an_archive_that_holds_its_folder_is_unpacked_above_it() -> None:
    with pytest.raises(OptionError, match=r"CIFAR10 is not in here/cifar-10-batches-py, .*; unpack cifar-10-python\.tar\.gz in here$"):
        load_train(data("CIFAR10"), Path("here"))


@pytest.mark.parametrize("name", sorted(source.KINDS))
def test_every_missing_set_is_one_line(name: str) -> None:
    with pytest.raises(OptionError, match=rf"^\[data\] dataset: {name} is not in here") as caught:
        source.load_train(data(name), Path("here"))
    assert len(caught.value.lines) == 1 and "cannot be reached" in str(caught.value)


def test_packed_files_are_told_to_be_unpacked() -> None:
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        path = Path("FashionMNIST/raw", f"{name}-ubyte.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(OptionError, match=r"is not unpacked, or damaged, in FashionMNIST/raw: unpack FashionMNIST/raw/t10k-images-idx3"):
        load_train(data("FashionMNIST"), Path())


def test_missing_files_are_fetched_where_the_host_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "host_reachable", lambda address: True)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "download", lambda self: sets.make_mnist(Path(self.root)))
    assert len(load_train(data("FashionMNIST"), tmp_path)) == 8

    def broken(self: Any) -> None:
        raise RuntimeError("Error downloading x:\nTried y, got:\nTimeout")

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", broken)
    with pytest.raises(OptionError, match=r"did not give it \(Error downloading x: Tried y, got: Timeout\); put train-images") as caught:
        load_train(data("KMNIST"), tmp_path)
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], lambda content: b"", lambda content: b"\1" * len(content), lambda content: content[:3]]
)
def test_damaged_files_are_one_line(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    sets.make_mnist(tmp_path)
    path = tmp_path / "FashionMNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"^FashionMNIST: damaged files in .*FashionMNIST/raw \(") as caught:
        load_train(data("FashionMNIST"), tmp_path)
    assert len(caught.value.lines) == 1


def test_files_whose_checksum_is_wrong_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.make_cifar(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py/data_batch_1"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(OptionError, match=r"CIFAR10 is not in .*cifar-10-batches-py, or damaged, and https://"):
        load_train(data("CIFAR10"), tmp_path)


def test_labels_outside_the_classes_and_images_without_labels_are_refused(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path)
    path = tmp_path / "FashionMNIST/raw/train-labels-idx1-ubyte"
    sets.write_idx(path, np.full(8, 10))
    with pytest.raises(DataError, match=r"^FashionMNIST: a label is 10, but there are 10 classes$"):
        load_train(data("FashionMNIST"), tmp_path)
    sets.write_idx(path, np.zeros(7))
    with pytest.raises(DataError, match=r"^FashionMNIST: 8 images, but 7 labels$"):
        load_train(data("FashionMNIST"), tmp_path)


def test_a_test_part_with_other_classes_is_refused(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path)
    with pytest.raises(DataError, match=r"^FashionMNIST: its test part has classes that the model does not know: Pullover$"):
        load_test(data("FashionMNIST"), tmp_path, classification("label", ("Trouser", "T-shirt/top")))


def test_answers_are_positions_in_the_models_classes(tmp_path: Path) -> None:
    sets.make_mnist(tmp_path)
    task = classification("label", ("Pullover", "T-shirt/top", "Trouser"))
    test = load_test(data("FashionMNIST"), tmp_path, task)
    own = ("T-shirt/top", "Trouser", "Pullover")
    assert labels(test) == [own[label] for label in sets.labels_of(4, 3)] and template_path(data("FashionMNIST"), tmp_path) is None


def test_the_sets_statistics_are_known_by_name_and_no_others() -> None:
    assert statistics(data("FashionMNIST")) == ((0.2860,), (0.3530,))
    cifar = statistics(data("CIFAR10"))
    assert cifar is not None and len(cifar[0]) == len(cifar[1]) == 3
    assert statistics(data("DTD")) is None and statistics(Data(source="digits")) is None
