"""The name of code of one's own, `package.module:name`, as an INI has it. What stands behind it is loaded by compute/own_code.py."""

from __future__ import annotations

import re

FORM = "package.module:name"
IDENTIFIER = r"[^\W\d]\w*"
PATTERN = re.compile(rf"{IDENTIFIER}(\.{IDENTIFIER})*:{IDENTIFIER}")


class OwnCode(str):
    """`package.module:name`: a text, so that it is printed, compared and kept as what it is."""

    __slots__ = ()

    @property
    def module(self) -> str:
        return self.partition(":")[0]

    @property
    def attribute(self) -> str:
        """What the module calls it."""
        return self.partition(":")[2]


def own_code(text: str) -> OwnCode | None:
    """The text as the name of code of one's own; None where it has not that form."""
    return OwnCode(text) if PATTERN.fullmatch(text) else None
