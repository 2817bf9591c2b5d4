"""Every option with every kind of mistake, and INIs of any bytes: a line that says what and where, or a Config that prints stably.

python -m tests.faults.options [files=3000] [seed=0]
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from modules.config.errors import ConfigError
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import OLD_SPELLINGS, OPTIONS, Option
from modules.config.values import format_value

NUMBERS = ("nan", "NaN", "-nan", "inf", "-inf", "1e999", "0x10", "1_000", "٣", "1", "½", "--1", "1.", "1,5", "1e", "- 1", "²", "1;2")
TEXTS = (
    "", ",", "banana", "True,", "None,", "'", '"', "%(x)s", "${x}", "\\", "\0", "(", ")", "[]", "a" * 5000, "\u202e", "a\n b\n c", "=", ":",
)  # fmt: skip
ENDS = ("-1", "0", "-0.0", "1e-300", "1e300", "999999999999999999999", "0.5", "1.5", "true", "false", "yes", "auto", "none")
PIECES = (
    *(f"[{section}]" for section in OPTIONS), "[", "]", "[]", "[x", "x]", "=", ":", " ", "\t", "\n", "\r\n", "\r", "\0", ";", "#", " ; x",
    "\ufeff", "é",
    *(f"{name} = " for options in OPTIONS.values() for name in options), "[search_space]", "hyper_params.epochs = randint(1, 2)",
    "[DEFAULT]", "%", "$", "\\", '"', "'", "1", "0", "-1", ".5", "none", "auto", "true", "x" * 300, "  indented", "choice(", ")",
)  # fmt: skip
BOTH, TOLD, ACCEPTED = "tried", "told", "accepted"


def misspelt(name: str) -> Iterator[str]:
    yield name[:-1] if len(name) > 2 else f"{name}x"
    yield f"{name}s"
    yield name.replace("_", "-") if "_" in name else f"{name}_"
    yield name[1] + name[0] + name[2:]


def shown(option: Option) -> str:
    return format_value(option.default)


def is_number(option: Option) -> bool:
    """Whether it takes nothing but numbers, or words that are listed."""
    members = get_args(option.kind) if get_origin(option.kind) not in (Literal, tuple, None) else (option.kind,)
    return bool({int, float} & set(members)) and all(each in (int, float, type(None)) or get_origin(each) is Literal for each in members)


def try_options(found: Counter[str], every: int = 1) -> list[str]:
    """What is wrong, of all options, or every so many."""
    faults = []
    for section, options in OPTIONS.items():
        for name, option in list(options.items())[::every]:
            for wrong in misspelt(name):
                outcome, told = outcome_of(f"[{section}]\n{wrong} = 1\n")
                found[BOTH] += 1
                found[outcome] += 1
                if (
                    wrong not in options
                    and (section, wrong) not in OLD_SPELLINGS
                    and (outcome != TOLD or not any(wrong.lower() in line for line in told))
                ):
                    faults.append(f"[{section}] {wrong}: {outcome}, {told}")
            for text in (*NUMBERS, *TEXTS, *ENDS, f"{shown(option)},", f"{shown(option)} x", shown(option).upper()):
                outcome, told = outcome_of(f"[{section}]\n{name} = {text}\n")
                found[BOTH] += 1
                found[outcome] += 1
                fault = fault_of(option, text, outcome, told)
                if fault:
                    faults.append(f"[{section}] {name} = {text[:40]!r}: {fault}")
    return faults


def fault_of(option: Option, text: str, outcome: str, told: list[str]) -> str | None:
    if outcome not in (TOLD, ACCEPTED):
        return outcome
    if outcome == TOLD and not any(option.name in line for line in told):
        return f"told without its name: {told}"
    if outcome == ACCEPTED and is_number(option):
        return fault_of_number(option, text.strip().removesuffix(","))
    return None


def fault_of_number(option: Option, text: str) -> str | None:
    """What is accepted is a listed word, blank, or a number of its kind in its range, as told by Python's own Decimal."""
    members = get_args(option.kind) if get_origin(option.kind) is not None or len(get_args(option.kind)) else (option.kind,)
    words = {str(word) for each in members if get_origin(each) is Literal for word in get_args(each)}
    if text.strip().lower() in {"", *words}:
        return None
    if not re.fullmatch(r"[-+.0-9eE]+", text):
        return "no number, and accepted"
    number, low = Decimal(text), option.bounds
    if float not in members and number != int(number):
        return "no whole number, and accepted"
    beyond = (
        (low.at_least is not None and number < Decimal(low.at_least))
        or (low.above is not None and number <= Decimal(low.above))
        or (low.at_most is not None and number > Decimal(low.at_most))
        or (low.below is not None and number >= Decimal(low.below))
    )
    return "out of range, and accepted" if beyond else None


def outcome_of(text: str | bytes) -> tuple[str, list[str]]:
    """TOLD with the lines, or ACCEPTED; else what went wrong."""
    Path("config.ini").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        config, _ = read_config(["config.ini"])
    except ConfigError as error:
        wrong = [line for line in error.lines if "\n" in line or "\r" in line or not line.startswith(("config.ini", "default ["))]
        return (TOLD if error.lines and not wrong else f"told oddly: {wrong}"), list(error.lines)
    except Exception as error:
        return f"{type(error).__name__}: {error}", []
    printed = to_ini(config, help=False)
    Path("again.ini").write_text(printed, encoding="utf-8")
    try:
        again, _ = read_config(["again.ini"])
    except ConfigError as error:
        return f"what is printed is refused: {error.lines[:2]}", []
    return (ACCEPTED if plain(again) == plain(config) and to_ini(again, help=False) == printed else "prints as something else"), []


def plain(config: Any) -> Any:
    """Without where its values stood."""
    return [getattr(config, section) for section in OPTIONS]


def any_file(draw: random.Random) -> bytes:
    """Bytes of any kind, or pieces of INIs in any order."""
    if draw.random() < 0.3:
        return draw.randbytes(draw.randrange(200))
    return "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 30))).encode()


def try_files(count: int, seed: int, found: Counter[str]) -> list[str]:
    draw, faults = random.Random(seed), []
    for _ in range(count):
        content = any_file(draw)
        outcome, _ = outcome_of(content)
        found[BOTH] += 1
        found[outcome] += 1
        if outcome not in (TOLD, ACCEPTED):
            faults.append(f"{content!r}: {outcome}")
    return faults


def main(arguments: list[str]) -> int:
    given = {"files": "3000", "seed": "0", **dict(each.split("=", 1) for each in arguments)}
    found: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp(prefix="options-"))
    with chdir(folder):
        faults = try_options(found) + try_files(int(given["files"]), int(given["seed"]), found)
    shutil.rmtree(folder)
    told = f"{found[BOTH]} INIs of {sum(map(len, OPTIONS.values()))} options: {found[TOLD]} told, {found[ACCEPTED]} read and printed alike"
    print(f"{told}, {len(faults)} faults", *faults[:40], sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
