"""Device, precision, memory layout, threads, and who computes beside this process: chosen by rule, once, and saved with the run."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import cv2
import torch
from torch import nn

from modules.compute.compiler import start_compiler
from modules.compute.memory import keep_freed_memory, peak_memory
from modules.compute.ranks import Ranks, find_ranks
from modules.config.errors import OptionError, counted
from modules.config.schema import Compute, Settings

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
X86 = ("x86_64", "amd64")
PACKAGES = ("torch", "torchvision", "timm", "albumentations", "scikit-learn", "pandas", "numpy", "Pillow", "opencv-python-headless")


@dataclass(frozen=True)
class Process:
    """What this process computes with; no `auto` is left."""

    device: torch.device
    precision: str
    channels_last: bool
    workers: int
    threads: int
    compile: bool = False
    ranks: Ranks = Ranks()

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision around a forward pass; nothing for float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=PRECISIONS[self.precision])  # type: ignore[no-any-return,unused-ignore]

    def place(self, module: nn.Module) -> nn.Module:
        """The module on the device, in the memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return module.to(device=self.device, memory_format=layout)  # type: ignore[call-overload,no-any-return]

    def measure_memory(self) -> dict[str, int]:
        """Bytes, the most that was held until now: by this process, without its workers, and by torch on its GPU."""
        device = {"device": torch.cuda.max_memory_reserved(self.device)} if self.device.type == "cuda" else {}
        return {"process": peak_memory(), **device}

    def describe(self) -> str:
        ways = f"{', channels_last' if self.channels_last else ''}{', compiled' if self.compile else ''}"
        many = f"{self.ranks.world} processes: " if self.ranks.are_several else ""
        return f"{many}{self.device}, {self.precision}{ways}, {counted(self.threads, 'thread')}, {counted(self.workers, 'worker')}"


def start_process(settings: Settings, compute: Compute) -> tuple[Process, list[str]]:
    """Sets up torch and OpenCV as the config says. Returns what was chosen, with remarks for the person, a line each.

    A process that torchrun started beside others has its share of the cores, and a GPU of its own.

    Raises OptionError where float16 is asked for on a CPU, on which it trains wrongly or not at all, or compiled code where
    nothing can be compiled.
    """
    remarks, ranks = [], find_ranks()
    device = torch.device("cpu")
    if settings.gpu:
        accelerator = torch.accelerator.current_accelerator(check_available=True) if torch.accelerator.is_available() else None
        device = accelerator or device
        if accelerator is None:
            remarks.append("no GPU found: using the CPU")
        elif ranks.are_several:
            device = _own_device(device, ranks)
    if device.type == "cpu" and settings.precision == "float16":
        raise OptionError("settings", "precision", "float16 wants a GPU; on a CPU use bfloat16 or float32")
    if compute.sync_batchnorm and (message := _why_not_synchronised(device, ranks)):
        remarks.append(message)
    cores = max(1, (os.cpu_count() or 1) // ranks.on_machine)
    torch.set_num_threads(compute.threads or cores)
    cv2.setNumThreads(0)  # the loader's workers, or torch's threads, have the cores already
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not settings.deterministic
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    on_gpu = device.type != "cpu"
    if not on_gpu:
        keep_freed_memory()
    channels_last = _choose_layout(device) if settings.channels_last == "auto" else settings.channels_last
    workers = _choose_workers(settings.num_workers, on_gpu, cores)
    precision = _choose_precision(settings.precision, device)
    if settings.compile:
        start_compiler(device)
        remarks.append("compile = true: the first step, and the first validation, wait until code is made for them; that may take minutes")
    return Process(device, precision, channels_last, workers, torch.get_num_threads(), settings.compile, ranks), remarks


def describe_environment(process: Process) -> dict[str, Any]:
    """Versions, device and choices, for environment.json."""
    chosen = {**asdict(process), "device": str(process.device), "ranks": process.ranks.world}
    if process.device.type == "cuda":
        chosen["device_name"] = torch.cuda.get_device_name(process.device)
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "platform": platform.platform(), "versions": versions, **chosen}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had not enough memory; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)


def _own_device(device: torch.device, ranks: Ranks) -> torch.device:
    """Raises OptionError where there are fewer GPUs than processes."""
    there = torch.accelerator.device_count()
    if ranks.on_machine > there:
        fault = f"torchrun started {ranks.on_machine} processes on this machine, which has {counted(there, 'GPU')}"
        raise OptionError("settings", "gpu", f"{fault}; start as many, or use false")
    torch.accelerator.set_device_index(ranks.local)
    return torch.device(device.type, ranks.local)


def _why_not_synchronised(device: torch.device, ranks: Ranks) -> str | None:
    """Raises OptionError for a device on which torch cannot do it; says where there is nothing to do."""
    if not ranks.are_several:
        return "sync_batchnorm = true: one process has nothing to synchronise; torchrun starts several"
    if device.type != "cuda":
        raise OptionError("compute", "sync_batchnorm", "torch synchronises BatchNorm on CUDA alone; use false")
    return None


def _choose_workers(num_workers: int | str, on_gpu: bool, cores: int) -> int:
    if isinstance(num_workers, int):
        return num_workers
    return min(8, max(1, cores - 1)) if on_gpu else 0


def _choose_layout(device: torch.device) -> bool:
    """As measured on x86 (docs/performance.md): most convolutional networks train faster in it, up to a third, and none did much slower."""
    return device.type != "cpu" or platform.machine().lower() in X86


def _choose_precision(precision: str, device: torch.device) -> str:
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "float32"
