"""Starting a run, and going on with one: its config, its lock, what may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from modules.compute.own_code import digests_of
from modules.compute.process import describe_environment
from modules.compute.ranks import Ranks, joined_ranks
from modules.compute.storage import write_json, write_text
from modules.config.command_line import Command, Stopped, located
from modules.config.comparison import differences
from modules.config.errors import ConfigError, OptionError, UserError
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.data.splits import validations
from modules.jobs.debugging import for_debugging
from modules.jobs.own_code import DIGESTS
from modules.jobs.preparation import prepare
from modules.jobs.remarks import say
from modules.jobs.resuming import describe_samples
from modules.jobs.suspicions import suspect_copies
from modules.prediction.predictions import to_csv
from modules.runs.directory import RunDirectory, create_run, find_run
from modules.training.plan import Plan
from modules.training.warm_start import WarmStart

MAY_GROW = ("hyper_params", "epochs")
Saying = Callable[[RunDirectory], AbstractContextManager[Any]]


@contextmanager
def open_run(command: Command, *, alone: bool = True) -> Iterator[tuple[RunDirectory, Plan]]:
    """The run that the command asks for, new or resumed, locked as long as the context lasts, and its plan.

    alone: it is no part of a search, which says itself how to go on.
    """
    opened = _begin if command.resume is None else _go_on
    with joined_ranks() as ranks, opened(command, ranks, _saying_how_to_go_on if alone else nullcontext) as (run, plan):
        yield run, plan


@contextmanager
def _begin(command: Command, ranks: Ranks, saying: Saying) -> Iterator[tuple[RunDirectory, Plan]]:
    with ranks.main_first():
        prepared = prepare(command.config)
    plan = replace(prepared, run_id=ranks.from_main(lambda: prepared.run_id))
    settings = plan.config.settings
    run = ranks.from_main(lambda: create_run(settings.log_path, settings.run_name, plan.config.model.name))
    with _locked(run, ranks):
        ranks.from_main(lambda: _write_beginning(run, plan))
        with saying(run):
            ranks.from_main(lambda: say(*suspect_copies(plan.config, plan.samples, plan.all_folds, run.duplicates, command.quiet)))
            yield run, plan


@contextmanager
def _go_on(command: Command, ranks: Ranks, saying: Saying) -> Iterator[tuple[RunDirectory, Plan]]:
    run = find_run(command.config.settings.log_path, str(command.resume))
    with _locked(run, ranks):
        config = resumed_config(run, command)
        before, now = _epochs_of(run), config.hyper_params.epochs
        if now > before:
            say(f"epochs grows from {before} to {now}: the schedule from here on is not that of a run that began with {now}")
        with ranks.main_first():
            plan = _prepare_again(config, run)
        _check_warm_start(run, plan)
        ranks.from_main(lambda: _write_going_on(run, config))
        with saying(run):
            yield run, plan


def _locked(run: RunDirectory, ranks: Ranks) -> AbstractContextManager[None]:
    """One lock is for all processes that train together."""
    return run.lock() if ranks.is_main else nullcontext()


@contextmanager
def _saying_how_to_go_on(run: RunDirectory) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        if run.is_complete():
            say(f"the run is finished, and kept: python look.py report {run.name} makes its report")
        else:
            say(f"finished epochs are kept: python train.py --resume {run.name} goes on")
        raise


def plan_only(command: Command) -> Plan:
    """The plan of the run that the command asks for; nothing is written."""
    if command.resume is None:
        return prepare(command.config)
    run = find_run(command.config.settings.log_path, command.resume)
    return _prepare_again(resumed_config(run, command), run)


def _prepare_again(config: Config, run: RunDirectory) -> Plan:
    """Raises ConfigError that says where the run's own config, and not the command's, has what is wrong."""
    try:
        return prepare(config, run)
    except UserError as error:
        raise ConfigError(*located(error, config)) from None


def finished_run(command: Command) -> RunDirectory | None:
    """The run to resume, where it is finished and the command asks for no more epochs and no other folds; else None."""
    if command.resume is None:
        return None
    run = find_run(command.config.settings.log_path, command.resume)
    (own, _), resumed = read_config([run.config]), resumed_config(run, command)
    same = (resumed.hyper_params.epochs, resumed.split.train_folds) == (own.hyper_params.epochs, own.split.train_folds)
    return run if run.is_complete() and same else None


def resumed_config(run: RunDirectory, command: Command) -> Config:
    """The run's own config, with what the command may change of it.

    Files and overrides that were named may change anything that what was learnt does not depend on, and let `epochs`
    grow. Raises ConfigError with a line for every other difference.
    """
    own, _ = read_config([run.config])
    if not command.config_files and not command.overrides:
        return own
    named, _ = read_config([run.config, *command.config_files], command.overrides)
    named = _as_it_began(named, own, run)
    refused = []
    for each in differences(own, named):
        if (each.section, each.name) == MAY_GROW and each.second > each.first:
            continue
        was, wanted = each.texts
        refused.append(f"{named.locate(each.section, each.name)}: the run was begun with {was}, not {wanted}; start a new run for that")
    if refused:
        raise ConfigError(*refused)
    settings = replace(named.settings, log_path=own.settings.log_path, run_name=own.settings.run_name)
    return replace(named, settings=settings)


def _as_it_began(named: Config, own: Config, run: RunDirectory) -> Config:
    """With what a run's beginning put in the place of what is written: a debug run's epochs, or those of epochs_from."""
    source, named_again = named.split.epochs_from, not named.locate("split", "epochs_from").startswith(f"{run.config}:")
    if source is not None and named_again and own.split.epochs_from and Path(source).name in (own.split.epochs_from, "latest"):
        split, hyper = replace(named.split, epochs_from=own.split.epochs_from), replace(named.hyper_params, epochs=own.hyper_params.epochs)
        named = replace(named, split=split, hyper_params=hyper)
    return for_debugging(named) if named.settings.debug and own.settings.debug else named


def _write_going_on(run: RunDirectory, config: Config) -> None:
    run.result.unlink(missing_ok=True)  # epochs grew: until the new ones are done, the run is not complete
    write_text(run.config, to_ini(config, help=False))


def _write_beginning(run: RunDirectory, plan: Plan) -> None:
    """environment.json, folds.csv and, last, config.ini: a folder without it is no run."""
    rows, numbers = validations(plan.samples, plan.all_folds)
    folds = to_csv(pd.DataFrame({"id": plan.samples.ids[rows], "fold": numbers}))
    environment = {
        "run_id": plan.run_id,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": describe_samples(plan.samples),
        "folds": sha256(folds.encode()).hexdigest(),
        "pretrained": str(plan.pretrained),
        "pretrained_run_id": plan.pretrained.run_id if isinstance(plan.pretrained, WarmStart) else None,
        DIGESTS: digests_of(plan.config),
        "features": [phase.cut is not None for phase in plan.phases],
        **describe_environment(plan.process),
    }
    write_json(run.environment, environment)
    write_text(run.folds, folds)
    write_text(run.config, to_ini(plan.config, help=False))


def _check_warm_start(run: RunDirectory, plan: Plan) -> None:
    """Raises OptionError where another run has taken the place of the one that this run began from."""
    began = run.read_environment().get("pretrained_run_id")
    if isinstance(plan.pretrained, WarmStart) and began not in (None, plan.pretrained.run_id):
        fault = f"{plan.pretrained.run.path} is not the run any more that {run.name} began from; start a new run"
        raise OptionError("model", "pretrained", fault)


def _epochs_of(run: RunDirectory) -> int:
    own, _ = read_config([run.config])
    return own.hyper_params.epochs
