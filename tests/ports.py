"""Ports for servers that tests start and that must know their port beforehand."""

from __future__ import annotations

import random
import socket
from pathlib import Path

FROM = 10_000
PLACES = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def unused_port() -> int:
    """Give a port of loopback at which nothing listens, by TCP or UDP.

    It lies below the ports that the kernel gives to clients: between this look and the server's start no connection
    of another test, in this session or in one beside it, can take it.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(FROM, below)
        if all(_free(port, kind) for kind in PLACES):
            return port


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
