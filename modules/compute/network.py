"""Whether the network is there: asked before a library asks it, and waits."""

from __future__ import annotations

import socket
from urllib.parse import urlparse
from urllib.request import getproxies


def host_reachable(address: str, seconds: float = 5.0) -> bool:
    """Whether the host of an address answers. With a proxy: assumed."""
    parts, proxies = urlparse(address), getproxies()
    if parts.hostname is None or parts.scheme in proxies or "all" in proxies:
        return True
    try:
        socket.create_connection((parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)), timeout=seconds).close()
        return True
    except OSError:
        return False
