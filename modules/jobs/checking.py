"""`train.py --check`: does it all run, and what would a full run do?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from modules.config.errors import counted, gather, shorten
from modules.config.schema import Config
from modules.data.loaders import image_workers
from modules.data.metadata import describe_inputs
from modules.data.samples import Samples
from modules.data.sources import as_laid_out, contest_folder, id_column, load_test
from modules.jobs.asking import ask_template
from modules.jobs.bad_images import refuse_bad_images
from modules.jobs.failures import short_of_memory, told
from modules.jobs.remarks import say
from modules.models.build import Network
from modules.models.freezing import count_trained, find_frozen
from modules.models.names import full_name
from modules.prediction.submission import read_answers
from modules.prediction.template import Template
from modules.reporting.sinks import Silence
from modules.reporting.tables import describe_targets
from modules.training.fold import train_epoch_of
from modules.training.parts import make_learner, make_network, steps_per_epoch, train_batches
from modules.training.phases import TrainingPhase
from modules.training.plan import Plan


def check_plan(plan: Plan) -> list[str]:
    """Looks at the test set and the template, then trains one batch, on nothing that is kept. Returns what to print."""
    test, template = _check_test_set(plan.config, plan)
    fold = plan.folds[0]
    network = make_network(plan, fold.number, plan.pretrained)
    batch_size = min(plan.config.hyper_params.batch_size, len(fold.train_rows))
    one_batch = replace(fold, train_rows=fold.train_rows[:batch_size])
    here = image_workers(plan.samples, plan.pixels, plan.config.augmentation, replace(plan.process, workers=0))
    batches = train_batches(replace(plan, workers=here), one_batch)
    phases = _describe_phases(plan, network)
    learner = make_learner(plan, fold, network, replace(plan.phases[-1], cut=None), steps_per_epoch=1)
    with told(short_of_memory(batch_size, *plan.preprocessing.size)):
        outcome = train_epoch_of(plan, fold, learner, batches, 1, 0, Silence())
    return [
        *_describe(plan, len(test)),
        _describe_network(plan, network),
        *phases,
        f"submits   {counted(len(template.ids), 'row')}, {template.form}",
        f"one batch, forward and back: loss {outcome.loss:.4f}",
    ]


def _check_test_set(config: Config, plan: Plan) -> tuple[Samples, Template]:
    """Looks at the test table, every test image's header, the template, and the answers if there are any.

    Raises UserError with all that is wrong with them.
    """
    folder = contest_folder(config.data, config.settings.data_path)
    test = load_test(config.data, folder, plan.samples.task)
    answers, task = config.inference.answers, plan.samples.task
    _, template, _ = gather(
        lambda: refuse_bad_images(test),
        lambda: ask_template(config, test, task, plan.metric, config),
        lambda: read_answers(Path(answers), id_column(config.data, folder), as_laid_out(config.data), test.ids, task) if answers else None,
    )
    say(*template.remarks)
    return test, template


def _describe(plan: Plan, test_samples: int) -> list[str]:
    samples, epochs = plan.samples, plan.epochs
    steps = [steps_per_epoch(plan, train_batches(plan, fold)) for fold in plan.folds]
    size = plan.preprocessing.size
    lines = [
        f"samples   {len(samples)} to train with, {test_samples} to predict",
        *describe_targets(samples),
        *describe_inputs(samples.task.inputs),
        _describe_folds(plan),
        f"images    {plan.preprocessing.channels} x {size.height} x {size.width}, {plan.preprocessing.resize}",
        f"steps     {sum(steps) * epochs:,}: {counted(epochs, 'epoch')} of {', '.join(map(str, steps))} steps, at most",
        *_single_steps(plan, steps),
        f"device    {plan.process.describe()}",
    ]
    if samples.groups is not None:
        lines.insert(2, f"groups    {len(np.unique(samples.groups))}")
    return lines


def _single_steps(plan: Plan, steps: list[int]) -> list[str]:
    if 1 not in steps:
        return []
    hyper, rows = plan.config.hyper_params, len(plan.folds[steps.index(1)].train_rows)
    size = f"batch_size = {hyper.batch_size}" + (f" x accumulate = {hyper.accumulate}" if hyper.accumulate > 1 else "")
    return [f"          one step an epoch: {size} of {rows} images; a smaller batch_size teaches more in as many epochs"]


def _describe_folds(plan: Plan) -> str:
    validated = [len(fold.valid_rows) for fold in plan.folds]
    if not sum(validated):
        return "folds     none: everything trains, and nothing is validated"
    return f"folds     {len(validated)}, of {', '.join(map(str, validated))} validated samples"


def _describe_network(plan: Plan, network: Network) -> str:
    total = sum(parameter.numel() for parameter in network.module.parameters())
    return f"model     {full_name(plan.config.model)}, pretrained {plan.pretrained}, {total:,} parameters"


def _describe_phases(plan: Plan, network: Network) -> list[str]:
    """What trains when, a line a phase. The network is not frozen yet."""
    lines = []
    for phase in plan.phases:
        count = count_trained(network, find_frozen(network, phase.freeze, phase.unfrozen))
        epochs = f"epoch {phase.first_epoch}" if phase.hyper.epochs == 1 else f"epochs {phase.first_epoch} to {phase.last_epoch}"
        stored = ", from stored features" if phase.cut is not None else ""
        lines.append(f"trains    {epochs}: {count:,} parameters, {_describe_trained(phase)}{stored}")
    return lines


def _describe_trained(phase: TrainingPhase) -> str:
    if phase.freeze == "none" or "all" in phase.unfrozen:
        return "everything"
    if phase.freeze == "backbone":
        return shorten(("the head", *phase.unfrozen))
    left = [name for name in phase.freeze if name not in phase.unfrozen]
    return f"all but {shorten(left)}" if left else "everything"
