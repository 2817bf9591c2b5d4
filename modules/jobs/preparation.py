"""Config to Plan: everything is looked at and chosen here, before an image is decoded or a file is written."""

from __future__ import annotations

import sys
import uuid
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from modules.compute.process import start_process
from modules.config.comparison import LEARNT, differences
from modules.config.errors import DataError, OptionError, UserError, gather, shorten
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.config.values import ClassWeights
from modules.data.class_weights import order_weights
from modules.data.duplicates import describe_duplicates
from modules.data.preprocessing import Preprocessing, make_preprocessing
from modules.data.samples import Rows, Samples
from modules.data.sources import contest_folder, declared_folds, load_test, load_train, statistics
from modules.data.splits import Fold, choose_folds, divided, folds_of_validations, make_folds
from modules.data.tables import column, read_table
from modules.data.transforms import build_pipeline, check_pipeline, make_train_pipeline
from modules.models.build import build_network, check_name, normalisation
from modules.models.freezing import freeze
from modules.runs.checkpoint import load_checkpoint
from modules.runs.directory import RunDirectory, find_run, latest_run
from modules.training.optimizer import check_optimizer
from modules.training.plan import Plan
from modules.training.warm_start import WarmStart, explain_no_source, find_warm_start, open_warm_start

NOT_OF_A_REFIT = {("hyper_params", "epochs"), ("hyper_params", "patience"), ("inference", "tta"), ("settings", "debug")}
DEBUG_FOLDS = 2
DEBUG_BATCHES = 3
TOLD = 20
LOOKED_AT = 8  # images, to see whether they are in colour
COLOURED = 32  # levels of 255 that a pixel's channels differ by


def prepare(config: Config, run: RunDirectory | None = None) -> Plan:
    """The plan of a new run, or where `run` is given of going on with it. Remarks and warnings go to stderr.

    Raises UserError with every mistake that can be found without decoding an image.
    """
    if run is None and config.split.epochs_from is not None:
        config = _with_epochs_of(config, config.split.epochs_from)
    if config.settings.debug:
        config = for_debugging(config)
    if run is not None:
        config = _computed_as_before(config, run)
    (process, remarks), samples, pretrained, *_ = gather(
        lambda: start_process(config.settings, config.compute),
        lambda: _with_known_weights(config, load_train(config.data, contest_folder(config.data, config.settings.data_path))),
        lambda: _check_network(config, run),
        lambda: check_optimizer(config.hyper_params),
        lambda: _check_pipelines(config),
    )
    say(*remarks)
    if run is None:
        if config.data.bad_images == "skip":
            samples = without_bad_images(samples)
        _, all_folds = gather(lambda: refuse_bad_images(samples), lambda: folds_of(samples, config))
        if isinstance(pretrained, WarmStart):
            pretrained.check_folds(samples, choose_folds(all_folds, config.split.train_folds))
        say(*describe_duplicates(samples, all_folds, _test_set(config, samples.classes)))
        say(*_colours_lost(samples, config.data.channels))
        run_id = uuid.uuid4().hex
    else:
        samples, all_folds, run_id = _as_they_were(samples, run)
    folds = choose_folds(all_folds, config.split.train_folds)
    say(*_leaks(samples, all_folds))
    if config.settings.debug:
        folds = tuple(_shortened(fold, config.hyper_params.batch_size * DEBUG_BATCHES) for fold in folds[:DEBUG_FOLDS])
    mean, std = _mean_and_std(config, pretrained, run)
    preprocessing = make_preprocessing(config.data, config.augmentation.valid, mean, std)
    return Plan(config, process, samples, all_folds, folds, preprocessing, pretrained, run_id)


def resolve_pretrained(config: Config) -> bool | str | WarmStart:
    """auto is true, but false for the practice contest, whose images are like nothing that a hub's models have seen.

    Raises UserError for a text that names neither a file nor a finished run.
    """
    pretrained = config.model.pretrained
    if pretrained == "auto":
        return config.data.source != "digits"
    if isinstance(pretrained, bool) or Path(pretrained).is_file():
        return pretrained
    earlier = find_warm_start(config.settings.log_path, pretrained)
    if earlier is None:
        raise explain_no_source(config.settings.log_path, pretrained)
    return open_warm_start(earlier)


def describe_samples(samples: Samples) -> str:
    """A digest over ids, images (of files name and size), labels and groups: a resumed run must find what it started with."""
    assert samples.targets is not None
    total = sha256()
    for row, target in enumerate(samples.targets):
        extra = "\textra" if samples.extra is not None and samples.extra[row] else ""
        group = "" if samples.groups is None else f"\t{samples.groups[row]}"
        total.update(f"{samples.ids[row]}\t{samples.images.identity(row)}\t{samples.classes[target]}{group}{extra}\n".encode())
    return total.hexdigest()


