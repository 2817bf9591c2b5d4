"""A search of heads on stored features, as tune.py does it, against the same products of matrices by hand and against one trial at a time.

    python -m benchmarks.heads [trials=50] [images=10000] [epochs=20] [searcher=hyperopt] [alone=3] [section.option=value ...]

A frozen ResNet-50 and ten classes: 2,048 features an image, which are made and stored, since to compute them is benchmarks.features'
matter. Five folds; learning rate, weight decay and batch size are searched. Timed is what tune.py does from the config to
trials.csv, imports aside.

Floor: features as float32 in memory and in order, all trials of a batch size as one tensor, forward, back, AdamW, and the validated
rows forward; an epoch of one fold is measured, in which every batch size has its trials, and scaled to all folds and epochs.
One at a time: the first `alone` trials are trained as train.py trains them, on all folds, and scaled to all trials; beside it the
largest difference between their scores and those of the search.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import timm
import torch
from torch.nn import functional

from benchmarks.measuring import Row, describe_machine, in_turn, seconds, settle, show
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.jobs.trials import config_of
from modules.jobs.tuning import create_search, search_trials
from modules.models.freezing import freeze
from modules.prediction.features import plain_looks
from modules.reporting.sinks import Silence
from modules.runs.directory import create_run
from modules.runs.search import DONE, SearchDirectory, Trial
from modules.training.parts import make_network, stored_features
from modules.training.plan import Plan

NUMBERS, CLASSES, FOLDS, SIDE = 2048, 10, 5, 8
TARGET = "< 180 s"
TIMES = 3
USUAL = {"images": 10_000, "trials": 50, "epochs": 20, "alone": 3}
SPACE = """\
[search_space]
hyper_params.learning_rate = loguniform(1e-4, 1e-2)
hyper_params.weight_decay = loguniform(1e-4, 1)
hyper_params.batch_size = choice(32, 64, 128)
"""


def measure(work: Path, numbers: Mapping[str, int] = USUAL, searcher: str = "hyperopt", overrides: Sequence[str] = ()) -> list[Row]:
    """How far the scores are from those of trials by themselves goes to stderr."""
    config = search_config(work, numbers, searcher, overrides)
    plan = prepare(config)
    store_features(plan)
    importlib.import_module("modules.jobs.head_search")  # Ray takes seconds to import, whatever is searched
    search = create_search(config)
    figure = seconds(lambda: search_trials(search, config, quiet=True))
    found = [trial for trial in search.read() if trial.state == DONE]
    rows = [Row(f"{len(found)} head trials, {FOLDS} folds x {plan.epochs} epochs / by hand", floor(plan, found), figure, TARGET)]
    if alone := found[: numbers["alone"]]:
        spent, scores = zip(*(train_alone(search, trial, work) for trial in alone), strict=True)
        rows.append(Row(f"one at a time, {len(alone)} of them, scaled / side by side", figure, mean(spent) * len(found)))
        apart = max(abs(score - (trial.score or 0.0)) for score, trial in zip(scores, alone, strict=True))
        print(f"scores of trials alone and beside others: {apart:.1e} apart at most", file=sys.stderr)
    return rows


def search_config(work: Path, numbers: Mapping[str, int], searcher: str, overrides: Sequence[str]) -> Config:
    """On a table of small made images, which are told apart by their pixels; nothing else is read of them."""
    images = numbers["images"]
    pixels = np.random.default_rng(0).integers(0, 256, (images + 1, SIDE * SIDE))
    table = pd.DataFrame(pixels, columns=[f"pixel{number}" for number in range(SIDE * SIDE)])
    table.insert(0, "id", np.arange(images + 1))
    table[images:].to_csv(work / "test.csv", index=False)
    table.insert(1, "label", [f"class{number % CLASSES}" for number in range(images + 1)])
    table[:images].to_csv(work / "train.csv", index=False)
    torch.save(timm.create_model("resnet50").state_dict(), work / "resnet50.pth")
    (work / "search.ini").write_text(SPACE)
    shared = (
        "data.source=csv", "data.pixel_columns=pixel", "data.test_csv=test.csv", "data.id_column=id", "data.label_columns=label",
        f"settings.data_path={work}", f"settings.log_path={work / 'runs'}", f"settings.cache_path={work / 'cache'}",
        "data.image_size=32", "data.near_duplicates=off", "augmentation.preset=none",
        "model.name=resnet50", f"model.pretrained={work / 'resnet50.pth'}", "model.freeze=backbone", "model.feature_cache=on",
        f"split.folds={FOLDS}", f"hyper_params.epochs={numbers['epochs']}", "hyper_params.patience=0", f"tuning.trials={numbers['trials']}",
        f"tuning.searcher={searcher}", "settings.run_name=search",
    )  # fmt: skip
    return read_config([work / "search.ini"], [*shared, *overrides])[0]


def store_features(plan: Plan) -> None:
    """Of each image what lies around its class's centre, cut off at 0 as a ResNet's features are."""
    (phase,), (look,) = plan.phases, plain_looks(plan.preprocessing, "none")
    network = make_network(plan, 0, plan.pretrained)
    freeze(network, phase.freeze, phase.unfrozen)
    features = stored_features(plan, network, phase)
    assert features is not None and features.store.numbers == NUMBERS
    keys = [look.key(image, plan.features.seed) for image in plan.features.images]
    with features.store.lock:
        features.store.refresh()
        features.store.append(keys, made_features(plan).astype(np.float16))


def made_features(plan: Plan) -> np.ndarray:
    """(images, NUMBERS) float32"""
    rng, targets = np.random.default_rng(1), plan.samples.targets
    centres = rng.normal(0, 0.15, (CLASSES, NUMBERS)).astype(np.float32)
    return np.maximum(centres[targets] + rng.normal(0, 1, (len(plan.samples), NUMBERS)).astype(np.float32), 0)


def train_alone(search: SearchDirectory, trial: Trial, work: Path) -> tuple[float, float]:
    """Seconds from the config to the end of the last fold, and the score that a search has of it: the mean of the folds' best."""
    scores: list[float] = []

    def train() -> None:
        config = config_of(search, trial.overrides)
        run = create_run(work / "runs", None, f"alone{trial.number}")
        scores.extend(result.score for result in train_folds(prepare(config), run, Silence()))

    return seconds(train), mean(scores)


