"""train_fold: the one loop that trains a contest's model, with early stopping on the best checkpoint.

State is committed at epoch ends: best.pt where the score improved, then last.pt with all that going on needs. A fold
that was stopped anywhere goes on from its last epoch and comes to the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from modules.compute.seeding import seed_torch
from modules.config.errors import DataError, OptionError
from modules.data.loaders import Loader
from modules.data.splits import Fold
from modules.data.task import Targets
from modules.models.build import Network
from modules.models.weights import restore_weights
from modules.prediction.predict import Outcome
from modules.prediction.predictions import Predictions, Values, check_predictions, load_predictions, save_predictions
from modules.runs.checkpoint import FORMAT, load_best_of, load_last, save_checkpoint, save_epoch, save_last
from modules.runs.directory import FoldDirectory
from modules.runs.records import EpochRecord, FoldResult, Progress, Sink, record_from, write_history
from modules.training.epoch import Diverged, EpochOutcome, Learner, train_epoch
from modules.training.parts import (
    Feed,
    evaluate,
    evaluate_features,
    feature_feed,
    image_feed,
    make_learner,
    make_network,
    sight_of,
    steps_per_epoch,
    stored_features,
    valid_batches,
    validate,
)
from modules.training.phases import TrainingPhase
from modules.training.plan import Plan
from modules.training.schedule import plateau
from modules.training.warm_start import WarmStart


def train_fold(plan: Plan, fold: Fold, directory: FoldDirectory, sink: Sink) -> tuple[FoldResult, list[str]]:
    """Trains, or goes on training, one fold, and predicts the rows that it validates with its best epoch's weights.

    Writes best.pt, last.pt, history.csv and predictions.csv. Returns the result, and warnings, a line each. Raises
    DataError where the loss or a score is no number, before anything is saved of that epoch.
    """
    ranks = plan.process.ranks
    ranks.from_main(lambda: directory.path.mkdir(exist_ok=True))
    state, warnings = load_last(directory)
    ranks.wait()  # until all have read
    _check_state(plan, fold, state, directory)
    progress = Progress(**state["progress"]) if state else Progress()
    records = [record_from(record) for record in state["history"]] if state else []
    if not _is_over(plan, progress, records):
        ranks.from_main(lambda: directory.predictions.unlink(missing_ok=True))
        progress, records = _train(plan, fold, directory, sink, state, progress, records)
    else:
        ranks.from_main(lambda: write_history(directory.history, records))
    best = _load_best(plan, fold, directory, progress.best_epoch)
    if not ranks.from_main(directory.predictions.exists):
        _predict_validation(plan, fold, directory, best, sink)
    predictions = _own_predictions(plan, fold, directory, best, sink)
    score = _score(plan, fold, predictions.values)
    result = FoldResult(fold.number, score, progress.best_epoch, len(records))
    sink.end_fold(result)
    return result, warnings


def _train(
    plan: Plan,
    fold: Fold,
    directory: FoldDirectory,
    sink: Sink,
    state: Mapping[str, Any] | None,
    progress: Progress,
    records: list[EpochRecord],
) -> tuple[Progress, list[EpochRecord]]:
    """Epochs until the last one, or until patience is over, each committed as it ends.

    A new phase goes on from the weights of the last epoch, be they the best or not; all else in it begins anew.
    """
    if state is None and isinstance(plan.pretrained, WarmStart):  # the run may have other folds to train than it began with
        plan.pretrained.check_folds(plan.samples, [each for each in plan.all_folds if each.number == fold.number])
    network = make_network(plan, fold.number, pretrained=plan.pretrained if state is None else False)
    if state is not None:
        restore_weights(network.module, state["model"], str(directory.last))
    begin = _beginner(plan, fold, network, sink)
    learner: Learner | None = None
    feed: Feed | None = None
    step, trains = 0, False
    while not _is_over(plan, progress, records):
        epoch, started = len(records) + 1, time.perf_counter()
        phase = plan.phase_of(epoch)
        if epoch == phase.first_epoch:
            (learner, feed), step, progress = begin(phase), 0, progress.start_phase()
        elif learner is None or feed is None:
            assert state is not None
            learner, feed = begin(phase)
            step = _restore(learner, state)
        if not trains:
            trains = True
            sink.start_fold(sight_of(plan, fold, network, epoch))
        begun = time.perf_counter()
        sink.start_epoch(fold.number, epoch, plan.epochs, steps_per_epoch(plan, feed.train))
        trained = train_epoch_of(plan, fold, learner, feed.train, epoch, step, sink, plateau(phase.hyper, progress.drops))
        train_seconds = time.perf_counter() - begun
        outcome, score, progress = _validate(plan, fold, learner, feed, epoch, progress)
        step += trained.steps
        record = EpochRecord(
            fold=fold.number,
            epoch=epoch,
            train_loss=trained.loss,
            valid_loss=outcome.loss,
            score=score,
            best=score if progress.best_score is None else progress.best_score,
            learning_rate=max(group["lr"] for group in learner.optimizer.param_groups),
            images_per_second=trained.images / train_seconds,
            seconds=time.perf_counter() - started,
            trained=learner.trained,
        )
        records = [*records, record]
        if plan.process.ranks.is_main:
            _commit(plan, directory, learner, step, progress, records)
        sink.end_epoch(record, plan.epochs)
    return progress, records


def _validate(plan: Plan, fold: Fold, learner: Learner, feed: Feed, epoch: int, progress: Progress) -> tuple[Outcome, float, Progress]:
    """What the epoch came to, its score, and the progress after it. Raises DataError where a probability is no number."""
    hyper = plan.phase_of(epoch).hyper
    outcome = validate(plan, fold, learner, feed)
    check_predictions(_as_predictions(plan, fold, outcome), f"fold {fold.number}, epoch {epoch}, validation")
    score = _score(plan, fold, outcome.values[0])
    if not len(fold.valid_rows):
        return outcome, score, progress.advance_unscored(epoch)
    better = plan.metric.greater_is_better
    return outcome, score, progress.advance(score, epoch, hyper.min_delta, better, hyper.plateau_patience)


def _beginner(plan: Plan, fold: Fold, network: Network, sink: Sink) -> Callable[[TrainingPhase], tuple[Learner, Feed]]:
    """Gives each phase its learner and its feed. What the phase before it froze trains again, but for what the library itself fixed."""
    trainable = [parameter for parameter in network.module.parameters() if parameter.requires_grad]

    def begin(phase: TrainingPhase) -> tuple[Learner, Feed]:
        for parameter in trainable:
            parameter.requires_grad_(True)
        features = stored_features(plan, network, phase)
        feed = image_feed(plan, fold) if features is None else feature_feed(plan, fold, features, sink.follow)
        return make_learner(plan, fold, network, phase, steps_per_epoch(plan, feed.train), features), feed

    return begin


def train_epoch_of(
    plan: Plan, fold: Fold, learner: Learner, batches: Loader, epoch: int, step: int, sink: Sink, drop: float = 1.0
) -> EpochOutcome:
    """One epoch of that fold. Raises UserError in one line where the loss is no number, or a batch too small to train on."""
    rank = plan.process.ranks.rank
    seed_torch(plan.config.settings.seed, fold.number, epoch, *(("rank", rank) if rank else ()))  # dropout is each process's own
    try:
        with small_batches_told(plan):
            return train_epoch(learner, batches.epoch(epoch), step, sink, drop)
    except Diverged as error:
        advice = "finished epochs are kept; try a lower hyper_params.learning_rate, or settings.precision=float32"
        raise DataError(f"fold {fold.number}, epoch {epoch}: {error}; training stopped. {advice}") from None


@contextmanager
def small_batches_told(plan: Plan) -> Iterator[None]:
    """Turns what BatchNorm says of batches too small to train on into an OptionError."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        size = f"{plan.preprocessing.size.height} x {plan.preprocessing.size.width}"
        least = f"{2 * plan.process.ranks.world} or more, 2 for each process" if plan.process.ranks.are_several else "2 or more"
        message = f"BatchNorm cannot train on batches of one image of {size} here; use {least}, or a larger image_size"
        raise OptionError("hyper_params", "batch_size", message) from None


