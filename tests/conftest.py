"""Options, and what every test starts from: its own folder, few threads, no network, no accelerator."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

# torch, and what needs it, is imported by the fixtures: of the processes that pytest-xdist starts, the first runs no test.

WHOLE_JOBS = ("scripts", "contests", "training")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", default=False, help="run the tests marked slow too")


def pytest_configure(config: pytest.Config) -> None:
    """Scripts that tests start have one thread too: several processes with as many threads as cores wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole jobs come first: a file that takes long must not be what one process is left with when the others are done."""
    items.sort(key=lambda item: item.path.parent.name not in WHOLE_JOBS)
    if not config.getoption("--runslow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --runslow"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts write where they stand, so every test stands in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture(autouse=True)
def _no_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would take is no test's business, and a run waits for the disk after every file that it writes."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On a machine with other work to do, threads that wait for each other take ten times as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell that runs the tests in the background has them ignore Ctrl-C; those that send it want it heard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked up or connected to; sockets of the machine's own processes go on working."""

    def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def contest(tmp_path: Path) -> Path:
    """A CSV contest of 60 training and 12 test images, in three classes, that a small model learns at once."""
    from tests.making import make_contest

    return make_contest(tmp_path / "contest")
