"""What the tests of models share."""

from __future__ import annotations

from typing import Any

import pytest
from torchvision.models import vision_transformer


@pytest.fixture(autouse=True)
def _two_of_twelve_layers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """torchvision's smallest ViT has 88 million numbers, which take a second to draw; with two of its layers it has all kinds of them.

    Those who count them want all.
    """
    if request.path.name == "test_families.py":
        return
    make: Any = vision_transformer._vision_transformer
    monkeypatch.setattr(vision_transformer, "_vision_transformer", lambda **given: make(**{**given, "num_layers": 2}))
