"""`look.py bundle`: one zip that predicts another test set elsewhere, without a network: code, config and fold weights."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from modules.compute.storage import write_atomically
from modules.config.command_line import Command
from modules.config.errors import DataError, counted, shorten
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import SECTIONS, Config
from modules.data.sources import as_laid_out
from modules.jobs.own_code import files_to_carry
from modules.jobs.trained import CARRIED, TrainedRun, open_trained
from modules.prediction.submission import name_after

ROOT = Path(__file__).parents[2]
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can tell: the same content is the same file
# What inference.py reads of its config; the rest is in the runs.
READ = ("settings", "data", "inference", "logging", "compute")
README = """{names}: what predicts a test set, as one folder.

Unpack it, then, in the folder that holds this file:

    python inference.py settings.data_path=/where/the/test/is

or in any other, such as the one that may be written to where this one may not:

    python /this/folder/inference.py /this/folder/config.ini settings.log_path=/this/folder/runs settings.data_path=/where/the/test/is

The test set's folder has the test images ([data] test_images = {images}) and the contest's template
([data] sample_submission = {template}); config.ini says what else is expected. The submission is written to
{submissions}. No network is needed; the packages in requirements.txt are (the versions that the models were trained with
are in runs/*/environment.json). Options are set behind the command, or in config.ini: inference.batch_size=16,
inference.output=/kaggle/working/submission.csv, settings.gpu=false, ...
"""


def bundle(command: Command) -> list[str]:
    """Writes NAME.zip to the current folder, beside what is there; returns what to print. Raises UserError as inference does."""
    config = command.config
    if not command.config_files:  # a config.ini that lies here may be of another contest; the run's own says what is needed
        said, _ = read_config([], command.overrides)
        settings = replace(said.settings, log_path=config.settings.log_path)
        config = replace(said, settings=settings, inference=replace(said.inference, run=config.inference.run))
    if command.runs:
        config = replace(config, inference=replace(config.inference, run=command.runs))
    runs = open_trained(config)
    path = _free_name(name_after([run.name for run in runs]))
    contents = _contents(_config_inside(config, runs), runs)
    write_atomically(path, lambda file: _write_zip(file, contents))
    size = path.stat().st_size / 2**20
    lines = [f"{path}: {len(contents)} files, {size:,.1f} MiB, {counted(sum(len(run.checkpoints) for run in runs), 'model')}"]
    return lines if command.quiet else [*lines, "unpacked anywhere: python inference.py settings.data_path=/where/the/test/is"]


def _config_inside(config: Config, runs: Sequence[TrainedRun]) -> Config:
    """The first run's own config with what the command's files and overrides set, for a folder of its own."""
    own = runs[0].config
    sections: dict[str, Any] = {}
    for section in SECTIONS:
        said = {option: getattr(getattr(config, section), option) for place, option in config.origins if place == section}
        sections[section] = replace(getattr(own, section), **said)
    settings, inference = sections["settings"], sections["inference"]
    given = config.origins.get(("settings", "data_path")) == "override"
    data_path = settings.data_path if given or not Path(settings.data_path).is_absolute() else "data"
    submissions = "submissions" if Path(inference.submission_path).is_absolute() else inference.submission_path
    sections["settings"] = replace(settings, log_path="runs", run_name=None, data_path=data_path)
    names = tuple(run.name for run in runs)
    sections["inference"] = replace(inference, run=names, answers=None, submission_path=submissions)
    return Config(**sections)


def _contents(config: Config, runs: Sequence[TrainedRun]) -> dict[str, bytes | Path]:
    """What the zip holds: text, or the file that it is copied from, by name."""
    several = {option for option in CARRIED if len({str(getattr(getattr(run.config, option[0]), option[1])) for run in runs}) > 1}
    left_out = several | {(section, option) for section, option in CARRIED if section not in READ}
    contents: dict[str, bytes | Path] = {
        "README.txt": README.format(
            names=", ".join(run.name for run in runs),
            images=as_laid_out(config.data).test_images,
            template=as_laid_out(config.data).sample_submission,
            submissions=config.inference.submission_path,
        ).encode(),
        "config.ini": to_ini(config, sections=READ, left_out=left_out).encode(),
        "inference.py": ROOT / "inference.py",
        "requirements.txt": ROOT / "requirements.txt",
    }
    contents |= {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "modules").rglob("*.py")}
    for run in runs:
        contents |= _own_files(run, contents)
        contents |= {f"runs/{run.name}/{path.relative_to(run.directory.path).as_posix()}": path for path in _files_of(run, config)}
    return contents


def _own_files(run: TrainedRun, others: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
    """The run's code of one's own, beside inference.py, where Python finds it. Raises DataError where it cannot be carried."""
    found = files_to_carry(run.config)
    taken = [place for place in found if place in others and others[place] != found[place]]
    if taken:
        raise DataError(f"{shorten(taken)}: code of your own, under a name that a bundle has for a file of its own; call it otherwise")
    return dict(found)


def _files_of(run: TrainedRun, config: Config) -> Iterable[Path]:
    """What inference reads of a run: no optimiser, and of its rows out of fold those under the TTA that is used."""
    directory, again = run.directory, run.directory.oof_with(config.inference.tta)
    yield from (directory.config, directory.environment, directory.result)
    yield from (path for path in (directory.oof, again, again.with_suffix(".json")) if path.is_file())
    yield from (directory.fold(checkpoint["fold"]).best for checkpoint in run.checkpoints)


def _write_zip(file: BinaryIO, contents: dict[str, bytes | Path]) -> None:
    """Sorted by name, without dates or owners; weights, which do not shrink, are stored as they are."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(contents):
            content = contents[name]
            member = zipfile.ZipInfo(name, EPOCH)
            member.compress_type = zipfile.ZIP_STORED if name.endswith(".pt") else zipfile.ZIP_DEFLATED
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, content if isinstance(content, bytes) else content.read_bytes())


def _free_name(name: str) -> Path:
    path, number = Path(f"{name}.zip"), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}.zip")
    return path
