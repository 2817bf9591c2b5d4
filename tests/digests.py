"""One digest for many tensors, so that a test can say that two runs learnt the same."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import torch


def digest_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over sorted names, dtypes, shapes and bytes: equal for equal tensors, whatever file they came from."""
    total = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
