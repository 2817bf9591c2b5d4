"""A Plan to the moving parts of a fold: its model, what it learns with, its batches, its evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from modules.compute.progress import Follow
from modules.compute.seeding import seed_torch
from modules.data.class_weights import weigh_classes
from modules.data.draws import BatchSampler, DealtBatches
from modules.data.loaders import Loader, Workers
from modules.data.mixing import make_mixer
from modules.data.preprocessing import Normalizer, Prepare
from modules.data.samples import Rows
from modules.data.splits import Fold
from modules.data.task import Targets, positions
from modules.models.build import Network, build_network
from modules.models.compiling import compiled
from modules.models.cutting import Tail
from modules.models.freezing import freeze
from modules.models.objectives import Objective
from modules.models.trying import some_idle
from modules.prediction.features import Features, Look, augmented_looks, plain_looks
from modules.prediction.logits import network_outputs, task_objective
from modules.prediction.predict import Outcome, predict
from modules.prediction.tta import VIEWS, View
from modules.runs.records import Sight
from modules.training.epoch import Learner
from modules.training.optimizer import make_optimizer
from modules.training.phases import TrainingPhase
from modules.training.plan import Plan
from modules.training.schedule import make_schedule
from modules.training.warm_start import WarmStart


def make_network(plan: Plan, fold_number: int, pretrained: bool | str | WarmStart) -> Network:
    """The fold's model on its device; the head's first values are a function of (seed, fold)."""
    seed_torch(plan.config.settings.seed, fold_number, "init")
    task, images = plan.samples.task, plan.preprocessing
    outputs = network_outputs(task, plan.config.model, plan.config.hyper_params)
    source = pretrained.weights(fold_number, task, outputs) if isinstance(pretrained, WarmStart) else pretrained
    network = build_network(plan.config.model, outputs, images.channels, images.size, source, task.metadata)
    if plan.config.compute.sync_batchnorm and plan.process.ranks.are_several:
        network = replace(network, module=convert_sync_batchnorm(network.module))
    plan.process.place(network.module)
    return network


@dataclass(frozen=True)
class Feed:
    """What a phase of a fold trains on and is validated on: images, or features in their place.

    views: of what validation is fed, without TTA.
    """

    train: Loader
    valid: Loader
    views: tuple[View, ...] = VIEWS["none"]


def stored_features(plan: Plan, network: Network, phase: TrainingPhase) -> Features | None:
    """Those that the network's trunk makes, where the phase learns from them."""
    return None if phase.cut is None else plan.features.open(phase.cut.trunk_of(network.module), phase.cut.numbers)


def make_learner(
    plan: Plan, fold: Fold, network: Network, phase: TrainingPhase, steps_per_epoch: int, features: Features | None = None
) -> Learner:
    """What the phase learns with, as it is before its first step; from `features` where they are given, else from images.

    The moving average is timm's: its decay grows with the phase's steps, from 0 at the first, which leaves nothing of the
    weights before it, up to ema_decay. BatchNorm's statistics are averaged like the weights.
    """
    hyper, decay = phase.hyper, plan.config.model.ema_decay
    still = freeze(network, phase.freeze, phase.unfrozen)
    ema = ModelEmaV3(network.module, decay=decay, use_warmup=True) if decay > 0 else None
    model, averaged = _called(plan, network.module), None if ema is None else _called(plan, ema.module)
    if features is not None and phase.cut is not None:
        model, averaged = phase.cut.tail_of(network.module), None if ema is None else phase.cut.tail_of(ema.module)
    return Learner(
        module=network.module,
        model=model,
        still=still,
        objective=fold_objective(plan, fold),
        optimizer=make_optimizer(network.module, hyper, network.head),
        scaler=torch.amp.GradScaler(plan.process.device.type, enabled=plan.process.precision == "float16"),
        schedule=make_schedule(hyper, steps_per_epoch),
        prepare=_normalizer(plan) if features is None else features.to_device,
        process=plan.process,
        mixer=make_mixer(plan.config.augmentation, [len(output.classes) for output in plan.samples.task.outputs]),
        accumulate=hyper.accumulate,
        clip_grad=hyper.clip_grad,
        ema=ema,
        averaged=averaged,
        shared=_shared(plan, network.module, model, None if features is None or phase.cut is None else phase.cut.numbers),
    )


