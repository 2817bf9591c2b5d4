"""Options that are right alone and wrong together, as far as the INI alone tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modules.config.errors import counted
from modules.config.schema import Config, Data, Split
from modules.config.task_contradictions import Contradiction, of_tasks


def contradictions(config: Config) -> list[Contradiction]:
    """What the INI alone tells to be wrong together."""
    found = []
    hyper, data = config.hyper_params, config.data
    if hyper.warmup_epochs >= hyper.epochs and hyper.warmup_epochs > 0 and not config.settings.debug:
        options = (("hyper_params", "warmup_epochs"), ("hyper_params", "epochs"), ("settings", "debug"))
        found.append(Contradiction(options, f"expected fewer than epochs ({hyper.epochs}), got '{hyper.warmup_epochs:g}'"))
    for name in ("mean", "std"):
        value = getattr(data, name)
        if value != "auto" and len(value) not in (1, data.channels):
            message = f"expected {counted(data.channels, 'number')}, as data.channels says, got {len(value)}"
            found.append(Contradiction((("data", name), ("data", "channels")), message))
    for name in ("mixup", "cutmix"):
        if getattr(config.augmentation, name) > 0 and hyper.batch_size == 1:
            message = "images of one batch are blended, and batch_size is 1; use 2 or more"
            found.append(Contradiction((("augmentation", name), ("hyper_params", "batch_size")), message))
    return [
        *found,
        *of_tasks(config),
        *_of_sources(config),
        *_of_tables_of_pixels(config.data),
        *_of_channels(config.data),
        *_of_patterns(config.data),
        *_of_pseudo_labels(config.data),
        *_of_metadata(config),
        *_of_splits(config),
        *_of_phases(config),
        *_of_features(config),
        *_of_views(config),
    ]


def _of_sources(config: Config) -> Iterator[Contradiction]:
    data = config.data
    source = ("data", "source")
    if data.source == "torchvision" and data.dataset is None:
        yield Contradiction((("data", "dataset"), source), "source = torchvision needs the name of a data set, such as FashionMNIST")
    if data.source != "torchvision" and data.dataset is not None:
        yield Contradiction((("data", "dataset"), source), f"only source = torchvision has one, and source is {data.source}")
    if data.source in ("folder", "torchvision") and data.group_column is not None:
        message = f"a column of a table, and source = {data.source} has no table of training samples; use csv"
        yield Contradiction((("data", "group_column"), source), message)
    if data.source in ("folder", "torchvision") and config.split.fold_column is not None:
        message = f"a column of train_csv, and source = {data.source} has no table of training samples; use csv"
        yield Contradiction((("split", "fold_column"), source), message)
    if data.image_column is not None and (data.source == "torchvision" or (data.source == "folder" and data.extra_csv is None)):
        yield Contradiction((("data", "image_column"), source), f"a column of a table, and source = {data.source} reads none with images")
    if data.source == "torchvision" and data.sample_submission != Data.sample_submission:
        message = "source = torchvision reads no template: its submissions have the columns id and label"
        yield Contradiction((("data", "sample_submission"), source), message)
    if data.source == "torchvision" and data.extra_csv is not None:
        yield Contradiction((("data", "extra_csv"), source), "the images of source = torchvision are no files; use csv or folder")
    if data.source == "mask":
        yield from _of_mask(config)
    elif data.age_boundary != Data.age_boundary:
        yield Contradiction((("data", "age_boundary"), source), f"only source = mask has ages, and source is {data.source}")
    if data.extra_images is not None and data.extra_csv is None:
        yield Contradiction((("data", "extra_images"), ("data", "extra_csv")), "nothing is read from there without extra_csv")


def _of_mask(config: Config) -> Iterator[Contradiction]:
    """Its layout says which columns and files there are."""
    data, source = config.data, ("data", "source")
    told = {
        "group_column": "source = mask keeps each person in one fold by itself",
        "image_column": "source = mask has a column `path` with each person's folder",
        "extra_csv": "source = mask has people in folders; give more of them a row of train.csv and a folder beside the others",
    }
    for name, message in told.items():
        if getattr(data, name) is not None:
            yield Contradiction((("data", name), source), message)
    if data.task != "multiclass":
        yield Contradiction((("data", "task"), source), f"source = mask has 18 classes, and no {data.task} labels; use multiclass")


def _of_tables_of_pixels(data: Data) -> Iterator[Contradiction]:
    columns = ("data", "pixel_columns")
    if data.pixel_columns is None:
        if data.pixel_size is not None:
            yield Contradiction((("data", "pixel_size"), columns), "only the pixels of pixel_columns have it, which is blank")
        return
    if data.source != "csv":
        yield Contradiction((columns, ("data", "source")), f"columns of the tables of source = csv, and source is {data.source}")
    if data.test_csv is None:
        message = "pixel_columns needs the table that holds the pixels of the test images, such as test.csv"
        yield Contradiction((("data", "test_csv"), columns), message)
    for name in ("image_column", "extra_images", "channel_suffixes"):
        if getattr(data, name) is not None:
            yield Contradiction((("data", name), columns), "is about files, and with pixel_columns the tables hold the images")


def _of_channels(data: Data) -> Iterator[Contradiction]:
    suffixes, channels = ("data", "channel_suffixes"), ("data", "channels")
    if data.channel_suffixes is None:
        if data.channels == 4:
            yield Contradiction((channels, suffixes), "images have 1 or 3; four are read from four files, which channel_suffixes names")
        return
    if data.source != "csv":
        yield Contradiction((suffixes, ("data", "source")), f"goes with source = csv, and source is {data.source}")
    count = len(data.channel_suffixes)
    if count != data.channels:
        yield Contradiction((suffixes, channels), f"{count} of them, a channel each, and channels = {data.channels}")
    if len(set(data.channel_suffixes)) < count:
        yield Contradiction((suffixes,), f"expected different ones, got '{', '.join(data.channel_suffixes)}'")


def _of_patterns(data: Data) -> Iterator[Contradiction]:
    pattern = ("data", "label_pattern")
    if data.label_pattern is None:
        return
    if data.source != "folder":
        message = f"a pattern over the paths of source = folder, and source is {data.source}"
        yield Contradiction((pattern, ("data", "source")), message)
    try:
        groups = re.compile(data.label_pattern).groupindex
    except re.error as error:
        yield Contradiction((pattern,), f"expected a regular expression; {error}: '{data.label_pattern}'")
        return
    if "label" not in groups:
        message = rf"expected a group named label, such as ^(?P<label>cat|dog)\., got '{data.label_pattern}'"
        yield Contradiction((pattern,), message)
    if len(data.label_columns) > 1:
        yield Contradiction((("data", "label_columns"), pattern), "label_pattern finds one label an image, and no columns")
    if data.corrections is not None and data.task in ("multilabel", "regression"):
        message = f"labels from label_pattern are corrected where they are classes, and task is {data.task}; rename the files"
        yield Contradiction((("data", "corrections"), pattern, ("data", "task")), message)


def _of_pseudo_labels(data: Data) -> Iterator[Contradiction]:
    if data.pseudo_labels is None and data.pseudo_threshold != Data.pseudo_threshold:
        yield Contradiction((("data", "pseudo_threshold"), ("data", "pseudo_labels")), "nothing is compared with it without pseudo_labels")


def _of_metadata(config: Config) -> Iterator[Contradiction]:
    data, columns = config.data, ("data", "metadata_columns")
    if data.metadata_columns is None:
        return
    if data.source != "csv":
        yield Contradiction((columns, ("data", "source")), f"columns of the tables of source = csv, and source is {data.source}")
    elif data.test_csv is None:
        yield Contradiction((columns, ("data", "test_csv")), "metadata_columns need a test_csv that has them")
    if len(set(data.metadata_columns)) < len(data.metadata_columns):
        yield Contradiction((columns,), f"expected different columns, got '{', '.join(data.metadata_columns)}'")
    told = [name for name in data.metadata_columns if name in data.label_columns]
    if told:
        yield Contradiction((columns, ("data", "label_columns")), f"'{told[0]}' is what is predicted; it cannot be known before")
    if config.model.head == "append":
        message = "append follows the library's own head, and metadata_columns are joined to what goes into that; use replace"
        yield Contradiction((("model", "head"), columns), message)
    if config.model.feature_cache == "on":
        message = "metadata_columns are joined to features, which are not stored then; use auto"
        yield Contradiction((("model", "feature_cache"), columns), message)
    for name in ("mixup", "cutmix"):
        if getattr(config.augmentation, name) > 0:
            yield Contradiction((("augmentation", name), columns), f"{name} blends images, and metadata_columns of two images do not blend")


def _of_splits(config: Config) -> Iterator[Contradiction]:
    split = config.split
    method = ("split", "method")
    if split.method == "predefined" and split.fold_column is None:
        yield Contradiction((("split", "fold_column"), method), "method = predefined needs the column of train_csv with the folds")
    if split.method != "predefined" and split.fold_column is not None:
        yield Contradiction((("split", "fold_column"), method), f"only method = predefined reads it, and method is {split.method}")
    if split.holdout != Split.holdout and split.method not in ("holdout", "none"):  # none: a refit may leave it as it was
        yield Contradiction((("split", "holdout"), method), f"only method = holdout reads it, and method is {split.method}")
    if split.repeats > 1 and split.method in ("predefined", "none"):
        yield Contradiction((("split", "repeats"), method), f"method = {split.method} can be done in one way only; use 1")
    if split.epochs_from is not None and split.method != "none":
        yield Contradiction((("split", "epochs_from"), method), f"only method = none reads it, and method is {split.method}")
    if split.method == "none" and config.hyper_params.scheduler == "plateau":
        yield Contradiction(
            (("hyper_params", "scheduler"), method), "plateau follows the validation's score, and method = none has no validation"
        )


def _of_features(config: Config) -> Iterator[Contradiction]:
    model, cache = config.model, ("model", "feature_cache")
    if model.feature_cache == "off" and model.feature_views > 1:
        yield Contradiction((("model", "feature_views"), cache), "nothing is stored: feature_cache = off")
    if model.feature_cache == "on" and model.freeze == "none" and config.hyper_params.probe_epochs == 0:
        message = "nothing is frozen whose features could be stored; set freeze, or probe_epochs"
        yield Contradiction((cache, ("model", "freeze"), ("hyper_params", "probe_epochs")), message)
    for name in ("mixup", "cutmix"):
        if model.feature_cache == "on" and getattr(config.augmentation, name) > 0:
            message = f"{name} blends images of each batch anew, and stored features are of whole images; use auto, or {name} = 0"
            yield Contradiction((cache, ("augmentation", name)), message)


def _of_phases(config: Config) -> Iterator[Contradiction]:
    if config.model.unfreeze is None:
        return
    unfreeze, hyper = ("model", "unfreeze"), config.hyper_params
    first, last = (config.model.unfreeze.stages[place][0] for place in (0, -1))
    if config.model.freeze == "none":
        yield Contradiction((unfreeze, ("model", "freeze")), "nothing is frozen that could begin to train; set freeze, to backbone perhaps")
    if first <= hyper.probe_epochs:
        message = f"the head is alone for {counted(hyper.probe_epochs, 'epoch')}, as probe_epochs says; begin later than {first}"
        yield Contradiction((unfreeze, ("hyper_params", "probe_epochs")), message)
    if last > hyper.probe_epochs + hyper.epochs and not config.settings.debug and config.split.epochs_from is None:
        whole = counted(hyper.epochs, "epoch") if hyper.probe_epochs == 0 else f"{hyper.probe_epochs} + {hyper.epochs} epochs"
        yield Contradiction((unfreeze, ("hyper_params", "epochs")), f"epoch {last} is never reached: there are {whole}")


def _of_views(config: Config) -> Iterator[Contradiction]:
    size = config.data.image_size
    if config.inference.tta == "d4" and size.height != size.width:
        message = f"d4 turns images by a quarter, and image_size is {size.height}, {size.width}; use a square one, or hvflip"
        yield Contradiction((("inference", "tta"), ("data", "image_size")), message)
