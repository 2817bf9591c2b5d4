"""Trials by Ray Tune: who draws, who ends trials early, what is shown meanwhile. Nothing is kept here: trials are recorded by themselves.

A search that was interrupted is done again from its records: the same draws in the same order, each told at once what it
came to, until the first that is new.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import BasicVariantGenerator, Searcher
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.optuna import OptunaSearch

from modules.config.schema import Config, Tuning
from modules.config.spaces import Space
from modules.jobs.ray_start import ray_running
from modules.jobs.trials import RUNG, SCORE, by_score, drop_weights, run_trial, stopped
from modules.prediction.metrics import find_metric
from modules.reporting.searches import count_trials, describe_trials
from modules.runs.search import DONE, FAILED, RUNNING, SearchDirectory, Trial

GRACE = 5  # the first look of ASHA comes after one epoch in so many of the longest trial
RESTARTS = 3  # of a trial whose worker dies
SECONDS_BETWEEN_TABLES = 30
ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the table of parameters and metrics
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths of the config start where tune.py was started
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails has no score
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the search, not its trials alone
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Trialling:
    """What all trials of a search have in common. folds: that a trial trains. threads, gpus: of one trial."""

    search: SearchDirectory
    config: Config
    folds: tuple[int, ...]
    greater_is_better: bool
    parallel: int
    threads: int
    gpus: float
    quiet: bool

    @property
    def mode(self) -> str:
        return "max" if self.greater_is_better else "min"


def run_trials(work: Trialling) -> None:
    """All trials of [tuning], to their end. Raises what Ray raises where it cannot start."""
    tuning = work.config.tuning
    search = work.search
    trainable = tune.with_parameters(
        _trial,
        search=str(search.path.absolute()),
        own=(f"compute.threads={work.threads}", "compute.engine=local"),
        folds=work.folds,
        home=os.getcwd(),
        spaces=work.config.search_space,
    )
    with ray_running(work.config.compute.address, work.parallel * work.threads, ENVIRONMENT):
        try:
            tuner = tune.Tuner(
                tune.with_resources(trainable, {"cpu": work.threads, "gpu": work.gpus}),
                param_space=drawn_from(work.config),
                tune_config=tune.TuneConfig(
                    metric=SCORE,
                    mode=work.mode,
                    num_samples=1 if tuning.searcher == "grid" else tuning.trials,
                    max_concurrent_trials=None if tuning.searcher in ("grid", "random") else work.parallel,
                    search_alg=make_searcher(work, search.read()),
                    scheduler=make_scheduler(tuning, work),
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(search.ray.absolute()),
                    failure_config=tune.FailureConfig(max_failures=RESTARTS),
                    callbacks=[_Recorder(work)],
                    progress_reporter=_Table(work),
                    verbose=0 if work.quiet else 1,
                ),
            )
            tuner.fit()
        finally:
            shutil.rmtree(search.ray, ignore_errors=True)


def drawn_from(config: Config) -> dict[str, Any]:
    """What each option is drawn from, or with searcher = grid, which knows no ranges, goes through."""
    if config.tuning.searcher == "grid":
        return {space.key: tune.grid_search(list(space.texts)) for space in config.search_space}
    return {space.key: domain(space) for space in config.search_space}


def domain(space: Space) -> Any:
    """As Ray Tune has it; both ends of a range may be drawn."""
    if space.texts:
        return tune.choice(list(space.texts))
    low, high, *step = space.numbers
    if space.kind == "randint":
        return tune.randint(int(low), int(high) + 1)
    if space.kind == "quniform":
        return tune.quniform(low, high, step[0])
    return tune.uniform(low, high) if space.kind == "uniform" else tune.loguniform(low, high)


def drawn_text(space: Space, value: Any) -> str:
    """As an override has it: numbers by six digits, which a person reads; whole ones whole."""
    if space.texts:
        return str(value)
    number = float(value)
    return str(int(number)) if number == int(number) else f"{number:.6g}"


def drawn_value(space: Space, text: str) -> Any:
    if space.texts:
        return text
    return int(text) if space.kind == "randint" else float(text)


def make_searcher(work: Trialling, known: Sequence[Trial]) -> Searcher | BasicVariantGenerator:
    """One that begins with the trials that are known, in their order; those that draw by the seed alone do so by themselves."""
    tuning, seed, spaces = work.config.tuning, work.config.settings.seed, work.config.search_space
    if tuning.searcher in ("grid", "random"):
        return BasicVariantGenerator(random_state=seed, max_concurrent=work.parallel)
    seed = (seed + len(known)) % 2**32  # else what is drawn after those that are known would be what they were drawn as
    points = [{space.key: drawn_value(space, trial.overrides[space.key]) for space in spaces} for trial in known] or None
    if tuning.searcher == "optuna":
        return _Optuna(metric=SCORE, mode=work.mode, points_to_evaluate=points, seed=seed)
    first = max(3, min(20, tuning.trials // 3))  # at random, before it draws where earlier ones were good
    return _HyperOpt(metric=SCORE, mode=work.mode, points_to_evaluate=points, n_initial_points=first, random_state_seed=seed)


def make_scheduler(tuning: Tuning, work: Trialling) -> FIFOScheduler:
    if tuning.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    grace = grace_of(work.config)
    longest = max(grace, most_epochs(work.config))
    return ASHAScheduler(time_attr=RUNG, max_t=longest, grace_period=grace, reduction_factor=tuning.reduction, stop_last_trials=False)


def grace_of(config: Config) -> int:
    """Epochs that every trial trains. auto: scores of a probe, of warm-up or of the very first epochs tell little of what comes."""
    if isinstance(config.tuning.grace_epochs, int):
        return config.tuning.grace_epochs
    rising = ceil(_largest(config, "probe_epochs") + _largest(config, "warmup_epochs"))
    return max(rising + 1, ceil(most_epochs(config) / GRACE))


def most_epochs(config: Config) -> int:
    """That one fold of any trial may train."""
    return int(_largest(config, "epochs") + _largest(config, "probe_epochs"))


def _largest(config: Config, name: str) -> float:
    """What an option of [hyper_params] may be in any trial, at most."""
    found = {space.name: space.texts or space.numbers[:2] for space in config.search_space if space.section == "hyper_params"}
    return max(map(float, found.get(name, (getattr(config.hyper_params, name),))))


class _FailureTold:
    """Ray's searchers take a trial without a score for a mistake of the program; here it is one that failed."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        failed = result is not None and SCORE not in result
        super().on_trial_complete(trial_id, None if failed else result, error or failed)  # type: ignore[misc]


