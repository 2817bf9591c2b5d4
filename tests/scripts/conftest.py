"""What tests of whole jobs look at."""

from __future__ import annotations

from typing import Any

import pytest

from modules.data.images import ImageFiles


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are decoded."""
    names: list[str] = []
    whole = ImageFiles.read

    def counted(images: ImageFiles, row: int, channels: int) -> Any:
        names.append(images.name(row))
        return whole(images, row, channels)

    monkeypatch.setattr(ImageFiles, "read", counted)
    return names
