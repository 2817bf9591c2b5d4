"""At every step at which a job writes: a disk that is full, broken or read-only, and a kill. The old state or the new one, never half.

python -m tests.faults.writes [every=1] [processes=2] [jobs=training,caches,inference,heads]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from modules.compute.storage import is_whole
from modules.config.reader import read_config
from tests.faults.disk import ERRORS, FAULTS, Disk
from tests.faults.jobs import JOBS, Whole, begin, run_whole
from tests.scripts.forked import Done, run_forked
from tests.scripts.running import read

STEPS = "steps.json"


@dataclass
class Trial:
    """step: `write runs/a/fold0/.best.pt.tmp`. survived: the job came to its whole result all the same, as without a cache it does.

    faults: what was not as it must be.
    """

    step: str
    fault: str
    survived: bool = False
    faults: list[str] = field(default_factory=list)


def steps_of(name: str, root: Path) -> list[str]:
    """The steps at which the job writes where nothing fails."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-steps-", dir=root))
    with chdir(folder):
        JOBS[name].prepare(root)
        done = run_forked(_on(Disk(folder), JOBS[name].go))
        assert done.returncode == 0, done.stderr
        return list(json.loads(Path(STEPS).read_text(encoding="utf-8")))


def fail_one(name: str, root: Path, whole: Whole, step: str, at: int, fault: str) -> Trial:
    """The fault at step `at`, and then the job once more, without one."""
    job, trial = JOBS[name], Trial(step, fault)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    with chdir(folder):
        job.prepare(root)
        failed = run_forked(_on(Disk(folder, at, fault), job.go))
        trial.survived = failed.returncode == 0 and fault == "broken" and job.left() == whole.left
        trial.faults += [] if trial.survived else _judge(fault, failed)
        trial.faults += _halves(folder)
        done = run_forked(job.go)
        if done.returncode != 0:
            trial.faults.append(f"afterwards: {done.returncode}: {done.stderr.strip()[-500:]}")
        elif job.left() != whole.left:
            trial.faults.append("what is left is not what is left where nothing fails")
    if not trial.faults:
        shutil.rmtree(folder)
    return trial


def _on(disk: Disk, go: Callable[[], int]) -> Callable[[], int]:
    def script() -> int:
        disk.install()
        try:
            return go()
        finally:
            with disk.real_open(STEPS, "w", encoding="utf-8") as file:
                json.dump(disk.steps, file)

    return script


def _judge(fault: str, done: Done) -> Iterator[str]:
    """What is wrong with how it ended: a kill kills, and all else is one line that says what the system says, and no success."""
    if fault == "killed":
        if done.returncode != -signal.SIGKILL:
            yield f"not killed, but ended with {done.returncode}"
        return
    if done.returncode in (0, None) or done.returncode < 0:
        yield f"ended with {done.returncode}"
    if "Traceback" in done.stderr:
        yield f"a traceback: {done.stderr.strip()[-1000:]}"
    if not any(os.strerror(ERRORS[fault]) in line for line in done.stderr.splitlines()[-2:]):
        yield f"the last lines do not say what was wrong: {done.stderr.strip()[-300:]}"


def _halves(folder: Path) -> Iterator[str]:
    """Files that are not whole; a temporary one has another name."""
    for path in sorted(folder.rglob("*")):
        if (
            path.is_symlink()
            or not path.is_file()
            or path.name.startswith((".", "forked."))
            or "contest" in path.parts
            or path.name == STEPS
        ):
            continue
        try:
            whole = path.stat().st_size > 0 and _is_whole(path)
        except Exception as error:
            yield f"{path}: {error}"
        else:
            if not whole:
                yield f"{path}: half"


def _is_whole(path: Path) -> bool:
    if path.suffix == ".pt" or path.name == "keys.npy":
        return is_whole(path)
    if path.suffix == ".json":
        return bool(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".ini":
        return read_config([path]) is not None and path.read_text(encoding="utf-8").endswith("\n")
    if path.suffix == ".csv":
        return len(read(path)) > 0 and path.read_text(encoding="utf-8").endswith("\n")
    return True


def run_job(name: str, root: Path, every: int, processes: int) -> list[Trial]:
    """All faults at every so many of the steps, each fault at others where `every` is not 1. root: a folder with a contest."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        whole = pool.submit(run_whole, name, root).result()
        steps = pool.submit(steps_of, name, root).result()
        pairs = [(at, fault) for at in range(len(steps)) for number, fault in enumerate(FAULTS) if at % every == number % every]
        waiting = [pool.submit(fail_one, name, root, whole, steps[at], at, fault) for at, fault in pairs]
        return [each.result() for each in tqdm(waiting, name, disable=None)]


def describe(name: str, trials: list[Trial]) -> str:
    wrong = [trial for trial in trials if trial.faults]
    kinds = Counter(trial.fault for trial in trials)
    told = ", ".join(f"{count} {fault}" for fault, count in kinds.items())
    lines = [f"  {trial.fault} at {trial.step}: {'; '.join(trial.faults)}" for trial in wrong]
    return "\n".join(
        [f"{name}: {len({trial.step for trial in trials})} steps, {told}: {len(trials) - len(wrong)} well, {len(wrong)} not", *lines]
    )


def main(arguments: list[str]) -> int:
    given, root = begin(arguments, "writes", every="1")
    wrong = False
    for name in given["jobs"].split(","):
        trials = run_job(name, root, int(given["every"]), int(given["processes"]))
        print(describe(name, trials), flush=True)
        wrong |= any(trial.faults for trial in trials)
    if not wrong:
        shutil.rmtree(root)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
