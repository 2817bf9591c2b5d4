"""Which phases learn from stored features, and what that costs and saves, in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import torch

from modules.config.errors import OptionError
from modules.config.schema import Config
from modules.data.preprocessing import Preprocessing
from modules.data.splits import Fold
from modules.jobs.disk import amount, is_writable, why_not
from modules.models.build import Network
from modules.models.cutting import Cut, NotCut, cut_network
from modules.models.freezing import Frozen, find_frozen
from modules.prediction.features import FOLDER, augmented_looks, plain_looks
from modules.runs.checkpoint import load_best
from modules.training.phases import TrainingPhase, make_phases
from modules.training.warm_start import WarmStart

WORTH_IT = 0.25  # share of a forward pass that auto wants to save; below that reading and writing may cost as much
BYTES = {"float16": 2, "float32": 4}

Pretrained = bool | str | WarmStart


@dataclass(frozen=True)
class _Phase:
    """A phase that freezes something.

    trunks: different frozen parts that the folds have. looks: stored of each image by each of these; views: those of them
    that are augmented. passes: over the images, that it would take without.
    """

    phase: TrainingPhase
    cut: Cut
    trunks: int
    looks: int
    views: int
    passes: int
    size: int

    def describe(self, images: int, folder: str) -> str:
        first, last = self.phase.first_epoch, self.phase.last_epoch
        epochs = f"epoch {first} learns" if first == last else f"epochs {first} to {last} learn"
        once = "one pass" if self.needed == 1 else f"{self.needed} passes"
        own = "; what is frozen is another network in each fold" if self.trunks > 1 else ""
        what = f"{epochs} from stored features, {self.cut.numbers:,} numbers an image, in place of {self.cut.share:.0%} of a forward pass"
        number = "one augmented view" if self.views == 1 else f"{self.views} augmented views"
        views = f"; {number} of each, the same for all folds and epochs" if self.views else ""
        return f"features: {what}: {once} over {images:,} images in place of {self.passes}, and {amount(self.size)} in {folder}{views}{own}"

    @property
    def needed(self) -> int:
        """Passes over the images."""
        return self.trunks * self.looks


def choose_features(
    config: Config, network: Network, pretrained: Pretrained, preprocessing: Preprocessing, folds: Sequence[Fold], images: int
) -> tuple[tuple[TrainingPhase, ...], list[str], int]:
    """The plan's phases, what to tell the person, and how many bytes may be stored. `network`: as its weights begin, on any device.

    Raises OptionError where feature_cache = on cannot be done, with the reason for which auto would leave it.
    """
    model = config.model
    phases = make_phases(model, config.hyper_params)
    if model.feature_cache == "off":
        return phases, [], 0
    chosen, lines = list(phases), []
    limit = config.settings.cache_limit * 1e9
    left = limit
    for place, phase in enumerate(phases):
        if not find_frozen(network, phase.freeze, phase.unfrozen).parameters:
            continue
        try:
            known = _look_at(config, network, pretrained, preprocessing, phase, folds, images)
            _refuse(config, known, left)
        except NotCut as reason:
            if model.feature_cache == "on":
                raise OptionError("model", "feature_cache", f"features cannot be stored: {reason}; use auto") from None
            lines.append(f"features are not stored: {reason}")
            continue
        left -= known.size
        chosen[place] = replace(phase, cut=known.cut)
        lines.append(known.describe(images, config.settings.cache_path))
    return tuple(chosen), list(dict.fromkeys(lines)), int(limit - left)


def as_chosen(config: Config, network: Network, preprocessing: Preprocessing, chosen: Sequence[bool]) -> tuple[TrainingPhase, ...]:
    """The phases of a run that chose already which of them learn from stored features. Raises OptionError."""
    phases, folder = make_phases(config.model, config.hyper_params), config.settings.cache_path
    if any(chosen) and not is_writable(folder, FOLDER):
        raise OptionError("settings", "cache_path", f"the run learns from stored features, and {folder} cannot be written to")
    try:
        return tuple(
            replace(phase, cut=cut_where(network, phase, preprocessing)) if place < len(chosen) and chosen[place] else phase
            for place, phase in enumerate(phases)
        )
    except NotCut as reason:
        raise OptionError("model", "feature_cache", f"the run learns from stored features, and those cannot be made: {reason}") from None


def cut_where(network: Network, phase: TrainingPhase, preprocessing: Preprocessing) -> Cut:
    """The cut where what the phase freezes ends. Raises NotCut."""
    frozen = find_frozen(network, phase.freeze, phase.unfrozen)
    return cut_network(network, frozen, preprocessing.channels, preprocessing.size)


def _look_at(
    config: Config,
    network: Network,
    pretrained: Pretrained,
    preprocessing: Preprocessing,
    phase: TrainingPhase,
    folds: Sequence[Fold],
    images: int,
) -> _Phase:
    cut = cut_where(network, phase, preprocessing)
    seen = augmented_looks(config.augmentation, preprocessing, config.model.feature_views)
    names = {(look.name, look.number) for look in (*seen, *plain_looks(preprocessing, "none"))}
    trunks = _count_trunks(pretrained, find_frozen(network, phase.freeze, phase.unfrozen), folds)
    size = images * trunks * len(names) * cut.numbers * BYTES[config.model.feature_precision]
    views = len(seen) if seen[0].name else 0
    return _Phase(phase, cut, trunks, len(names), views, phase.hyper.epochs * len(folds), size)


def _count_trunks(pretrained: Pretrained, frozen: Frozen, folds: Sequence[Fold]) -> int:
    """How many different networks the frozen part is over the folds: random weights, and those of an earlier run, are a fold's own."""
    if not isinstance(pretrained, WarmStart):
        return len(folds) if pretrained is False else 1
    found = set()
    for fold in folds:
        weights = load_best(pretrained.run, pretrained.result, fold.number)["model"]
        total = sha256()
        for name in sorted(frozen.parameters & weights.keys()):
            total.update(weights[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
        found.add(total.digest())
    return len(found)


def _refuse(config: Config, known: _Phase, left: float) -> None:
    """Raises NotCut with why the phase does not learn from stored features."""
    model, augmentation = config.model, config.augmentation
    if augmentation.mixup or augmentation.cutmix:
        raise NotCut("mixup and cutmix blend the images of each batch anew")
    reason = why_not(known.size, left, config.settings.cache_path, FOLDER)
    if reason is not None:
        raise NotCut(reason)
    if model.feature_cache == "on":
        return
    if known.views and model.feature_views == 1:
        raise NotCut(
            "augmentation makes each epoch's images others; augmentation.preset = none stores them as they are, model.feature_views = 4"
            " stores 4 augmented views of each"
        )
    if known.needed > known.passes:
        raise NotCut(f"{known.needed} passes over the images in place of {known.passes} save nothing; feature_cache = on makes them")
    if known.cut.share < WORTH_IT:
        raise NotCut(f"what is frozen does only {known.cut.share:.0%} of the model's work; feature_cache = on stores them all the same")