def check_test_images(config: Config, plan: Plan) -> int:
    """Looks at the test table and every test image's header; returns their number. Raises UserError."""
    folder = contest_folder(config.data, config.settings.data_path)
    test = load_test(config.data, folder, plan.samples.classes)
    refuse_bad_images(test)
    return len(test)


def refuse_bad_images(samples: Samples) -> None:
    """Raises DataError that names the images whose header cannot be read."""
    found = [problem for problem in samples.images.header_faults() if problem]
    if found:
        more = [f"and {len(found) - TOLD} more images like these"] if len(found) > TOLD else []
        raise DataError(*found[:TOLD], *more)


def say(*lines: str) -> None:
    """A remark, beside what the script prints."""
    for line in lines:
        print(line, file=sys.stderr)


def for_debugging(config: Config) -> Config:
    """With the one epoch of a debug run."""
    return replace(config, hyper_params=replace(config.hyper_params, epochs=1, probe_epochs=0, warmup_epochs=0.0))


def _with_epochs_of(config: Config, name: str) -> Config:
    """With the mean best epoch of a finished run, the newest one that has scores for `latest`, as the number of epochs."""
    log_path, hyper = config.settings.log_path, config.hyper_params
    try:
        run = latest_run(log_path, debug=False, scored=True) if name == "latest" else find_run(log_path, name)
        result = run.read_result()
    except DataError as error:
        raise OptionError("split", "epochs_from", str(error)) from None
    if not result["coverage"]:
        raise OptionError("split", "epochs_from", f"{run.name} has no best epoch: it validated nothing")
    epochs = max(1, round(float(np.mean(result["best_epochs"]))) - hyper.probe_epochs)
    if hyper.warmup_epochs >= epochs:
        message = f"expected fewer than the {epochs} epochs of {run.name}, got '{hyper.warmup_epochs:g}'"
        raise OptionError("hyper_params", "warmup_epochs", message)
    say(f"epochs = {epochs}: the mean best epoch of {run.name}, which came after {shorten(result['best_epochs'], 10)} epochs")
    _warn_of_differences(config, run)
    return replace(config, split=replace(config.split, epochs_from=run.name), hyper_params=replace(hyper, epochs=epochs))


def _warn_of_differences(config: Config, run: RunDirectory) -> None:
    """Says what is set otherwise than in the run whose epochs are taken: they may not suit then."""
    own, _ = read_config([run.config])
    options = [option for option in LEARNT if option[0] != "split" and option not in NOT_OF_A_REFIT]
    found = [(f"{each.section}.{each.name}", *each.texts) for each in differences(own, config, options)]
    differ = [f"{option} = {there} there, {here} here" for option, there, here in found]
    if differ:
        say(f"warning: the epochs of {run.name} may not suit, since not all is as it was: {shorten(differ)}")


def folds_of(samples: Samples, config: Config) -> tuple[Fold, ...]:
    """All folds of the samples, as [split] asks for them. Raises UserError; for train_folds that do not exist too."""
    declared = None
    if config.split.fold_column is not None:
        declared = declared_folds(config.data, contest_folder(config.data, config.settings.data_path), config.split.fold_column, samples)
    folds = make_folds(samples, config.split, config.settings.seed, declared)
    choose_folds(folds, config.split.train_folds)
    return folds


def _shortened(fold: Fold, count: int) -> Fold:
    """About `count` rows of each part, evenly spread."""
    return Fold(fold.number, _spread(fold.train_rows, count), _spread(fold.valid_rows, count))


def _spread(rows: Rows, count: int) -> Rows:
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))
    return np.asarray(rows[places])


def _computed_as_before(config: Config, run: RunDirectory) -> Config:
    """What was `auto` when the run began, and its number of threads, as they were chosen then."""
    chosen = run.read_environment()
    if config.compute.threads not in (0, chosen["threads"]):
        say(f"warning: the run was begun with {chosen['threads']} threads; with {config.compute.threads} it goes on a little differently")
    settings = replace(config.settings, precision=chosen["precision"], channels_last=chosen["channels_last"])
    return replace(config, settings=settings, compute=replace(config.compute, threads=config.compute.threads or chosen["threads"]))


def _check_network(config: Config, run: RunDirectory | None) -> bool | str | WarmStart:
    """Builds the model once, for two classes: its name, weights, image size and frozen parts are then known to be good.

    Returns what its weights start from. Going on with `run` that is not looked at before a fold has yet to begin.
    """
    check_name(config.model)
    try:
        pretrained = resolve_pretrained(config)
    except UserError:
        if run is None:
            raise
        pretrained = config.model.pretrained
    source = pretrained.weights(pretrained.folds[0], ()) if isinstance(pretrained, WarmStart) else pretrained
    network = build_network(config.model, 2, config.data.channels, config.data.image_size, source if run is None else False)
    freeze(network, config.model.freeze)
    return pretrained


