"""From a section of docs/contests.md to a submission: its INI, made small, on a small copy of the contest's layout."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from modules.config.reader import read_config
from modules.config.schema import Config
from tests.contests.forms import faults, read
from tests.contests.layouts import Contest, Copy
from tests.scripts.running import run_inference, run_train

PAGE = Path(__file__).parents[2] / "docs/contests.md"
INI = "contest.ini"
SMALL = (
    "settings.gpu=false",
    "logging.plots=false",
    "settings.num_workers=0",
    "settings.run_name=run",
    "compute.threads=1",
    "data.image_size=32",
    "split.folds=2",
    "model.name=test_resnet",
    "model.pretrained=false",
    "augmentation.preset=none",
    "hyper_params.epochs=4",
    "hyper_params.batch_size=8",
    "hyper_params.learning_rate=0.01",
    "hyper_params.warmup_epochs=0",
)


@dataclass(frozen=True)
class Entry:
    """What came of a contest. faults: of the submission; right: how near it is to the perfect one, from 0 to 1."""

    task: str
    metric: str
    score: float
    form: str
    faults: list[str]
    right: float
    seconds: float


def sections() -> dict[str, str]:
    """The INI of each section of the page, by the section's title."""
    _, *parts = re.split(r"^## (.+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {
        title: re.search(r"^```ini\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {title: block[1] for title, block in found.items() if block}


def overview() -> dict[str, list[str]]:
    """The rows of the table on top of the page, by contest: where it points to, task, metric, form, what does it."""
    lines = re.findall(r"^\| \[(.+?)\]\(#(\S+)\) \|(.+)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {title: [anchor, *(cell.strip() for cell in cells.split(" | "))] for title, anchor, cells in lines}


def settings_of(title: str, folder: Path) -> Config:
    """What the section's INI says; it is written to `folder`."""
    path = folder / INI
    path.write_text(sections()[title], encoding="utf-8")
    return read_config([path])[0]


def enter(contest: Contest, folder: Path) -> Entry:
    """Generates the contest in `folder`, trains and predicts there, and looks at the submission with other eyes."""
    copy = Copy(folder / "data")
    contest.make(copy)
    config = settings_of(contest.title, folder)
    places = (f"settings.data_path={folder / 'data'}", f"settings.log_path={folder / 'runs'}", f"settings.cache_path={folder / 'cache'}")
    arguments = (str(folder / INI), *places, f"inference.submission_path={folder / 'out'}", *SMALL, *contest.small, "--quiet")
    started = time.perf_counter()
    assert run_train(*arguments) == 0, f"{contest.title}: train.py refused"
    assert run_inference(*arguments, "inference.run=run") == 0, f"{contest.title}: inference.py refused"
    seconds = time.perf_counter() - started
    template, submission = read(copy.asked), read(folder / "out/run.csv")
    result = json.loads((folder / "runs/run/result.json").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "out/run.json").read_text(encoding="utf-8"))
    found = faults(contest.form, template, submission)
    right = 0.0 if found else contest.form.right([row[1:] for row in submission.rows], [copy.answers[name] for name in submission.ids])
    return Entry(config.data.task, result["metric"], result["oof"], manifest["form"], found, right, seconds)
