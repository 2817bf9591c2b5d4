"""A Config as INI text, and the schema as docs/config.md (`python -m modules.config.printer [--check]`)."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable
from pathlib import Path

from modules.config.schema import OLD_SPELLINGS, OPTIONS, SEARCH_SPACE, SECTIONS, Config, Option
from modules.config.values import describe, format_value

DOCS = Path(__file__).parents[2] / "docs" / "config.md"


def to_ini(config: Config, help: bool = True, sections: Iterable[str] = tuple(OPTIONS), left_out: Container[tuple[str, str]] = ()) -> str:
    """The whole config; with `help`, each option under its help and its default. Reading it back gives an equal Config.

    `sections`: only those; `left_out`: (section, option) pairs that are not written.
    """
    lines = []
    for section in sections:
        lines.append(f"[{section}]")
        for option in (each for each in OPTIONS[section].values() if (section, each.name) not in left_out):
            if help:
                lines.append(f"; {option.help} (default: {_default(option)})")
            lines.append(f"{option.name} = {format_value(getattr(getattr(config, section), option.name))}".rstrip())
        lines.append("")
        if section == "tuning" and config.search_space:
            lines += _search_space(config, help)
    return "\n".join(lines)


def to_markdown() -> str:
    """docs/config.md: a table a section."""
    lines = [
        "# Every option",
        "",
        "Made from `modules/config/schema.py` by `python -m modules.config.printer`; change it there.",
        "",
        "The shipped `config.ini` sets some options otherwise than their defaults, to suit the practice contest. Relative paths"
        " start at the current folder; those under [data] start at `settings.data_path`.",
        "",
        "Old spellings that are understood: "
        + ", ".join(f"`[{section}] {old}` for `{new}`" for (section, old), new in OLD_SPELLINGS.items())
        + ".",
    ]
    for section, options in OPTIONS.items():
        lines += ["", f"## [{section}]", "", (SECTIONS[section].__doc__ or "").strip(), ""]
        lines += ["| option | default | takes | what it does |", "|---|---|---|---|"]
        for option in options.values():
            cells = (f"`{option.name}`", f"`{_default(option)}`", describe(option.kind, option.bounds), option.help)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _search_space(config: Config, help: bool) -> list[str]:
    told = ["; what tune.py draws options of other sections from"] if help else []
    return [f"[{SEARCH_SPACE}]", *told, *(f"{space.key} = {space}" for space in config.search_space), ""]


def _default(option: Option) -> str:
    return format_value(option.default).strip() or "blank"


def main(arguments: list[str]) -> int:
    """Writes docs/config.md, or with --check says whether it is up to date (exit status 1 where it is not)."""
    if arguments == ["--check"]:
        fresh = DOCS.is_file() and DOCS.read_text(encoding="utf-8") == to_markdown()
        print(f"{DOCS.name} is up to date" if fresh else f"{DOCS.name} is out of date: run python -m modules.config.printer")
        return 0 if fresh else 1
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(to_markdown(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
