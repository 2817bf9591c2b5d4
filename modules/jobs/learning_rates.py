"""`look.py lr`: the learning-rate range test. The rate grows with each step of the first fold, and the loss tells which are good."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from modules.compute.progress import Follow, make_follow
from modules.compute.seeding import seed_torch
from modules.config.command_line import Command
from modules.config.errors import DataError, counted
from modules.config.schema import Config, HyperParams
from modules.data.loaders import Batch
from modules.data.splits import Fold
from modules.jobs.failures import short_of_memory, told
from modules.jobs.preparation import prepare
from modules.jobs.stored_pixels import provide_pixels, rows_of
from modules.reporting.pictures import write_figure
from modules.reporting.plots import draw_range_test
from modules.reporting.sinks import Silence
from modules.training.epoch import Diverged, Learner, steps_of, train_epoch
from modules.training.fold import small_batches_told
from modules.training.parts import make_learner, make_network, steps_per_epoch, train_batches
from modules.training.plan import Plan
from modules.training.range_test import HIGHEST, LOWEST, Suggestion, is_over, rates_of, smooth, suggest

PICTURE = Path("look") / "lr.png"
STEPS, DEBUG_STEPS = 100, 20


@dataclass(frozen=True)
class RangeTest:
    """What a test found. rates, losses: of its steps, fewer than `steps` where the loss grew too high. diverged: it was no number then."""

    rates: list[float]
    losses: list[float]
    steps: int
    diverged: bool

    @property
    def suggestion(self) -> Suggestion | None:
        return suggest(self.rates, self.losses, self.steps)


def look_at_rates(command: Command) -> list[str]:
    """Trains the first fold with growing rates, on nothing that is kept, and draws the losses. Returns what to print."""
    plan = prepare(_without_stored_features(command.config))
    follow = make_follow(plan.config.logging.progress and not command.quiet)
    provide_pixels(plan.config, plan.pixels, rows_of(plan.folds), follow)
    with told(short_of_memory(plan.config.hyper_params.batch_size, *plan.preprocessing.size)):
        found = run_range_test(plan, plan.folds[0], DEBUG_STEPS if plan.config.settings.debug else STEPS, follow)
    averages = smooth(found.losses, found.steps).tolist()
    suggested = {} if found.suggestion is None else {"suggested": _rounded(found.suggestion.recommended)}
    write_figure(PICTURE, draw_range_test(found.rates, found.losses, averages, suggested, plan.config.hyper_params.learning_rate))
    return [
        *_describe_test(plan, found),
        "",
        *_tabulate(found, averages),
        "",
        *_describe_suggestion(plan.config.hyper_params, found),
        f"plot      {PICTURE}",
    ]


def _without_stored_features(config: Config) -> Config:
    """A head that would learn from stored features learns from images here: what is frozen makes the same numbers of both, so that
    the rate is the same. To store them takes a pass over the images of all folds, and a look should not leave that behind."""
    return replace(config, model=replace(config.model, feature_cache="off"))


def run_range_test(plan: Plan, fold: Fold, steps: int, follow: Follow) -> RangeTest:
    """The fold's first epoch, and as many more as `steps` take, with a higher rate in every step.

    Batches, freezing, and the rates of layers as multiples of one another are those of training's first epoch. Raises UserError.
    """
    rates, losses = rates_of(steps), list[float]()
    diverged = False
    network = make_network(plan, fold.number, plan.pretrained)
    batches = train_batches(plan, fold)
    learner = make_learner(plan, fold, network, plan.phases[0], steps_per_epoch(plan, batches))
    # Layers have rates of their own, as multiples of learning_rate: so a schedule sets it. Nothing is validated: no moving average.
    learner = replace(learner, ema=None, averaged=None, schedule=lambda step: rates[step] / plan.config.hyper_params.learning_rate)
    with closing(_steps(plan, fold, learner)) as made, small_batches_told(plan):
        for step, group in follow(zip(range(steps), made, strict=False), steps, "learning rates"):
            try:
                losses.append(train_epoch(learner, group, step, Silence()).loss)
            except Diverged:
                diverged = True
                break
            if is_over(losses, steps):
                break
    if not losses:
        message = f"fold {fold.number}: the loss is no number at the lowest learning rate, {LOWEST:g}"
        raise DataError(f"{message}; try settings.precision=float32, and look.py data")
    return RangeTest(rates[: len(losses)], losses, steps, diverged)


def _steps(plan: Plan, fold: Fold, learner: Learner) -> Generator[list[Batch], None, None]:
    """The batches of each step, epoch after epoch, each epoch's draws seeded as in training."""
    batches = train_batches(plan, fold)
    for epoch in count(1):
        seed_torch(plan.config.settings.seed, fold.number, epoch)
        yield from steps_of(batches.epoch(epoch), learner.accumulate)


