"""Many linear heads on the same stored features, trained side by side: each comes to what it would come to alone.

The heads of one fold see the same batches, so that their layers are one wide layer, and folds take their steps together: a
step is a product of matrices a fold, one loss and one step of an optimiser for all heads of all folds. All else is each head's
own: its rates, its schedule, its patience.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from modules.compute.process import Process
from modules.compute.progress import Follow
from modules.config.errors import UserError, counted
from modules.data.draws import BatchSampler
from modules.data.loaders import Loader, Request
from modules.data.splits import Fold
from modules.models.build import Network
from modules.models.cutting import Cut
from modules.models.freezing import freeze
from modules.prediction.predict import predict
from modules.prediction.predictions import Values
from modules.runs.records import Progress
from modules.training.optimizer import make_optimizer, set_learning_rate
from modules.training.parts import Feed, feature_feed, fold_objective, make_network, stored_features, train_sampler
from modules.training.plan import Plan
from modules.training.schedule import make_schedule, plateau
from modules.training.wide_layer import OneOf, Part, WideLayer
from modules.training.wide_optimizer import WideOptimizer, step_alike

OWN = (  # options in which such heads may differ; all else they share
    "learning_rate", "head_learning_rate", "weight_decay", "momentum", "optimizer", "scheduler", "warmup_epochs", "step_epochs",
    "step_factor", "label_smoothing", "focal_gamma", "class_weights", "epochs", "patience", "min_delta", "plateau_patience", "clip_grad",
)  # fmt: skip
Tensors = Sequence[torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
TRIED = 3  # rows of features that a tail is compared on
READ_AT_ONCE = 1024  # rows of features


@dataclass
class Head:
    """scores: of each epoch, by the metric. fault: why there are no more of them; blank where it came to its end."""

    plan: Plan
    layer: nn.Linear
    scores: list[float] = field(default_factory=list)
    progress: Progress = Progress()
    fault: str = ""

    @property
    def is_over(self) -> bool:
        hyper = self.plan.phases[0].hyper
        return bool(self.fault) or len(self.scores) >= hyper.epochs or (bool(self.scores) and self.progress.is_over(hyper.patience))


@dataclass(frozen=True)
class Start:
    """What all heads of a fold begin with. feed: of any batch size."""

    fold: Fold
    layer: nn.Linear
    feed: Feed


def start_heads(plan: Plan, fold: Fold, follow: Follow) -> Start:
    """Features that are not stored yet are computed first: `follow` is told of it. The network is not kept."""
    (phase,) = plan.phases
    network = make_network(plan, fold.number, plan.pretrained)
    freeze(network, phase.freeze, phase.unfrozen)
    features = stored_features(plan, network, phase)
    assert features is not None and phase.cut is not None
    layer = linear_tail(network, phase.cut)
    assert layer is not None
    return Start(fold, _copy(layer), feature_feed(plan, fold, features, follow))


def train_heads(plans: Sequence[Plan], starts: Sequence[Start], follow: Follow) -> list[list[Head]]:
    """Of each fold a head for each plan, with its scores on the rows that the fold validates.

    The plans have one batch size, and differ in OWN and in no other option but those that `starts` do not depend on.
    Folds of as many steps an epoch are trained together: `follow` is told of their epochs.
    """
    loaders = [Loader(start.feed.train.workers, train_sampler(plans[0], start.fold)) for start in starts]
    heads = [[Head(plan, _copy(start.layer)) for plan in plans] for start in starts]
    for length in dict.fromkeys(map(len, loaders)):
        folds = [place for place, loader in enumerate(loaders) if len(loader) == length]
        _train_folds([heads[place] for place in folds], [starts[place] for place in folds], [loaders[place] for place in folds], follow)
    return heads


def _train_folds(heads: Sequence[Sequence[Head]], starts: Sequence[Start], loaders: Sequence[Loader], follow: Follow) -> None:
    """heads: of each fold."""
    shared, length = heads[0][0].plan, len(loaders[0])
    teams = _teams([_Steps(head, place, start.fold, length) for place, start in enumerate(starts) for head in heads[place]])
    longest = max(head.plan.phases[0].hyper.epochs for head in heads[0])
    what = f"{counted(len(heads[0]), 'head')} on {counted(len(starts), 'fold')}, batches of {shared.config.hyper_params.batch_size}, epochs"
    for epoch in follow(iter(range(1, longest + 1)), longest, what):
        teams = [team for team in teams if team.stays()]
        if not teams:
            break
        steps = [step for team in teams for step in team.steps]
        wide = WideLayer([step.head.layer for step in steps], [step.place for step in steps])
        batches = zip(*(_batches(loader, epoch, shared) for loader in loaders), strict=True)
        _train(wide, teams, batches, range((epoch - 1) * length, epoch * length))
        for place, start in enumerate(starts):
            own = [step for step in steps if step.place == place]
            for step, values in zip(own, _validate(wide, place, len(own), start, shared), strict=True):
                step.end_epoch(epoch, values)


def linear_tail(network: Network, cut: Cut) -> nn.Linear | None:
    """The layer that all of the tail comes to, whatever the mode; None where it is more than one linear layer."""
    trained = {name for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    layers = [
        layer
        for name, layer in network.module.named_modules()
        if type(layer) is nn.Linear and trained == {f"{name}.{own}" for own, _ in layer.named_parameters()}
    ]
    if len(layers) != 1 or layers[0].in_features != cut.numbers:
        return None
    (layer,) = layers
    tail, was = cut.tail_of(network.module), network.module.training
    features = torch.randn(TRIED, cut.numbers, generator=torch.Generator().manual_seed(0)).to(layer.weight.device)
    with torch.no_grad():
        same = all(torch.equal(tail.train(mode)(features), layer(features)) for mode in (True, True, False))
    network.module.train(was)
    return layer if same else None


class _Steps:
    """What is a head's own in a step. place: of its fold."""

    def __init__(self, head: Head, place: int, fold: Fold, steps_per_epoch: int) -> None:
        (phase,) = head.plan.phases
        self.head, self.place, self.fold, self.hyper = head, place, fold, phase.hyper
        self.optimizer = make_optimizer(nn.ModuleDict({"head": head.layer}), self.hyper, ("head",))
        self.schedule = make_schedule(self.hyper, steps_per_epoch)
        self.objective = fold_objective(head.plan, fold)

    @property
    def loss_key(self) -> tuple[object, ...]:
        """Heads that have the same of it have the same loss."""
        hyper = self.head.plan.config.hyper_params
        weights = (self.place, hyper.class_weights) if hyper.class_weights == "balanced" else hyper.class_weights
        return hyper.loss, hyper.label_smoothing, hyper.focal_gamma, weights

    def factor(self, step: int) -> float:
        """That its rates are multiplied with."""
        return self.schedule(step) * plateau(self.hyper, self.head.progress.drops)

    def end_epoch(self, epoch: int, values: Values) -> None:
        plan, head, fold = self.head.plan, self.head, self.fold
        where = f"fold {fold.number}, epoch {epoch}"
        if not (np.isfinite(values).all() and all(bool(torch.isfinite(each).all()) for each in head.layer.parameters())):
            head.fault = f"{where}: the loss is no number any more; try a lower hyper_params.learning_rate"
            return
        assert plan.samples.targets is not None
        try:
            score = plan.metric.measure(plan.samples.task, plan.samples.targets[fold.valid_rows], values, plan.plainly)
        except UserError as error:
            head.fault = f"{where}: {'; '.join(error.lines)}"
            return
        better = plan.metric.greater_is_better
        head.scores.append(score)
        head.progress = head.progress.advance(score, epoch, self.hyper.min_delta, better, self.hyper.plateau_patience)


