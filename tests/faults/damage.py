"""Files that were cut, bits that flipped, and pickles with code in them: all found out, none believed, none run.

python -m tests.faults.damage [truncations=100] [flips=1000] [seed=0]
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import torch

from modules.compute.row_store import RowStore
from modules.compute.storage import write_sealed
from modules.config.errors import DataError
from modules.models.weights import read_weights
from modules.runs.checkpoint import load_checkpoint, load_last, save_last
from modules.runs.directory import FoldDirectory
from tests.digests import digest_tensors
from tests.faults.pickles import all_pickles, live

Said = Callable[[], str | None]  # what is told of a file, or None where it is believed


def make_fold() -> FoldDirectory:
    """A fold with two epochs' checkpoints."""
    fold = FoldDirectory(Path("fold0"))
    fold.path.mkdir()
    for epoch in (1, 2):
        generator = torch.Generator().manual_seed(epoch)
        model = {"weight": torch.randn(60, 50, generator=generator), "steps": torch.tensor(epoch)}
        save_last(fold, {"epoch": epoch, "model": model, "classes": ["a", "7"], "progress": {"best_score": 0.0}, "none": None})
    return fold


def make_store() -> RowStore:
    Path("store").mkdir()
    store = RowStore(Path("store"), 40, "float32")
    with store.lock:
        store.refresh()
        keys = [number.to_bytes(16, "big") for number in range(50)]
        store.append(keys, np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32))
    return store


def told_of_last(fold: FoldDirectory) -> str | None:
    """And the checkpoint before it is what is gone on from."""
    before = digest_tensors(load_checkpoint(fold.previous)["model"])
    state, warnings = load_last(fold)
    assert state is not None
    if not warnings:
        return None
    assert digest_tensors(state["model"]) == before and len(warnings) == 1
    fold.last.with_name("last.damaged.pt").unlink()
    return warnings[0]


def told_of_store() -> str | None:
    """Reads all that is there."""
    store = RowStore(Path("store"), 40, "float32")
    try:
        store.refresh()
        store.read(np.arange(len(store.index)))
    except DataError as error:
        return str(error)
    return None if len(store.index) == 50 else "rows are missing"


def _told(read: Callable[[], object]) -> str | None:
    try:
        read()
    except DataError as error:
        return str(error)
    return None


def damages(content: bytes, truncations: int, flips: int, draw: random.Random) -> Iterator[bytes]:
    for _ in range(truncations):
        yield content[: draw.randrange(len(content))]
    for _ in range(flips):
        place = draw.randrange(len(content))
        yield content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def damage_files(truncations: int, flips: int, seed: int) -> Counter[tuple[str, bool]]:
    """How many damages of each kind of file were told, and how many were not; in the folder that the process stands in."""
    fold, draw = make_fold(), random.Random(seed)
    make_store()
    files: dict[str, tuple[Path, Said]] = {
        "checkpoint": (fold.last, lambda: told_of_last(fold)),
        "cache, keys": (Path("store/keys.npy"), told_of_store),
        "cache, rows": (Path("store/rows.bin"), told_of_store),
    }
    found: Counter[tuple[str, bool]] = Counter()
    for name, (path, told) in files.items():
        content = path.read_bytes()
        assert told() is None, f"{name} is told of before it is damaged"
        for damaged in damages(content, truncations, flips, draw):
            path.write_bytes(damaged)
            found[name, told() is not None] += 1
        path.write_bytes(content)
    return found


def containers(made: bytes) -> Iterator[tuple[Path, Said]]:
    """The files in which a pickle may come: a checkpoint, sealed or not, weights for a beginning, and a cache's keys."""
    with zipfile.ZipFile("weights.pth", "w") as archive:
        archive.writestr("archive/data.pkl", made)
        archive.writestr("archive/version", "3\n")
    zipped, path = Path("weights.pth").read_bytes(), Path("best.pt")
    yield Path("weights.pth"), lambda: _told(lambda: read_weights(Path("weights.pth")))
    path.write_bytes(zipped)
    yield path, lambda: _told(lambda: load_checkpoint(path))
    for content in (zipped, made):
        write_sealed(path, lambda file: file.write(content))  # noqa: B023 - called at once
        yield path, lambda: _told(lambda: load_checkpoint(path))
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (53 - len(header) % 64) + b"\n"
    keys = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + made
    write_sealed(Path("store/keys.npy"), lambda file: file.write(keys))
    yield Path("store/keys.npy"), told_of_store


def try_pickles() -> tuple[int, list[str]]:
    """How many pickles there were, and what was wrong with any of them; in the folder that the process stands in."""
    target, faults = Path("ran").absolute(), []
    shutil.rmtree("store", ignore_errors=True)
    make_store()
    made = all_pickles(target)
    for name, each in made.items():
        if not live(each, target):
            faults.append(f"{name} would do nothing, so that it shows nothing")
        for path, told in containers(each):
            if told() is None:
                faults.append(f"{name} in {path} was believed")
            if target.exists():
                faults.append(f"{name} in {path} ran")
                target.unlink()
    return len(made), faults


def main(arguments: list[str]) -> int:
    given = {"truncations": "100", "flips": "1000", "seed": "0", **dict(each.split("=", 1) for each in arguments)}
    folder = Path(tempfile.mkdtemp(prefix="damage-"))
    with chdir(folder):
        found = damage_files(*(int(given[name]) for name in ("truncations", "flips", "seed")))
        pickles, faults = try_pickles()
    shutil.rmtree(folder)
    for name in {name for name, _ in found}:
        print(f"{name}: {given['truncations']} truncations, {given['flips']} bits: {found[name, True]} told, {found[name, False]} not")
    print(f"{pickles} pickles, each in five files: {len(faults)} believed or run", *faults, sep="\n")
    return int(bool(faults) or any(not told for _, told in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
