"""What torchrun starts in test_torchrun.py: each of its processes trains one job after another, so that torch is imported once.

python -m torch.distributed.run --standalone --nproc-per-node 2 tests/scripts/together.py JOBS.json OUT
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import train


def main(jobs: Path, out: Path) -> None:
    rank = os.environ["RANK"]
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # torchrun's own is for one meeting of the processes
    for name, (port, arguments) in json.loads(jobs.read_text()).items():
        os.environ["MASTER_PORT"] = str(port)
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = train.main(arguments)
        told = {"status": status, "out": stdout.getvalue(), "err": stderr.getvalue()}
        (out / f"{name}.{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
