"""torch.compile: whether this machine can, and how far it may go. What is compiled is another room's business."""

from __future__ import annotations

import logging

import torch

from modules.config.errors import OptionError

VARIANTS = 64  # of the code of one class: one for each phase that freezes other layers. Beyond torch's own 8 it would fall silent


def start_compiler(device: torch.device) -> None:
    """Makes code of a line of arithmetic, and runs it. Raises OptionError where that fails: most often there is no compiler."""
    import torch._dynamo as dynamo  # seconds that only those who compile should wait for

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it tells of a CUDA that nobody asked for
    dynamo.config.recompile_limit = VARIANTS
    try:
        torch.compile(_arithmetic, dynamic=False)(torch.ones(64, device=device))
    except Exception as error:  # whatever is missing: a compiler, Triton, headers
        wanted = "a C++ compiler, such as g++" if device.type == "cpu" else "Triton and a C compiler, such as gcc"
        fault = f"nothing can be compiled here: {explain_failure(error)}; torch needs {wanted} for it. Or use false"
        raise OptionError("settings", "compile", fault) from None


def explain_failure(error: BaseException) -> str:
    """The first line of what went wrong, without torch's advice on how to look into it."""
    cause = getattr(error, "inner_exception", None) or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__).strip().rstrip(".")


def _arithmetic(number: torch.Tensor) -> torch.Tensor:
    return number * 2 + 1
