"""What speaks for a prediction: the score whose slopes show where in the image it was found."""

from __future__ import annotations

from collections.abc import Callable

import torch

from modules.data.task import VALUED, Task
from modules.models.objectives import Objective

SURE = 1e-15  # as far as probabilities are from 0 and 1


def score_of(task: Task, objective: Objective, columns: torch.Tensor, signs: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """(batch, logits) to (batch,): of each image the column that is asked for, times its sign.

    columns, signs: (batch,). Of probabilities the log odds, which have a slope however sure the model is; of numbers they themselves.
    """

    def score(logits: torch.Tensor) -> torch.Tensor:
        values = objective.activation(logits.double()).gather(1, columns[:, None])[:, 0]
        return signs * (values if task.kind in VALUED else torch.logit(values, SURE))

    return score
