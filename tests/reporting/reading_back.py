"""What monitors left in a run's folder, read back: TensorBoard's events by its own reader, the offline files of Weights & Biases."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 2**15, struct.Struct("<IHB")  # of LevelDB's log format: a checksum, a length, and which part of a record it is
FULL, FIRST, LAST = 1, 2, 4
START = 7  # bytes of the file's own header


def read_events(run: Path) -> dict[str, Any]:
    """An accumulator a folder, by its name; that of the run itself is '.'."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root, found = run / "tensorboard", {}
    for folder in sorted({file.parent for file in root.rglob("events.out.*")}):
        found[str(folder.relative_to(root))] = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
        found[str(folder.relative_to(root))].Reload()
    return found


@dataclass
class Told:
    """One offline session: config as it was sent, a dict a row of the history, the last summary, files that belong to it."""

    id: str = ""
    project: str = ""
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    media: list[str] = field(default_factory=list)


def read_offline(run: Path) -> list[Told]:
    """The sessions of a run, the first one first."""
    return [_read_session(file) for file in sorted(run.glob("wandb/offline-run-*/run-*.wandb"))]


def _read_session(file: Path) -> Told:
    from wandb.proto.wandb_internal_pb2 import Record

    told = Told(media=sorted(str(each.relative_to(file.parent)) for each in (file.parent / "files/media").rglob("*.png")))
    for content in _records(file.read_bytes()):
        record = Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told.id, told.project, told.name = record.run.run_id, record.run.project, record.run.display_name
            told.config |= _values(record.run.config.update)
        elif kind == "history":
            told.history.append(_values(record.history.item))
        elif kind == "summary":
            told.summary |= _values(record.summary.update)
        elif kind == "exit":
            told.exit_code = record.exit.exit_code
    return told


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(content: bytes) -> Iterator[bytes]:
    place, parts = START, b""
    while place + HEADER.size <= len(content):
        if BLOCK - place % BLOCK < HEADER.size:  # what is left of a block is filled up
            place += BLOCK - place % BLOCK
            continue
        _, length, part = HEADER.unpack_from(content, place)
        place += HEADER.size
        parts = content[place : place + length] if part in (FULL, FIRST) else parts + content[place : place + length]
        place += length
        if part in (FULL, LAST):
            yield parts
