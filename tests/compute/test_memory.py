"""Memory that is freed and asked for again: it does not come from the system each time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

COUNT = """
import resource, sys
from modules.compute.memory import keep_freed_memory
import numpy as np
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    arrays = [np.ones(5 * 2**20) for _ in range(6)]  # 40 MiB each, all alive at once, all freed
for _ in range(5):
    step()  # the heap grows to what a step needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the system gave in five steps; 4 KiB each, or more."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's C library can be asked")
def test_arrays_get_the_memory_that_the_ones_before_them_left() -> None:
    left = faults("left")
    assert left > 100  # by huge pages, 2 MiB each, it would be 160
    assert faults("kept") < left / 4
