"""Checkpoints: saved whole or not at all, loaded as tensors and plain values alone, checked before they are believed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from modules.compute.storage import is_whole, write_sealed
from modules.config.errors import DataError
from modules.runs.directory import FoldDirectory, RunDirectory

FORMAT = 1  # of what checkpoints hold: another number where that changes


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes `content` (tensors and plain values) to `path`, sealed: the old file, or the whole new one. torch.load reads it too."""
    write_sealed(path, lambda file: torch.save(dict(content), file))


def save_last(directory: FoldDirectory, content: Mapping[str, Any]) -> None:
    """Writes last.pt, after giving the one that was there the name last.prev.pt; a last.pt is there at every moment."""
    if directory.last.exists():
        spare = directory.previous.with_name(f".{directory.previous.name}.tmp")
        spare.unlink(missing_ok=True)
        try:
            os.link(directory.last, spare)
            os.replace(spare, directory.previous)
        except OSError:  # a file system without hard links
            os.replace(directory.last, directory.previous)
    save_checkpoint(directory.last, content)


def save_epoch(directory: FoldDirectory, epoch: int, loss: float, score: float, content: Mapping[str, Any]) -> None:
    """Writes an epoch's weights into the folder of kept epochs; of an epoch that is done again, the last ones stay."""
    path = directory.epoch(epoch, loss, score)
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, content)
    for other in path.parent.glob(f"epoch{epoch:03d}_*.pt"):
        if other != path:
            other.unlink()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Raises DataError for one that is missing, damaged, or holds code."""
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint")
    try:
        if not is_whole(path):
            raise DataError(f"{path}: damaged, or no checkpoint of Foldini: it does not end in the digest of its content")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: damaged, or no checkpoint of Foldini: {reason or type(error).__name__}") from None
    if not isinstance(content, dict) or "model" not in content:
        raise DataError(f"{path}: no checkpoint of Foldini")
    if content.get("format", FORMAT) != FORMAT:
        raise DataError(f"{path}: written by another version of Foldini, in format {content['format']}; this one reads {FORMAT}")
    return content


def load_best(run: RunDirectory, result: Mapping[str, Any], number: int) -> dict[str, Any]:
    """That of one fold of a finished run; `result`: its result.json."""
    directory, numbers = run.fold(number), result["fold_numbers"]
    if number not in numbers or not directory.best.exists():
        raise DataError(f"{directory.best}: missing; the run has folds {', '.join(map(str, numbers))}")
    return load_best_of(directory, result["run_id"], number, result["task"], result["best_epochs"][numbers.index(number)])


def load_best_of(directory: FoldDirectory, run_id: str, fold: int, task: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """The best checkpoint of a fold, on the CPU. task: as Task.to_dict gives it. epoch: the fold's best one.

    Raises DataError for one that is missing or damaged, and for weights of another run, fold, class order or epoch.
    """
    path = directory.best
    checkpoint = load_checkpoint(path)
    if checkpoint.get("run_id") != run_id:
        raise DataError(f"{path}: this checkpoint is of another run")
    if checkpoint.get("fold") != fold:
        raise DataError(f"{path}: this checkpoint is of fold {checkpoint.get('fold')}, not of fold {fold}")
    if checkpoint.get("task") != task:
        raise DataError(f"{path}: its classes, or their order, are not those of the run")
    if checkpoint.get("epoch") != epoch:
        raise DataError(f"{path}: this checkpoint is of epoch {checkpoint.get('epoch')}, and the fold's best one is {epoch}")
    return checkpoint


def load_last(directory: FoldDirectory) -> tuple[dict[str, Any] | None, list[str]]:
    """What training goes on from: last.pt, or where that is damaged last.prev.pt, with a warning. None: nothing yet.

    A damaged last.pt is put aside, so that the next save does not take it for the one before. Raises DataError where
    files are there and none can be read.
    """
    if not directory.last.exists() and not directory.previous.exists():
        return None, []
    try:
        return load_checkpoint(directory.last), []
    except DataError as error:
        if not directory.previous.exists():
            raise
        damage = error
    try:
        content = load_checkpoint(directory.previous)
    except DataError as error:
        raise DataError(damage, error) from None
    if directory.last.exists():
        os.replace(directory.last, directory.last.with_name("last.damaged.pt"))
    return content, [f"warning: {damage}; going back to the checkpoint before it"]
