"""One option's text to its value and back, by the type that the schema gives it."""

from __future__ import annotations

import math
import re
import types
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from modules.config.errors import hint
from modules.config.own_code import FORM, OwnCode, own_code
from modules.config.pipeline import GRAMMAR, Pipeline, PipelineError, parse_pipeline

UNWRITABLE = re.compile("[\0\r\ud800-\udfff]")  # no INI gives them back


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class ClassWeights:
    """A weight a class: by name, or where `names` is empty in the order of the classes."""

    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Unfreezing:
    """What begins to train when: (epoch, names of modules) by rising epoch, which counts from 1."""

    stages: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Bounds:
    """The interval in which a number must lie; None: open to that side."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def hold(self, number: float) -> bool:
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        pairs = ((">=", self.at_least), (">", self.above), ("<=", self.at_most), ("<", self.below))
        return " and ".join(f"{sign} {_plain(bound)}" for sign, bound in pairs if bound is not None)


def parse_value(text: str, kind: Any, bounds: Bounds) -> Any:
    """The value that `text` stands for. Raises ValueError with what was expected, as a phrase; for pipelines PipelineError."""
    if UNWRITABLE.search(text):
        raise ValueError("text without NUL, carriage returns, and bytes that are no UTF-8")
    if _is_union(kind):
        return _parse_union(text, kind, bounds)
    if kind is type(None):
        if text:
            raise ValueError("blank")
        return None
    if kind is bool:
        if text.lower() not in RawConfigParser.BOOLEAN_STATES:
            raise ValueError(describe(kind, bounds))
        return RawConfigParser.BOOLEAN_STATES[text.lower()]
    if kind is int or kind is float:
        return _parse_number(text, kind, bounds)
    if kind is Size:
        numbers = [_parse_number(part.strip(), int, bounds, Size) for part in text.split(",")]
        if len(numbers) > 2:
            raise ValueError(describe(kind, bounds))
        return Size(int(numbers[0]), int(numbers[-1]))
    if kind is Pipeline:
        return parse_pipeline(text)
    if kind is ClassWeights:
        return _parse_class_weights(text)
    if kind is Unfreezing:
        return _parse_unfreezing(text)
    if kind is OwnCode:
        return _parse_own_code(text)
    if get_origin(kind) is Literal:
        return _parse_choice(text, kind)
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        return tuple(parse_value(part.strip(), element, bounds) for part in text.removesuffix(",").split(","))
    assert kind is str, f"no parser for {kind}"
    if not text or "\n" in text:
        raise ValueError("text in one line" if text else "some text")
    return text


def format_value(value: Any) -> str:
    """The text that `parse_value` reads back as the same value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Size):
        return str(value.height) if value.height == value.width else f"{value.height}, {value.width}"
    if isinstance(value, tuple):
        return ", ".join(format_value(part) for part in value)
    if isinstance(value, ClassWeights):
        numbers = [format_value(number) for number in value.values]
        return (
            ", ".join(f"{name}: {number}" for name, number in zip(value.names, numbers, strict=True)) if value.names else ", ".join(numbers)
        )
    if isinstance(value, Unfreezing):
        return ", ".join(f"{epoch}: {', '.join(names)}" for epoch, names in value.stages)
    if isinstance(value, Pipeline):
        return "".join(f"\n    {line}" for line in str(value).splitlines())
    return str(value)


def describe(kind: Any, bounds: Bounds) -> str:
    """What an option of this type takes, as a phrase: `an integer >= 1`."""
    if _is_union(kind):
        return " or ".join(describe(member, bounds) for member in get_args(kind))
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if get_origin(kind) is tuple:
        return f"a comma-separated list, each {describe(get_args(kind)[0], bounds)}"
    interval = f" {bounds}" if str(bounds) else ""
    return {
        bool: "true or false",
        int: f"an integer{interval}",
        float: f"a number{interval}",
        str: "text",
        Size: f"N or H, W, integers{interval}",
        ClassWeights: "a number > 0 a class, such as cat: 2, dog: 1",
        Unfreezing: "rising epochs with names of modules (such as 2: layer4, 4: layer3, 6: all)",
        Pipeline: GRAMMAR,
        OwnCode: f"{FORM}, code of your own",
        type(None): "blank",
    }[kind]


def is_single(kind: Any) -> bool:
    """Whether a comma can never be part of such a value, or only between two numbers."""
    members = get_args(kind) if _is_union(kind) else (kind,)
    return not any(member in (Pipeline, ClassWeights, Unfreezing) or get_origin(member) is tuple for member in members)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _parse_union(text: str, kind: Any, bounds: Bounds) -> Any:
    members = get_args(kind)
    if not text and type(None) in members:
        return None
    if any(get_origin(member) is tuple for member in members):
        text = text.removesuffix(",").rstrip()
    for member in members:
        try:
            return parse_value(text, member, bounds)
        except PipelineError:
            raise
        except ValueError:
            continue
    words = [str(choice) for member in members if get_origin(member) is Literal for choice in get_args(member)]
    raise ValueError(describe(kind, bounds) + hint(text, words))


def _parse_number(text: str, kind: type, bounds: Bounds, whole: type | None = None) -> Any:
    expected = describe(whole or kind, bounds)
    pattern = r"[+-]?\d+" if kind is int else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    if not re.fullmatch(pattern, text, re.ASCII) or len(text) > 300:
        raise ValueError(expected)
    number = kind(text)
    if not math.isfinite(number) or not bounds.hold(number):
        raise ValueError(expected)
    return number


def _parse_class_weights(text: str) -> ClassWeights:
    pairs = [part.strip().rpartition(":") for part in text.removesuffix(",").split(",")]
    names = tuple(name.strip() for name, colon, _ in pairs if colon)
    if (names and (len(names) < len(pairs) or not all(names))) or len(set(names)) < len(names):
        raise ValueError(describe(ClassWeights, Bounds()))
    numbers = [_parse_number(number.strip(), float, Bounds(above=0), ClassWeights) for *_, number in pairs]
    return ClassWeights(names, tuple(numbers))


def _parse_unfreezing(text: str) -> Unfreezing:
    """`2: layer4, norm, 4: all`: a name without an epoch belongs to the epoch before it."""
    stages: list[tuple[int, tuple[str, ...]]] = []
    for part in text.removesuffix(",").split(","):
        epoch, colon, name = (piece.strip() for piece in part.rpartition(":"))
        if not name or " " in name or not (colon or stages):
            raise ValueError(describe(Unfreezing, Bounds()))
        if colon:
            stages.append((int(_parse_number(epoch, int, Bounds(at_least=1), Unfreezing)), (name,)))
        else:
            stages[-1] = (stages[-1][0], (*stages[-1][1], name))
    epochs = [epoch for epoch, _ in stages]
    if sorted(set(epochs)) != epochs:
        raise ValueError(describe(Unfreezing, Bounds()))
    return Unfreezing(tuple(stages))


def _parse_own_code(text: str) -> OwnCode:
    found = own_code(text)
    if found is None:
        raise ValueError(describe(OwnCode, Bounds()))
    return found


def _parse_choice(text: str, kind: Any) -> Any:
    choices = {str(choice): choice for choice in get_args(kind)}
    if text.lower() not in choices:
        raise ValueError(describe(kind, Bounds()) + hint(text, choices))
    return choices[text.lower()]
