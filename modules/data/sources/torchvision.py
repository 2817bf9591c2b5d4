"""torchvision's classification data sets by name: their training part is trained on, their test part is the test set.

torchvision reads the files, decides whether they are there, and fetches them where they are not. Its test labels are
known, so a test set of this source has targets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modules.compute.network import host_reachable
from modules.config.errors import DataError, OptionError, nearest, shorten
from modules.config.schema import Data
from modules.data.images import ImageArrays, ImageFiles, Images
from modules.data.labels import name_classes
from modules.data.samples import Rows, Samples, Text
from modules.data.task import Task

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Kind:
    """A data set of torchvision. folder: where it looks, under its root. train, test: what makes it read that part.

    addresses: from the class, what it would fetch.
    """

    name: str
    folder: str
    addresses: Callable[[Any], Sequence[str]]
    train: Mapping[str, Any]
    test: Mapping[str, Any]


def _of_mirror(kind: Any) -> list[str]:
    return [f"{kind.mirrors[0]}{name}" for name, _ in kind.resources]


def _of_splits(kind: Any) -> list[str]:
    return [kind.split_list[part][0] for part in (TRAIN, TEST)]


FLAG = ({"train": True}, {"train": False})
SPLIT = ({"split": TRAIN}, {"split": TEST})
EMNIST = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
ERDA = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"

# Sets with a training and a test part of labelled images; where there is a validation part besides, it is left alone.
KINDS: dict[str, Kind] = {
    "MNIST": Kind("MNIST", "MNIST/raw", _of_mirror, *FLAG),
    "FashionMNIST": Kind("FashionMNIST", "FashionMNIST/raw", _of_mirror, *FLAG),
    "KMNIST": Kind("KMNIST", "KMNIST/raw", _of_mirror, *FLAG),
    "QMNIST": Kind("QMNIST", "QMNIST/raw", lambda kind: [url for part in (TRAIN, TEST) for url, _ in kind.resources[part]], *FLAG),
    **{
        f"EMNIST-{split}": Kind(
            "EMNIST", "EMNIST/raw", lambda kind: [kind.url], {"split": split, "train": True}, {"split": split, "train": False}
        )
        for split in EMNIST
    },
    "CIFAR10": Kind("CIFAR10", "cifar-10-batches-py", lambda kind: [kind.url], *FLAG),
    "CIFAR100": Kind("CIFAR100", "cifar-100-python", lambda kind: [kind.url], *FLAG),
    "SVHN": Kind("SVHN", "", _of_splits, *SPLIT),
    "STL10": Kind("STL10", "stl10_binary", lambda kind: [kind.url], *SPLIT),
    "USPS": Kind("USPS", "", _of_splits, *FLAG),
    "Flowers102": Kind(
        "Flowers102",
        "flowers-102",
        lambda kind: [f"{kind._download_url_prefix}{file}" for file, _ in kind._file_dict.values()],
        *SPLIT,
    ),
    "OxfordIIITPet": Kind(
        "OxfordIIITPet", "oxford-iiit-pet", lambda kind: [url for url, _ in kind._RESOURCES], {"split": "trainval"}, {"split": TEST}
    ),
    "Food101": Kind("Food101", "food-101", lambda kind: [kind._URL], *SPLIT),
    "DTD": Kind("DTD", "dtd/dtd", lambda kind: [kind._URL], *SPLIT),
    "GTSRB": Kind(
        "GTSRB",
        "gtsrb",
        lambda kind: [f"{ERDA}GTSRB{name}.zip" for name in ("-Training_fixed", "_Final_Test_Images", "_Final_Test_GT")],
        *SPLIT,
    ),
    "FGVCAircraft": Kind("FGVCAircraft", "fgvc-aircraft-2013b", lambda kind: [kind._URL], {"split": "trainval"}, {"split": TEST}),
    "Country211": Kind("Country211", "country211", lambda kind: [kind._URL], *SPLIT),
    "RenderedSST2": Kind("RenderedSST2", "rendered-sst2", lambda kind: [kind._URL], *SPLIT),
    "Imagenette": Kind("Imagenette", "imagenette2", lambda kind: [kind._ARCHIVES["full"][0]], {"split": TRAIN}, {"split": "val"}),
}

# Of the training part's pixels, scaled to 0..1, as the sets' users normalise them.
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "MNIST": ((0.1307,), (0.3081,)),
    "FashionMNIST": ((0.2860,), (0.3530,)),
    "KMNIST": ((0.1918,), (0.3483,)),
    "CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "SVHN": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


def load_train(data: Data, folder: Path) -> Samples:
    """The training part, in its own order; classes in the set's order too, but for those without an image."""
    dataset = _open(data, folder, TRAIN)
    images, ids, numbers = _images(dataset, folder, TRAIN), _ids(dataset, folder, TRAIN), _labels(dataset)
    names, present = _class_names(dataset, numbers), np.unique(numbers)
    classes = tuple(names[number] for number in present)
    task = name_classes(data, "label", classes, str(data.dataset))
    return Samples(ids=ids, images=images, task=task, targets=np.searchsorted(present, numbers).astype(np.int64))


