"""What look.py shows and makes: each takes the command, and returns the lines to print."""

from __future__ import annotations

from collections.abc import Callable

from modules.compute.own_code import forget
from modules.config.command_line import Command
from modules.config.errors import UserError
from modules.config.schema import Config
from modules.data.sources import contest_folder, load_train
from modules.data.task import Task
from modules.jobs.beginnings import resolve_pretrained
from modules.jobs.bundling import bundle
from modules.jobs.comparing import compare
from modules.jobs.exporting import export
from modules.jobs.learning_rates import look_at_rates
from modules.jobs.report import report
from modules.jobs.showing import show_data
from modules.models.build import build_network
from modules.models.freezing import freeze
from modules.models.names import check_name, is_own
from modules.prediction.logits import network_outputs
from modules.reporting.model_table import describe_model

ASSUMED_CLASSES = 10


def look_at_model(command: Command) -> list[str]:
    """The configured model with random weights: the table needs no others, and so no network."""
    config = command.config
    forget()
    check_name(config.model)
    pretrained = resolve_pretrained(config)
    task = _read_task(config)
    classes = None if task is None else network_outputs(task, config.model, config.hyper_params)
    metadata = len(config.data.metadata_columns or ()) if task is None else task.metadata
    network = build_network(config.model, classes or ASSUMED_CLASSES, config.data.channels, config.data.image_size, False, metadata)
    freeze(network, config.model.freeze)
    hub = f"its own, as {config.model.name} brings them" if is_own(config.model) else f"pretrained, from {config.model.library}'s hub"
    origin = {True: hub, False: "random ones"}
    weights = origin[pretrained] if isinstance(pretrained, bool) else f"of {pretrained}"
    return describe_model(network, config, classes or ASSUMED_CLASSES, classes is None, f"{weights}; those of this table are random")


def _read_task(config: Config) -> Task | None:
    """None where the data cannot be read: a model may be looked at before they are there."""
    try:
        return load_train(config.data, contest_folder(config.data, config.settings.data_path)).task
    except (UserError, OSError):
        return None


LOOKS: dict[str, Callable[[Command], list[str]]] = {
    "data": show_data,
    "model": look_at_model,
    "lr": look_at_rates,
    "runs": compare,
    "report": report,
    "export": export,
    "bundle": bundle,
}
