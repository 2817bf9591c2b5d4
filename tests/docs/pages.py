"""What the pages hold that can be run or read: commands and blocks of INI, each with the place where it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.ko.md")
PAGES = (*READMES, *sorted((ROOT / "docs").glob("*.md")))
RECIPES = tuple(sorted((ROOT / "configs").glob("*.ini")))
SCRIPTS = ("train", "inference", "tune", "look")
PYTHONS = ("python", "python3", ".venv/bin/python")


@dataclass(frozen=True)
class Command:
    """words: as a shell has them, without comment. settings: variables in front, such as WANDB_MODE=offline."""

    page: Path
    words: tuple[str, ...]
    settings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join((*self.settings, *self.words))

    @property
    def script(self) -> str | None:
        """train, inference, tune or look; None for all else."""
        if len(self.words) > 1 and self.words[0] in PYTHONS and self.words[1].removesuffix(".py") in SCRIPTS:
            return self.words[1].removesuffix(".py")
        return None

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[2:]

    @property
    def recipe(self) -> str | None:
        """The recipe of configs/ that it is of."""
        return next((word for word in self.arguments if word.startswith("configs/")), None)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands_in(page: Path, text: str) -> list[Command]:
    """Of lines of a shell; && stands between commands, and a line may go on behind a backslash."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
            elif words:
                count = next((number for number, each in enumerate(words) if not re.fullmatch(r"[A-Z_]+=.*", each)), len(words))
                found.append(Command(page, tuple(words[count:]), tuple(words[:count])))
                words = []
    return found


def commands_of(page: Path) -> list[Command]:
    """Of all blocks of a page, or of the head of a recipe, in their order."""
    if page.suffix == ".ini":
        head = page.read_text(encoding="utf-8").partition("\n[")[0]
        return [command for line in re.findall(r"^;   (.+)$", head, re.MULTILINE) for command in commands_in(page, line)]
    return [command for block in blocks(page, "sh") for command in commands_in(page, block)]


def mentioned_in(page: Path) -> list[Command]:
    """Command lines of a script that stand in running text, in an indented block, or in a file of Kubernetes."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", text) + re.findall(r"^    (.+)$", text, re.MULTILINE)
    spans += [found for block in blocks(page, "yaml") for found in re.findall(r"\.venv/bin/python [^\"]+", block)]
    lines = [span.replace("\n", " ") for span in spans]
    starts = rf"(?:(?:{'|'.join(map(re.escape, PYTHONS))}) )?(?:{'|'.join(SCRIPTS)})\.py \S"
    starts += rf"|(?:{'|'.join(map(re.escape, PYTHONS))}) (?:{'|'.join(SCRIPTS)})\.py +\S"
    return [
        command
        for line in lines
        if re.match(starts, line)
        for command in commands_in(page, line if line.split()[0] in PYTHONS else f"python {line}")
    ]


def every(pages: Sequence[Path]) -> list[Command]:
    return [command for page in pages for command in commands_of(page)]