def load_test(data: Data, folder: Path, task: Task) -> Samples:
    """The test part, in its own order, with its answers as positions in its classes. Raises DataError for other classes."""
    dataset = _open(data, folder, TEST)
    images, ids, numbers = _images(dataset, folder, TEST), _ids(dataset, folder, TEST), _labels(dataset)
    names = _class_names(dataset, numbers)
    position = {name: index for index, name in enumerate(task.classes)}
    unknown = [names[number] for number in np.unique(numbers) if names[number] not in position]
    if unknown:
        raise DataError(f"{data.dataset}: its test part has classes that the model does not know: {shorten(unknown)}")
    targets = np.array([position[names[number]] for number in numbers], dtype=np.int64)
    return Samples(ids=ids, images=images, task=task, targets=targets)


def statistics(data: Data) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation, a channel, by which the set is usually normalised; None where there are no such."""
    return STATISTICS.get(_kind_of(data).name) if data.source == "torchvision" else None


def _kind_of(data: Data) -> Kind:
    name = data.dataset or ""
    if name not in KINDS:
        close = nearest(name, KINDS, 3)
        told = f"the nearest are {', '.join(close)}" if close else f"expected one of {', '.join(KINDS)}"
        raise OptionError("data", "dataset", f"'{name}' is no data set of torchvision with labelled training and test images; {told}")
    return KINDS[name]


def _open(data: Data, folder: Path, part: str) -> Any:
    """torchvision's own object for the part. Raises OptionError or DataError in a line for files that are not there or damaged."""
    import torchvision

    kind = _kind_of(data)
    construct = getattr(torchvision.datasets, kind.name)
    options = kind.train if part == TRAIN else kind.test
    try:
        return construct(root=str(folder), **options)
    except Exception as error:  # readers raise anything on damaged files
        if not _says_missing(error):
            raise DataError(f"{data.dataset}: damaged files in {folder / kind.folder} ({_short(error)})") from None
    addresses = kind.addresses(construct)
    if not host_reachable(addresses[0]):
        raise OptionError("data", "dataset", _by_hand(data, folder, kind, addresses, "cannot be reached"))
    try:
        return construct(root=str(folder), download=True, **options)
    except Exception as error:
        raise OptionError("data", "dataset", _by_hand(data, folder, kind, addresses, f"did not give it ({_short(error)})")) from None


def _says_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or "not found" in str(error)


def _by_hand(data: Data, folder: Path, kind: Kind, addresses: Sequence[str], fault: str) -> str:
    """One line: which files, from where, to which folder."""
    files = [address.rsplit("/", 1)[-1] for address in addresses]
    target = folder / kind.folder
    packed = [path for place in (folder, target) for file in files if (path := place / file).is_file()]
    if packed and len(packed) >= len(files):
        return f"{data.dataset} is not unpacked, or damaged, in {target}: unpack {shorten(sorted(set(packed)), 4)}"
    if files[0].endswith(".tar.gz"):  # which holds the folder itself
        advice = f"unpack {shorten(files)} in {folder}"
    else:
        advice = f"put {shorten(files)} there{', unpacked' if kind.folder else ''}"
    return f"{data.dataset} is not in {target}, or damaged, and {addresses[0]} {fault}; {advice}"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _images(dataset: Any, folder: Path, part: str) -> Images:
    pixels = getattr(dataset, "data", None)
    if pixels is None:
        return ImageFiles(folder, _files(dataset, folder))
    pixels = np.asarray(pixels)
    if pixels.ndim == 4 and pixels.shape[1] == 3:  # SVHN, STL10: channels first
        pixels = pixels.transpose(0, 2, 3, 1)
    return ImageArrays(_ids(dataset, folder, part), np.ascontiguousarray(pixels))


def _ids(dataset: Any, folder: Path, part: str) -> Text:
    """Paths of files; `train_00000`, `train_00001`, ... of what is no files."""
    if getattr(dataset, "data", None) is None:
        return _files(dataset, folder)
    return np.array([f"{part}_{row:05d}" for row in range(len(dataset))])


def _files(dataset: Any, folder: Path) -> Text:
    paths = [path for path, _ in pairs] if (pairs := _pairs(dataset)) is not None else _first(dataset, "_image_files", "_images")
    return np.array([Path(os.path.relpath(path, folder)).as_posix() for path in paths])


def _labels(dataset: Any) -> Rows:
    """(N,) the set's own numbers of the classes."""
    labels = [label for _, label in pairs] if (pairs := _pairs(dataset)) is not None else _first(dataset, "targets", "labels", "_labels")
    numbers = np.asarray(labels).astype(np.int64)
    if numbers.ndim == 2:  # QMNIST: the class, then where the digit comes from
        numbers = numbers[:, 0]
    if not len(numbers) or len(numbers) != len(dataset):
        raise DataError(f"{type(dataset).__name__}: {len(dataset)} images, but {len(numbers)} labels")
    return numbers


def _pairs(dataset: Any) -> list[tuple[str, int]] | None:
    found: list[tuple[str, int]] | None = getattr(dataset, "samples", None) or getattr(dataset, "_samples", None)
    return found


def _first(dataset: Any, *names: str) -> Any:
    """The first of these attributes that the set has; torchvision's sets have no common one."""
    return next(getattr(dataset, name) for name in names if hasattr(dataset, name))


def _class_names(dataset: Any, numbers: Rows) -> list[str]:
    """The set's names of its classes, by number; their numbers where it has none. Of several names for one class the first."""
    names = getattr(dataset, "classes", None)
    if names is None:
        return [str(number) for number in range(int(numbers.max()) + 1)]
    if int(numbers.max()) >= len(names) or int(numbers.min()) < 0:
        raise DataError(f"{type(dataset).__name__}: a label is {int(numbers.max())}, but there are {len(names)} classes")
    return [name if isinstance(name, str) else str(name[0]) for name in names]