def _shared(plan: Plan, module: nn.Module, called: nn.Module, features: int | None) -> DistributedDataParallel | None:
    """What training calls where several processes share its batches. features: what is called takes so many numbers in an image's place."""
    ranks, device, images = plan.process.ranks, plan.process.device, plan.preprocessing
    if not ranks.are_several:
        return None
    shape = (images.channels, images.size.height, images.size.width) if features is None else (features,)
    return ranks.share_gradients(module, called, device, some_idle(module, called, torch.zeros(2, *shape, device=device)))


def steps_per_epoch(plan: Plan, batches: Loader) -> int:
    """Of the optimiser."""
    return math.ceil(len(batches) / plan.config.hyper_params.accumulate)


def fold_objective(plan: Plan, fold: Fold) -> Objective:
    """What the fold's training and its validation are measured with; balanced class weights are of the rows that train."""
    hyper, task = plan.config.hyper_params, plan.samples.task
    weights = weigh_classes(hyper.class_weights, task, _train_targets(plan, fold))
    on_device = None if weights is None else torch.from_numpy(weights).to(plan.process.device)
    return task_objective(task, plan.config.model, hyper, hyper.label_smoothing, on_device)


def image_feed(plan: Plan, fold: Fold) -> Feed:
    return Feed(train_batches(plan, fold), valid_batches(plan, fold))


def feature_feed(plan: Plan, fold: Fold, features: Features, follow: Follow) -> Feed:
    """The features of the fold's images. Those of all folds that are not stored yet are computed first: `follow` is told of it.

    All, since what an image gives depends, in its last digit, on those beside it: any fold may be the first, after a resume.
    """
    learnt = augmented_looks(plan.config.augmentation, plan.preprocessing, plan.config.model.feature_views)
    validated = plain_looks(plan.preprocessing, "none")
    trained_rows, validated_rows = _all_rows(plan)
    if learnt[0].name == validated[0].name:
        _provide(plan, features, np.union1d(trained_rows, validated_rows), validated, follow)
    else:
        _provide(plan, features, trained_rows, learnt, follow)
        _provide(plan, features, validated_rows, validated, follow)
    train = features.to_train(train_sampler(plan, fold), learnt, (plan.config.settings.seed, fold.number))
    return Feed(train, *features.to_predict(_valid_sampler(plan, fold), validated))


def train_batches(plan: Plan, fold: Fold) -> Loader:
    ranks = plan.process.ranks
    return Loader(plan.workers, train_sampler(plan, fold), "train", (plan.config.settings.seed, fold.number), ranks.rank, ranks.world)


def sight_of(plan: Plan, fold: Fold, network: Network, epoch: int) -> Sight:
    """What the fold is about to train, for who wants to look at it."""

    def images() -> torch.Tensor:
        """Made in this process: workers are at the epoch's own batches."""
        workers = Workers(plan.workers.dataset, 0, pin_memory=False)
        batches = Loader(workers, train_sampler(plan, fold), "train", (plan.config.settings.seed, fold.number))
        return next(iter(batches.epoch(epoch))).images

    def inputs() -> tuple[torch.Tensor, ...]:
        device, size = plan.process.device, plan.preprocessing.size
        zeros = torch.zeros(1, plan.preprocessing.channels, *size, device=device)
        known = torch.zeros(1, plan.samples.task.metadata, device=device)
        return (zeros, known) if plan.samples.task.metadata else (zeros,)

    first = epoch == 1 and fold.number == plan.folds[0].number
    return Sight(fold.number, epoch, first, network.module, images, inputs)


def valid_batches(plan: Plan, fold: Fold) -> Loader:
    return Loader(plan.workers, _valid_sampler(plan, fold), "valid", (plan.config.settings.seed, "valid"))


def evaluate(plan: Plan, network: Network, batches: Loader, fold: Fold, views: str) -> Outcome:
    """The images that the fold validates, through its model."""
    return _predict(plan, fold, _called(plan, network.module), _normalizer(plan), batches, VIEWS[views])


