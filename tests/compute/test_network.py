"""Whether a host answers: asked at the port of its address, and taken for granted behind a proxy."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from modules.compute.network import host_reachable


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.compute.network.getproxies", dict)


@pytest.mark.parametrize(
    ("address", "port"), [("http://a.example/x.gz", 80), ("https://a.example/x.gz", 443), ("http://a.example:8080/x", 8080)]
)
def test_the_port_of_the_address_is_asked(address: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def connect(place: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(place)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    assert host_reachable(address)
    assert asked == [("a.example", port)]


def test_a_host_that_does_not_answer_is_not_reachable_but_a_proxy_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not host_reachable("https://a.example/x.gz"), "there is no network in tests"
    monkeypatch.setattr("modules.compute.network.getproxies", lambda: {"https": "http://proxy:1"})
    assert host_reachable("https://a.example/x.gz") and not host_reachable("http://a.example/x.gz")
