"""A last refit on everything (split.epochs_from): for how long it trains is what an earlier run found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modules.config.comparison import LEARNT, differences
from modules.config.errors import DataError, OptionError, counted, shorten
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.jobs.remarks import say
from modules.runs.directory import RunDirectory, find_run, latest_run

NOT_OF_A_REFIT = {("hyper_params", "epochs"), ("hyper_params", "patience"), ("inference", "tta"), ("settings", "debug")}


def with_epochs_of(config: Config, name: str) -> Config:
    """With the mean best epoch of a finished run, the newest one that has scores for `latest`, as the number of epochs."""
    log_path, hyper = config.settings.log_path, config.hyper_params
    try:
        run = latest_run(log_path, debug=False, scored=True) if name == "latest" else find_run(log_path, name)
        result = run.read_result()
    except DataError as error:
        raise OptionError("split", "epochs_from", str(error)) from None
    if not result["coverage"]:
        raise OptionError("split", "epochs_from", f"{run.name} has no best epoch: it validated nothing")
    epochs = max(1, round(float(np.mean(result["best_epochs"]))) - hyper.probe_epochs)
    if hyper.warmup_epochs >= epochs:
        message = f"expected fewer than the {counted(epochs, 'epoch')} of {run.name}, got '{hyper.warmup_epochs:g}'"
        raise OptionError("hyper_params", "warmup_epochs", message)
    say(f"epochs = {epochs}: the mean best epoch of {run.name}, which came after {shorten(result['best_epochs'], 10)} epochs")
    _warn_of_differences(config, run)
    return replace(config, split=replace(config.split, epochs_from=run.name), hyper_params=replace(hyper, epochs=epochs))


def _warn_of_differences(config: Config, run: RunDirectory) -> None:
    """Says what is set otherwise than in the run whose epochs are taken: they may not suit then."""
    own, _ = read_config([run.config])
    options = [option for option in LEARNT if option[0] != "split" and option not in NOT_OF_A_REFIT]
    found = [(f"{each.section}.{each.name}", *each.texts) for each in differences(own, config, options)]
    differ = [f"{option} = {there} there, {here} here" for option, there, here in found]
    if differ:
        say(f"warning: the epochs of {run.name} may not suit, since not all is as it was: {shorten(differ)}")
