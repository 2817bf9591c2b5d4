"""A run's code of one's own: is it there, is it what the run began with, and which files does it take elsewhere?"""

from __future__ import annotations

from pathlib import Path

from modules.compute.own_code import digests_of, files_of, forget, is_installed, load, named_in
from modules.config.errors import DataError, UserError, gather, shorten
from modules.config.schema import Config
from modules.runs.directory import RunDirectory

DIGESTS = "own_code"  # in environment.json


def own_code_changes(config: Config, run: RunDirectory, training: bool = True) -> list[str]:
    """A warning of code that is not what the run began with. Raises UserError.

    training: also of what inference does without.
    """
    now = digests_of(config, training)
    began = run.read_environment().get(DIGESTS, {}) if now else {}
    changed = [code for code, digest in now.items() if began.get(code) != digest]
    if not changed:
        return []
    return [f"warning: {shorten(changed)}: the code has changed since {run.name} began; what is computed from here on is not what it was"]


def load_own_code(config: Config, run: RunDirectory) -> list[str]:
    """Loads what inference needs of a finished run's own config; warnings as above.

    Raises DataError, since the config of the command need not name the code.
    """
    forget()
    names = named_in(config, training=False)
    try:
        gather(*(lambda code=code, place=place: load(code, *place) for code, place in names.items()))
    except UserError as error:
        raise DataError(*(f"{run.name} was trained with code of your own: {line}" for line in error.lines)) from None
    return own_code_changes(config, run, training=False)


def files_to_carry(config: Config) -> dict[str, Path]:
    """The files of what inference needs, by their places beside the script. Raises DataError for an installed package's."""
    names = named_in(config, training=False)
    installed = [str(code) for code, place in names.items() if is_installed(code, *place)]
    if installed:
        fault = f"{shorten(installed)}: of an installed package, whose files are not carried elsewhere"
        raise DataError(f"{fault}; train with the code in a file of your own")
    found: dict[str, Path] = {}
    for code, place in names.items():
        found |= files_of(code, *place)
    return found
