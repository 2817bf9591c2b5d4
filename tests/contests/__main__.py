"""One table of every contest of docs/contests.md, each entered with its own INI on a small generated copy.

python -m tests.contests [part of a title ...]

score: out of fold, of the copy, whose images are colours: it says nothing of the contest. right: how near the submission
is to the perfect one, where chance is one half or less. Exit status 1 where a submission is not valid.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.contests.entering import Entry, enter, sections
from tests.contests.layouts import CONTESTS

COLUMNS = "{:30} {:12} {:18} {:>8}  {:70} {:5} {:>5} {:>5}"


def main(wanted: list[str]) -> int:
    titles = [title for title in sections() if not wanted or any(part.lower() in title.lower() for part in wanted)]
    print(COLUMNS.format("contest", "task", "metric", "score", "form of submission", "valid", "right", "s"), flush=True)
    failed = []
    for title in titles:
        entry = attempt(title)
        if isinstance(entry, str):
            failed.append(f"{title}: {entry}")
            cells = (title, "", "", "", "", "no", "", "")
        else:
            failed += [f"{title}: {'; '.join(entry.faults)}"] if entry.faults else []
            valid = "no" if entry.faults else "yes"
            cells = (title, entry.task, entry.metric, f"{entry.score:.4f}", entry.form, valid, f"{entry.right:.2f}", f"{entry.seconds:.1f}")
        print(COLUMNS.format(*cells), flush=True)
    print(f"{len(titles)} contests, {len(failed)} not valid", *failed, sep="\n")
    return 1 if failed else 0


def attempt(title: str) -> Entry | str:
    """The entry, or what was told where there was none."""
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()) as told:
        try:
            return enter(CONTESTS[title], Path(folder))
        except Exception as error:
            return f"{type(error).__name__}: {error}; {told.getvalue().strip()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
