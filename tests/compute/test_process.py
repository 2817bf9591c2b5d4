"""Device, precision, threads and workers: chosen by rule, with no `auto` left."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

import cv2
import pytest
import torch
from torch._inductor import config as inductor

from modules.compute.process import PACKAGES, describe_environment, is_out_of_memory, start_process
from modules.config.errors import OptionError
from modules.config.schema import Compute, Settings


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark


def settings(**values: Any) -> Settings:
    return Settings(**{"gpu": False, **values})


@pytest.mark.parametrize(("machine", "channels_last"), [("x86_64", True), ("AMD64", True), ("aarch64", False)])
def test_on_a_cpu_everything_is_chosen_by_rule(machine: str, channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    process, remarks = start_process(settings(), Compute(threads=1))
    assert (process.device.type, process.precision, process.channels_last, process.workers, process.threads) == (
        "cpu",
        "float32",
        channels_last,
        0,
        1,
    )
    layout = ", channels_last" if channels_last else ""
    assert remarks == [] and process.describe() == f"cpu, float32{layout}, 1 thread, 0 workers"


def test_what_is_asked_for_is_taken() -> None:
    process, _ = start_process(settings(precision="bfloat16", channels_last=True, num_workers=3), Compute(threads=2))
    assert (process.precision, process.channels_last, process.workers, process.threads) == ("bfloat16", True, 3, 2)
    assert torch.get_num_threads() == 2
    with process.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.slow
def test_without_a_compiler_that_is_told_before_anything_starts() -> None:
    """Though code of an earlier run may lie in torch's cache."""
    torch._dynamo.reset()
    told = r"^\[settings\] compile: nothing can be compiled here: No working C\+\+ compiler found.*; torch needs a C\+\+ compiler"
    with inductor.patch({"cpp.cxx": (None, "/nowhere/c++")}), pytest.raises(OptionError, match=told):
        start_process(settings(compile=True), Compute(threads=1))
    assert start_process(settings(), Compute(threads=1))[0].compile is False


def test_without_autocast_float32_stays_float32() -> None:
    process, _ = start_process(settings(), Compute(threads=1))
    with process.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_an_accelerator_is_used_only_where_gpu_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("meta"))
    process, remarks = start_process(Settings(gpu=True, precision="float32"), Compute(threads=1))
    assert (process.device.type, process.workers > 0, remarks) == ("meta", True, [])
    process, remarks = start_process(Settings(gpu=False), Compute(threads=1))
    assert (process.device.type, process.workers, remarks) == ("cpu", 0, [])


def test_threads_of_0_are_all_cores_and_opencv_has_one() -> None:
    process, _ = start_process(settings(), Compute(threads=0))
    assert process.threads == os.cpu_count()
    assert cv2.getNumThreads() == 1


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        start_process(settings(precision="float16"), Compute(threads=1))
    assert caught.value.args == ("settings", "precision", "float16 wants a GPU; on a CPU use bfloat16 or float32")


def test_a_lack_of_memory_is_told_from_other_faults() -> None:
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError, match="allocate memory") as caught:
        torch.empty(2**58)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied")) and not is_out_of_memory(
        OSError(28, "No space left on device")
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_sets_torch_up_for_it(deterministic: bool) -> None:
    start_process(settings(deterministic=deterministic), Compute(threads=1))
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic


@pytest.mark.skipif(torch.accelerator.is_available(), reason="tells what happens where there is no accelerator")
def test_a_missing_gpu_is_said_in_one_line() -> None:
    process, remarks = start_process(settings(gpu=True), Compute(threads=1))
    assert process.device.type == "cpu" and remarks == ["no GPU found: using the CPU"]


def test_the_environment_has_every_version_and_choice() -> None:
    process, _ = start_process(settings(), Compute(threads=1))
    environment = describe_environment(process)
    assert set(environment["versions"]) == set(PACKAGES) and environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert (environment["device"], environment["precision"], environment["threads"], environment["workers"]) == ("cpu", "float32", 1, 0)


def of_torchrun(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, str(value))


def test_processes_of_torchrun_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    of_torchrun(monkeypatch, 1, 2)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    process, remarks = start_process(settings(), Compute())
    assert (process.ranks.rank, process.ranks.world, process.ranks.is_main, process.threads) == (1, 2, False, 4)
    assert process.describe().startswith("2 processes: cpu") and remarks == []
    assert describe_environment(process)["ranks"] == 2


def test_processes_of_torchrun_have_a_gpu_each_and_too_few_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    monkeypatch.setattr("torch.accelerator.set_device_index", chosen.append)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    of_torchrun(monkeypatch, 1, 2)
    process, _ = start_process(Settings(precision="float32"), Compute())
    assert process.device == torch.device("cuda", 1) and chosen == [1] and process.workers == 3
    of_torchrun(monkeypatch, 1, 4)
    told = r"^\[settings\] gpu: torchrun started 4 processes on this machine, which has 2 GPUs; start as many, or use false$"
    with pytest.raises(OptionError, match=told):
        start_process(Settings(precision="float32"), Compute())


def test_batchnorm_is_synchronised_on_cuda_alone_and_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    _, remarks = start_process(settings(), Compute(sync_batchnorm=True, threads=1))
    assert remarks == ["sync_batchnorm = true: one process has nothing to synchronise; torchrun starts several"]
    of_torchrun(monkeypatch, 0, 2)
    with pytest.raises(OptionError, match=r"^\[compute\] sync_batchnorm: torch synchronises BatchNorm on CUDA alone; use false$"):
        start_process(settings(), Compute(sync_batchnorm=True, threads=1))
