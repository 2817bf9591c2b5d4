"""One table of every contest of docs/contests.md, each entered with its own INI on a small generated copy.

python -m tests.contests [part of a title ...]

Exit status 1 where a submission is not valid. Scores are of colours, and say nothing of the contests.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.contests.entering import enter, sections
from tests.contests.layouts import CONTESTS

COLUMNS = "{:30} {:12} {:18} {:>7}  {:52} {:6} {:>5} {:>5}"


def main(wanted: list[str]) -> int:
    titles = [title for title in sections() if not wanted or any(part.lower() in title.lower() for part in wanted)]
    print(COLUMNS.format("contest", "task", "metric", "score", "form of submission", "valid", "right", "s"), flush=True)
    failed = []
    for title in titles:
        with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            entry = enter(CONTESTS[title], Path(folder))
        failed += [f"{title}: {fault}" for fault in entry.faults]
        valid = "no" if entry.faults else "yes"
        cells = (title, entry.task, entry.metric, f"{entry.score:.4f}", entry.form, valid, f"{entry.right:.2f}", f"{entry.seconds:.1f}")
        print(COLUMNS.format(*cells), flush=True)
    print(f"{len(titles)} contests, {len({line.partition(':')[0] for line in failed})} not valid", *failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
