"""A Plan to the moving parts of a fold: its model, what it learns with, its batches, its evaluation."""

from __future__ import annotations

import torch

from modules.compute.seeding import seed_torch
from modules.data.loaders import BatchSampler, ImageBatches, Loader
from modules.data.preprocessing import Normalizer
from modules.data.splits import Fold
from modules.data.transforms import build_pipeline, make_train_pipeline
from modules.models.build import Network, build_network
from modules.models.freezing import freeze
from modules.models.objectives import make_objective
from modules.prediction.predict import Outcome, predict
from modules.prediction.tta import VIEWS
from modules.training.epoch import Learner
from modules.training.optimizer import make_optimizer
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


def make_learner(plan: Plan, network: Network, steps_per_epoch: int) -> Learner:
    hyper = plan.config.hyper_params
    still = freeze(network, plan.config.model.freeze)
    return Learner(
        module=network.module,
        still=still,
        objective=make_objective(hyper.loss, hyper.label_smoothing),
        optimizer=make_optimizer(network.module, hyper),
        scaler=torch.amp.GradScaler(plan.process.device.type, enabled=plan.process.precision == "float16"),
        schedule=make_schedule(hyper, steps_per_epoch),
        normalizer=Normalizer(plan.preprocessing, plan.process.device, plan.process.channels_last),
        process=plan.process,
    )


def train_batches(plan: Plan, fold: Fold) -> Loader:
    seed = plan.config.settings.seed
    pipeline = make_train_pipeline(plan.config.augmentation, plan.preprocessing.size, plan.preprocessing.channels)
    dataset = ImageBatches(plan.samples, plan.preprocessing, pipeline, (seed, fold.number))
    sampler = BatchSampler(fold.train_rows, plan.config.hyper_params.batch_size, (seed, fold.number))
    return Loader(dataset, sampler, plan.process.workers, plan.process.device.type == "cuda")


def valid_batches(plan: Plan, fold: Fold) -> Loader:
    seed = plan.config.settings.seed
    dataset = ImageBatches(plan.samples, plan.preprocessing, build_pipeline(plan.preprocessing.valid, "valid"), (seed, "valid"))
    sampler = BatchSampler(fold.valid_rows, plan.config.hyper_params.batch_size)
    return Loader(dataset, sampler, plan.process.workers, plan.process.device.type == "cuda")


def evaluate(plan: Plan, network: Network, batches: Loader, fold: Fold, views: str) -> Outcome:
    """The fold's validation rows through its model."""
    hyper = plan.config.hyper_params
    return predict(
        members=[network.module],
        batches=batches.epoch(0),
        rows=fold.valid_rows,
        classes=len(plan.samples.classes),
        normalizer=Normalizer(plan.preprocessing, plan.process.device, plan.process.channels_last),
        objective=make_objective(hyper.loss, hyper.label_smoothing),
        views=VIEWS[views],
        process=plan.process,
    )
