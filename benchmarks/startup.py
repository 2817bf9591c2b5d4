"""How long a person waits before anything happens, and for what.

    python -m benchmarks.startup [TIMES]

Answers: whole processes of train.py that the INI alone can answer, and the heavy packages that each of them imported; floor:
a Python that does nothing. First step: one process of the main job on the practice contest, its model untrained and tiny,
in parts; floor: a Python that imports torch, timm and albumentations. Median of TIMES (5), in turn. Ratios are of the time of
cores (user and system), since others may want them too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measuring import Row

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "timm", "albumentations", "torchvision", "sklearn", "pandas", "numpy", "scipy", "cv2", "PIL", "ray", "matplotlib")
NOTHING = "pass"
IMPORTS = "import torch, timm, albumentations"
ANSWERS = {
    "train.py --help": ["--help"],
    "train.py --print-config": ["--print-config"],
    "a mistake in the INI": ["broken.ini"],
}
ANSWER = """
import json, sys
sys.path.insert(0, {root!r})
import train
train.main({arguments!r})
print(json.dumps([name for name in {heavy!r} if name in sys.modules]), file=sys.stderr)
"""
FIRST_STEP = """
import json, sys, time
times = lambda: (time.perf_counter(), time.process_time())
began = times()
sys.path.insert(0, {root!r})
from modules.config.reader import read_config
config, _ = read_config([], ["settings.log_path=runs", "settings.data_path=digits", "settings.gpu=false", "model.name=test_resnet",
    "compute.threads=1", "hyper_params.epochs=1", "split.folds=2"])
read = times()
from modules.jobs.folds import train_folds
from modules.jobs.preparation import prepare
from modules.jobs.runs import open_run
from modules.reporting.sinks import Silence
from modules.runs.directory import create_run
imported = times()
loaded = [name for name in {heavy!r} if name in sys.modules]
plan = prepare(config)
prepared = times()

class Sink(Silence):
    def step(self, loss):
        loss()
        marks = [began, read, imported, prepared, times()]
        spent = [after[kind] - before[kind] for kind in (0, 1) for before, after in zip(marks, marks[1:])]
        print(json.dumps([*spent, loaded]), file=sys.stderr, flush=True)
        raise KeyboardInterrupt

try:
    train_folds(plan, create_run("runs", None, "startup"), Sink())
except KeyboardInterrupt:
    sys.exit(0)
"""
PARTS = ("the config", "imports", "preparation", "first step")


@dataclass(frozen=True)
class _Found:
    """Median seconds, and those of cores, of each process; what it imported, of HEAVY; and the parts of each job."""

    seconds: dict[str, float]
    cores: dict[str, float]
    imported: dict[str, list[str]]
    parts: list[Sequence[float]]


def answers(times: int = 5) -> list[Row]:
    """The floor is a Python that does nothing."""
    found = _run(times, job=False)
    return [Row(f"start-up, {name}", found.seconds["python"], found.seconds[name], "< 0.25 s") for name in ANSWERS]


def measure(times: int) -> list[str]:
    """The lines of both tables."""
    found = _run(times, job=True)
    typical, cores, told = found.seconds, found.cores, found.imported

    def line(name: str, floor: str, remark: str = "") -> str:
        return f"{name:26}{typical[name]:8.2f}{cores[name]:8.2f}{cores[name] / cores[floor]:8.2f}  {remark}"

    parts_of_job = [
        f"  {name:24}{median(each[place] for each in found.parts):8.2f}{median(each[place + len(PARTS)] for each in found.parts):8.2f}"
        for place, name in enumerate(PARTS)
    ]
    return [
        f"{'':26} seconds   cores / floor  imported",
        line("python", "python"),
        *(line(name, "python", ", ".join(told[name]) or "nothing heavy") for name in ANSWERS),
        line("python, with imports", "python, with imports"),
        line("job", "python, with imports", f"{', '.join(told['job'])}, as its imports end"),
        *parts_of_job,
    ]


def _run(times: int, job: bool) -> _Found:
    """Each process `times` times, in turn, and once before, which finds neither compiled Python nor the practice contest."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "broken.ini").write_text("[settings]\nseeed = 1\n", encoding="utf-8")
        asked = {name: ANSWER.format(root=str(ROOT), arguments=words, heavy=HEAVY) for name, words in ANSWERS.items()}
        codes = {"python": NOTHING, **asked}
        if job:
            codes |= {"python, with imports": IMPORTS, "job": FIRST_STEP.format(root=str(ROOT), heavy=HEAVY)}
        seconds: dict[str, list[float]] = {name: [] for name in codes}
        busy: dict[str, list[float]] = {name: [] for name in codes}
        told: dict[str, list[str]] = {}
        parts: list[Sequence[float]] = []
        for _ in range(times + 1):
            for name, code in codes.items():
                started, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
                done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=name not in ANSWERS)
                seconds[name].append(time.perf_counter() - started)
                after = getrusage(RUSAGE_CHILDREN)
                busy[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                last = (done.stderr.splitlines() or [""])[-1]
                if name == "job":
                    *numbers, told[name] = json.loads(last)
                    parts.append(numbers)
                elif name in ANSWERS:
                    told[name] = json.loads(last)
    medians = [{name: median(each[1:]) for name, each in measured.items()} for measured in (seconds, busy)]
    return _Found(medians[0], medians[1], told, parts[1:])


def main() -> int:
    print(*measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
