"""A search whose trials are heads on stored features: no trial needs a process, and all of a round are trained side by side."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ray.tune.search import BasicVariantGenerator

from modules.compute.progress import Follow, make_follow
from modules.config.errors import UserError
from modules.config.schema import Config
from modules.config.values import ClassWeights
from modules.data.class_weights import order_weights
from modules.jobs.ray_tune import Trialling, drawn_from, make_searcher, texts_of
from modules.jobs.trials import SCORE, by_score, cause_of, config_of
from modules.models.freezing import freeze
from modules.models.names import full_name
from modules.runs.search import DONE, FAILED, RUNNING, Trial
from modules.training.optimizer import check_optimizer
from modules.training.parts import make_network
from modules.training.phases import make_phases
from modules.training.plan import Plan
from modules.training.side_by_side import OWN, Head, Start, linear_tail, start_heads, train_heads

ROUNDS, ROUND = 2, 10  # that a searcher which learns from others draws in; and trials of one at least


def why_not_side_by_side(config: Config, plan: Plan) -> str | None:
    """Why the trials cannot be trained side by side; None where they can."""
    others = [space.key for space in config.search_space if space.section != "hyper_params" or space.name not in (*OWN, "batch_size")]
    if others:
        return f"{others[0]} changes more than a head"
    if len(plan.phases) != 1 or plan.phases[0].cut is None:
        return "not all epochs learn from stored features"
    hyper, model = config.hyper_params, config.model
    if model.ema_decay or hyper.accumulate > 1 or plan.process.precision == "float16" or config.inference.tta != "none":
        return "a moving average, accumulated batches, float16 and views of TTA are trained one at a time"
    if hyper.loss == "f1" or ":" in hyper.loss:
        return "its loss looks at a whole batch"
    (phase,) = plan.phases
    network = make_network(plan, plan.folds[0].number, pretrained=False)
    freeze(network, phase.freeze, phase.unfrozen)
    if phase.cut is None or linear_tail(network, phase.cut) is None:
        return f"what trains of {full_name(model)} is more than one linear layer"
    return None


def search_heads(work: Trialling, plan: Plan) -> None:
    """All trials of [tuning], on all folds. What is wrong with one is recorded with its cause."""
    follow = make_follow(work.config.logging.progress and not work.quiet)
    starts = [start_heads(plan, fold, follow) for fold in plan.folds]
    for drawn, tell in _rounds(work):
        trials = [work.search.begin(texts_of(work.config.search_space, each)) for each in drawn]
        _train([trial for trial in trials if trial.state == RUNNING], work, plan, starts, follow)
        known = {trial.number: trial for trial in work.search.read()}
        _tell_best(work, list(known.values()))
        tell([known[trial.number].score for trial in trials])


def _tell_best(work: Trialling, trials: Sequence[Trial]) -> None:
    best = by_score(trials, work.greater_is_better)
    if best and not work.quiet:
        drawn = ", ".join(f"{space.name} {best[0].overrides[space.key]}" for space in work.config.search_space)
        print(f"{len(trials)} trials, the best {best[0].score:.4f}: {drawn}", flush=True)


def _train(trials: Sequence[Trial], work: Trialling, plan: Plan, starts: Sequence[Start], follow: Follow) -> None:
    started, wanted = time.monotonic(), {trial.number: trial for trial in trials}
    plans: dict[int, Plan] = {}
    for number, trial in wanted.items():
        try:
            plans[number] = _plan_of(config_of(work.search, trial.overrides), plan)
        except UserError as error:
            work.search.write(replace(trial, state=FAILED, cause=cause_of(error)))
    by_batch: dict[int, list[int]] = {}
    for number, each in plans.items():
        by_batch.setdefault(each.config.hyper_params.batch_size, []).append(number)
    for numbers in by_batch.values():
        heads = train_heads([plans[number] for number in numbers], starts, follow)
        spent = (time.monotonic() - started) / len(numbers)
        for number, own in zip(numbers, zip(*heads, strict=True), strict=True):
            work.search.write(_ended(wanted[number], own, work, spent))
        started = time.monotonic()


def _ended(trial: Trial, heads: Sequence[Head], work: Trialling, seconds: float) -> Trial:
    epochs = sum(len(head.scores) for head in heads)
    faults = [head.fault for head in heads if head.fault]
    if faults:
        return replace(trial, state=FAILED, cause=faults[0], epochs=epochs, seconds=seconds)
    score = float(np.mean([head.progress.best_score for head in heads]))
    return replace(trial, state=DONE, score=score, folds=len(heads), epochs=epochs, seconds=seconds)


def _plan_of(config: Config, plan: Plan) -> Plan:
    """Raises UserError for what the config by itself does not tell."""
    check_optimizer(config.hyper_params)
    if isinstance(config.hyper_params.class_weights, ClassWeights):
        order_weights(config.hyper_params.class_weights, plan.samples.task.classes)
    (phase,) = make_phases(config.model, config.hyper_params)
    return replace(plan, config=config, phases=(replace(phase, cut=plan.phases[0].cut),))


def _rounds(work: Trialling) -> Iterator[tuple[list[Mapping[str, Any]], Any]]:
    """What is drawn at a time, and what is to be told of the scores; those that were drawn before an interruption come first."""
    tuning, spaces = work.config.tuning, work.config.search_space
    known = work.search.read()
    if tuning.searcher == "grid":
        pairs = itertools.product(*(space.texts for space in spaces))
        yield [dict(zip((space.key for space in spaces), pair, strict=True)) for pair in pairs], lambda scores: None
        return
    if tuning.searcher == "random":
        draws, domains = np.random.RandomState(work.config.settings.seed), drawn_from(work.config)
        yield [{key: each.sample(random_state=draws) for key, each in domains.items()} for _ in range(tuning.trials)], lambda scores: None
        return
    searcher = make_searcher(work, known)
    assert not isinstance(searcher, BasicVariantGenerator)
    searcher.set_search_properties(SCORE, work.mode, drawn_from(work.config))
    size = max(ROUND, -(-tuning.trials // ROUNDS))
    for start in range(0, tuning.trials, size):
        names = [str(number) for number in range(start, min(start + size, tuning.trials))]
        suggested = {name: searcher.suggest(name) for name in names}
        drawn = {name: each for name, each in suggested.items() if isinstance(each, Mapping)}

        def tell(scores: list[float | None], names: Sequence[str] = tuple(drawn)) -> None:
            for name, score in zip(names, scores, strict=True):
                searcher.on_trial_complete(name, {} if score is None else {SCORE: score})

        yield list(drawn.values()), tell
