"""A search: trials on the contest's own folds, the best confirmed on all of them, and the config of the winner."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from modules.compute.storage import write_text
from modules.config.command_line import Command, Stopped
from modules.config.comparison import LEARNT, differences
from modules.config.errors import ConfigError, OptionError, shorten
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.jobs.engine import check_installed
from modules.jobs.folds import finish_run, train_folds
from modules.jobs.preparation import prepare
from modules.jobs.remarks import say
from modules.jobs.runs import open_run
from modules.jobs.trials import by_score, config_of, drop_weights
from modules.prediction.metrics import find_metric
from modules.prediction.predictions import to_csv
from modules.reporting.searches import at_the_ends, count_trials, describe_trials, draw_trials
from modules.reporting.sinks import make_sink
from modules.reporting.summary import count_folds
from modules.runs.search import RUNNING, SearchDirectory, Trial, find_search

AS_IT_BEGAN = (*LEARNT, ("tuning", "folds"), ("tuning", "searcher"))  # what trials that are known were scored with


@contextmanager
def open_search(command: Command) -> Iterator[tuple[SearchDirectory, Config]]:
    """The search that the command asks for, new or interrupted, locked as long as the context lasts, and its config."""
    searcher = command.config.tuning.searcher
    check_installed("tune.py", *([searcher] if searcher in ("hyperopt", "optuna") else []))
    if command.resume is not None:
        search = find_search(command.config.settings.log_path, command.resume)
    else:
        config = command.config
        check_search(config)
        search = create_search(config)
    with search.lock():
        if command.resume is not None:
            config = resumed_search(search, command)
        shutil.rmtree(search.ray, ignore_errors=True)  # of a process that was killed
        try:
            yield search, config
        except (KeyboardInterrupt, Stopped):
            say(f"trials that ended are kept: python tune.py --resume {search.name} goes on")
            raise


def resumed_search(search: SearchDirectory, command: Command) -> Config:
    """What it began with, and overrides that no trial's score depends on, which are kept with it.

    Raises ConfigError for other overrides, and DataError where search.ini has changed since trials were drawn.
    """
    search.has_ended()
    own, _ = read_config([search.config])
    if not command.overrides:
        return own
    named, _ = read_config([search.config], command.overrides)
    refused = []
    for each in differences(own, named, AS_IT_BEGAN):
        was, wanted = each.texts
        refused.append(
            f"{named.locate(each.section, each.name)}: the search was begun with {was}, not {wanted}; start a new search for that"
        )
    if refused:
        raise ConfigError(*refused)
    kept = replace(named, settings=replace(named.settings, log_path=own.settings.log_path, run_name=None))
    if to_ini(kept, help=False) != to_ini(own, help=False):
        search.keep(to_ini(kept, help=False))
    return kept


def check_search(config: Config) -> None:
    """Raises UserError for what makes a search senseless."""
    spaces, tuning = config.search_space, config.tuning
    if not spaces:
        raise ConfigError("[search_space] names nothing to search; write, for example, hyper_params.learning_rate = loguniform(1e-4, 1e-2)")
    if config.split.method == "none":
        raise OptionError("split", "method", "trials are compared by their validation, and method = none has none")
    ranges = [space.key for space in spaces if space.kind != "grid" and space.kind != "choice"]
    if tuning.searcher == "grid" and ranges:
        raise OptionError("tuning", "searcher", f"grid wants choice(...) or grid(...) everywhere; {shorten(ranges)} has a range")


def create_search(config: Config) -> SearchDirectory:
    """An empty folder with search.ini. Raises OptionError where its name is taken."""
    root = Path(config.settings.log_path)
    root.mkdir(parents=True, exist_ok=True)
    name = config.settings.run_name or f"{datetime.now():%Y%m%d-%H%M%S}-search"
    search = SearchDirectory(root / name)
    try:
        search.path.mkdir()
    except FileExistsError:
        advice = f"python tune.py --resume {name} goes on with it" if search.config.is_file() else "choose another"
        raise OptionError("settings", "run_name", f"{search.path} exists; {advice}") from None
    search.trials.mkdir()
    search.keep(to_ini(replace(config, settings=replace(config.settings, run_name=None)), help=False))
    return search


def search_trials(search: SearchDirectory, config: Config, quiet: bool) -> None:
    """All trials, on the search's first folds; those that ended before are not trained again."""
    if search.has_ended():
        return
    from modules.jobs.head_search import search_heads, why_not_side_by_side  # Ray takes seconds, and only a search needs it
    from modules.jobs.ray_tune import Trialling, run_trials

    plan = prepare(config)  # what is wrong with all trials is told here, once
    folds = tuple(fold.number for fold in plan.folds[: config.tuning.folds])
    gpus = torch.cuda.device_count() if plan.process.device.type == "cuda" else 0
    parallel = max(1, gpus) if config.tuning.parallel == "auto" else config.tuning.parallel
    threads = config.compute.threads or max(1, (os.cpu_count() or 1) // parallel)
    greater = plan.metric.greater_is_better
    work = Trialling(search, config, folds, greater, parallel, threads, gpus / parallel, quiet)
    if not quiet:
        print(f"{search.path}: {config.tuning.searcher} over {shorten(space.key for space in config.search_space)}", flush=True)
    if why_not_side_by_side(config, plan) is None:
        if not quiet:
            print(f"heads on stored features, trained side by side on {count_folds(len(plan.folds))}", flush=True)
        search_heads(work, plan)
    else:
        if not quiet:
            print(f"trials on {count_folds(len(folds))} of {len(plan.folds)}, {parallel} at a time; Ray starts", flush=True)
        run_trials(work)
    write_table(search, config)
    if all(trial.state != RUNNING for trial in search.read()):
        search.keep(search.config.read_text(encoding="utf-8"), ended=True)


def confirm_best(search: SearchDirectory, config: Config, quiet: bool) -> list[Trial]:
    """The best trials, trained on all folds too; by their out-of-fold score, the best first. Empty where none came to its end."""
    greater = find_metric(config.hyper_params, config.data.task).greater_is_better
    best = by_score(search.read(), greater)[: config.tuning.confirm]
    for trial in best:
        if trial.confirmed is None:
            search.write(replace(trial, confirmed=_confirm(search, trial, config, quiet)))
    trials = search.read()
    found = by_score(trials, greater, confirmed=True) or by_score(trials, greater)
    for trial in found[1:]:
        drop_weights(search, trial)
    if found:
        winner = config_of(search, found[0].overrides)
        write_text(search.best, to_ini(replace(winner, search_space=()), help=False))
    write_table(search, config)
    return found


def _confirm(search: SearchDirectory, trial: Trial, config: Config, quiet: bool) -> float:
    """The out-of-fold score of all folds that [split] asks for."""
    wanted = config.split.train_folds
    text = wanted if isinstance(wanted, str) else ", ".join(map(str, wanted))
    run = search.run_of(trial)
    if run.config.is_file():
        own = read_config([run.config])[0]
        command = Command(own, overrides=(f"split.train_folds={text}",), resume=str(run.path), quiet=quiet)
    else:  # a head that was trained beside others
        shutil.rmtree(run.path, ignore_errors=True)  # a kill while it was made
        places = (f"settings.log_path={search.trials}", f"settings.run_name={trial.name}")
        command = Command(config_of(search, trial.overrides, *places), quiet=quiet)
    with open_run(command, alone=False) as (run, plan):
        if not quiet:
            print(f"trial {trial.number} on all folds", flush=True)
        result = finish_run(plan, run, train_folds(plan, run, make_sink(plan, quiet)))
    return float(result["oof"])


def write_table(search: SearchDirectory, config: Config) -> None:
    """trials.csv: a row a trial, with what was drawn."""
    rows: list[dict[str, Any]] = []
    for trial in search.read():
        drawn = {space.key: trial.overrides.get(space.key, "") for space in config.search_space}
        rows.append(
            {
                "trial": trial.number, "state": trial.state, **drawn, "score": trial.score, "folds": trial.folds, "epochs": trial.epochs,
                "seconds": round(trial.seconds, 1), "confirmed": trial.confirmed, "cause": trial.cause,
            }
        )  # fmt: skip
    if rows:
        write_text(search.table, to_csv(pd.DataFrame(rows)))


def tell_search(search: SearchDirectory, config: Config, best: list[Trial]) -> list[str]:
    """What came out of it, a line each; trials.csv and trials.png are written."""
    trials, metric = search.read(), find_metric(config.hyper_params, config.data.task)
    others = by_score([trial for trial in trials if trial not in best], metric.greater_is_better)
    rest = [trial for trial in trials if trial not in best and trial not in others]
    draw_trials(search.picture, trials, config.search_space, metric.name)
    lines = [count_trials(trials), *describe_trials([*best, *others, *rest], config.search_space, metric.name)]
    if not best:
        return [*lines, "no trial came to its end: there is no best.ini"]
    more = f"python train.py {search.best} trains the best"
    if best[0].confirmed is not None:
        run = search.run_of(best[0])
        more += f"; python inference.py {run.config} inference.run={run.path} predicts with it"
    return [*lines, *at_the_ends(config.search_space, best[0]), f"search: {search.path}", more]
