"""Which options a test turns on: read from its source, so that an option without a test is found."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from modules.config.reader import read_config
from modules.config.schema import OPTIONS, SECTIONS

ROOT = Path(__file__).parents[1]
OVERRIDE = re.compile(r"\s*(\w+)\.(\w+)=(.*)", re.DOTALL)
SECTION_OF = {kind.__name__: section for section, kind in SECTIONS.items()}

Place = tuple[str, str]


@cache
def options_turned_on() -> dict[str, set[Place]]:
    """For each test, `tests/config/test_x.py::test_y`, the options that its own source sets to something else than their default.

    Counted are overrides (`section.option=value`, also with the value in braces), the lines of an INI, and keywords of calls
    (`Split(folds=3)`, `replace(hyper, epochs=3)`, `built(dropout=0.5)`), in the function or in its decorators.
    """
    return {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}": set(_set_in(node))
        for path in sorted(Path(__file__).parent.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _set_in(test: ast.AST) -> Iterator[Place]:
    for node in ast.walk(test):
        if isinstance(node, ast.Call):
            yield from _set_by_call(node)
        elif isinstance(node, ast.JoinedStr):
            yield from _set_by_text("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _set_by_text(node.value)


def _set_by_call(call: ast.Call) -> Iterator[Place]:
    name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
    for keyword in call.keywords:
        for section in [SECTION_OF[name]] if name in SECTION_OF else OPTIONS:  # a helper of the tests may make any section
            if keyword.arg in OPTIONS[section] and not _is_default(section, keyword.arg, keyword.value):
                yield section, keyword.arg


def _is_default(section: str, option: str, value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value == OPTIONS[section][option].default


def _set_by_text(text: str) -> Iterator[Place]:
    override = OVERRIDE.fullmatch(text)
    if override and override[2] in OPTIONS.get(override[1], {}):
        if "{}" in override[3] or _differs(f"{override[1]}.{override[2]}={override[3]}", override[1], override[2]):
            yield override[1], override[2]
        return
    section = ""
    for line in text.splitlines():
        if header := re.fullmatch(r"\s*\[(\w+)\]\s*", line):
            section = header[1]
        elif "=" in line and (name := line.partition("=")[0].strip().lower()) in OPTIONS.get(section, {}):
            yield section, name


def _differs(override: str, section: str, option: str) -> bool:
    try:
        config, _ = read_config([], [override])
    except Exception:  # refused: that is a test of it too, but not one that turns it on
        return _refused_for_another(override, section, option)
    return bool(getattr(getattr(config, section), option) != OPTIONS[section][option].default)


def _refused_for_another(override: str, section: str, option: str) -> bool:
    """Whether the value itself is good, and only an option that goes with it is missing."""
    from modules.config.values import parse_value

    try:
        value = parse_value(override.partition("=")[2], OPTIONS[section][option].kind, OPTIONS[section][option].bounds)
    except ValueError:
        return False
    return bool(value != OPTIONS[section][option].default)
