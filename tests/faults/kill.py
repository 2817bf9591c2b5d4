"""SIGKILL to the whole process group at random moments, up to five in a row, then on to the end: as if nothing had been.

python -m tests.faults.kill [count=300] [seed=0] [processes=2] [jobs=training,caches,inference,heads]
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from tests.faults.jobs import BEGUN, JOBS, Job, Whole, begin, run_whole
from tests.scripts.forked import run_forked

MOST = 5  # kills in a row


@dataclass
class Trial:
    """kills: that hit. repeated: the most epochs that one kill had done again. faults: what was not as it must be."""

    kills: int = 0
    repeated: int = 0
    faults: list[str] = field(default_factory=list)


def kill_one(name: str, root: Path, whole: Whole, seed: str) -> Trial:
    """One trial, in a folder of its own that is removed where all is well. seed: of the moments."""
    job, trial, draw = JOBS[name], Trial(), random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    with chdir(folder):
        job.prepare(root)
        times = draw.randint(1, MOST)
        for _ in range(times):
            done = run_forked(job.go, draw.uniform(0, 1.2 * whole.seconds / times))
            if done.returncode != -signal.SIGKILL:
                break
            trial.kills += 1
            _mark_the_kill()
        else:
            done = run_forked(job.go)
        _judge(trial, job, done.returncode, done.stderr, whole)
    if trial.faults:
        trial.faults.append(f"see {folder}")
    else:
        shutil.rmtree(folder)
    return trial


def _judge(trial: Trial, job: Job, status: int, told: str, whole: Whole) -> None:
    if status != 0:
        trial.faults.append(f"ended with {status}: {told.strip()[-500:]}")
        return
    try:
        left = job.left()
    except Exception as error:
        trial.faults.append(f"{type(error).__name__}: {error}")
        return
    if left != whole.left:
        trial.faults.append("what is left is not what was left without kills")
    trial.repeated = _most_repeated()
    if trial.repeated > 1:
        trial.faults.append(f"a kill cost {trial.repeated} epochs")


def _mark_the_kill() -> None:
    with open(BEGUN, "a", encoding="utf-8") as file:
        file.write("killed\n")


def _most_repeated() -> int:
    """The most epochs, between two kills, that had begun before."""
    most, repeated, seen = 0, 0, set()
    for line in Path(BEGUN).read_text(encoding="utf-8").splitlines() if Path(BEGUN).exists() else []:
        repeated = 0 if line == "killed" else repeated + (line in seen)
        seen.add(line)
        most = max(most, repeated)
    return most


def run_jobs(names: Iterable[str], count: int, seed: int, processes: int, root: Path) -> Iterator[tuple[str, list[Trial], Whole]]:
    """`count` trials of each job. root: a folder with a contest."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        for name in names:
            whole = pool.submit(run_whole, name, root).result()
            waiting = [pool.submit(kill_one, name, root, whole, f"{name} {seed} {number}") for number in range(count)]
            yield name, [each.result() for each in tqdm(waiting, name, disable=None)], whole


def describe(name: str, trials: list[Trial], whole: Whole) -> str:
    wrong = [trial for trial in trials if trial.faults]
    lines = [fault for trial in wrong for fault in trial.faults]
    bound = f"{len(wrong)} not" if wrong else f"so at most {min(1, 3 / len(trials)):.1%} are not"
    kills, repeated = sum(trial.kills for trial in trials), max(trial.repeated for trial in trials)
    told = f"{name}: {len(trials)} times, {kills} kills, of a job of {whole.seconds:.1f} s"
    return "\n".join(
        [f"{told}; {len(trials) - len(wrong)} as if never killed ({bound}); epochs that a kill cost: {repeated} at most", *lines]
    )


def main(arguments: list[str]) -> int:
    given, root = begin(arguments, "kills", count="300", seed="0")
    wrong = False
    numbers = (int(given[name]) for name in ("count", "seed", "processes"))
    for name, trials, whole in run_jobs(given["jobs"].split(","), *numbers, root):
        print(describe(name, trials, whole), flush=True)
        wrong |= any(trial.faults for trial in trials)
    if not wrong:
        shutil.rmtree(root)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