class _HyperOpt(_FailureTold, HyperOptSearch):
    pass


class _Optuna(_FailureTold, OptunaSearch):
    pass


class _Recorder(tune.Callback):
    """Records what trials themselves cannot: that they were ended, or that their worker died; and keeps the weights of the best only."""

    def __init__(self, work: Trialling) -> None:
        self.work = work

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        found = self._record_of(trial)
        if found is not None and found.state == RUNNING:
            self.work.search.write(stopped(self.work.search, found, self.work.folds, self.work.greater_is_better))
        self._drop()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        found = self._record_of(trial)
        if found is not None and found.state == RUNNING:
            cause = str(trial.get_pickled_error() or "its worker died").strip().splitlines()[-1]
            self.work.search.write(replace(found, state=FAILED, cause=cause))
        self._drop()

    def _record_of(self, trial: Any) -> Trial | None:
        overrides = texts_of(self.work.config.search_space, trial.config)
        return next((each for each in self.work.search.read() if each.overrides == overrides), None)

    def _drop(self) -> None:
        ended = [trial for trial in self.work.search.read() if trial.state != RUNNING]
        for trial in by_score(ended, self.work.greater_is_better)[self.work.config.tuning.confirm :]:
            drop_weights(self.work.search, trial)
        for trial in ended:
            if trial.state != DONE:
                drop_weights(self.work.search, trial)


def texts_of(spaces: Sequence[Space], drawn: Mapping[str, Any]) -> dict[str, str]:
    return {space.key: drawn_text(space, drawn[space.key]) for space in spaces}


def _trial(drawn: dict[str, Any], search: str, own: tuple[str, ...], folds: tuple[int, ...], home: str, spaces: tuple[Space, ...]) -> None:
    """In a worker."""
    os.chdir(home)
    run_trial(SearchDirectory(Path(search)), texts_of(spaces, drawn), own, folds, tune.report)


class _Table(tune.CLIReporter):
    """All trials by their own numbers, the best first, whenever one has ended or some time has passed with epochs in it."""

    def __init__(self, work: Trialling) -> None:
        super().__init__(max_report_frequency=SECONDS_BETWEEN_TABLES)
        self.work = work
        self.shown: tuple[int, list[str]] = (0, [])

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return bool(super().should_report(trials, done)) or sum(trial.is_finished() for trial in trials) > self.shown[0]

    def report(self, trials: list[Any], done: bool, *system: Any) -> None:
        spaces, config = self.work.config.search_space, self.work.config
        latest = {tuple(texts_of(spaces, trial.config).items()): trial.last_result or {} for trial in trials}
        found = [_so_far(trial, latest.get(tuple(trial.overrides.items()), {})) for trial in self.work.search.read()]
        ranked = sorted(found, key=lambda trial: _rank(trial, self.work.greater_is_better))
        metric = find_metric(config.hyper_params, config.data.task).name
        lines = [count_trials(found, "running"), *describe_trials(ranked, spaces, metric, "running"), ""]
        if found and lines != self.shown[1]:
            self._print("\n".join(lines))
        self.shown = sum(trial.is_finished() for trial in trials), lines


def _so_far(trial: Trial, latest: Mapping[str, Any]) -> Trial:
    """As it is by what it reported last."""
    if trial.state != RUNNING or SCORE not in latest:
        return trial
    return replace(trial, score=latest[SCORE], folds=latest["fold"], epochs=latest["epoch"], seconds=latest.get("time_total_s", 0.0))


def _rank(trial: Trial, greater_is_better: bool) -> tuple[bool, float, int]:
    score = trial.score or 0.0
    return trial.score is None, -score if greater_is_better else score, trial.number
