"""Tables with several rows an image: a row's id is the image's, and behind it the name of what is asked of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modules.data.task import Task

BETWEEN = ("_", "-", ":", ".", "/", "|", " ", "")  # the image's id and the name


@dataclass(frozen=True)
class RowIds:
    """images: of each row the id of its image. asked: of each row the position of its name. between: what stands between the two."""

    images: tuple[str, ...]
    asked: tuple[int, ...]
    between: str

    def first_rows(self) -> list[int]:
        """Of each image the first of its rows."""
        first: dict[str, int] = {}
        for row, image in enumerate(self.images):
            first.setdefault(image, row)
        return list(first.values())


def asked_names(task: Task) -> tuple[str, ...]:
    """What a row may ask of an image: an output, or the probability of a class; nothing of an ordinal task, which has none."""
    if task.kind in ("regression", "multioutput"):
        return tuple(output.name for output in task.outputs)
    return () if task.kind == "ordinal" else task.classes


def split_row_ids(ids: Sequence[str], names: Sequence[str]) -> RowIds | None:
    """The ids as images and names. None unless every image has a row for each of the names, and has it once.

    Ids that end like this by chance are split too: only the images tell, and callers look at them first.
    """
    if len(names) < 2 or not ids or len(ids) % len(names):
        return None
    for between in BETWEEN:
        ends = {between + name: place for place, name in enumerate(names)}
        lengths = sorted({len(end) for end in ends}, reverse=True)  # of names that end alike the longest is meant
        found: list[tuple[str, int]] = []
        for each in ids:
            size = next((length for length in lengths if length < len(each) and each[-length:] in ends), 0)
            if not size:
                break
            found.append((each[:-size], ends[each[-size:]]))
        images = {image for image, _ in found}
        if len(found) == len(set(found)) == len(ids) == len(images) * len(names):
            return RowIds(tuple(image for image, _ in found), tuple(place for _, place in found), between)
    return None
