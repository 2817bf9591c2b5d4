"""Every path of a run, in one place; making, finding and locking its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from modules.config.errors import DataError, OptionError, hint, shorten

RESULT_KEYS = (
    "metric", "folds", "mean", "std", "oof", "coverage", "fold_numbers", "best_epochs", "classes", "task", "tta",
    "debug", "run_id", "ended",
)  # fmt: skip
ENVIRONMENT_KEYS = ("run_id", "samples", "folds", "precision", "channels_last", "threads")


@dataclass(frozen=True)
class FoldDirectory:
    """The paths of one fold."""

    path: Path

    @property
    def best(self) -> Path:
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        return self.path / "last.pt"

    @property
    def previous(self) -> Path:
        return self.path / "last.prev.pt"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def epochs(self) -> Path:
        """The folder of settings.keep_epochs."""
        return self.path / "epochs"

    def epoch(self, number: int, loss: float, score: float) -> Path:
        """The kept weights of one epoch, named so that the names sort by epoch: epoch003_loss0.1234_score0.9876.pt."""
        return self.epochs / f"epoch{number:03d}_loss{loss:.4f}_score{score:.4f}.pt"

    @property
    def predictions_without_tta(self) -> Path:
        """Beside predictions.csv where that was made with views."""
        return self.path / "predictions.none.csv"


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.ini"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def folds(self) -> Path:
        return self.path / "folds.csv"

    @property
    def oof(self) -> Path:
        return self.path / "oof.csv"

    def oof_with(self, tta: str) -> Path:
        """What inference made of the out-of-fold rows under another TTA than the run's own; a .json beside it tells whose it is."""
        return self.path / f"oof.{tta}.csv"

    @property
    def duplicates(self) -> Path:
        """Pairs of images that are the same, or nearly; there where any were found."""
        return self.path / "duplicates.csv"

    @property
    def suspects(self) -> Path:
        """Training rows whose labels the models believe least."""
        return self.path / "suspects.csv"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    def fold(self, number: int) -> FoldDirectory:
        return FoldDirectory(self.path / f"fold{number}")

    def is_complete(self) -> bool:
        return self.result.is_file()

    def read_result(self) -> dict[str, Any]:
        """result.json. Raises DataError where the run has not come to its end, or the file is damaged."""
        if not self.is_complete():
            raise DataError(f"{self.path}: the run is not finished; python train.py --resume {self.name} goes on with it")
        return _read_json(self.result, RESULT_KEYS)

    def read_environment(self) -> dict[str, Any]:
        """environment.json. Raises DataError where it is damaged."""
        return _read_json(self.environment, ENVIRONMENT_KEYS)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; the system lets go of it when the process ends, however that happens.

        Raises DataError where another process holds it.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{self.path}: another process is working in this run; wait for it, or set settings.run_name") from None
        try:
            yield
        finally:
            lock.release()


def create_run(log_path: str, name: str | None, model_name: str) -> RunDirectory:
    """A new, empty folder in `log_path`: `name`, or date, time and model. Raises OptionError where `name` is taken."""
    root = Path(log_path)
    root.mkdir(parents=True, exist_ok=True)
    if name is not None:
        if name in (".", "..", "latest") or "/" in name or "\\" in name:
            raise OptionError("settings", "run_name", f"expected the name of a new folder in {log_path}, got '{name}'")
        if "," in name:
            raise OptionError("settings", "run_name", f"a comma stands between names in inference.run; use another than '{name}'")
        try:
            (root / name).mkdir()
        except FileExistsError:
            is_run = (root / name / "config.ini").is_file()
            advice = f"choose another, or python train.py --resume {name}" if is_run else "it holds no run: remove it, or choose another"
            raise OptionError("settings", "run_name", f"{root / name} exists; {advice}") from None
        return RunDirectory(root / name)
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{re.sub(r'[^A-Za-z0-9_.-]', '_', model_name)}"
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        try:
            (root / f"{stem}{suffix}").mkdir()
            return RunDirectory(root / f"{stem}{suffix}")
        except FileExistsError:
            continue
    raise DataError(f"{root}: a hundred runs started in this second")


def find_run(log_path: str, name: str) -> RunDirectory:
    """The run of that name in `log_path`, or in that folder. Raises DataError with the names there are."""
    run = seek_run(log_path, name)
    if run is None:
        raise DataError(f"no run '{name}'{hint(name, [each.name for each in list_runs(log_path)])}; {tell_runs(log_path)}")
    return run


def seek_run(log_path: str, name: str) -> RunDirectory | None:
    """The run of that name in `log_path`, or in that folder; None where there is no run."""
    for path in (Path(log_path) / name, Path(name)):
        if (path / "config.ini").is_file():
            return RunDirectory(path if path.name else path.resolve())
    return None


def tell_runs(log_path: str) -> str:
    """The names there are, the last ones first: `runs has b, a`."""
    names = [run.name for run in list_runs(log_path)]
    return f"{log_path} has {shorten(reversed(names))}" if names else f"{log_path} has no run"


def latest_run(log_path: str, debug: bool, scored: bool = False, prefer: Callable[[RunDirectory], bool] | None = None) -> RunDirectory:
    """The newest complete run, by the time at which it ended; debug runs count only where `debug` asks for them.

    `scored`: only runs that validated something. `prefer`: one for which this is true goes before all others.
    Raises DataError where there is none.
    """
    ended = []
    for run in list_runs(log_path):
        if run.is_complete():
            try:
                result = _read_json(run.result, ("ended", "debug"))
            except DataError:
                continue  # one damaged run is no reason to find none
            if (debug or not result["debug"]) and (result.get("coverage") or not scored):
                ended.append((result["ended"], run.name, run))
    if not ended:
        raise DataError(f"{log_path}: no finished run to predict with; python train.py makes one")
    ended.sort(key=lambda each: each[:2])
    preferred = [run for _, _, run in ended if prefer is not None and prefer(run)]
    return preferred[-1] if preferred else ended[-1][2]


def list_runs(log_path: str) -> list[RunDirectory]:
    """The runs in `log_path`, by name."""
    return [RunDirectory(file.parent) for file in sorted(Path(log_path).glob("*/config.ini"))]


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(f"{path}: damaged: it has no {shorten(missing)}")
    return dict(content)
