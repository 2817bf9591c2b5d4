"""What fitted decisions gain where the best one is known, and how often a gain is claimed where there is none.

    python -m benchmarks.decisions gains     made sets, imbalanced, whose best decision is known
    python -m benchmarks.decisions noise     how many of 100 made sets a gain is claimed of that is none

gains: `optimum` is the score of the best decision on the same rows, which no fit can know; the fit is cross-fitted over five
folds. For F1 the best threshold is half of the best F1 (Lipton et al. 2014), for balanced accuracy the best weights are
1 / the classes' shares, for cut points they are the made ones; for macro F1 of many classes, weights fitted on 50,000 other
rows are taken for them.

noise: values that know nothing of the targets, and values that are right as they are, so that plain is the best.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit, softmax

from modules.config.schema import HyperParams
from modules.data.task import Targets, Task, classification
from modules.prediction.decisions import PLAIN, Decision
from modules.prediction.fitting import fit_decision
from modules.prediction.metrics import METRICS, Metric
from modules.prediction.predictions import Values

Made = tuple[Targets, Values]
TRIALS = 100
ROWS_OF_NOISE = 1000


def metric_of(name: str) -> Metric:
    return METRICS[name](HyperParams())


def task_of(kind: str, count: int) -> Task:
    return classification("label", tuple(f"c{number:02d}" for number in range(count)), kind)


def squash(probabilities: np.ndarray) -> np.ndarray:
    """A monotone map that makes probabilities too small, as a network's are that was trained on few positives."""
    return expit(1.5 * logit(probabilities) - 0.5)


def make_labels(rng: np.random.Generator, rows: int, labels: int = 28) -> Made:
    """Label by label, true probabilities with a mean of about .1, squashed."""
    true = expit(rng.normal(-3.2, 1.8, (rows, labels)))
    return (rng.random(true.shape) < true).astype(np.float32), squash(true).astype(np.float32)


def make_binary(rng: np.random.Generator, rows: int) -> Made:
    targets, values = make_labels(rng, rows, 1)
    return targets[:, 0].astype(np.int64), np.concatenate([1 - values, values], axis=1)


def best_threshold() -> float:
    """Half of the best F1 of true probabilities, squashed."""
    true = np.sort(expit(np.random.default_rng(7).normal(-3.2, 1.8, 1_000_000)))[::-1]
    best = (2 * true.cumsum() / (true.sum() + np.arange(1, len(true) + 1))).max()
    return float(squash(np.array(best / 2)))


def shares_of(classes: int) -> np.ndarray:
    shares = 0.75 ** np.arange(classes)
    return np.asarray(shares / shares.sum())


def make_classes(rng: np.random.Generator, rows: int, classes: int = 18) -> Made:
    """Classes of falling shares, each a normal cloud in eight dimensions; the true probabilities."""
    shares, centres = shares_of(classes), np.random.default_rng(3).normal(0, 1.1, (classes, 8))
    targets = rng.choice(classes, rows, p=shares)
    points = centres[targets] + rng.normal(0, 1, (rows, 8))
    distances = ((points[:, None] - centres) ** 2).sum(axis=2)
    return targets, softmax(np.log(shares) - distances / 2, axis=1).astype(np.float32)


def make_tilted(rng: np.random.Generator, rows: int) -> Made:
    """The same with probabilities that favour frequent classes even more: each times the root of its share."""
    targets, values = make_classes(rng, rows)
    tilted = values * np.sqrt(shares_of(18))
    return targets, (tilted / tilted.sum(axis=1, keepdims=True)).astype(np.float32)


CUTS = (0.1, 0.9, 1.9, 2.5)


def bend(values: np.ndarray) -> np.ndarray:
    """A monotone map towards the middle, as of a network that dares no extreme."""
    return np.asarray(0.55 * values + 0.5 + 0.03 * values**2)


def make_ordered(rng: np.random.Generator, rows: int) -> Made:
    """Five classes between known cuts, a tenth of the rows one class off; the bent values."""
    exact = rng.normal(0.6, 1.2, rows).clip(-1, 4.5)
    targets = np.searchsorted(CUTS, exact)
    off = np.where(rng.random(rows) < 0.1, rng.choice([-1, 1], rows), 0)
    return (targets + off).clip(0, 4), bend(exact)[:, None].astype(np.float32)


def gain(name: str, task: Task, how: str, metric: str, make: Callable[..., Made], rows: int, best: Decision) -> str:
    targets, values = make(np.random.default_rng(1), rows)
    started = time.perf_counter()
    fitted = fit_decision(task, how, metric_of(metric), targets, values, np.arange(rows) % 5)
    seconds = time.perf_counter() - started
    optimum = metric_of(metric).measure(task, targets, values, best)
    share = (fitted.fitted_score - fitted.plain_score) / (optimum - fitted.plain_score)
    return (
        f"| {name} | {how} | {metric} | {rows} | {fitted.plain_score:.4f} | {fitted.fitted_score:.4f} | {optimum:.4f} | {share:.0%}"
        f" | {'yes' if fitted.kept else 'no'} | {seconds:.1f} |"
    )


