"""What trains. Frozen means still: no gradient, no BatchNorm update, no dropout below the boundary."""

from __future__ import annotations

from torch import nn

from modules.config.errors import OptionError, nearest
from modules.models.build import Network


def freeze(network: Network, what: str | tuple[str, ...]) -> tuple[nn.Module, ...]:
    """Takes the gradient from what [model] freeze names; returns the modules that `set_training` must keep in eval.

    `what`: none, backbone (everything but the head), or names of modules or parameters. Raises OptionError with the
    nearest names for one that the model does not have, and where nothing would be left to train.
    """
    module = network.module
    if what == "none":
        return ()
    if what == "backbone":
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(_inside(name, network.head))
        return tuple(part for name, part in module.named_modules() if not _inside(name, network.head) and not _around(name, network.head))
    names = (what,) if isinstance(what, str) else what
    _check_names(module, names)
    for name, parameter in module.named_parameters():
        if _inside(name, names):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise OptionError("model", "freeze", "nothing would be left to train")
    return tuple(part for name, part in module.named_modules() if _inside(name, names))


def set_training(module: nn.Module, still: tuple[nn.Module, ...]) -> None:
    """Training mode, but for the modules that are frozen."""
    module.train()
    for part in still:
        part.eval()


def _check_names(module: nn.Module, names: tuple[str, ...]) -> None:
    known = [name for name, _ in module.named_modules() if name] + [name for name, _ in module.named_parameters()]
    for name in names:
        if name not in known:
            children = ", ".join(child for child, _ in module.named_children())
            close = nearest(name, known, 3)
            advice = f"the nearest are {', '.join(close)}" if close else f"its parts are {children}"
            raise OptionError("model", "freeze", f"the model has no module '{name}'; {advice}")


def _inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in modules)


def _around(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == "" or other.startswith(f"{name}.") for other in modules)
