"""The files of a module of one's own: its own, and by its import statements those of what it imports. Nothing is imported here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def files_below(name: str, folder: Path, left_out: Path) -> dict[str, Path]:
    """The files that importing module `name` runs, as far as they are in `folder` and not in `left_out`, by their places in it.

    What is imported otherwise than by a statement, or read, is not found.
    """
    found: dict[str, Path] = {}
    wanted = [name]
    while wanted:
        module = wanted.pop()
        for place in _places(module):
            path = folder / place
            if place in found or not path.is_file() or path.is_relative_to(left_out):
                continue
            found[place] = path
            wanted += _imported(path, package_of(place))
    return dict(sorted(found.items()))


def package_of(place: str) -> str:
    """The package that a file is in: of `a/b.py` and of `a/__init__.py` it is a."""
    return place.rpartition("/")[0].replace("/", ".")


def _places(name: str) -> Iterator[str]:
    """Of the files that importing a module may run."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        yield "/".join([*parts[:depth], "__init__.py"])
    yield "/".join(parts) + ".py"


def _imported(path: Path, package: str) -> Iterator[str]:
    """The names of the modules that a file's import statements may mean."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".") if package else []
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