def floor(plan: Plan, trials: list[Trial]) -> float:
    """Seconds of all trials' steps by hand."""
    fold, features = plan.folds[0], torch.from_numpy(made_features(plan))
    train, valid = features[fold.train_rows], features[fold.valid_rows]
    assert plan.samples.targets is not None
    targets = torch.from_numpy(plan.samples.targets[fold.train_rows])
    sizes = Counter(int(trial.overrides["hyper_params.batch_size"]) for trial in trials)

    def epoch() -> None:
        for size, heads in sizes.items():
            train_by_hand(train, targets, valid, size, heads)

    return in_turn({"by hand": epoch}, TIMES)["by hand"] * len(plan.folds) * plan.epochs


def train_by_hand(train: torch.Tensor, targets: torch.Tensor, valid: torch.Tensor, size: int, heads: int) -> None:
    weight = torch.zeros(heads * CLASSES, NUMBERS, requires_grad=True)
    bias = torch.zeros(heads * CLASSES, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], fused=True)
    for rows, truth in zip(train.split(size), targets.split(size), strict=True):
        logits = functional.linear(rows, weight, bias).view(-1, CLASSES)
        loss = functional.cross_entropy(logits, truth.repeat_interleave(heads)) * heads
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        functional.linear(valid, weight, bias).view(len(valid), heads, CLASSES).softmax(dim=2)


def main() -> int:
    overrides, said = settle(sys.argv[1:])
    numbers = {name: int(said.get(name, usual)) for name, usual in USUAL.items()}
    with TemporaryDirectory() as work:
        rows = measure(Path(work), numbers, said.get("searcher", "hyperopt"), overrides)
    print(f"{describe_machine()}; {torch.get_num_threads()} threads")
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