def _describe_test(plan: Plan, found: RangeTest) -> list[str]:
    hyper, fold, phase = plan.config.hyper_params, plan.folds[0], plan.phases[0]
    batches = f"batches of {hyper.batch_size}" if hyper.accumulate == 1 else f"{hyper.accumulate} batches of {hyper.batch_size} a step"
    lines = [
        f"trained   {counted(len(fold.train_rows), 'image')} of fold {fold.number}, {batches}, {hyper.optimizer}",
        _describe_end(found),
    ]
    if len(plan.phases) > 1:
        last = phase.last_epoch
        epochs = "epoch 1" if last == 1 else f"epochs 1 to {last}"
        lines.append(f"for       what trains in {epochs}; more trains later, at the same learning_rate, and may want a lower one")
    return lines


def _describe_end(found: RangeTest) -> str:
    taken = f"steps     {len(found.losses)} of {found.steps}, {_rate(LOWEST)} to {_rate(found.rates[-1])}"
    if found.diverged:
        return f"{taken}; behind it the loss is no number"
    return f"{taken}; the loss grew to four times the least" if len(found.losses) < found.steps else taken


def _tabulate(found: RangeTest, averages: list[float]) -> list[str]:
    """Two rows a decade, at the steps nearest to them. averages: the smoothed losses."""
    wanted = [10 ** (half / 2) for half in range(round(2 * math.log10(LOWEST)), round(2 * math.log10(HIGHEST)) + 1)]
    places = [min(range(len(found.rates)), key=lambda step: abs(math.log(found.rates[step] / rate))) for rate in wanted]
    rows = [f"{_rate(found.rates[place]):>9} {averages[place]:>10.4f}" for place in sorted(set(places))]
    return [f"{'rate':>9} {'loss':>10}  (smoothed)", *rows]


def _describe_suggestion(hyper: HyperParams, found: RangeTest) -> list[str]:
    now = f"now       hyper_params.learning_rate = {_rate(hyper.learning_rate)}"
    suggestion = found.suggestion
    if suggestion is None:
        return ["suggests  nothing: at none of these rates the loss fell further than it varies from batch to batch", now]
    rate = _rounded(suggestion.recommended)
    lines = [
        f"steepest  {_rate(suggestion.steepest)}, where the loss fell fastest",
        f"least     {_rate(suggestion.lowest)}, where the loss was least; a tenth of it is {_rate(suggestion.tenth)}",
        f"suggests  hyper_params.learning_rate = {_rate(rate)}",
    ]
    if hyper.head_learning_rate is not None:
        head = rate * hyper.head_learning_rate / hyper.learning_rate
        lines.append(f"          hyper_params.head_learning_rate = {_rate(head)}, as many times it as now")
        now = f"{now}, head_learning_rate = {_rate(hyper.head_learning_rate)}"
    return [*lines, now]


def _rounded(rate: float) -> float:
    """To one digit: the curve tells no more."""
    return float(f"{rate:.0e}")


def _rate(rate: float) -> str:
    """As a person would write it in an INI: 3e-3, 1.8e-2, 10."""
    if rate >= 1:
        return f"{rate:.3g}"
    digits, _, exponent = f"{rate:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"
