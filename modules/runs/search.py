"""Every path of a search, and what is kept of each of its trials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from modules.compute.storage import write_json, write_text
from modules.config.errors import DataError, hint, shorten
from modules.runs.directory import RunDirectory

RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"  # stopped: by the scheduler, behind others


@dataclass(frozen=True)
class Trial:
    """What is known of a trial. overrides: the text of each option that was drawn, by its name, section.option.

    score: of its folds' best epochs, on average; of a stopped one the best so far; None where there is none. epochs: that were
    trained, of all folds. cause: why it failed. confirmed: the out-of-fold score of all folds, where it is one of the best.
    """

    number: int
    overrides: Mapping[str, str]
    state: str = RUNNING
    score: float | None = None
    folds: int = 0
    epochs: int = 0
    seconds: float = 0.0
    cause: str = ""
    confirmed: float | None = None

    @property
    def name(self) -> str:
        return f"{self.number:04d}"


@dataclass(frozen=True)
class SearchDirectory:
    """The folder of a search: search.ini, a run a trial in trials/, and what came out of it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        """Not config.ini: a search is no run."""
        return self.path / "search.ini"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def ray(self) -> Path:
        """What Ray keeps while trials run; nothing is read from it."""
        return self.path / "ray"

    @property
    def state(self) -> Path:
        return self.path / "search.json"

    @property
    def table(self) -> Path:
        return self.path / "trials.csv"

    @property
    def picture(self) -> Path:
        return self.path / "trials.png"

    @property
    def best(self) -> Path:
        return self.path / "best.ini"

    def run_of(self, trial: Trial) -> RunDirectory:
        return RunDirectory(self.trials / trial.name)

    def read(self) -> list[Trial]:
        """All trials, in the order in which they began. Raises DataError for a record that cannot be read."""
        return [_read(file) for file in sorted(self.trials.glob("*.json"))]

    def write(self, trial: Trial) -> None:
        write_json(self.trials / f"{trial.name}.json", asdict(trial))

    def keep(self, text: str, ended: bool = False) -> None:
        """Writes search.ini, and before it of what it is, so that a change is noticed. ended: all its trials have come to an end.

        What it was is kept as well: where search.ini cannot be written, or a kill comes between the two, that is still there.
        """
        texts = [text.encode(), *([self.config.read_bytes()] if self.config.is_file() else [])]
        write_json(self.state, {"digests": [sha256(each).hexdigest() for each in texts], "ended": ended})
        write_text(self.config, text)

    def has_ended(self) -> bool:
        """Whether all trials have come to an end. Raises DataError where search.ini is not what the trials were drawn from."""
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            digests, ended = set(state["digests"]), bool(state["ended"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{self.state}: cannot be read: {error}; start a new search") from None
        if sha256(self.config.read_bytes()).hexdigest() not in digests:
            raise DataError(f"{self.config} has changed since its trials were drawn; start a new search")
        return ended

    def begin(self, overrides: Mapping[str, str]) -> Trial:
        """The trial with these overrides: as it was left, or a new one."""
        with FileLock(self.trials / ".lock"):  # several workers ask at once
            known = self.read()
            for trial in known:
                if trial.overrides == overrides:
                    return trial
            taken = [each.number for each in known] + [int(run.name) for run in self.trials.glob("[0-9]*") if run.name.isdigit()]
            trial = Trial(1 + max(taken, default=-1), dict(overrides))  # a run whose record was removed is nobody else's
            self.write(trial)
            return trial

    @contextmanager
    def working_on(self, trial: Trial) -> Iterator[Trial]:
        """The trial as it is once nobody else works on it; two that drew the same are one."""
        with FileLock(self.trials / f".{trial.name}.lock"):
            yield _read(self.trials / f"{trial.name}.json")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Raises DataError where another process holds it."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{self.path}: another process is searching here; wait for it, or set settings.run_name") from None
        try:
            yield
        finally:
            lock.release()


def find_search(log_path: str, name: str) -> SearchDirectory:
    """The search of that name in `log_path`, or in that folder. Raises DataError with the names there are."""
    for path in (Path(log_path) / name, Path(name)):
        if (path / "search.ini").is_file():
            return SearchDirectory(path if path.name else path.resolve())
    names = [file.parent.name for file in sorted(Path(log_path).glob("*/search.ini"))]
    there = f"{log_path} has {shorten(reversed(names))}" if names else f"{log_path} has no search"
    raise DataError(f"no search '{name}'{hint(name, names)}; {there}")


def _read(file: Path) -> Trial:
    try:
        return Trial(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file}: cannot be read: {error}; remove it, and its trial is done again") from None