def gains() -> list[str]:
    labels, binary, classes = task_of("multilabel", 28), task_of("binary", 2), task_of("multiclass", 18)
    ordered, threshold = task_of("ordinal", 5), best_threshold()
    one = Decision(thresholds=(threshold,) * 28)
    by_shares = Decision(class_weights=tuple(1 / shares_of(18)))
    cuts = Decision(cut_points=tuple(bend(np.array(CUTS))))
    many = make_tilted(np.random.default_rng(9), 50_000)
    fitted = fit_decision(classes, "per_class", metric_of("macro_f1"), *many, np.arange(50_000) % 2)
    found = [
        "| set | decision | metric | rows | plain | cross-fitted | optimum | of the gain | kept | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for rows in (1000, 5000, 20_000):
        found += [
            gain("28 labels", labels, "auto", "macro_f1", make_labels, rows, one),
            gain("28 labels", labels, "per_class", "macro_f1", make_labels, rows, one),
            gain("28 labels", labels, "auto", "micro_f1", make_labels, rows, one),
            gain("28 labels", labels, "per_class", "micro_f1", make_labels, rows, one),
            gain("28 labels", labels, "auto", "samples_f1", make_labels, rows, replace(one, empty_labels="best")),
            gain("two classes", binary, "auto", "f1", make_binary, rows, Decision(thresholds=(threshold,))),
            gain("18 classes", classes, "auto", "balanced_accuracy", make_classes, rows, by_shares),
            gain("18 classes", classes, "auto", "macro_f1", make_tilted, rows, fitted.decision),
            gain("5 in order", ordered, "auto", "qwk", make_ordered, rows, cuts),
            gain("5 in order", ordered, "auto", "accuracy", make_ordered, rows, cuts),
        ]
    return found


def knows_nothing(kind: str, count: int) -> Callable[[np.random.Generator], Made]:
    """Imbalanced targets, and values that are independent of them."""

    def make(rng: np.random.Generator) -> Made:
        rows, shares = ROWS_OF_NOISE, shares_of(count)
        if kind == "multilabel":
            return (rng.random((rows, count)) < 0.05 + 0.4 * shares).astype(np.float32), rng.random((rows, count)).astype(np.float32)
        targets = rng.choice(count, rows, p=shares)
        if kind == "ordinal":
            return targets, rng.uniform(-0.5, count - 0.5, (rows, 1)).astype(np.float32)
        return targets, softmax(rng.normal(0, 1, (rows, count)), axis=1).astype(np.float32)

    return make


def is_right(kind: str, count: int) -> Callable[[np.random.Generator], Made]:
    """Values whose plain decision is the best: balanced classes with their true probabilities, values around their class."""

    def make(rng: np.random.Generator) -> Made:
        rows = ROWS_OF_NOISE
        if kind == "multilabel":  # symmetric around one half: of labels decided one by one that is best for accuracy
            true = expit(rng.normal(0, 3, (rows, count)))
            return (rng.random(true.shape) < true).astype(np.float32), true.astype(np.float32)
        if kind == "ordinal":
            targets = rng.integers(0, count, rows)
            return targets, (targets + rng.uniform(-0.7, 0.7, rows))[:, None].astype(np.float32)
        true = softmax(rng.normal(0, 1.5, (rows, count)), axis=1)
        targets = (rng.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(0, count - 1)
        return targets, true.astype(np.float32)

    return make


NOISE = [
    ("multilabel", 12, "auto", ("macro_f1", "micro_f1", "samples_f1", "accuracy"), ("accuracy",)),
    ("binary", 2, "auto", ("f1", "macro_f1", "balanced_accuracy"), ("balanced_accuracy", "macro_f1", "accuracy")),
    ("multiclass", 6, "auto", ("macro_f1", "balanced_accuracy"), ("macro_f1", "balanced_accuracy")),
    ("multiclass", 18, "auto", ("macro_f1", "balanced_accuracy"), ("macro_f1", "balanced_accuracy")),
    ("ordinal", 5, "auto", ("qwk", "macro_f1"), ("accuracy",)),
]


def noise() -> list[str]:
    found = ["| task | metric | values | gains claimed of 100 | mean gain |", "|---|---|---|---|---|"]
    for kind, count, how, of_nothing, of_right in NOISE:
        task = task_of(kind, count)
        for what, make, metrics in (("know nothing", knows_nothing, of_nothing), ("are right", is_right, of_right)):
            for name in metrics:
                claimed, gained = 0, []
                for trial in range(TRIALS):
                    targets, values = make(kind, count)(np.random.default_rng(trial))
                    fitted = fit_decision(task, how, metric_of(name), targets, values, np.arange(len(values)) % 5, PLAIN, seed=trial)
                    claimed += fitted.kept
                    gained.append(fitted.fitted_score - fitted.plain_score)
                found.append(f"| {kind}, {count} | {name} | {what} | {claimed} | {np.mean(gained):+.4f} |")
    return found


if __name__ == "__main__":
    print(*{"gains": gains, "noise": noise}[sys.argv[1]](), sep="\n")
