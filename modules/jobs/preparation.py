"""Config to Plan: everything is looked at and chosen here, before an image is decoded or a file is written."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modules.compute.own_code import forget
from modules.compute.process import start_process
from modules.config.errors import DataError, OptionError, counted, gather
from modules.config.schema import Config
from modules.config.values import ClassWeights
from modules.data.class_weights import order_weights
from modules.data.loaders import image_workers
from modules.data.preprocessing import make_preprocessing
from modules.data.samples import Samples
from modules.data.sources import contest_folder, declared_folds, load_train
from modules.data.splits import Fold, choose_folds, make_folds
from modules.data.transforms import build_pipeline, check_pipeline, crops_first, make_train_pipeline
from modules.jobs.bad_images import refuse_bad_images, without_bad_images
from modules.jobs.beginnings import check_network, mean_and_std
from modules.jobs.debugging import for_debugging, some_of
from modules.jobs.deciding import check_decision
from modules.jobs.engine import check_engine, with_threads_of_a_fold
from modules.jobs.own_code import own_code_changes
from modules.jobs.refit import with_epochs_of
from modules.jobs.remarks import say
from modules.jobs.resuming import as_they_were, computed_as_before
from modules.jobs.stored_features import as_chosen, choose_features
from modules.jobs.stored_pixels import choose_pixels, passes_over, rows_of
from modules.jobs.suspicions import suspect_folds, suspect_ids, suspect_images
from modules.prediction.features import FOLDER, FeatureCache
from modules.prediction.logits import check_objective, find_loss
from modules.prediction.metrics import check_metric, find_metric
from modules.runs.directory import RunDirectory
from modules.training.optimizer import check_optimizer
from modules.training.plan import Plan
from modules.training.warm_start import WarmStart


def prepare(config: Config, run: RunDirectory | None = None) -> Plan:
    """The plan of a new run, or where `run` is given of going on with it. Remarks and warnings go to stderr.

    Raises UserError with every mistake that can be found without decoding an image.
    """
    if run is None and config.split.epochs_from is not None:
        config = with_epochs_of(config, config.split.epochs_from)
    if config.settings.debug:
        config = for_debugging(config)
    if run is not None:
        config = computed_as_before(config, run)
    check_engine(config.compute)
    if config.compute.engine == "ray":
        config = replace(config, compute=with_threads_of_a_fold(config.compute))
    forget()
    (process, remarks), samples, (network, pretrained), *_ = gather(
        lambda: start_process(config.settings, config.compute),
        lambda: _with_known_weights(config, load_train(config.data, contest_folder(config.data, config.settings.data_path))),
        lambda: check_network(config, run),
        lambda: check_optimizer(config.hyper_params),
        lambda: _check_pipelines(config),
        lambda: find_metric(config.hyper_params, config.data.task),
        lambda: find_loss(config.hyper_params, config.data.task),
    )
    _try_own_code(config, samples)
    say(*remarks, *([] if run is None else own_code_changes(config, run)))
    check_decision(config.inference, samples.task, find_metric(config.hyper_params, samples.task.kind))
    if run is None:
        if config.data.bad_images == "skip":
            samples = without_bad_images(samples)
        _, all_folds = gather(lambda: refuse_bad_images(samples), lambda: folds_of(samples, config))
        if isinstance(pretrained, WarmStart):
            pretrained.check_folds(samples, choose_folds(all_folds, config.split.train_folds))
        say(*suspect_images(config, samples, all_folds), *suspect_ids(config, samples, all_folds))
        run_id = uuid.uuid4().hex
    else:
        samples, all_folds, run_id = as_they_were(samples, run)
    folds = choose_folds(all_folds, config.split.train_folds)
    say(*suspect_folds(samples, all_folds))
    if config.settings.debug:
        folds = some_of(folds, config.hyper_params.batch_size)
    _check_parts(config, folds, process.ranks.world)
    mean, std = mean_and_std(config, pretrained, run)
    crops = crops_first(make_train_pipeline(config.augmentation, config.data.image_size, config.data.channels), config.data.image_size)
    preprocessing = make_preprocessing(config.data, config.augmentation.valid, mean, std, crops)
    if run is None:
        phases, lines, stored = choose_features(config, network, pretrained, preprocessing, folds, len(samples))
    else:
        phases, lines, stored = as_chosen(config, network, preprocessing, run.read_environment().get("features", ())), [], 0
    pixels, more = choose_pixels(config, samples.images, preprocessing, rows_of(folds), passes_over(phases, folds), stored)
    say(*lines, *more)
    workers = image_workers(samples, pixels, config.augmentation, process)
    folder, seed = Path(config.settings.cache_path) / FOLDER, config.settings.seed
    features = FeatureCache(
        folder, samples, workers, preprocessing, process, seed, config.model.feature_precision, config.hyper_params.batch_size
    )
    return Plan(config, process, samples, all_folds, folds, preprocessing, pretrained, run_id, pixels, workers, phases, features)


def folds_of(samples: Samples, config: Config) -> tuple[Fold, ...]:
    """All folds of the samples, as [split] asks for them. Raises UserError; for train_folds that do not exist too."""
    declared = None
    if config.split.fold_column is not None:
        declared = declared_folds(config.data, contest_folder(config.data, config.settings.data_path), config.split.fold_column, samples)
    folds = make_folds(samples, config.split, config.settings.seed, declared)
    choose_folds(folds, config.split.train_folds)
    return folds


def _check_parts(config: Config, folds: Sequence[Fold], processes: int) -> None:
    """Raises UserError where a batch has no image for some of the processes that share it."""
    if config.hyper_params.batch_size < processes:
        raise OptionError("hyper_params", "batch_size", f"{processes} processes share each batch; expected {processes} or more")
    for fold in folds:
        if len(fold.train_rows) < processes:
            trained = counted(len(fold.train_rows), "image")
            raise DataError(f"fold {fold.number} trains on {trained}, and {processes} processes share each batch; start fewer")


def _with_known_weights(config: Config, samples: Samples) -> Samples:
    """The samples, where class_weights are of exactly their classes. Raises OptionError."""
    if isinstance(config.hyper_params.class_weights, ClassWeights):
        order_weights(config.hyper_params.class_weights, samples.task.classes)
    return samples


def _try_own_code(config: Config, samples: Samples) -> None:
    """Calls a metric and a loss of one's own on a made example of the task. Raises UserError."""
    assert samples.targets is not None
    shares = max(config.augmentation.mixup, config.augmentation.cutmix) > 0 or samples.targets.dtype.kind == "f"
    gather(
        lambda: check_metric(config.hyper_params, samples.task),
        lambda: check_objective(samples.task, config.model, config.hyper_params, shares),
    )


def _check_pipelines(config: Config) -> None:
    size, channels = config.data.image_size, config.data.channels

    def check_train() -> None:
        check_pipeline(make_train_pipeline(config.augmentation, size, channels), "train", size, channels)

    def check_valid() -> None:
        if config.augmentation.valid is not None:
            check_pipeline(build_pipeline(config.augmentation.valid, "valid"), "valid", size, channels)

    gather(check_train, check_valid)
