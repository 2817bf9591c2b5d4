"""What Ray is asked for, told without importing it."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec

from modules.config.command_line import numbers_of_torchrun
from modules.config.errors import ConfigError, OptionError
from modules.config.schema import Compute


def check_installed(what: str, *others: str) -> None:
    """Raises ConfigError where Ray, or another package, is not there that `what` needs."""
    missing = [name for name in ("ray", *others) if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{what} needs {' and '.join(missing)}: pip install -r requirements-tune.txt")


def check_engine(compute: Compute) -> None:
    """Raises UserError where folds cannot be trained on Ray here."""
    if compute.engine == "ray":
        if numbers_of_torchrun()[1] > 1:
            raise OptionError("compute", "engine", "torchrun divides a fold's batches, ray gives out folds; with torchrun use local")
        check_installed("engine = ray")


def with_threads_of_a_fold(compute: Compute) -> Compute:
    """With this machine's cores divided among the folds that are trained at a time, where no number of threads is asked for."""
    if compute.threads:
        return compute
    cores = os.cpu_count() or 1
    if compute.cpus_per_fold:
        return replace(compute, threads=min(cores, compute.cpus_per_fold))
    return replace(compute, threads=1 if compute.parallel_folds == "auto" else max(1, cores // compute.parallel_folds))