class _Team:
    """Heads whose optimisers are one; or a single one, whose optimiser is of another kind."""

    def __init__(self, steps: Sequence[_Steps]) -> None:
        self.steps = list(steps)
        self.wide: WideOptimizer | None = None
        if step_alike(steps[0].optimizer) is not None:
            self.wide = WideOptimizer([step.optimizer for step in steps], [list(step.head.layer.parameters()) for step in steps])

    def stays(self) -> bool:
        """Whether any of its heads is not over; without those that are."""
        going = [place for place, step in enumerate(self.steps) if not step.head.is_over]
        if self.wide is not None and 0 < len(going) < len(self.steps):
            self.wide.keep(going)
        self.steps = [self.steps[place] for place in going]
        return bool(going)

    def step(self, parameters: Tensors, gradients: Tensors, factors: torch.Tensor) -> None:
        """parameters, gradients: (heads, ...) each, of the team's heads. factors: (heads,) that their rates are multiplied with."""
        for place, step in enumerate(self.steps):
            if self.wide is None or step.hyper.clip_grad > 0:
                layer = step.head.layer
                layer.weight.grad, layer.bias.grad = (each[place] for each in gradients)
                if step.hyper.clip_grad > 0:
                    nn.utils.clip_grad_norm_(layer.parameters(), step.hyper.clip_grad)
        if self.wide is not None:
            self.wide.step(parameters, gradients, factors)
            return
        for step, factor in zip(self.steps, factors.tolist(), strict=True):
            set_learning_rate(step.optimizer, factor)
            step.optimizer.step()


def _teams(steps: Sequence[_Steps]) -> list[_Team]:
    alike: dict[object, list[_Steps]] = {}
    for step in steps:
        alike.setdefault(step_alike(step.optimizer) or id(step), []).append(step)
    return [_Team(each) for each in alike.values()]