def _is_over(plan: Plan, progress: Progress, records: list[EpochRecord]) -> bool:
    done = len(records)
    return done >= plan.epochs or (done > 0 and progress.is_over(plan.phase_of(done).hyper.patience))


def _commit(plan: Plan, directory: FoldDirectory, learner: Learner, step: int, progress: Progress, records: list[EpochRecord]) -> None:
    """last.pt last: a kill before it leaves it an epoch behind, and that epoch is done again, equally, and told again.

    Where there is a moving average, best.pt and kept epochs hold its weights alone; last.pt holds both.
    """
    latest, model, metric = records[-1], plan.config.model, plan.metric
    shared = {
        "format": FORMAT,
        "run_id": plan.run_id,
        "fold": latest.fold,
        "epoch": latest.epoch,
        "classes": list(plan.samples.task.columns),
        "task": plan.samples.task.to_dict(),
    }
    learnt = {
        "model": learner.learnt.state_dict(),
        "preprocessing": plan.preprocessing.to_dict(),
        "network": {"library": model.library, "name": model.name},
        "metric": metric.name,
        "scores": {} if math.isnan(latest.score) else {metric.name: latest.score, "loss": latest.valid_loss},
    }
    if progress.best_epoch == latest.epoch:
        save_checkpoint(directory.best, {**shared, **learnt})
    if plan.config.settings.keep_epochs:
        save_epoch(directory, latest.epoch, latest.valid_loss, latest.score, {**shared, **learnt})
    going_on = {
        "model": learner.module.state_dict(),
        "ema": None if learner.ema is None else learner.ema.module.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "step": step,
        "progress": asdict(progress),
        "history": [asdict(record) for record in records],
    }
    write_history(directory.history, records)
    save_last(directory, {**shared, **going_on})


