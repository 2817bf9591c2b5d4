"""The grammar of augmentation pipelines: albumentations calls written in an INI, a call a line.

A call of code of one's own has its whole name: `package.module:name(...)`. Only calls, keyword arguments and literal values are
read, from the syntax tree; nothing is ever evaluated. Whether a transform or an argument exists is the business of
data/transforms.py, which may import albumentations.
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modules.config.own_code import OwnCode, own_code

GRAMMAR = "one call a line, such as HorizontalFlip(p=0.5)"
COLON = ".__own_code__."  # what stands for the colon of package.module:name, which Python has no such use for


class PipelineError(ValueError):
    """What is wrong with a pipeline, as a whole sentence: where, and what was expected."""


@dataclass(frozen=True)
class Call:
    """`name(*positional, **keywords)`; a value is a literal, a Call, or a list or tuple of values."""

    name: str
    positional: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    @property
    def own_code(self) -> OwnCode | None:
        """Its name, where it is code of one's own."""
        return own_code(self.name)

    def __str__(self) -> str:
        arguments = [_format(value) for value in self.positional]
        arguments += [f"{name}={_format(value)}" for name, value in self.keywords]
        return f"{self.name}({', '.join(arguments)})"


@dataclass(frozen=True)
class Pipeline:
    """Calls in the order in which they are applied; empty: nothing is done to the image."""

    calls: tuple[Call, ...] = ()

    def __str__(self) -> str:
        return "\n".join(str(call) for call in self.calls)

    @property
    def own_code(self) -> tuple[OwnCode, ...]:
        """What it names of one's own code, also within other calls; each once."""
        return tuple(dict.fromkeys(name for call in self.calls for name in _own_code_in(call)))


def parse_pipeline(text: str) -> Pipeline:
    """The calls in `text`. Raises PipelineError with the line (of the value) and what is wrong there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(_without_colons(text))
        return Pipeline(tuple(_call_of(statement) for statement in tree.body))
    except SyntaxError as error:
        line = text.splitlines()[error.lineno - 1].strip() if error.lineno and error.lineno <= len(text.splitlines()) else text
        raise PipelineError(f"cannot read {line!r}; expected {GRAMMAR}") from None
    except PipelineError:
        raise
    except (ValueError, RecursionError, MemoryError):
        raise PipelineError(f"cannot read it; expected {GRAMMAR}") from None


def _without_colons(text: str) -> str:
    """With `package.module.__own_code__.name(` in the place of `package.module:name(`, on the same lines."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return text  # ast.parse tells what is wrong with it
    lines = text.split("\n")
    for before, colon, name, bracket in reversed(list(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))):
        names = before.type == name.type == tokenize.NAME
        if names and colon.string == ":" and bracket.string == "(" and before.end == colon.start and colon.end == name.start:
            row, place = colon.start
            lines[row - 1] = f"{lines[row - 1][:place]}{COLON}{lines[row - 1][place + 1 :]}"
    return "\n".join(lines)


def _own_code_in(value: Any) -> Iterator[OwnCode]:
    if isinstance(value, Call):
        if value.own_code is not None:
            yield value.own_code
        inside = [*value.positional, *(each for _, each in value.keywords)]
    else:
        inside = list(value) if isinstance(value, list | tuple) else []
    for each in inside:
        yield from _own_code_in(each)


def _written(node: ast.AST) -> str:
    """As the person wrote it."""
    return ast.unparse(node).replace(COLON, ":")


def _call_of(statement: ast.stmt) -> Call:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        written = _written(statement).replace(": ", ":")
        advice = f"; write {written}()" if re.fullmatch(r"[^\W\d][\w.]*(:\w+)?", written) else ""
        raise PipelineError(f"{written!r} is not a call{advice}; expected {GRAMMAR}")
    return _call(statement.value)


def _call(node: ast.Call) -> Call:
    name = _written(node.func)
    if not isinstance(node.func, ast.Name) and own_code(name) is None:
        raise PipelineError(f"{name!r} is not the name of a transform; write the name alone")
    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise PipelineError(f"** is not understood in {name}(...)")
        if keyword.arg in keywords:
            raise PipelineError(f"argument '{keyword.arg}' stands twice in {name}(...)")
        keywords[keyword.arg] = _value(keyword.value)
    return Call(name, tuple(_value(argument) for argument in node.args), tuple(keywords.items()))


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.List):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(element) for element in node.elts)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    return _constant(node)


def _constant(node: ast.expr) -> bool | int | float | str | None:
    """A number with or without a sign, a text, True, False or None."""
    sign, inner = (node.op, node.operand) if isinstance(node, ast.UnaryOp) else (None, node)
    if not isinstance(inner, ast.Constant) or not isinstance(inner.value, bool | int | float | str | None):
        raise PipelineError(f"{_written(node)!r} is not a literal value (a number, text, true or false, a list)")
    value = inner.value
    if sign is not None and (not isinstance(sign, ast.USub | ast.UAdd) or not isinstance(value, int | float)):
        raise PipelineError(f"{_written(node)!r} is not a literal value (a number, text, true or false, a list)")
    if isinstance(value, float) and not math.isfinite(value):
        raise PipelineError(f"{_written(node)!r} is not a finite number")
    return -value if isinstance(sign, ast.USub) and isinstance(value, int | float) else value


def _format(value: Any) -> str:
    if isinstance(value, Call):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_format(element) for element in value) + "]"
    if isinstance(value, tuple):
        inside = ", ".join(_format(element) for element in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_format(element)}" for key, element in value.items()) + "}"
    return repr(value)
