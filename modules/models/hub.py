"""A library's own pretrained weights: from its cache on the disk, or fetched from its hub to there."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from modules.compute.network import host_reachable
from modules.config.errors import OptionError
from modules.models.weights import State


def timm_file(name: str) -> Path:
    """The file with a timm model's weights: from the hub's cache, or downloaded to it."""
    import timm
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(name)
    repository = cfg.hf_hub_id if cfg is not None else None
    if not repository:
        raise OptionError("model", "pretrained", f"timm has no weights of {name} on its hub; use false, or a file")
    files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")
    for file in files:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    fault = "the hub cannot be reached"
    if hub_reachable(constants.ENDPOINT):
        for file in files:
            try:
                return Path(hf_hub_download(repository, file))
            except Exception as error:  # another file name, a broken connection, a full disk: the advice is the same
                fault = f"{file} could not be fetched ({' '.join(str(error).split())[:160]})"
    raise OptionError(
        "model",
        "pretrained",
        f"{name}: {fault}; get {files[0]} of '{repository}' where it can be, put it here, and set pretrained = {files[0]} (or false)",
    )


def torchvision_state(name: str) -> State:
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = Path(weights.url).name
    if not (folder / file).is_file() and not hub_reachable(weights.url):
        raise OptionError(
            "model", "pretrained", f"{name}: the hub cannot be reached; put {file} into {folder}, or set pretrained to its path (or false)"
        )
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except Exception as error:
        raise OptionError("model", "pretrained", f"{name}: {file} could not be fetched ({error}); put it into {folder}") from None


def hub_reachable(address: str, seconds: float = 5.0) -> bool:
    """Whether the host of a hub answers; asked first, since the libraries retry for a minute."""
    return os.environ.get("HF_HUB_OFFLINE", "") not in ("1", "true", "True") and host_reachable(address, seconds)
