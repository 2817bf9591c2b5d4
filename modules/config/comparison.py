"""Two configs, option by option."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modules.config.schema import OPTIONS, Config
from modules.config.values import format_value

LEARNT = tuple((option.section, option.name) for options in OPTIONS.values() for option in options.values() if option.learnt)


@dataclass(frozen=True)
class Difference:
    """An option that two configs have different values of."""

    section: str
    name: str
    first: Any
    second: Any

    @property
    def texts(self) -> tuple[str, str]:
        """Both values as an INI has them; of a blank one the word."""
        return _written(self.first), _written(self.second)


def differences(first: Config, second: Config, options: Iterable[tuple[str, str]] = LEARNT) -> Iterator[Difference]:
    """Those of `options` that differ, in their order: unless others are asked for, of all that what is learnt depends on."""
    for section, name in options:
        values = [getattr(getattr(config, section), name) for config in (first, second)]
        if values[0] != values[1]:
            yield Difference(section, name, *values)


def _written(value: Any) -> str:
    return format_value(value).strip() or "blank"
