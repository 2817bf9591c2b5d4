"""suspects.csv: the training rows to look at again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modules.compute.storage import write_text
from modules.config.errors import counted
from modules.data.samples import Rows, Samples
from modules.prediction.predictions import to_csv
from modules.prediction.suspects import WRONG, count_wrong, rank_suspects


def write_suspects(file: Path, samples: Samples, rows: Rows, folds: Rows, values: NDArray[np.float32]) -> list[str]:
    """Writes the rows whose own label is believed least, and returns the line to say; nothing where nothing was validated.

    rows, folds: (N,) the samples' rows and the folds that predicted them. A row that several folds predicted has the mean.
    """
    if not len(rows):
        file.unlink(missing_ok=True)
        return []
    assert samples.targets is not None
    own, place = np.unique(rows, return_inverse=True)
    mean = np.zeros((len(own), values.shape[1]))
    np.add.at(mean, place, values)
    mean /= np.bincount(place)[:, None]
    table = rank_suspects(samples.task, samples.targets[own], mean)
    found = own[table.index.to_numpy()]
    table.insert(0, "fold", [" ".join(map(str, folds[rows == row])) for row in found.tolist()])
    table.insert(0, "image", [samples.images.name(row) for row in found.tolist()])
    table.insert(0, "id", samples.ids[found])
    write_text(file, to_csv(table))
    wrong = count_wrong(table)
    more = f"; of {wrong} the own label looks wrong, with a probability of less than {WRONG:g}" if wrong else ""
    return [f"labels to look at again: {file}, {counted(len(table), 'training image')}, the least believed first{more}"]
