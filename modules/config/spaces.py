"""What a search draws an option from: `loguniform(1e-4, 1e-2)`, and whether every value of that would be a legal one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, get_args

from modules.config.errors import hint
from modules.config.values import Bounds, describe, parse_value

RANGES = {"uniform": 2, "loguniform": 2, "randint": 2, "quniform": 3}  # how many numbers stand in the brackets
LISTS = ("choice", "grid")
WRITTEN = re.compile(r"([A-Za-z]\w*)\s*\((.*)\)", re.DOTALL)
FORM = "uniform(low, high), loguniform(low, high), randint(low, high), quniform(low, high, step), choice(a, b, ...) or grid(a, b, ...)"


@dataclass(frozen=True)
class Space:
    """kind: one of RANGES, with `numbers` low, high (both are drawn) and perhaps a step; or of LISTS, with `texts` as an INI has them."""

    section: str
    name: str
    kind: str
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    def __str__(self) -> str:
        inside = [_quoted(text) for text in self.texts] or [_number(each) for each in self.numbers]
        return f"{self.kind}({', '.join(inside)})"


def is_space(text: str) -> bool:
    found = WRITTEN.fullmatch(text.strip())
    return found is not None and found[1].lower() in (*RANGES, *LISTS)


def parse_space(text: str, section: str, name: str, takes: Any, bounds: Bounds) -> Space:
    """takes: the type of its values. Raises ValueError with what was expected, as a phrase."""
    found = WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError(FORM)
    kind, parts = found[1].lower(), _split(found[2])
    if kind in LISTS:
        return Space(section, name, kind, texts=_texts(kind, parts, takes, bounds))
    if kind not in RANGES:
        raise ValueError(f"{FORM}{hint(kind, (*RANGES, *LISTS))}")
    return Space(section, name, kind, _numbers(kind, parts, takes, bounds))


def _texts(kind: str, parts: list[str], takes: Any, bounds: Bounds) -> tuple[str, ...]:
    if not parts:
        raise ValueError(f"values in {kind}(...)")
    values = []
    for part in parts:
        try:
            values.append(parse_value(part, takes, bounds))
        except ValueError as error:
            raise ValueError(f"values that are each {_phrase(error)}, and {part!r} is none") from None
    twice = [part for place, part in enumerate(parts) if values[place] in values[:place]]
    if twice:
        raise ValueError(f"different values, and {twice[0]} stands there twice")
    return tuple(parts)


def _numbers(kind: str, parts: list[str], takes: Any, bounds: Bounds) -> tuple[float, ...]:
    members = get_args(takes) or (takes,)
    if not {int, float} & set(members):
        raise ValueError(f"choice(...) or grid(...), since the option takes {describe(takes, bounds)}")
    whole = float not in members
    if whole and kind in ("uniform", "loguniform"):
        raise ValueError("randint(low, high), quniform(low, high, step) or choice(...), since the option takes whole numbers")
    if len(parts) != RANGES[kind]:
        raise ValueError(f"{kind}({'low, high, step' if kind == 'quniform' else 'low, high'})")
    low, high = (_end(part, takes, bounds) for part in parts[:2])
    if low >= high:
        raise ValueError(f"a low end below the high one in {kind}(...)")
    if kind == "loguniform" and low <= 0:
        raise ValueError("ends above 0 in loguniform(...)")
    if kind == "randint" and (low != int(low) or high != int(high)):
        raise ValueError("whole numbers in randint(...)")
    if kind != "quniform":
        return low, high
    step = _plain_number(parts[2])
    if step is None or not 0 < step <= high - low or (whole and step != int(step)):
        raise ValueError(f"a step above 0 in quniform(...){', a whole one' if whole else ''}")
    if any(abs(each / step - round(each / step)) > 1e-6 for each in (low, high)):
        raise ValueError("ends that are multiples of the step in quniform(...)")
    return low, high, step


def _end(part: str, takes: Any, bounds: Bounds) -> float:
    number, expected = _plain_number(part), "a number"
    if number is not None:
        try:
            parse_value(part, takes, bounds)
            return number
        except ValueError as error:
            expected = _phrase(error)
    raise ValueError(f"ends that are each {expected}, and {part or 'nothing'!r} is none")


def _plain_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _phrase(error: ValueError) -> str:
    return str(error).partition(" (did you mean")[0]


def _split(text: str) -> list[str]:
    """At commas that stand in no quotes and no brackets of their own; quotes around a whole part are taken off."""
    parts, depth, quote, now = [], 0, "", ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(now)
            now = ""
            continue
        now += letter
    if quote or depth:
        raise ValueError("quotes and brackets that are closed")
    if now.strip() or parts:
        parts.append(now)
    return [_unquoted(part.strip()) for part in parts]


def _unquoted(part: str) -> str:
    quoted = len(part) >= 2 and part[0] == part[-1] and part[0] in "'\"" and part[0] not in part[1:-1]
    return part[1:-1] if quoted else part


def _quoted(text: str) -> str:
    if text == _unquoted(text) and text and _split(text) == [text]:
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)
