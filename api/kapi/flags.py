"""The words of command lines that every component understands alike. Pure."""

from __future__ import annotations

from argparse import ArgumentTypeError
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from kapi.network import Network


def server(text: str) -> str:
    """Read an API server's URL. Raises `ArgumentTypeError`, which argparse tells of with exit code 2."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, brackets that are not closed
        whole = None
    if not whole or any(letter.isspace() for letter in text):
        raise ArgumentTypeError(
            f"{text!r} is no URL of an API server, such as http://127.0.0.1:8001 or https://api.example:6443"
        )
    return text


def endpoint(text: str, example: int = 8080) -> tuple[str, int]:
    """Read `ADDRESS:PORT`; an IPv6 address stands in brackets. `example` is a port that an error names."""
    host, _, port = text.rpartition(":")
    try:
        at = str(ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        at = None
    if at is None or not 0 <= at[1] < 65536:
        raise ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:{example} or [::1]:{example}")
    return at


def network(text: str, example: str = "10.0.0.0/8") -> Network:
    """Read a network, or an address alone. `example` is what an error names."""
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a network, such as {example}: {error}") from None