def evaluate_features(plan: Plan, tail: Tail, features: Features, fold: Fold, views: str, follow: Follow) -> Outcome:
    """Likewise, from their features."""
    looks = plain_looks(plan.preprocessing, views)
    _provide(plan, features, _all_rows(plan)[1], looks, follow)
    batches, selectors = features.to_predict(_valid_sampler(plan, fold), looks)
    return _predict(plan, fold, tail, features.to_device, batches, selectors)


def validate(plan: Plan, fold: Fold, learner: Learner, feed: Feed) -> Outcome:
    """What the fold validates, through the model as it is by now; no TTA."""
    plan.process.ranks.take_buffers_of_main(learner.module, None if learner.ema is None else learner.ema.module)
    return _predict(plan, fold, learner.predictor, learner.prepare, feed.valid, feed.views)


def _called(plan: Plan, module: nn.Module) -> nn.Module:
    """What is called of a whole model. Tails are not compiled: a head is too small to gain, and each fold's tail is code of its own."""
    whole, ranks = plan.config.hyper_params.batch_size, plan.process.ranks
    own = len(range(ranks.rank, whole, ranks.world))
    return compiled(module, plan.process.compile, whole, own)


def _all_rows(plan: Plan) -> tuple[Rows, Rows]:
    """Those that any fold trains on, and those that any validates."""
    trained, validated = ([getattr(fold, part) for fold in plan.folds] for part in ("train_rows", "valid_rows"))
    return np.unique(np.concatenate(trained)), np.unique(np.concatenate(validated))


def _predict(plan: Plan, fold: Fold, model: nn.Module, prepare: Prepare, batches: Loader, views: Sequence[View]) -> Outcome:
    rows = batches.sampler.rows
    own = predict(
        members=[model],
        batches=batches.epoch(0),
        rows=rows,
        columns=len(plan.samples.task.columns),
        prepare=prepare,
        objective=fold_objective(plan, fold),
        views=views,
        process=plan.process,
    )
    return _joined(plan, fold, rows, own) if plan.process.ranks.are_several and len(fold.valid_rows) else own


def _joined(plan: Plan, fold: Fold, rows: Rows, own: Outcome) -> Outcome:
    """What all processes predicted, each the batches that were dealt to it, in the order of the fold's rows."""
    parts = [(found, each) for found, each in plan.process.ranks.gather((rows, own)) if len(found)]
    place = {row: index for index, row in enumerate(np.concatenate([found for found, _ in parts]).tolist())}
    values = np.concatenate([each.values for _, each in parts], axis=1)[:, [place[row] for row in fold.valid_rows.tolist()]]
    return Outcome(values, sum(each.loss * len(found) for found, each in parts) / len(fold.valid_rows))


def _provide(plan: Plan, features: Features, rows: Rows, looks: Sequence[Look], follow: Follow) -> None:
    """By the main process; the others find them."""
    plan.process.ranks.from_main(lambda: features.provide(rows, looks, follow))


def _normalizer(plan: Plan) -> Normalizer:
    return Normalizer(plan.preprocessing, plan.process.device, plan.process.channels_last)


def train_sampler(plan: Plan, fold: Fold) -> BatchSampler:
    balanced_by = positions(_train_targets(plan, fold)) if plan.config.hyper_params.sampler == "balanced" else None
    least = 2 * plan.process.ranks.world  # two images for each process
    seed = plan.config.settings.seed, fold.number
    return BatchSampler(fold.train_rows, plan.config.hyper_params.batch_size, seed, balanced_by, least)


def _valid_sampler(plan: Plan, fold: Fold) -> BatchSampler | DealtBatches:
    """Whole batches are dealt, since what an image gives depends, in its last digit, on those beside it."""
    batches, ranks = BatchSampler(fold.valid_rows, plan.config.hyper_params.batch_size), plan.process.ranks
    return DealtBatches(batches, ranks.rank, ranks.world) if ranks.are_several else batches


def _train_targets(plan: Plan, fold: Fold) -> Targets:
    assert plan.samples.targets is not None
    return plan.samples.targets[fold.train_rows]
