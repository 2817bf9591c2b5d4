"""`look.py runs`: every run of log_path beside the others, as a table and as runs.html."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.compute.storage import write_text
from modules.config.command_line import Command
from modules.config.errors import DataError, UserError, counted
from modules.config.reader import read_config
from modules.config.schema import Config, HyperParams
from modules.config.tasks import choose_metric
from modules.jobs.alike import compare_predictions
from modules.jobs.trained import TrainedRun
from modules.jobs.trials import by_score
from modules.models.names import full_name
from modules.prediction.ledger import Submission, read_submissions
from modules.prediction.metrics import METRICS, find_metric, tell_score
from modules.prediction.predictions import read_own
from modules.prediction.submission import LEDGER
from modules.reporting.comparison import Comparison, Contest, Standing, own_scores
from modules.reporting.comparison_page import render_comparison
from modules.reporting.comparison_text import describe_comparison
from modules.reporting.searches import count_trials
from modules.runs.directory import RunDirectory, list_runs
from modules.runs.records import read_history
from modules.runs.search import SearchDirectory, Trial

PAGE = "runs.html"
DAMAGE = (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)  # files of another version, or by hand


def compare(command: Command) -> list[str]:
    """Writes runs.html in log_path, and returns what to print. Raises DataError where there is nothing to compare."""
    found = gather_runs(command.config)
    page = Path(command.config.settings.log_path) / PAGE
    try:
        write_text(page, render_comparison(found))
        told = f"page: {page}"
    except OSError as error:
        told = f"{page} cannot be written: {error.strerror}"
    return [*describe_comparison(found), "", told]


def gather_runs(config: Config) -> Comparison:
    """All that is in log_path, and what the ledger says of it. Raises DataError where nothing is."""
    root = Path(config.settings.log_path)
    finished: list[TrainedRun] = []
    unfinished, damaged = [], []
    for directory in list_runs(str(root)):
        try:
            if directory.is_complete():
                finished.append(_read(directory))
            else:
                unfinished.append(_how_far(directory))
        except DAMAGE as error:
            damaged.append(f"{directory.name}: {_cause(error)}")
    lost = [file.parent for file in sorted(root.glob("*/result.json")) if not (file.parent / "config.ini").is_file()]
    damaged += [f"{folder.name}: it has a result.json, and no config.ini" for folder in lost]
    searches = [_tell_search(SearchDirectory(file.parent)) for file in sorted(root.glob("*/search.ini"))]
    if not (finished or unfinished or damaged or searches):
        raise DataError(f"{root}: no run to compare; python train.py makes one")
    folder = Path(config.inference.submission_path)
    submissions, remarks = read_submissions(folder, {run.name for run in finished})
    groups = sorted(_contests(finished), key=lambda runs: _is_configured(runs[0], config), reverse=True)
    homes = [_home(each, groups) for each in submissions]
    contests = [
        _contest(runs, [each for each, home in zip(submissions, homes, strict=True) if home == place]) for place, runs in enumerate(groups)
    ]
    strays = [each for each, home in zip(submissions, homes, strict=True) if home is None]
    return Comparison(str(root), str(folder / LEDGER), contests, strays[::-1], unfinished, searches, damaged, remarks)


def _read(directory: RunDirectory) -> TrainedRun:
    """Without its checkpoints: reading those of fifty runs takes minutes. Raises one of DAMAGE where anything is not as it should be."""
    result = directory.read_result()
    own, _ = read_config([directory.config])
    run = TrainedRun(directory, own, result, ())
    numbers = [number for number in (result["oof"], result["std"], result["coverage"]) if number is not None]
    if not all(math.isfinite(number) for number in numbers) or not run.task.columns:
        raise DataError(f"{directory.result}: damaged: scores that are no numbers")
    if not isinstance(result["ended"], str) or not isinstance(result["debug"], bool) or result["coverage"] is None:
        raise DataError(f"{directory.result}: damaged: expected a time, a yes or no, and a share")
    hash(_question(run))  # what compares runs is tried on each alone, so that one that is damaged costs the others nothing
    _rank(run)
    _standing(run, ())
    return run


def _cause(error: BaseException) -> str:
    return (
        str(error).splitlines()[0] if isinstance(error, UserError | OSError) and str(error) else f"damaged: {type(error).__name__} {error}"
    )


def _contests(runs: Sequence[TrainedRun]) -> list[list[TrainedRun]]:
    """Runs that may be compared together, those of the newest run first; in each the best first."""
    groups: dict[Hashable, list[TrainedRun]] = {}
    for run in sorted(runs, key=lambda run: str(run.result["ended"]), reverse=True):
        groups.setdefault(_question(run), []).append(run)
    return [sorted(group, key=_rank) for group in groups.values()]


def _is_configured(run: TrainedRun, config: Config) -> tuple[bool, bool]:
    """Whether it is of the data that the config names, and of its metric."""
    same_data = Path(run.config.settings.data_path).resolve() == Path(config.settings.data_path).resolve()
    return same_data, run.result["metric"] == choose_metric(config.hyper_params.metric, config.data.task)


def _question(run: TrainedRun) -> Hashable:
    """What a score is an answer to: scores of runs that differ in any of this say nothing of each other."""
    config, task = run.config, run.task
    data, hyper = config.data, config.hyper_params
    asked = (task.kind, task.columns, tuple(output.classes for output in task.outputs))
    counted_as = (run.result["metric"], hyper.map_at if run.result["metric"] == "map" else None, hyper.metric_weights)
    return Path(config.settings.data_path).resolve(), data.source, data.dataset, asked, counted_as


def _rank(run: TrainedRun) -> tuple[int, float]:
    """Best first; then what was not validated; then debug runs."""
    score = run.result["oof"]
    if score is None or run.result["debug"]:
        return 2 if run.result["debug"] else 1, 0.0
    return 0, -score if _greater_is_better(run.result) else score


def _greater_is_better(result: Mapping[str, Any]) -> bool:
    """Runs of earlier versions do not say; a metric of one's own is then taken to be as most are."""
    name = result["metric"]
    default = METRICS[name](HyperParams()).greater_is_better if name in METRICS else True
    return bool(result.get("greater_is_better", default))