def _mean_and_std(config: Config, pretrained: bool | str | WarmStart, run: RunDirectory | None) -> tuple[tuple[float, ...], ...]:
    """What auto means for mean and std: an earlier run's own; where that is gone since `run` began from it, this run's."""
    if isinstance(pretrained, WarmStart):
        return pretrained.preprocessing.mean, pretrained.preprocessing.std
    if run is not None and isinstance(pretrained, str) and not Path(pretrained).is_file():
        for best in sorted(run.path.glob("fold*/best.pt")):
            own = Preprocessing.from_dict(load_checkpoint(best)["preprocessing"])
            return own.mean, own.std
    known = statistics(config.data) if pretrained is False else None
    return known or normalisation(config.model, pretrained)


def _with_known_weights(config: Config, samples: Samples) -> Samples:
    """The samples, where class_weights are of exactly their classes. Raises OptionError."""
    if isinstance(config.hyper_params.class_weights, ClassWeights):
        order_weights(config.hyper_params.class_weights, samples.classes)
    return samples


def _colours_lost(samples: Samples, channels: int) -> list[str]:
    """A warning where channels = 1 makes colour photographs grey: a config that was made for other images says so seldom on purpose."""
    if channels != 1:
        return []
    rows = _spread(np.arange(len(samples)), LOOKED_AT)
    try:
        coloured = sum(int(np.ptp(samples.images.read(row, 3), axis=-1).max()) > COLOURED for row in rows.tolist())
    except DataError:  # damaged; training tells of it
        return []
    return ["warning: the images are in colour, and data.channels = 1 makes them grey"] if coloured > len(rows) / 2 else []


def _leaks(samples: Samples, folds: tuple[Fold, ...]) -> list[str]:
    """Warnings of what several folds share; scores are too good then."""
    keys = {} if samples.groups is None else {"groups": samples.groups}
    shared = {name: divided(values, folds) for name, values in keys.items()}
    return [
        f"warning: {len(found)} {name} are in several folds, so that scores are too good: {shorten(found)}; see [split] method"
        for name, found in shared.items()
        if found
    ]


def _test_set(config: Config, classes: tuple[str, ...]) -> Samples | None:
    """The test set, where it is there already: training does not need it."""
    try:
        return load_test(config.data, contest_folder(config.data, config.settings.data_path), classes)
    except (UserError, OSError):
        return None


def _check_pipelines(config: Config) -> None:
    size, channels = config.data.image_size, config.data.channels

    def check_train() -> None:
        check_pipeline(make_train_pipeline(config.augmentation, size, channels), "train", size, channels)

    def check_valid() -> None:
        if config.augmentation.valid is not None:
            check_pipeline(build_pipeline(config.augmentation.valid, "valid"), "valid", size, channels)

    gather(check_train, check_valid)


def without_bad_images(samples: Samples) -> Samples:
    """The samples whose images can be decoded; the others are named. Raises DataError where a class is lost with them."""
    problems = samples.images.pixel_faults()
    found = [problem for problem in problems if problem]
    if found:
        say(f"warning: {len(found)} training images are left out, since they cannot be read:", *found)
    kept = samples.take(np.array([row for row, problem in enumerate(problems) if not problem], dtype=np.int64))
    lost = set(range(len(samples.classes))) - set(kept.targets.tolist() if kept.targets is not None else ())
    if lost:
        raise DataError(f"no image of class {shorten(samples.classes[index] for index in sorted(lost))} can be read")
    return kept


def _as_they_were(samples: Samples, run: RunDirectory) -> tuple[Samples, tuple[Fold, ...], str]:
    """The samples and folds that `run` started with. Raises DataError where the tables have changed since."""
    environment = run.read_environment()
    if not run.folds.is_file() or sha256(run.folds.read_bytes()).hexdigest() != environment["folds"]:
        raise DataError(f"{run.folds}: missing, or changed since this run started; start a new run")
    table = read_table(run.folds, "settings", "log_path")
    ids = column(table, "id", run.folds, "id_column")
    row_of = {str(name): row for row, name in enumerate(samples.ids)}
    missing = [name for name in dict.fromkeys(ids) if name not in row_of]
    if missing:
        raise DataError(f"{run.folds}: {len(missing)} samples are not in the training table any more: {shorten(missing)}")
    place_of = {name: place for place, name in enumerate(dict.fromkeys(ids))}
    kept = samples.take(np.array([row_of[name] for name in place_of], dtype=np.int64))
    refuse_bad_images(kept)
    if describe_samples(kept) != environment["samples"]:
        raise DataError(
            f"{run.path}: ids, images, labels or groups in the training table have changed since this run started; start a new run"
        )
    numbers = np.array([int(number) for number in column(table, "fold", run.folds, "id_column")], dtype=np.int64)
    rows = np.array([place_of[name] for name in ids], dtype=np.int64)
    return kept, folds_of_validations(kept, rows, numbers), str(environment["run_id"])
