"""A Ray of this machine, or a cluster's: started without a dashboard, and without telling anybody of it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from modules.config.command_line import Stopped
from modules.config.errors import OptionError

PROJECT = Path(__file__).parents[2]
SECONDS_TO_ANSWER = 10
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU of its own sees none
}


@contextmanager
def ray_running(address: str | None, cpus: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Ray, as long as the context lasts: of `address`, or a new one of this machine with so many CPUs.

    Workers find Foldini where this process has it. Raises OptionError where there is no cluster at the address.
    """
    own = {**ENVIRONMENT, **(environment or {})}
    os.environ.update(own)
    logging.getLogger("ray").setLevel(logging.ERROR)  # what it warns of concerns those who run a cluster
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a trial that fails is recorded with its cause
    shared: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    workers = {"env_vars": {**own, "PYTHONPATH": str(PROJECT)}}
    if address is not None and not _is_listening(address):
        raise OptionError("compute", "address", f"nothing answers at {address}, where a Ray cluster should")
    try:
        with _own_sigterm():
            if address is None:
                started: Any = ray.init(address="local", num_cpus=cpus, include_dashboard=False, runtime_env=workers, **shared)
            else:
                started = ray.init(address=address, runtime_env=workers, **shared)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise
        raise OptionError("compute", "address", f"no Ray cluster answers at {address}: {' '.join(str(error).split())[:200]}") from None
    try:
        yield
    except (SystemError, KeyboardInterrupt) as error:
        raise _first_signal(error) from None
    finally:
        ray.shutdown()
    if address is None:  # what it wrote of a job that failed stays to be looked at
        shutil.rmtree(started.address_info["session_dir"], ignore_errors=True)


def _is_listening(address: str) -> bool:
    """Ray asks for minutes where nobody is. What is no host:port (auto, or a Ray client's) it finds out by itself."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return True
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as line:
        line.settimeout(SECONDS_TO_ANSWER)
        try:
            return line.connect_ex((host.strip("[]"), int(port))) == 0
        except (OSError, OverflowError):  # no such host, no such port
            return False


def _first_signal(error: BaseException) -> BaseException:
    """The signal that came while Ray's compiled code ran, which makes a SystemError of it, or another signal; else the error itself."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    return next((each for each in reversed(chain) if isinstance(each, (KeyboardInterrupt, Stopped))), error)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray's way to hear SIGTERM is sys.exit(), which tells nobody how to go on."""
    own = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, own)
