"""What each of several processes that train together does: one job after another."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path

import train


def do_jobs(jobs: Path, out: Path) -> None:
    """jobs: JSON, of each name a port to meet at and the arguments of train.py. Writes out/NAME.RANK.json: status, stdout, stderr."""
    for name, (port, arguments) in json.loads(jobs.read_text()).items():
        os.environ["MASTER_PORT"] = str(port)
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = train.main(arguments)
        told = {"status": status, "out": stdout.getvalue(), "err": stderr.getvalue()}
        (out / f"{name}.{os.environ['RANK']}.json").write_text(json.dumps(told))
