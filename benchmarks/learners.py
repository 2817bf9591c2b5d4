"""What one step of training needs, for a model on batches in memory."""

from __future__ import annotations

import numpy as np
import torch
from timm.utils import ModelEmaV3

from modules.compute.process import Process
from modules.config.pipeline import Pipeline
from modules.config.schema import HyperParams
from modules.config.values import Size
from modules.data.loaders import Batch
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.models.objectives import make_objective
from modules.training.epoch import Learner
from modules.training.optimizer import make_optimizer
from modules.training.schedule import make_schedule

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_learner(module: torch.nn.Module, hyper: HyperParams, process: Process, size: int, steps: int, decay: float = 0.0) -> Learner:
    """steps: an epoch. decay: of the moving average; 0: there is none."""
    return Learner(
        module=module,
        model=module,
        still=(),
        objective=make_objective("cross_entropy"),
        optimizer=make_optimizer(module, hyper),
        scaler=torch.amp.GradScaler(process.device.type, enabled=False),
        schedule=make_schedule(hyper, steps),
        prepare=Normalizer(Preprocessing(Size(size, size), "stretch", 3, MEAN, STD, Pipeline()), process.device, process.channels_last),
        process=process,
        clip_grad=hyper.clip_grad,
        ema=ModelEmaV3(module, decay=decay, use_warmup=True) if decay else None,
    )


def make_batches(size: int, batch_size: int, steps: int, classes: int, process: Process) -> list[Batch]:
    """Of noise; pinned where there is a GPU."""
    rng, found = np.random.default_rng(0), []
    for step in range(steps):
        images = torch.from_numpy(rng.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8))
        if process.device.type == "cuda":
            images = images.pin_memory()
        rows = torch.arange(step * batch_size, (step + 1) * batch_size)
        found.append(Batch(images, torch.from_numpy(rng.integers(0, classes, batch_size)), rows))
    return found
