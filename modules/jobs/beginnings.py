"""What the weights of a run begin with, and what its images are normalised by for that."""

from __future__ import annotations

from pathlib import Path

from modules.config.errors import OptionError, UserError
from modules.config.schema import Config
from modules.data.preprocessing import Preprocessing
from modules.data.sources import statistics
from modules.models.build import Network, build_network
from modules.models.freezing import find_frozen
from modules.models.names import brings_weights, check_name, normalisation
from modules.runs.checkpoint import load_checkpoint
from modules.runs.directory import RunDirectory
from modules.training.phases import make_phases
from modules.training.warm_start import WarmStart, open_warm_start


def resolve_pretrained(config: Config) -> bool | str | WarmStart:
    """auto is true, but false for the practice contest, whose images are like nothing that a hub's models have seen, and for
    a model of one's own that does not take the word.

    Raises UserError for a text that names neither a file nor a finished run, or where such a model is asked for weights.
    """
    pretrained = config.model.pretrained
    if pretrained == "auto":
        return config.data.source != "digits" and brings_weights(config.model)
    if pretrained is True and not brings_weights(config.model):
        raise OptionError("model", "pretrained", f"{config.model.name} takes no argument pretrained; use false, a file or a run")
    if isinstance(pretrained, bool) or Path(pretrained).is_file():
        return pretrained
    return open_warm_start(config.settings.log_path, pretrained)


def check_network(config: Config, run: RunDirectory | None) -> tuple[Network, bool | str | WarmStart]:
    """Builds the model once, for two classes, and a number a metadata column.

    Its name, weights, image size and frozen parts are then known to be good.
    Returns it, and what its weights start from. Going on with `run` that is not looked at before a fold has yet to begin.
    """
    check_name(config.model)
    try:
        pretrained = resolve_pretrained(config)
    except UserError:
        if run is None:
            raise
        pretrained = config.model.pretrained
    source = pretrained.weights(pretrained.folds[0], None) if isinstance(pretrained, WarmStart) else pretrained
    data = config.data
    network = build_network(
        config.model, 2, data.channels, data.image_size, source if run is None else False, len(data.metadata_columns or ())
    )
    for phase in make_phases(config.model, config.hyper_params):
        find_frozen(network, phase.freeze, phase.unfrozen)
    return network, pretrained


def mean_and_std(config: Config, pretrained: bool | str | WarmStart, run: RunDirectory | None) -> tuple[tuple[float, ...], ...]:
    """What auto means for mean and std: an earlier run's own; where that is gone since `run` began from it, this run's."""
    if isinstance(pretrained, WarmStart):
        return pretrained.preprocessing.mean, pretrained.preprocessing.std
    if run is not None and isinstance(pretrained, str) and not Path(pretrained).is_file():
        for best in sorted(run.path.glob("fold*/best.pt")):
            own = Preprocessing.from_dict(load_checkpoint(best)["preprocessing"])
            return own.mean, own.std
    known = statistics(config.data) if pretrained is False else None
    return known or normalisation(config.model, pretrained)
