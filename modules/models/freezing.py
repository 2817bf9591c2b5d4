"""What trains. Frozen means still: no gradient, no BatchNorm update, no dropout below the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from torch import nn

from modules.config.errors import OptionError, nearest
from modules.models.build import Network


@dataclass(frozen=True)
class Frozen:
    """Names: of the parameters that have no gradient, and of the modules that stay in eval."""

    parameters: frozenset[str]
    modules: tuple[str, ...]


def find_frozen(network: Network, what: str | tuple[str, ...], unfrozen: tuple[str, ...] = ()) -> Frozen:
    """What is frozen under [model] freeze, when `unfrozen` of it trains already.

    `what`: none, backbone (everything but the head), or names of modules or parameters. `unfrozen`: such names; `all`
    leaves nothing frozen. Raises OptionError with the nearest names for one that the model does not have, for one that was
    not frozen, and where nothing would be left to train.
    """
    module = network.module
    names = () if what in ("none", "backbone") else (what,) if isinstance(what, str) else what
    _check_names(module, names, "freeze")
    _check_names(module, [name for name in unfrozen if name != "all"], "unfreeze")
    if what == "none" or "all" in unfrozen:
        return Frozen(frozenset(), ())
    head = network.head if what == "backbone" else ()

    def is_named(name: str) -> bool:
        return (what == "backbone" or _inside(name, names)) and not _inside(name, head)

    def is_frozen(name: str) -> bool:
        return is_named(name) and not _inside(name, unfrozen)

    every = [name for name, _ in module.named_parameters()]
    parameters = frozenset(name for name in every if is_frozen(name))
    if not any(parameter.requires_grad for name, parameter in module.named_parameters() if name not in parameters):
        raise OptionError("model", "freeze", "nothing would be left to train")
    free = [name for name in unfrozen if not any(is_named(each) for each in every if _inside(each, (name,)))]
    if free:
        raise OptionError("model", "unfreeze", f"'{free[0]}' is not frozen: freeze = {'backbone' if head else ', '.join(names)}")
    still = [name for name, _ in module.named_modules() if is_frozen(name) and not _around(name, (*head, *unfrozen))]
    return Frozen(parameters, tuple(_but_for_the_heads_own(module, still) if what == "backbone" else still))


def freeze(network: Network, what: str | tuple[str, ...], unfrozen: tuple[str, ...] = ()) -> tuple[nn.Module, ...]:
    """Takes the gradient from what `find_frozen` names; returns the modules that `set_training` must keep in eval."""
    frozen = find_frozen(network, what, unfrozen)
    for name, parameter in network.module.named_parameters():
        if name in frozen.parameters:
            parameter.requires_grad_(False)
    return tuple(network.module.get_submodule(name) for name in frozen.modules)


def set_training(module: nn.Module, still: tuple[nn.Module, ...]) -> None:
    """Training mode, but for the modules that are frozen."""
    module.train()
    for part in still:
        part.eval()


def count_trained(network: Network, frozen: Frozen) -> int:
    """How many numbers train."""
    return sum(
        parameter.numel()
        for name, parameter in network.module.named_parameters()
        if parameter.requires_grad and name not in frozen.parameters
    )


def _but_for_the_heads_own(module: nn.Module, still: list[str]) -> list[str]:
    """Without the layers behind the last frozen weights that have none, such as dropout: they belong to what trains."""
    weighty = tuple(name for name in still if _has_tensors(module.get_submodule(name)))
    last = still.index(weighty[-1]) if weighty else -1
    return [name for place, name in enumerate(still) if place <= last or _inside(name, weighty)]


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in chain(module.parameters(), module.buffers()))


def _check_names(module: nn.Module, names: list[str] | tuple[str, ...], option: str) -> None:
    known = [name for name, _ in module.named_modules() if name] + [name for name, _ in module.named_parameters()]
    for name in names:
        if name not in known:
            children = ", ".join(child for child, _ in module.named_children())
            close = nearest(name, known, 3)
            advice = f"the nearest are {', '.join(close)}; " if close else ""
            advice = f"{advice}its parts are {children}"
            raise OptionError("model", option, f"the model has no module '{name}'; {advice}")


def _inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in modules)


def _around(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == "" or other.startswith(f"{name}.") for other in modules)
