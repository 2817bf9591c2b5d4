"""Models and batches to predictions: the one path of evaluation for validation, out-of-fold and test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from modules.compute.process import Process
from modules.data.loaders import Batch
from modules.data.preprocessing import Prepare
from modules.data.samples import Rows
from modules.models.metadata import call
from modules.models.objectives import Objective
from modules.prediction.tta import View


@dataclass(frozen=True)
class Outcome:
    """values: (members, N, columns) float32, in the order of the rows asked for.

    loss: the first member's mean over the rows, without views; NaN where there are no targets.
    """

    values: NDArray[np.float32]
    loss: float


def predict(
    members: Sequence[nn.Module],
    batches: Iterable[Batch],
    rows: Rows,
    columns: int,
    prepare: Prepare,
    objective: Objective,
    views: Sequence[View],
    process: Process,
    trunks: Sequence[nn.Module | None] = (),
) -> Outcome:
    """Every member's predictions of `rows`, averaged over the views, from one pass over the images.

    trunks: of each member what comes before it, if anything does; one that several members have is called once for all.

    Results are gathered by row number: the order of the batches, and rows that come twice, do not matter. A row that no
    batch brings, or one that was not asked for, is a fault of the program.
    """
    values = np.full((len(members), len(rows), columns), np.nan, dtype=np.float32)
    predicted = np.zeros(len(rows), dtype=bool)
    position = {int(row): index for index, row in enumerate(rows)}
    for each in (*members, *trunks):
        if each is not None:
            each.eval()
    losses: list[torch.Tensor] = []
    with torch.inference_mode():
        for batch in batches:
            images = prepare(batch.images)
            places = [position[row] for row in batch.rows.tolist()]
            first_time = _mark(predicted, places)
            totals = [torch.zeros(len(places), columns, device=images.device) for _ in members]
            for number, view in enumerate(views):
                with process.autocast():
                    found = _logits(members, trunks, view(images), batch.metadata)
                for index, logits in enumerate(found):
                    totals[index] += objective.activation(logits)
                    if index == 0 and number == 0 and first_time and batch.targets is not None:
                        targets = batch.targets[first_time].to(images.device)
                        losses.append(objective.loss(logits[first_time], targets) * len(first_time))
            for index, total in enumerate(totals):
                values[index, places] = (total / len(views)).cpu().numpy()
    assert predicted.all(), f"{int((~predicted).sum())} rows came in no batch"
    loss = float(torch.stack(losses).sum()) / len(rows) if losses else float("nan")
    return Outcome(values, loss)


def _logits(
    members: Sequence[nn.Module], trunks: Sequence[nn.Module | None], images: torch.Tensor, metadata: torch.Tensor | None
) -> list[torch.Tensor]:
    """Of each member."""
    features = {trunk: trunk(images) for trunk in dict.fromkeys(trunks) if trunk is not None}
    return [
        call(member, images if trunk is None else features[trunk], metadata)
        for member, trunk in zip(members, trunks or [None] * len(members), strict=True)
    ]


def _mark(predicted: NDArray[np.bool_], places: Sequence[int]) -> list[int]:
    """Marks the places as predicted; returns which of the batch's rows come for the first time."""
    first_time = []
    for index, place in enumerate(places):
        if not predicted[place]:
            predicted[place] = True
            first_time.append(index)
    return first_time