def _restore(learner: Learner, state: Mapping[str, Any]) -> int:
    """Puts what `_commit` saved, besides the weights, back into the learner; returns the phase's step to go on from."""
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.scaler.load_state_dict(state["scaler"])
    if learner.ema is not None:
        learner.ema.module.load_state_dict(state["ema"])
    return int(state["step"])


def _score(plan: Plan, fold: Fold, values: Values) -> float:
    """The metric over the rows that the fold validates; NaN where it validates none."""
    if not len(fold.valid_rows):
        return float("nan")
    return plan.metric.measure(plan.samples.task, _targets(plan, fold), values, plan.plainly)


def _targets(plan: Plan, fold: Fold) -> Targets:
    assert plan.samples.targets is not None
    return plan.samples.targets[fold.valid_rows]


def _load_best(plan: Plan, fold: Fold, directory: FoldDirectory, epoch: int) -> dict[str, Any]:
    """best.pt. Raises DataError where it is missing or damaged, or not of this run, fold and epoch: another one's scores would be told."""
    again = f"remove {directory.path} to train this fold again"
    if not plan.process.ranks.from_main(directory.best.is_file):
        raise DataError(f"{directory.best}: missing; {again}")
    try:
        return load_best_of(directory, plan.run_id, fold.number, plan.samples.task.to_dict(), epoch)
    except DataError as error:
        raise DataError(f"{error}; {again}") from None


def _predict_validation(plan: Plan, fold: Fold, directory: FoldDirectory, best: Mapping[str, Any], sink: Sink) -> None:
    """predictions.csv: the validated rows, by the best epoch's weights, with the views that inference will use.

    With views, what they are without comes first, so that their gain is known: predictions.none.csv.
    """
    network = make_network(plan, fold.number, pretrained=False)
    restore_weights(network.module, best["model"], str(directory.best))
    phase = plan.phase_of(best["epoch"])
    features = stored_features(plan, network, phase)
    tta, batches = plan.config.inference.tta, valid_batches(plan, fold)
    wanted = [(tta, directory.predictions)]
    if tta != "none":
        wanted.insert(0, ("none", directory.predictions_without_tta))
    for views, path in wanted:
        if features is None or phase.cut is None:
            outcome = evaluate(plan, network, batches, fold, views)
        else:
            outcome = evaluate_features(plan, phase.cut.tail_of(network.module), features, fold, views, sink.follow)
        predictions = _as_predictions(plan, fold, outcome)
        plan.process.ranks.from_main(partial(save_predictions, path, predictions, _targets(plan, fold), decision=plan.plainly))


def _own_predictions(plan: Plan, fold: Fold, directory: FoldDirectory, best: Mapping[str, Any], sink: Sink) -> Predictions:
    """predictions.csv, made again where it, or what is without views, is damaged or not of the rows that this fold validates."""
    for again in (False, True):
        try:
            task = plan.samples.task
            predictions = load_predictions(directory.predictions, task)
            plain = predictions if plan.config.inference.tta == "none" else load_predictions(directory.predictions_without_tta, task)
            same_ids = all(np.array_equal(each.ids, plan.samples.ids[fold.valid_rows]) for each in (predictions, plain))
            if same_ids:
                return predictions
        except DataError:
            if again:
                raise
        _predict_validation(plan, fold, directory, best, sink)
    raise DataError(f"{directory.predictions}: its rows are not those that fold {fold.number} validates")


def _as_predictions(plan: Plan, fold: Fold, outcome: Outcome) -> Predictions:
    return Predictions(plan.samples.ids[fold.valid_rows], plan.samples.task, outcome.values[0])


def _check_state(plan: Plan, fold: Fold, state: Mapping[str, Any] | None, directory: FoldDirectory) -> None:
    """Raises DataError for a checkpoint of another run, fold or class order."""
    if state is None:
        return
    missing = [name for name in ("run_id", "fold", "task", "optimizer", "scaler", "step", "progress", "history") if name not in state]
    if missing:
        raise DataError(f"{directory.last}: nothing to go on from: it has no {', '.join(missing)}")
    if (state["run_id"], state["fold"]) != (plan.run_id, fold.number):
        raise DataError(f"{directory.last}: belongs to another run or another fold")
    if state["task"] != plan.samples.task.to_dict():
        raise DataError(f"{directory.last}: its classes, or their order, are not those of the table")
