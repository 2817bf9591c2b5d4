"""A Plan to the moving parts of a fold: its model, what it learns with, its batches, its evaluation."""

from __future__ import annotations

import math

import torch
from timm.utils import ModelEmaV3

from modules.compute.seeding import seed_torch
from modules.data.class_weights import weigh_classes
from modules.data.loaders import BatchSampler, ImageBatches, Loader
from modules.data.mixing import make_mixer
from modules.data.preprocessing import Normalizer
from modules.data.samples import Rows
from modules.data.splits import Fold
from modules.data.transforms import build_pipeline, make_train_pipeline
from modules.models.build import Network, build_network
from modules.models.freezing import freeze
from modules.models.objectives import Objective, make_objective
from modules.prediction.predict import Outcome, predict
from modules.prediction.tta import VIEWS
from modules.training.epoch import Learner
from modules.training.optimizer import make_optimizer
from modules.training.phases import TrainingPhase
from modules.training.plan import Plan
from modules.training.schedule import make_schedule
from modules.training.warm_start import WarmStart


def make_network(plan: Plan, fold_number: int, pretrained: bool | str | WarmStart) -> Network:
    """The fold's model on its device; the head's first values are a function of (seed, fold)."""
    seed_torch(plan.config.settings.seed, fold_number, "init")
    classes, images = plan.samples.classes, plan.preprocessing
    source = pretrained.weights(fold_number, classes) if isinstance(pretrained, WarmStart) else pretrained
    network = build_network(plan.config.model, len(classes), images.channels, images.size, source)
    plan.process.place(network.module)
    return network


def make_learner(plan: Plan, fold: Fold, network: Network, phase: TrainingPhase, steps_per_epoch: int) -> Learner:
    """What the phase learns with, as it is before its first step.

    The moving average is timm's: its decay grows with the phase's steps, from 0 at the first, which leaves nothing of the
    weights before it, up to ema_decay. BatchNorm's statistics are averaged like the weights.
    """
    hyper, decay = phase.hyper, plan.config.model.ema_decay
    still = freeze(network, phase.freeze, phase.unfrozen)
    return Learner(
        module=network.module,
        still=still,
        objective=fold_objective(plan, fold),
        optimizer=make_optimizer(network.module, hyper, network.head),
        scaler=torch.amp.GradScaler(plan.process.device.type, enabled=plan.process.precision == "float16"),
        schedule=make_schedule(hyper, steps_per_epoch),
        normalizer=Normalizer(plan.preprocessing, plan.process.device, plan.process.channels_last),
        process=plan.process,
        mixer=make_mixer(plan.config.augmentation, len(plan.samples.classes)),
        accumulate=hyper.accumulate,
        clip_grad=hyper.clip_grad,
        ema=ModelEmaV3(network.module, decay=decay, use_warmup=True) if decay > 0 else None,
    )


def steps_per_epoch(plan: Plan, batches: Loader) -> int:
    """Of the optimiser."""
    return math.ceil(len(batches) / plan.config.hyper_params.accumulate)


def fold_objective(plan: Plan, fold: Fold) -> Objective:
    """What the fold's training and its validation are measured with; balanced class weights are of the rows that train."""
    hyper = plan.config.hyper_params
    weights = weigh_classes(hyper.class_weights, plan.samples.classes, _train_targets(plan, fold))
    on_device = None if weights is None else torch.from_numpy(weights).to(plan.process.device)
    return make_objective(hyper.loss, hyper.label_smoothing, hyper.focal_gamma, on_device)


def train_batches(plan: Plan, fold: Fold) -> Loader:
    seed = plan.config.settings.seed
    pipeline = make_train_pipeline(plan.config.augmentation, plan.preprocessing.size, plan.preprocessing.channels)
    dataset = ImageBatches(plan.samples, plan.preprocessing, pipeline, (seed, fold.number))
    balanced_by = _train_targets(plan, fold) if plan.config.hyper_params.sampler == "balanced" else None
    sampler = BatchSampler(fold.train_rows, plan.config.hyper_params.batch_size, (seed, fold.number), balanced_by)
    return Loader(dataset, sampler, plan.process.workers, plan.process.device.type == "cuda")


def valid_batches(plan: Plan, fold: Fold) -> Loader:
    seed = plan.config.settings.seed
    dataset = ImageBatches(plan.samples, plan.preprocessing, build_pipeline(plan.preprocessing.valid, "valid"), (seed, "valid"))
    sampler = BatchSampler(fold.valid_rows, plan.config.hyper_params.batch_size)
    return Loader(dataset, sampler, plan.process.workers, plan.process.device.type == "cuda")


def evaluate(plan: Plan, network: Network, batches: Loader, fold: Fold, views: str) -> Outcome:
    """The fold's validation rows through its model."""
    return predict(
        members=[network.module],
        batches=batches.epoch(0),
        rows=fold.valid_rows,
        classes=len(plan.samples.classes),
        normalizer=Normalizer(plan.preprocessing, plan.process.device, plan.process.channels_last),
        objective=fold_objective(plan, fold),
        views=VIEWS[views],
        process=plan.process,
    )


def _train_targets(plan: Plan, fold: Fold) -> Rows:
    assert plan.samples.targets is not None
    return plan.samples.targets[fold.train_rows]