def _contest(runs: Sequence[TrainedRun], submissions: Sequence[Submission]) -> Contest:
    first, newest_first = runs[0], tuple(reversed(submissions))
    standings = tuple(_standing(run, newest_first) for run in runs)
    likeness, remarks = compare_predictions([run for run, standing in zip(runs, standings, strict=True) if standing.is_ranked])
    return Contest(
        metric=first.result["metric"],
        greater_is_better=_greater_is_better(first.result),
        task=first.task.describe(),
        data=first.config.settings.data_path,
        runs=standings,
        submissions=newest_first,
        likeness=likeness,
        remarks=tuple(remarks),
    )


def _standing(run: TrainedRun, newest_first: Sequence[Submission]) -> Standing:
    result, config, directory = run.result, run.config, run.directory
    folds = [directory.fold(number) for number in result["fold_numbers"]]
    best = folds[0].best
    return Standing(
        name=run.name,
        model=full_name(config.model).removeprefix("timm "),
        size=(config.data.image_size.height, config.data.image_size.width),
        score=result["oof"],
        spread=result["std"] if len(folds) > 1 else None,
        folds=len(folds),
        seconds=sum(record.seconds for fold in folds for record in read_history(fold.history)),
        weights=best.stat().st_size if best.is_file() else None,
        ended=result["ended"],
        debug=result["debug"],
        tta=result["tta"],
        coverage=result["coverage"],
        refit_of=config.split.epochs_from if result["oof"] is None else None,
        has_report=directory.report.is_file(),
        **own_scores(newest_first, run.name, result["run_id"], result["oof"]),
    )


def _home(submission: Submission, groups: Sequence[Sequence[TrainedRun]]) -> int | None:
    """The place of the contest that it is of: that of its runs, or where all of them are gone the only one of its metric."""
    for name in submission.runs:
        for place, runs in enumerate(groups):
            if any(run.name == name for run in runs):
                return place
    alike = [place for place, runs in enumerate(groups) if runs[0].result["metric"] == submission.metric]
    return alike[0] if len(alike) == 1 else None


def _how_far(directory: RunDirectory) -> str:
    """A line of a run that has not come to its end."""
    config, _ = read_config([directory.config])
    numbers, epochs = _fold_numbers(directory, config), config.hyper_params.epochs + config.hyper_params.probe_epochs
    parts = [f"{sum(directory.fold(number).predictions.is_file() for number in numbers)} of {counted(len(numbers), 'fold')} done"]
    for number in numbers:
        records = [] if directory.fold(number).predictions.is_file() else read_history(directory.fold(number).history)
        if records:
            metric = choose_metric(config.hyper_params.metric, config.data.task)
            score = "" if config.split.method == "none" else f", {metric} {tell_score(records[-1].best)} so far"
            parts.append(f"fold {number} after epoch {records[-1].epoch} of {epochs}{score}")
    state = "training now" if _is_training(directory) else f"stopped; python train.py --resume {directory.name} goes on"
    return f"{directory.name}: {', '.join(parts)}; {state}"


def _fold_numbers(directory: RunDirectory, config: Config) -> list[int]:
    """Those that the run trains."""
    if config.split.train_folds != "all":
        return list(config.split.train_folds)
    return sorted({int(number) for number in read_own(directory.folds)["fold"]} - {-1}) or [0]


def _is_training(directory: RunDirectory) -> bool:
    """Whether a process holds the run."""
    try:
        with directory.lock():
            return False
    except DataError:
        return True
    except OSError:  # a folder that cannot be written to
        return False


def _tell_search(search: SearchDirectory) -> str:
    """A line: its trials are runs in a folder of its own, and by the hundred."""
    try:
        config, _ = read_config([search.config])
        trials = search.read()
        metric = find_metric(config.hyper_params, config.data.task)
        confirmed = by_score(trials, metric.greater_is_better, confirmed=True)
        best = [*confirmed, *by_score(trials, metric.greater_is_better)][:1]
        score = "".join(f"; the best, trial {trial.number}: {metric.name} {_score_of(trial)}" for trial in best)
        return f"{search.name}: {count_trials(trials)}{score}{f'; python train.py {search.best}' if search.best.is_file() else ''}"
    except DAMAGE as error:
        return f"{search.name}: {_cause(error)}"


def _score_of(trial: Trial) -> str:
    if trial.confirmed is not None:
        return f"{tell_score(trial.confirmed)} of all folds"
    assert trial.score is not None
    return f"{tell_score(trial.score)} of {counted(trial.folds, 'fold')}"
