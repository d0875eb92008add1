"""Sends queries and gives the replies: from this process, or from a pod of a lab as a program of its own.

As a program it is given a file of queries, a JSON list of [octets in hexadecimal, address, port, whether over TCP], and
writes a list of replies. It needs nothing but Python.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

_TRIES = 3  # of a query over UDP, which promises nothing
Query = tuple[str, str, int, bool]


def reply(message: bytes, host: str, port: int, *, stream: bool) -> bytes:
    """Send one query and wait for its reply."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
        if not stream:
            return _datagram(sock, message)
        sock.sendall(len(message).to_bytes(2, "big") + message)
        with sock.makefile("rb") as reader:
            return reader.read(int.from_bytes(reader.read(2), "big"))


def replies(queries: list[Query]) -> list[str]:
    """Send queries one after the other."""
    return [reply(bytes.fromhex(text), host, port, stream=stream).hex() for text, host, port, stream in queries]


def _datagram(sock: socket.socket, message: bytes) -> bytes:
    for tried in range(_TRIES):
        sock.send(message)
        try:
            return sock.recv(65535)
        except TimeoutError:
            if tried == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


if __name__ == "__main__":
    json.dump(replies(json.loads(Path(sys.argv[1]).read_text())), sys.stdout)