def _batches(loader: Loader, epoch: int, plan: Plan) -> Iterator[Tensors]:
    """The features and targets of each batch; several are read at once, since that takes longer than a step of few heads."""
    size, device = plan.config.hyper_params.batch_size, plan.process.device
    loader.sampler.set_epoch(epoch)
    batches = iter(loader.sampler)
    several = iter(lambda: list(islice(batches, max(1, READ_AT_ONCE // size))), [])
    for batch in loader.workers.make(Request(list(chain(*each)), loader.way, loader.seed) for each in several):
        assert batch.targets is not None
        features, targets = batch.images.to(device).float(), batch.targets.to(device)
        yield from zip(torch.split(features, size), torch.split(targets, size), strict=True)


def _train(wide: WideLayer, teams: Sequence[_Team], batches: Iterable[Sequence[Tensors]], numbers: Sequence[int]) -> None:
    """An epoch of all heads. batches: of each step, each fold's features and targets. numbers: of the steps, from 0 in the first epoch."""
    steps = [step for team in teams for step in team.steps]
    process = steps[0].head.plan.process
    factors = torch.tensor([[step.factor(number) for step in steps] for number in numbers], device=process.device)
    ends = list(accumulate(len(team.steps) for team in teams))
    slices = [slice(end - len(team.steps), end) for team, end in zip(teams, ends, strict=True)]
    known: dict[tuple[Part, ...], list[tuple[Loss, torch.Tensor]]] = {}
    for of_folds, of_step in zip(batches, factors, strict=True):
        for parts in _of_one_size(wide.parts, [len(features) for features, _ in of_folds]):
            losses = known[parts] if parts in known else known.setdefault(parts, _losses(parts, steps, process.device))
            _find_gradients(wide, parts, of_folds, losses, process)
        for team, heads in zip(teams, slices, strict=True):
            team.step((wide.weight[heads], wide.bias[heads]), [each[heads] for each in wide.gradients], of_step[heads])


def _of_one_size(parts: Sequence[Part], sizes: Sequence[int]) -> list[tuple[Part, ...]]:
    """All parts; those of folds whose batches are of different sizes, as an epoch's last may be, by themselves."""
    return [tuple(part for part in parts if sizes[part.place] == size) for size in dict.fromkeys(sizes[part.place] for part in parts)]


def _find_gradients(
    wide: WideLayer, parts: Sequence[Part], of_folds: Sequence[Tensors], losses: Sequence[tuple[Loss, torch.Tensor]], process: Process
) -> None:
    features = {part.place: of_folds[part.place][0] for part in parts}
    with process.autocast(), torch.no_grad():
        logits = wide.logits(parts, features).float()
    targets = [of_folds[part.place][1].unsqueeze(1) for part in parts]
    of_heads = torch.cat([each.expand(-1, len(part), *each.shape[2:]) for each, part in zip(targets, parts, strict=True)], dim=1)
    logits.requires_grad_(True)
    torch.autograd.backward([loss(logits, of_heads) for loss, _ in losses], [heads for _, heads in losses])
    assert logits.grad is not None
    with torch.no_grad():
        wide.learn(parts, features, logits.grad)


def _losses(parts: Sequence[Part], steps: Sequence[_Steps], device: torch.device) -> list[tuple[Loss, torch.Tensor]]:
    """The mean loss of those heads that have the same one, and their number, (): a mean over rows, and each head's are as many."""
    own_steps = [step for part in parts for step in steps[part.layers]]
    groups: dict[tuple[object, ...], list[int]] = {}
    for head, step in enumerate(own_steps):
        groups.setdefault(step.loss_key, []).append(head)

    def of_all(heads: list[int]) -> Loss:
        objective = own_steps[heads[0]].objective

        def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            own, each = (logits, targets) if len(groups) == 1 else (logits[:, heads], targets[:, heads])
            return objective.loss(own.flatten(0, 1), each.flatten(0, 1))

        return loss

    return [(of_all(heads), torch.tensor(float(len(heads)), device=device)) for heads in groups.values()]


def _validate(wide: WideLayer, place: int, heads: int, start: Start, plan: Plan) -> NDArray[np.float32]:
    """(heads, rows, columns) of one fold."""
    if not heads:
        return np.empty((0, len(start.fold.valid_rows), 0), dtype=np.float32)
    device = plan.process.device
    return predict(
        [OneOf(head) for head in range(heads)],
        Loader(start.feed.valid.workers, BatchSampler(start.fold.valid_rows, READ_AT_ONCE)).epoch(0),
        start.fold.valid_rows,
        len(plan.samples.task.columns),
        lambda features: features.to(device).float(),
        fold_objective(plan, start.fold),
        start.feed.views,
        plan.process,
        trunks=[wide.seeing(place)] * heads,
    ).values


def _copy(layer: nn.Linear) -> nn.Linear:
    found = nn.Linear(layer.in_features, layer.out_features, device=layer.weight.device)
    with torch.no_grad():
        found.weight.copy_(layer.weight)
        found.bias.copy_(layer.bias)
    return found
