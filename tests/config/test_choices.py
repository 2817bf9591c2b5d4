"""Every choice by name in the schema has its code, and every piece of such code has its choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from modules.compute.process import PRECISIONS
from modules.config.schema import OPTIONS, Data, HyperParams
from modules.config.tasks import LOSSES_OF, METRICS_OF, OF_VALUES
from modules.config.values import Size
from modules.data.class_weights import weigh_classes
from modules.data.pixels import resize_image
from modules.data.sources import TEST, TRAIN, contest_folder
from modules.data.splits import SPLITTERS
from modules.data.task import classification
from modules.data.transforms import PRESETS
from modules.jobs.stored_features import BYTES
from modules.models.heads import INITIALISATIONS
from modules.models.objectives import make_objective
from modules.models.pooling import POOLINGS
from modules.prediction.ensemble import FORMS
from modules.prediction.metrics import METRICS, find_metric
from modules.prediction.tta import VIEWS
from modules.training.schedule import make_schedule, plateau


def choices(section: str, option: str) -> set[Any]:
    return set(literals(OPTIONS[section][option].kind))


def literals(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for member in get_args(kind) for choice in literals(member)] if get_origin(kind) is not tuple else []


# (section, option, the names in the dict beside the functions, choices that are resolved before the dict is asked)
DICTS: list[tuple[str, str, Iterable[str], set[str]]] = [
    ("augmentation", "preset", PRESETS, set()),
    ("data", "source", TRAIN, set()),
    ("split", "method", SPLITTERS, {"auto", "holdout", "predefined", "none"}),
    ("hyper_params", "metric", METRICS, {"auto"}),
    ("inference", "tta", VIEWS, set()),
    ("inference", "ensemble", FORMS, set()),
    ("model", "head_init", INITIALISATIONS, {"auto", "default"}),
    ("model", "pooling", POOLINGS, {"auto"}),
    ("model", "feature_precision", BYTES, set()),
    ("settings", "precision", PRECISIONS, {"auto"}),
]
# Choices that select code without such a dict; each has a test below or in the folder named.
OTHERS = {
    ("model", "stem_init"),
    ("hyper_params", "loss"),
    ("inference", "decision"),
    ("inference", "other_folds"),
    ("hyper_params", "class_weights"),
    ("hyper_params", "sampler"),
    ("hyper_params", "scheduler"),
    ("inference", "weights"),
    ("model", "feature_cache"),
    ("data", "resize"),
    ("data", "task"),
    ("data", "channels"),
    ("data", "bad_images"),
    ("data", "near_duplicates"),
    ("data", "cache"),
    ("model", "library"),
    ("model", "head"),
    ("split", "train_folds"),
    ("compute", "engine"),
    ("tuning", "searcher"),
    ("tuning", "scheduler"),
}


@pytest.mark.parametrize(("section", "option", "names", "resolved"), DICTS, ids=[f"{entry[0]}.{entry[1]}" for entry in DICTS])
def test_choices_and_functions_are_the_same(section: str, option: str, names: Iterable[str], resolved: set[str]) -> None:
    assert choices(section, option) == set(names) | resolved


def test_no_choice_of_the_schema_is_forgotten_here() -> None:
    several = {
        (section, name) for section, options in OPTIONS.items() for name in options if set(literals(options[name].kind)) - {"auto", "none"}
    }
    assert several == {(section, option) for section, option, *_ in DICTS} | OTHERS | {("model", "freeze")}


@pytest.mark.parametrize(("option", "known"), [("loss", LOSSES_OF), ("metric", METRICS_OF)])
def test_every_loss_and_metric_goes_with_a_task_and_every_task_has_some(option: str, known: Mapping[str, tuple[str, ...]]) -> None:
    assert set(known) == choices("data", "task")
    named = {name for names in known.values() for name in names}
    assert choices("hyper_params", option) == named | {"auto"}


def test_every_stem_initialisation_exists() -> None:
    assert choices("model", "stem_init") - {"adapt", "default"} <= set(INITIALISATIONS)


def test_every_metric_of_the_schema_is_found_under_its_own_name() -> None:
    for kind, names in METRICS_OF.items():
        found = {name: find_metric(replace(HyperParams(), metric=name), kind).name for name in ("auto", *names)}
        assert found == {"auto": names[0], **{name: name for name in names}}


def test_every_loss_is_made_and_no_other() -> None:
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    right = 1 / (1 + np.exp([-2, -1]))
    sigmoids, shares = 1 / (1 + np.exp(-logits.numpy())), np.array([[right[0], 1 - right[0]], [1 - right[1], right[1]]])
    expected = {
        "cross_entropy": -np.log(right).mean(),
        "focal": -((1 - right) ** 2 * np.log(right)).mean(),
        "bce": -(np.log(sigmoids[[0, 1], [0, 1]]) + np.log(1 - sigmoids[[0, 1], [1, 0]])).mean() / 2,
        "f1": 1 - (2 * right / (1 + shares.sum(axis=0))).mean(),
    }
    for name in LOSSES_OF["multiclass"]:
        objective = make_objective(name)
        assert objective.loss(logits, targets).item() == pytest.approx(expected.pop(name), abs=1e-6), name
        assert objective.activation(logits).sum(dim=1).tolist() == pytest.approx([1, 1])
    assert expected == {}
    with pytest.raises(KeyError, match="no_such_loss"):
        make_objective("no_such_loss")


def test_every_word_for_class_weights_is_one_of_its_own() -> None:
    targets = np.array([0, 0, 0, 1])
    found = {
        word: weigh_classes(word, classification("label", ("cat", "dog")), targets) for word in choices("hyper_params", "class_weights")
    }
    assert found.pop("none") is None
    assert {word: weights.tolist() for word, weights in found.items() if weights is not None} == {"balanced": pytest.approx([2 / 3, 2])}


def test_every_sampler_is_one_of_its_own() -> None:
    """`parts.train_batches` gives a BatchSampler the classes for balanced; a third sampler wants a third case there."""
    assert choices("hyper_params", "sampler") == {"shuffle", "balanced"}


def test_every_schedule_is_made_and_no_other() -> None:
    hyper = HyperParams(epochs=4)
    for name in choices("hyper_params", "scheduler"):
        factors = [make_schedule(replace(hyper, scheduler=name), 5)(step) for step in range(20)]
        assert 0.9 < max(factors) <= 1 and min(factors) >= 0, name
        assert (plateau(replace(hyper, scheduler=name), 1) < 1) is (name == "plateau")
    with pytest.raises(KeyError, match="no_such_schedule"):
        make_schedule(replace(hyper, scheduler="no_such_schedule"), 5)  # type: ignore[arg-type]


def test_every_resize_is_one_of_its_own() -> None:
    pixels = np.arange(12 * 30, dtype=np.int64).reshape(12, 30, 1).astype(np.uint8)
    results = {name: resize_image(pixels, Size(16, 16), name).tobytes() for name in choices("data", "resize")}
    assert len(set(results.values())) == len(results) == 3


def test_every_source_has_a_training_and_a_test_part() -> None:
    assert set(TRAIN) == set(TEST)


def test_every_source_but_the_practice_contest_leaves_the_data_path_as_it_is() -> None:
    for name in choices("data", "source") - {"digits"}:
        assert str(contest_folder(Data(source=name), "some/folder")) == "some/folder"


def test_every_feature_precision_is_numpys_of_that_many_bytes() -> None:
    assert {name: np.dtype(name).itemsize for name in choices("model", "feature_precision")} == BYTES


def test_the_metrics_that_take_no_labels_are_those_that_the_config_knows() -> None:
    assert {name for name, make in METRICS.items() if make(HyperParams()).takes == "values"} == set(OF_VALUES)
