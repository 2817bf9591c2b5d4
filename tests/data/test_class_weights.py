"""Class weights: scikit-learn's, or the person's own, which must be of exactly the classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from modules.config.errors import OptionError
from modules.config.values import ClassWeights
from modules.data.class_weights import order_weights, weigh_classes
from modules.data.task import classification

CLASSES = ("cat", "dog", "eel")
TARGETS = np.array([0] * 6 + [1] * 3 + [2] * 1)


def test_balanced_weights_are_scikit_learns() -> None:
    found = weigh_classes("balanced", classification("label", CLASSES), TARGETS)
    assert found is not None and found.dtype == np.float32
    assert found.tolist() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=TARGETS).tolist())
    assert found.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])


def test_a_class_that_no_row_has_weighs_one_and_the_others_as_if_it_were_not_there() -> None:
    found = weigh_classes("balanced", classification("label", (*CLASSES, "fox")), TARGETS)
    assert found is not None and found.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3, 1])
    assert found[TARGETS].mean() == pytest.approx(1)


def test_none_is_no_weights() -> None:
    assert weigh_classes("none", classification("label", CLASSES), TARGETS) is None


@pytest.mark.parametrize("given", [ClassWeights(("eel", "cat", "dog"), (5.0, 2.0, 0.5)), ClassWeights((), (2.0, 0.5, 5.0))])
def test_weights_are_those_of_the_names_or_else_in_the_order_of_the_classes(given: ClassWeights) -> None:
    found = weigh_classes(given, classification("label", CLASSES), TARGETS)
    assert found is not None and found.tolist() == [2.0, 0.5, 5.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ClassWeights(("cat", "dog"), (1.0, 1.0)), "no weight for eel; the classes are cat, dog, eel"),
        (
            ClassWeights(("cat", "dgo", "eel"), (1.0, 1.0, 1.0)),
            "no class 'dgo' (did you mean dog?); no weight for dog; the classes are cat, dog, eel",
        ),
        (ClassWeights(("cat", "dog", "eel", "yak"), (1.0,) * 4), "no class 'yak'; the classes are cat, dog, eel"),
        (ClassWeights((), (1.0, 2.0)), "expected 3 numbers, in the order of cat, dog, eel, got 2"),
        (ClassWeights((), (1.0,) * 4), "expected 3 numbers, in the order of cat, dog, eel, got 4"),
    ],
)
def test_weights_of_other_classes_are_refused_with_what_is_missing_and_unknown(given: ClassWeights, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        order_weights(given, CLASSES)
    assert caught.value.lines == (f"[hyper_params] class_weights: {message}",)
