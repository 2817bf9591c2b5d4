"""`look.py data`: what there is to learn from, and what the model will see of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from modules.compute.own_code import forget
from modules.compute.seeding import seed_torch
from modules.config.command_line import Command
from modules.config.errors import gather, shorten
from modules.config.schema import Config
from modules.data.metadata import describe_inputs
from modules.data.mixing import make_mixer
from modules.data.pixel_cache import PixelCache
from modules.data.pixels import Pixels, resize_image
from modules.data.preprocessing import make_preprocessing
from modules.data.samples import Samples
from modules.data.sources import contest_folder, load_train
from modules.data.splits import Fold, resolve_method
from modules.data.strata import strata
from modules.data.transforms import apply, build_pipeline, check_pipeline, crops_first, make_train_pipeline
from modules.jobs.bad_images import refuse_bad_images, without_bad_images
from modules.jobs.preparation import folds_of
from modules.jobs.remarks import say
from modules.jobs.suspicions import find_all_copies
from modules.prediction.predictions import tell
from modules.reporting.pictures import draw_grid
from modules.reporting.tables import FOLDS_SHOWN, tabulate_folds

PICTURE = Path("look") / "data.png"
SHOWN = 8  # images a picture shows, and draws of each


def show_data(command: Command) -> list[str]:
    """Counts a class and a fold, image sizes, and a picture of what augmentation makes of some images. Returns what to print."""
    config = command.config
    forget()
    samples = load_train(config.data, contest_folder(config.data, config.settings.data_path))
    if config.data.bad_images == "skip":
        samples = without_bad_images(samples)
    _, folds, _ = gather(lambda: refuse_bad_images(samples), lambda: folds_of(samples, config), lambda: _check_augmentation(config))
    _draw(config, samples, folds[0])
    copies, remarks = find_all_copies(config, samples, folds, command.quiet)
    say(*remarks)
    lines = [*_describe_samples(samples), *_describe_sizes(samples), f"copies    {copies.count()}"]
    return [*lines, *_describe_folds(config, samples, folds), f"picture   {PICTURE}"]


def _check_augmentation(config: Config) -> None:
    size, channels = config.data.image_size, config.data.channels
    check_pipeline(make_train_pipeline(config.augmentation, size, channels), "train", size, channels)


def _describe_samples(samples: Samples) -> list[str]:
    extra = "" if samples.extra is None else f", of them {int(samples.extra.sum())} extra, which only train"
    lines = [f"samples   {len(samples)} of {samples.task.describe()}{extra}"]
    if samples.groups is not None:
        _, counts = np.unique(samples.groups, return_counts=True)
        lines.append(f"groups    {len(counts)}, of {counts.min()} to {counts.max()} samples")
    return [*lines, *describe_inputs(samples.task.inputs)]


def _describe_sizes(samples: Samples) -> list[str]:
    sizes = Counter(size for size in samples.images.shapes() if size is not None)
    told = [f"{size.height} x {size.width} ({count})" for size, count in sizes.most_common()]
    heights, widths = ([size[side] for size in sizes.elements()] for side in (0, 1))
    lines = [f"sizes     {shorten(told)}"]
    if len(sizes) > 1:
        spread = [
            f"{name} {min(values)} to {max(values)}, median {np.median(values):.0f}"
            for name, values in (("high", heights), ("wide", widths))
        ]
        lines.append(f"          {'; '.join(spread)}")
    return lines


def _describe_folds(config: Config, samples: Samples, folds: Sequence[Fold]) -> list[str]:
    """A table of the classes: how many samples there are, and how many each fold validates."""
    more = f"; the first {FOLDS_SHOWN} of {len(folds)} are shown" if len(folds) > FOLDS_SHOWN else ""
    told = f"folds     {resolve_method(config.split, samples)}; the table counts what each of them validates{more}"
    return [told, "", *tabulate_folds(samples, folds), ""]


def _draw(config: Config, samples: Samples, fold: Fold) -> None:
    """Some images of different classes, as they are validated and in the draws that the fold's first epochs could make of them."""
    seed, channels, size = config.settings.seed, config.data.channels, config.data.image_size
    train = make_train_pipeline(config.augmentation, size, channels)
    cache = PixelCache(None, samples.images, make_preprocessing(config.data, None, (0.0,) * 3, (1.0,) * 3, crops_first(train, size)))
    valid = build_pipeline(config.augmentation.valid, "valid") if config.augmentation.valid is not None else None
    rows, views = [], []
    for position, row in enumerate(_of_each_class(samples, fold)):
        stored = cache.decode(row)
        pixels = resize_image(stored, size, "stretch")
        seen = pixels if valid is None else apply(valid, pixels, seed, "valid", 0, position)
        draws = [apply(train, stored, seed, fold.number, epoch, position) for epoch in range(1, SHOWN)]
        assert samples.targets is not None
        name = " ".join(cell for cells in tell("", samples.task, samples.targets[[row]]).values() for cell in cells)
        rows.append((name[:20], [("validated as", seen), *((f"trained as, {number}", draw) for number, draw in enumerate(draws, 1))]))
        views.append((draws[0], row))
    title = f"augmentation.preset = {config.augmentation.preset}" if config.augmentation.train is None else "[augmentation] train"
    mixed = _mix(config, samples, views)
    draw_grid(PICTURE, [*rows, *mixed], f"{title}, mixup {config.augmentation.mixup:g}, cutmix {config.augmentation.cutmix:g}")


def _of_each_class(samples: Samples, fold: Fold) -> list[int]:
    """Rows that the fold trains on: the first of each class (or set of labels, or part of the numbers) in turn, then the second, ..."""
    targets = strata(samples, SHOWN)[fold.train_rows]
    turn = np.zeros(len(targets), dtype=np.int64)
    for target in np.unique(targets):
        places = np.flatnonzero(targets == target)
        turn[places] = np.arange(len(places))
    return [int(row) for row in fold.train_rows[np.lexsort((targets, turn))][:SHOWN]]


def _mix(config: Config, samples: Samples, views: Sequence[tuple[Pixels, int]]) -> list[tuple[str, list[tuple[str, Pixels]]]]:
    """A row of the batch as mixup or cutmix leave it, where they are on."""
    if not (config.augmentation.mixup or config.augmentation.cutmix) or len(views) < 2:
        return []
    seed_torch(config.settings.seed, 0, 1)
    images = torch.from_numpy(np.stack([pixels for pixels, _ in views])).permute(0, 3, 1, 2).float()
    assert samples.targets is not None
    targets = torch.from_numpy(samples.targets[[row for _, row in views]])
    mixed, shares = make_mixer(config.augmentation, [len(output.classes) for output in samples.task.outputs])(images, targets)
    names = samples.task.classes if samples.task.kind == "ordinal" else samples.task.columns
    pixels = mixed.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
    captions = [" ".join(f"{names[index][:8]} {share:.2f}" for index, share in enumerate(row) if share > 0) for row in shares.tolist()]
    return [("mixed", list(zip(captions, pixels, strict=True)))]
