"""What a resumed run finds again: its samples and folds, and how it was computed."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np

from modules.config.command_line import numbers_of_torchrun
from modules.config.errors import DataError, counted, shorten
from modules.config.schema import Config
from modules.data.samples import Samples
from modules.data.splits import Fold, folds_of_validations
from modules.data.tables import column, read_table
from modules.jobs.bad_images import refuse_bad_images
from modules.jobs.remarks import say
from modules.runs.directory import RunDirectory


def as_they_were(samples: Samples, run: RunDirectory) -> tuple[Samples, tuple[Fold, ...], str]:
    """The samples and folds that `run` started with. Raises DataError where the tables have changed since."""
    environment = run.read_environment()
    if not run.folds.is_file() or sha256(run.folds.read_bytes()).hexdigest() != environment["folds"]:
        raise DataError(f"{run.folds}: missing, or changed since this run started; start a new run")
    table = read_table(run.folds, "settings", "log_path")
    ids = column(table, "id", run.folds, "id_column")
    row_of = {str(name): row for row, name in enumerate(samples.ids)}
    missing = [name for name in dict.fromkeys(ids) if name not in row_of]
    if missing:
        raise DataError(
            f"{run.folds}: {counted(len(missing), 'sample is', 'samples are')} not in the training table any more: {shorten(missing)}"
        )
    place_of = {name: place for place, name in enumerate(dict.fromkeys(ids))}
    kept = samples.take(np.array([row_of[name] for name in place_of], dtype=np.int64))
    refuse_bad_images(kept)
    if describe_samples(kept) != environment["samples"]:
        raise DataError(
            f"{run.path}: ids, images, labels, groups or metadata in the training table have changed since this run started;"
            " start a new run"
        )
    numbers = np.array([int(number) for number in column(table, "fold", run.folds, "id_column")], dtype=np.int64)
    rows = np.array([place_of[name] for name in ids], dtype=np.int64)
    return kept, folds_of_validations(kept, rows, numbers), str(environment["run_id"])


def computed_as_before(config: Config, run: RunDirectory) -> Config:
    """What was `auto` when the run began, and its number of threads, as they were chosen then."""
    chosen = run.read_environment()
    if config.compute.threads not in (0, chosen["threads"]):
        before = counted(chosen["threads"], "thread")
        say(f"warning: the run was begun with {before}; with {config.compute.threads} it goes on a little differently")
    ranks, began = numbers_of_torchrun()[1], chosen.get("ranks", 1)
    if ranks != began:
        processes = counted(began, "process", "processes")
        say(f"warning: the run was begun by {processes}; by {ranks} it goes on a little differently")
    threads = config.compute.threads or (chosen["threads"] if ranks == began else 0)
    settings = replace(config.settings, precision=chosen["precision"], channels_last=chosen["channels_last"])
    return replace(config, settings=settings, compute=replace(config.compute, threads=threads))


def describe_samples(samples: Samples) -> str:
    """A digest over ids, images (of files name and size), labels, groups and metadata: a resumed run must find what it started with."""
    assert samples.targets is not None
    total = sha256()
    total.update(repr(samples.task.columns).encode())
    for row, target in enumerate(samples.targets):
        extra = "\textra" if samples.extra is not None and samples.extra[row] else ""
        group = "" if samples.groups is None else f"\t{samples.groups[row]}"
        known = "" if samples.metadata is None else f"\t{samples.metadata[row].tolist()}"
        total.update(f"{samples.ids[row]}\t{samples.images.identity(row)}\t{target.tolist()}{group}{extra}{known}\n".encode())
    return total.hexdigest()
