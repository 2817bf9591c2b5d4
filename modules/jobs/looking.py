"""What look.py shows and makes: each takes the command, and returns the lines to print."""

from __future__ import annotations

from collections.abc import Callable

from modules.config.command_line import Command
from modules.jobs.bundling import bundle
from modules.jobs.exporting import export
from modules.jobs.showing import show_data

LOOKS: dict[str, Callable[[Command], list[str]]] = {
    "data": show_data,
    "export": export,
    "bundle": bundle,
}
