"""A loss of one's own: `loss(logits, targets)`, and the activation that goes with it, for every kind of task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from modules.compute.own_code import FAILURES, explain, load, signature_of
from modules.compute.process import is_out_of_memory
from modules.config.errors import DataError, OptionError, hint

Tensor = torch.Tensor

ACTIVATION = "activation"  # the attribute of the function, or of the class, that names one
# What each kind of task can make predictions with; the first is what it does where nothing is said.
ACTIVATIONS_OF: Mapping[str, tuple[str, ...]] = {
    "multiclass": ("softmax", "sigmoid"),
    "binary": ("sigmoid", "softmax"),
    "multilabel": ("sigmoid",),
    "ordinal": ("identity", "softmax"),
    "regression": ("identity",),
    "multioutput": ("softmax", "sigmoid"),
}
GIVEN = ("logits", "targets")


@dataclass(frozen=True)
class OwnLoss:
    """function: (batch, logits) float32 and targets to a scalar."""

    code: str
    function: Callable[[Tensor, Tensor], Any]
    activation: str

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Raises DataError where it fails."""
        if isinstance(self.function, nn.Module):
            self.function.to(logits.device)
        try:
            found = self.function(logits.float(), targets)
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            raise DataError(f"{self.code} fails: {explain(error)}") from None
        if not isinstance(found, torch.Tensor) or found.ndim > 0:
            raise DataError(f"{self.code} gives {_kind(found)}; expected one number, a tensor that is a mean over the images")
        return found


def load_loss(code: str, kind: str) -> OwnLoss:
    """The loss, for that kind of task. Raises OptionError where it cannot be called, or its activation does not go with the task."""
    found: Any = load(code, "hyper_params", "loss")
    try:
        function = found() if isinstance(found, type) else found
        signature = signature_of(function.forward if isinstance(function, nn.Module) else function, code)
    except FAILURES as error:
        raise OptionError("hyper_params", "loss", f"{code}() fails: {explain(error)}") from None
    try:
        signature.bind(*GIVEN)
    except TypeError:
        message = f"{code}{signature} cannot be called with two arguments, the logits and the targets"
        raise OptionError("hyper_params", "loss", message) from None
    if isinstance(function, nn.Module) and any(True for _ in function.parameters()):
        raise OptionError("hyper_params", "loss", f"{code} has parameters, which nobody would train; make buffers of them")
    known = ACTIVATIONS_OF[kind]
    activation = getattr(function, ACTIVATION, known[0])
    if activation not in known:
        choice = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
        message = f"{code}.{ACTIVATION}: expected {choice} for task = {kind}, got {activation!r}{hint(str(activation), known)}"
        raise OptionError("hyper_params", "loss", message)
    return OwnLoss(code, function, activation)


def check_loss(loss: OwnLoss, objective: Callable[[Tensor, Tensor], Tensor], logits: int, targets: Tensor, what: str) -> None:
    """Tries it on made logits and `targets` that are `what`. Raises OptionError where it gives no finite number with a gradient."""
    made = torch.randn(len(targets), logits, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fault = ""
    try:
        with torch.enable_grad():
            found = objective(made, targets)
        if not torch.isfinite(found):
            fault = f"gives {found.item()}"
        elif not found.requires_grad or not bool(torch.autograd.grad(found, made)[0].any()):
            fault = "gives a number without a gradient, from which nothing could learn"
    except DataError as error:
        raise OptionError("hyper_params", "loss", f"{error}, for {what}") from None
    except RuntimeError as error:  # going back
        fault = f"has no gradient: {' '.join(str(error).split())}"
    if fault:
        raise OptionError("hyper_params", "loss", f"{loss.code} {fault}, for {what}")


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
