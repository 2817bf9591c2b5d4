"""What to try next, said only from what a run measured: each piece of advice names its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from modules.config.errors import counted
from modules.data.copies import ACROSS
from modules.data.task import VALUED
from modules.prediction.diagnosis import facets, numbers_of_classes, reliability, worst_confusions
from modules.prediction.metrics import tell_score
from modules.prediction.suspects import SURE, WRONG, looks_wrong
from modules.reporting.facts import Facts

OVERFITTED, APART_LOSS = 1.5, 0.01  # times the training loss is the validation loss, and more than this above it
LATE = 0.9  # of the epochs: whoever was best behind that was still learning
CONFUSED = 0.15  # of a class's rows are told to be one other class
FEW_ROWS = 5  # are no class's habit
APART = 2.5  # standard deviations of chance between a fold and the others
MISCALIBRATED = 0.05  # expected calibration error
OF_PROBABILITIES = ("log_loss", "kl")  # others go by order, or by what is decided
RARE, LEFT_OUT = 0.5, 0.5  # of the mean support; recall below it


@dataclass(frozen=True)
class Advice:
    """measured: what was seen, with its number. tried: what may help, with the option that does it."""

    measured: str
    tried: str


def advise(facts: Facts) -> list[Advice]:
    """The most telling first; empty where nothing stands out."""
    looks: tuple[Callable[[Facts], Iterator[Advice]], ...] = (
        _copies,
        _stopping,
        _overfitting,
        _labels,
        _folds,
        _confusions,
        _rare,
        _sureness,
        _views,
    )
    return [advice for look in looks for advice in look(facts)]


def _copies(facts: Facts) -> Iterator[Advice]:
    across = sum(row.get("where") == ACROSS for row in facts.copies)
    if across:
        yield Advice(
            f"{counted(across, 'pair')} of images that are the same, or nearly, lie across folds (duplicates.csv): scores are too good",
            "give those that belong together one data.group_column; duplicates.csv has their groups",
        )


def _labels(facts: Facts) -> Iterator[Advice]:
    wrong = sum(looks_wrong(row) for row in facts.suspects)
    if wrong:
        yield Advice(
            f"{counted(wrong, 'training label')}"
            f" had a probability below {WRONG:g}, and another class above {SURE:g}, by models that had not seen them",
            "look at suspects.csv, and write what is wrong into a table that data.corrections names",
        )


def _stopping(facts: Facts) -> Iterator[Advice]:
    epochs = facts.config.hyper_params.epochs + facts.config.hyper_params.probe_epochs
    late = [fold for fold, best in facts.best_epochs.items() if len(facts.histories.get(fold, ())) >= epochs and best > LATE * epochs]
    if facts.scores and epochs > 2 and len(late) > len(facts.scores) / 2:
        yield Advice(
            f"{len(late)} of {len(facts.scores)} folds were best in the last tenth of {epochs} epochs: early stopping never fired",
            f"train longer: hyper_params.epochs = {2 * facts.config.hyper_params.epochs}",
        )


def _overfitting(facts: Facts) -> Iterator[Advice]:
    found = [record for fold in facts.scores if (record := facts.best_record(fold)) is not None]
    hyper, augmentation = facts.config.hyper_params, facts.config.augmentation
    if not found or hyper.label_smoothing or augmentation.mixup or augmentation.cutmix:
        return  # then the training loss is of other targets
    train, valid = (float(np.mean([getattr(record, name) for record in found])) for name in ("train_loss", "valid_loss"))
    if train > 0 and valid > OVERFITTED * train and valid - train > APART_LOSS:
        stronger = {"none": "light", "light": "medium", "medium": "heavy"}.get(augmentation.preset)
        preset = f"augmentation.preset = {stronger}, " if stronger and augmentation.train is None else ""
        yield Advice(
            f"at the best epochs the loss was {tell_score(train)} on training images and {tell_score(valid)} on the others",
            f"{preset}augmentation.mixup = 0.2, model.dropout = 0.3, or a larger hyper_params.weight_decay",
        )


def _folds(facts: Facts) -> Iterator[Advice]:
    """Of shares that are right the spread that chance alone gives is known; of other metrics it is not."""
    scores = facts.scores
    if facts.metric != "accuracy" or len(scores) < 3:
        return
    sizes = Counter(facts.folds.tolist())
    for fold, score in scores.items():
        if not sizes[fold] or sizes[fold] == len(facts.folds):
            continue
        others = [(other, sizes[number]) for number, other in scores.items() if number != fold]
        mean = float(np.average([each for each, _ in others], weights=[size for _, size in others]))
        chance = np.sqrt(max(mean * (1 - mean), 1e-6) * (1 / sizes[fold] + 1 / sum(size for _, size in others)))
        if abs(score - mean) > APART * chance:
            times = abs(score - mean) / chance
            yield Advice(
                f"fold {fold} scored {tell_score(score)}, the others {tell_score(mean)}: {times:.1f} times what chance does to so many",
                "look at what that fold validates: a group that is unlike the others asks for data.group_column",
            )


def _confusions(facts: Facts) -> Iterator[Advice]:
    for facet in facets(facts.task, facts.targets, facts.values, facts.decision):
        for pair in worst_confusions(facet, 3):
            if pair.share >= CONFUSED and pair.count >= FEW_ROWS:
                yield Advice(
                    f"{pair.share:.0%} of {pair.truth} ({pair.count} rows) were told to be {pair.told}",
                    "look at these images below: larger data.image_size shows finer marks; labels may be mixed up too",
                )


def _rare(facts: Facts) -> Iterator[Advice]:
    if facts.config.hyper_params.class_weights != "none" or facts.config.hyper_params.sampler == "balanced":
        return
    for numbers in numbers_of_classes(facts.task, facts.targets, facts.values, facts.decision).values():
        mean = np.mean([each.support for each in numbers])
        rare = [each for each in numbers if 0 < each.support < RARE * mean and each.recall < LEFT_OUT]
        if rare:
            names = ", ".join(f"{each.name} ({each.support} rows, recall {each.recall:.2f})" for each in rare[:3])
            more = f" and {len(rare) - 3} more" if len(rare) > 3 else ""
            yield Advice(
                f"rare classes are missed: {names}{more}", "hyper_params.class_weights = balanced, or hyper_params.sampler = balanced"
            )


def _sureness(facts: Facts) -> Iterator[Advice]:
    exclusive = facts.task.kind not in ("multilabel", *VALUED)  # of labels most are rightly told to be improbable
    found = reliability(facts.task, facts.targets, facts.values) if exclusive and facts.metric in OF_PROBABILITIES else None
    mean = 0.0 if found is None else float(np.average(found.confidence - found.right, weights=found.counts))
    if found is not None and found.ece > MISCALIBRATED and abs(mean) > found.ece / 2:  # else errors of both signs
        way = "surer than it is right" if mean > 0 else "less sure than it is right"
        help = (
            "hyper_params.label_smoothing = 0.1, augmentation.mixup = 0.2, more folds in the ensemble"
            if mean > 0
            else "less label_smoothing and mixup, more epochs"
        )
        yield Advice(f"the model is {way} by {abs(mean):.3f} (ECE {found.ece:.3f}), and {facts.metric} takes its probabilities", help)


def _views(facts: Facts) -> Iterator[Advice]:
    before, after = facts.result.get("oof_without_tta"), facts.result.get("oof_plain")
    if before is None or after is None or before == after:
        return
    gain = (after - before) * (1 if facts.greater_is_better else -1)
    if gain < 0:
        yield Advice(
            f"inference.tta = {facts.result['tta']} made the score worse: {tell_score(before)} without, {tell_score(after)} with",
            "inference.tta = none",
        )
