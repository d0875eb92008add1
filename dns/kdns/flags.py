"""The command line's words, read into values. Pure; each error names the flag's value and what it should be."""

from __future__ import annotations

from argparse import ArgumentTypeError
from ipaddress import ip_address

from kapi import flags
from kapi.network import Address, Network
from kdns import names
from kdns.errors import NameInvalid
from kdns.settings import Upstream


def endpoint(text: str) -> tuple[Address, int]:
    """Read `ADDRESS:PORT`; an IPv6 address stands in brackets."""
    host, port = flags.endpoint(text, example=53)
    return ip_address(host), port


def address(text: str) -> Address:
    """Read an address."""
    try:
        return ip_address(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an address, such as 169.254.20.10") from None


def upstream(text: str) -> Upstream:
    """Read `ADDRESS[:PORT]`; an IPv6 address with a port stands in brackets."""
    try:
        return Upstream(str(ip_address(text)))
    except ValueError:
        address, port = endpoint(text)
        return Upstream(str(address), port)


def stub(text: str) -> tuple[str, Upstream]:
    """Read `ZONE=ADDRESS[:PORT]`."""
    name, _, address = text.partition("=")
    if not address:
        raise ArgumentTypeError(f"{text!r} is not ZONE=ADDRESS[:PORT], such as corp.example=10.0.0.53")
    return zone(name), upstream(address)


def record(text: str) -> tuple[str, Address]:
    """Read `NAME=ADDRESS`."""
    name, _, address = text.partition("=")
    try:
        names.check_hostname(name)
        return name.removesuffix(".").lower(), ip_address(address)
    except (NameInvalid, ValueError) as error:
        raise ArgumentTypeError(f"{text!r} is not NAME=ADDRESS, such as db.example=10.0.0.5: {error}") from None


def reverse(text: str) -> Network:
    """Read a network whose reverse zones are to be served."""
    return flags.network(text, example="10.96.0.0/16")


def zone(text: str) -> str:
    """Read the cluster's domain."""
    try:
        names.check_hostname(text)
    except NameInvalid as error:
        raise ArgumentTypeError(str(error)) from None
    return text.removesuffix(".").lower()


def seconds(text: str) -> float:
    """Read a duration in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 3600:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3599")
    return value


def ttl(text: str) -> int:
    """Read a time to live in seconds; 3600 is the most, so that no answer outlives a cluster's change by long."""
    if not text.isdecimal() or int(text) > 3600:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return int(text)
