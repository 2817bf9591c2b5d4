"""INI files and `section.option=value` overrides to one Config, or every mistake in them at once.

configparser reads the values; a second look at the lines finds where each option stands, which configparser does not
tell, and what configparser would report one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from configparser import Error as ParserError
from configparser import RawConfigParser
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.config.contradictions import contradictions
from modules.config.errors import ConfigError, hint, nearest
from modules.config.pipeline import PipelineError
from modules.config.schema import OLD_SPELLINGS, OPTIONS, SEARCH_SPACE, SECTIONS, Config, Option, place
from modules.config.search_space import why_not_searched
from modules.config.spaces import Space, is_space, parse_space
from modules.config.values import is_single, parse_value

COMMENT = ("#", ";")
KNOWN = (*OPTIONS, SEARCH_SPACE)


@dataclass(frozen=True)
class Setting:
    """One option as somebody wrote it. `origin`: `config.ini:12`, or `override`."""

    origin: str
    section: str
    name: str
    text: str


def read_config(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> tuple[Config, list[str]]:
    """The Config of several INI files, later ones winning option by option, and of overrides, which win over files.

    Returns it with warnings, a line each. Raises ConfigError with every mistake of all of them, a line each.
    """
    mistakes: list[str] = []
    settings: list[Setting] = []
    for path in paths:
        settings += _read_file(Path(path), mistakes)
    settings += _read_overrides(overrides, mistakes)
    return _build(settings, mistakes)


def _read_file(path: Path, mistakes: list[str]) -> list[Setting]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        others = [other.name for other in path.parent.glob("*.ini")] if path.parent.is_dir() else []
        mistakes.append(f"{path}: no such INI file{hint(path.name, others)}; an override is written section.option=value")
        return []
    except UnicodeDecodeError as error:
        mistakes.append(f"{path}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x} at position {error.start}")
        return []
    except OSError as error:
        mistakes.append(f"{path}: cannot be read: {error.strerror}")
        return []
    lines = re.split(r"\r\n?|\n", text)
    places, headers, readable = _find_places(path, lines, mistakes)
    parser = RawConfigParser(
        interpolation=None,
        strict=False,
        inline_comment_prefixes=COMMENT,
        default_section="\n",  # none: a header cannot hold a line's end
    )
    try:
        parser.read_string("\n".join(readable), source=str(path))
    except ParserError as error:
        if not any(line.startswith(f"{path}:") for line in mistakes):
            mistakes.append(f"{path}: {' '.join(str(error).split())}")
        return []
    settings = []
    for section in parser.sections():
        if section not in KNOWN:
            mistakes.append(f"{path}:{headers[section]} [{section}]: {_unknown_section(section)}")
            continue
        settings += [Setting(f"{path}:{places[section, name]}", section, name, value.strip()) for name, value in parser.items(section)]
    return settings


def _find_places(path: Path, lines: Sequence[str], mistakes: list[str]) -> tuple[dict[tuple[str, str], int], dict[str, int], list[str]]:
    """The line of each (section, option) and of each section, and the lines without those that are a mistake.

    Mistakes are what configparser would stop at, or silently take the last of: an option before any section, without
    "=", or twice; a section twice.
    """
    places: dict[tuple[str, str], int] = {}
    sections: dict[str, int] = {}
    readable = list(lines)
    section, indent, option_open, dropping = "", 0, False, False
    for number, line in enumerate(lines, 1):
        code = _without_comment(line)
        if not code.strip():
            continue
        depth = len(code) - len(code.lstrip())
        if option_open and depth > indent:  # a further line of a value
            readable[number - 1] = "" if dropping else line
            continue
        indent, code, dropping = depth, code.strip(), False
        header = re.match(r"\[(?P<name>.+)\]", code)
        if header:
            section, option_open = header["name"], False
            if section in sections:
                mistakes.append(f"{path}:{number} [{section}]: this section stands at line {sections[section]} already")
            sections.setdefault(section, number)
            continue
        name = re.split(r"[=:]", code, maxsplit=1)[0].strip().lower()
        option_open, where = True, f"{path}:{number} [{section}] {name}"
        if not section:
            mistakes.append(f"{path}:{number}: expected a [section] before {code!r}")
            dropping = True
        elif not name or not re.search(r"[=:]", code):
            mistakes.append(f"{where}: expected 'option = value', got {code!r}")
            dropping = True
        elif (section, name) in places:
            mistakes.append(f"{where}: stands at line {places[section, name]} already")
        readable[number - 1] = "" if dropping else line
        places[section, name] = number
    return places, sections, readable


def _without_comment(line: str) -> str:
    if line.strip().startswith(COMMENT):
        return ""
    return re.split(r"\s[#;]", line, maxsplit=1)[0]


def _read_overrides(overrides: Iterable[str], mistakes: list[str]) -> list[Setting]:
    settings = []
    for override in overrides:
        target, equals, text = override.partition("=")
        section, dot, name = target.strip().partition(".")
        if not equals or not dot:
            mistakes.append(f"override {override}: expected section.option=value")
            continue
        if re.search(r"(^|\s)[#;]", text.strip()):
            mistakes.append(f"override {section}.{name}: a '#' or ';' behind white space begins a comment in an INI; got {text!r}")
            continue
        settings.append(Setting("override", section, name.lower(), text.strip()))
    return settings


def _build(settings: Iterable[Setting], mistakes: list[str]) -> tuple[Config, list[str]]:
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[tuple[str, str], str] = {}
    spelt: dict[tuple[str, str, str], str] = {}
    warnings: list[str] = []
    broken: set[tuple[str, str]] = set()
    spaces: dict[str, Space | None] = {}
    for setting in settings:
        if setting.section == SEARCH_SPACE:
            _read_space(setting, spaces, mistakes)
            continue
        option = _find_option(setting, mistakes)
        if option is None:
            continue
        if _spelt_twice(setting, option, spelt, mistakes):
            continue
        origins[option.section, option.name] = setting.origin
        try:
            values[option.section][option.name] = parse_value(_one_value(setting, option, warnings), option.kind, option.bounds)
        except ValueError as error:
            broken.add((option.section, option.name))
            mistakes.append(_explain(setting, error) + _where_ranges_stand(setting, option))
    sections = {name: kind(**values[name]) for name, kind in SECTIONS.items()}
    searched = tuple(space for space in spaces.values() if space is not None)
    config = Config(**sections, search_space=searched, origins=MappingProxyType(origins))
    wrong_together = [each for each in contradictions(config) if not broken.intersection(each.options)]
    mistakes += [f"{config.locate(*each.options[0])}: {each.message}" for each in wrong_together]
    if mistakes:
        raise ConfigError(*dict.fromkeys(mistakes))
    return config, warnings


def _where_ranges_stand(setting: Setting, option: Option) -> str:
    if not is_space(setting.text) or why_not_searched(option):
        return ""
    return f"; to search it: [{SEARCH_SPACE}] {option.section}.{option.name} = {setting.text}"


def _read_space(setting: Setting, spaces: dict[str, Space | None], mistakes: list[str]) -> None:
    """A blank one, in a later file, is searched no more."""
    where = place(setting.origin, setting.section, setting.name)
    if setting.origin == "override":
        mistakes.append(f"{where}: the search space stands in an INI; an override sets a value, as section.option=value")
        return
    section, dot, name = setting.name.partition(".")
    if not dot:
        homes = [f"{home}.{setting.name}" for home, options in OPTIONS.items() if setting.name in options]
        mistakes.append(f"{where}: expected section.option = ..., got {setting.name!r}{hint(setting.name, homes)}")
        return
    option = _find_option(replace(setting, section=section, name=name), mistakes, where)
    if option is None:
        return
    refusal = why_not_searched(option)
    if refusal:
        mistakes.append(f"{where}: cannot be searched: {refusal}")
        return
    try:
        space = parse_space(setting.text, option.section, option.name, option.kind, option.bounds) if setting.text else None
    except ValueError as error:
        mistakes.append(_explain(setting, error))
        return
    spaces[f"{option.section}.{option.name}"] = space


def _find_option(setting: Setting, mistakes: list[str], where: str = "") -> Option | None:
    where = where or place(setting.origin, setting.section, setting.name)
    if setting.section not in OPTIONS:
        mistakes.append(f"{where}: {_unknown_section(setting.section)}")
        return None
    options = OPTIONS[setting.section]
    name = OLD_SPELLINGS.get((setting.section, setting.name), setting.name)
    if name in options:
        return options[name]
    elsewhere = [section for section, others in OPTIONS.items() if name in others]
    if elsewhere:
        advice = f"; it belongs in [{elsewhere[0]}]"
    elif "(" in name:
        advice = "; further lines of a value are indented"
    elif nearest(name, options):
        advice = hint(name, options)
    else:
        advice = _hint_elsewhere(name) or f"; [{setting.section}] has {', '.join(options)}"
    mistakes.append(f"{where}: unknown option{advice}")
    return None


def _unknown_section(section: str) -> str:
    message = "a section that applies to all others is not used; set each option in its own" if section == "DEFAULT" else "unknown section"
    return message + (hint(section, KNOWN) if section != "DEFAULT" else "") + f"; there are {', '.join(KNOWN)}"


def _hint_elsewhere(name: str) -> str:
    everywhere: Mapping[str, str] = {option: section for section, options in OPTIONS.items() for option in options}
    found = nearest(name, everywhere)
    return f" (did you mean {found[0]} in [{everywhere[found[0]]}]?)" if found else ""


def _spelt_twice(setting: Setting, option: Option, spelt: dict[tuple[str, str, str], str], mistakes: list[str]) -> bool:
    """Whether the same file sets an option under its old and its new name."""
    source = setting.origin.rpartition(":")[0] or setting.origin
    first = spelt.setdefault((source, option.section, option.name), setting.name)
    if first == setting.name:
        return False
    mistakes.append(f"{place(setting.origin, setting.section, setting.name)}: the same as {first}, which is set too; keep one")
    return True


def _one_value(setting: Setting, option: Option, warnings: list[str]) -> str:
    """The text without the comma that the reference notes leave behind a single value."""
    text = setting.text
    if not is_single(option.kind) or text.count(",") != 1 or not text.endswith(","):
        return text
    warnings.append(f"{place(setting.origin, setting.section, setting.name)}: the comma after {text!r} is dropped")
    return text[:-1].rstrip()


def _explain(setting: Setting, error: ValueError) -> str:
    where = place(setting.origin, setting.section, setting.name)
    if isinstance(error, PipelineError):
        return f"{where}: {error}"
    phrase, did_you_mean, word = str(error).partition(" (did you mean")
    got = setting.text if len(setting.text) <= 80 else setting.text[:77] + "..."
    return f"{where}: expected {phrase}, got {got!r}{did_you_mean}{word}"
