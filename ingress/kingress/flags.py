"""The command line's words, read into values. Pure; each error names the flag's value and what it should be."""

from __future__ import annotations

from argparse import ArgumentTypeError
from ipaddress import ip_address, ip_network

from kapi.network import Network


def endpoint(text: str) -> tuple[str, int]:
    """Read `ADDRESS:PORT`; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    try:
        at = str(ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        at = None
    if at is None or not 0 <= at[1] < 65536:
        raise ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return at


def count(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdigit() or not int(text[:9]) > 0:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on, such as 2")
    return int(text)


def network(text: str) -> Network:
    """Read a network, or an address alone."""
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a network, such as 10.0.0.0/8: {error}") from None


def key(text: str) -> str:
    """Read `NAMESPACE/NAME`."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME, such as kube-system/ingress")
    return text
