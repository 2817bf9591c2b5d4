"""Images below the folder that is named, in folders that no id tells of: one a class, or one an id."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from modules.config.errors import DataError, counted, shorten


def find_below(files: list[str], root: Path) -> list[str]:
    """The files; where none of them lies in `root` itself, each one's path below it, found by its name.

    A name that is not found stays as it is. Hidden folders and links to folders are left out. Raises DataError for a
    name that several folders have.
    """
    if any(os.path.exists(os.path.join(root, file)) for file in files):
        return files
    wanted, found = set(files), defaultdict(list)
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in wanted.intersection(names):
            found[name].append(Path(place, name).relative_to(root).as_posix())
    several = [shorten(found[name], 3) for name in dict.fromkeys(files) if len(found[name]) > 1]
    if several:
        many = counted(len(several), "image lies", "images lie")
        raise DataError(f"{root}: {many} in several folders below it: {shorten(several, 3)}; name one in train_images")
    return [found[file][0] if found[file] else file for file in files]
