"""Whole jobs with settings.compile come to what they come to without."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from tests.scripts.running import digests, known, make_runs, read, run_inference

MORE = ("model.ema_decay=0.9", "inference.tta=hflip", "hyper_params.epochs=3", "hyper_params.probe_epochs=1", "model.feature_cache=off")


def submit(root: Path, run: str, *more: str) -> Path:
    output = f"inference.output={run}.csv"
    arguments = known(root, f"inference.run={run}", f"inference.submission_path={root / 'submissions'}", output, "inference.tta=hflip")
    assert run_inference(*arguments, *more, "--quiet") == 0
    return root / f"submissions/{run}.csv"


@pytest.mark.slow
def test_a_compiled_run_is_the_plain_one_where_the_code_is_torchs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for any code; what runs are torch's own operations, so that nothing may differ."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    make_runs(tmp_path, {"plain": MORE, "compiled": (*MORE, "settings.compile=true")})
    assert digests(tmp_path / "runs/compiled") == digests(tmp_path / "runs/plain")
    plain = submit(tmp_path, "plain").read_bytes()
    assert submit(tmp_path, "compiled", "settings.compile=true").read_bytes() == plain
    torch._dynamo.reset()


@pytest.mark.slow  # half a minute of compiling for each piece of code
def test_a_run_by_the_real_compiler_is_near_the_plain_one(tmp_path: Path) -> None:
    torch._dynamo.reset()
    make_runs(tmp_path, {"plain": MORE, "compiled": (*MORE, "settings.compile=true")})
    tables = [read(submit(tmp_path, run, *more)) for run, more in (("plain", ()), ("compiled", ("settings.compile=true",)))]
    columns = [name for name in tables[0] if name != "id"]
    assert (tables[0][columns].astype(float) - tables[1][columns].astype(float)).abs().to_numpy().max() < 0.02
    torch._dynamo.reset()
