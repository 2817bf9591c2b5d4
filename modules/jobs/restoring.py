"""The models of finished runs brought back, each in two parts where it begins with layers that did not train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from modules.compute.process import Process
from modules.config.errors import DataError
from modules.jobs.stored_features import cut_where
from modules.jobs.trained import Checkpoint, TrainedRun, restore_network
from modules.models.build import Network
from modules.models.cutting import Cut, NotCut, Trunk
from modules.models.freezing import find_frozen
from modules.training.phases import TrainingPhase, make_phases

Member = tuple[TrainedRun, Checkpoint]


@dataclass(frozen=True)
class Restored:
    """module: the whole model. tail, trunk: its two parts, where it was cut. digest: equal for equal trunks. stored: whether
    it learnt from stored features, of so many `numbers` an image.
    """

    module: nn.Module
    tail: nn.Module | None = None
    trunk: Trunk | None = None
    digest: str = ""
    stored: bool = False
    numbers: int = 0


def restore_parts(members: Sequence[Member], process: Process) -> list[Restored]:
    """Each member on the device. A model is cut where the phase of its best epoch froze it, if that can be done.

    One that is alone, and did not learn from stored features, is left whole: nothing could share its trunk.
    """
    cuts: dict[tuple[str, int], Cut | None] = {}
    found = []
    for run, checkpoint in members:
        network = restore_network(run, checkpoint, process)
        place, phase = _phase_of(run, checkpoint["epoch"])
        stored = _learnt_from_features(run, place)
        if len(members) == 1 and not stored:
            found.append(Restored(network.module))
            continue
        if (run.name, place) not in cuts:
            cuts[run.name, place] = _cut(run, network, phase)
        cut = cuts[run.name, place]
        if cut is None:
            found.append(Restored(network.module))
            continue
        trunk = cut.trunk_of(network.module)
        found.append(Restored(network.module, cut.tail_of(network.module), trunk, trunk.digest(), stored, cut.numbers))
    return found


def _phase_of(run: TrainedRun, epoch: int) -> tuple[int, TrainingPhase]:
    phases = make_phases(run.config.model, run.config.hyper_params)
    return next((place, phase) for place, phase in enumerate(phases) if epoch <= phase.last_epoch or phase is phases[-1])


def _cut(run: TrainedRun, network: Network, phase: TrainingPhase) -> Cut | None:
    if not find_frozen(network, phase.freeze, phase.unfrozen).parameters:
        return None
    try:
        return cut_where(network, phase, run.preprocessing)
    except NotCut:
        return None


def _learnt_from_features(run: TrainedRun, place: int) -> bool:
    """As the run's environment.json says."""
    try:
        chosen = run.directory.read_environment().get("features", [])
    except DataError:
        return False
    return place < len(chosen) and bool(chosen[place])
