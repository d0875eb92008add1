"""The words that directives take: durations, numbers, zones, addresses. Pure.

Each error says where it is and what would be right.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from kapi.network import Address
from kdns import names
from kdns.corefile.parse import Directive
from kdns.errors import NameInvalid, SettingInvalid
from kdns.settings import EVERYWHERE, ROOT

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def wrong(directive: Directive, what: str) -> SettingInvalid:
    """Give the error for a directive that cannot be followed."""
    return SettingInvalid(f"{directive.place}: {directive.name}: {what}")


def duration(text: str, directive: Directive) -> float:
    """Read a duration as Go writes it (`5s`, `1m30s`), or seconds alone."""
    if text.isdecimal():
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise wrong(directive, f"{text!r} is not a duration, such as 5s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def number(text: str, directive: Directive, low: int, high: int) -> int:
    """Read a whole number in a range."""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise wrong(directive, f"{text!r} is not a number from {low} to {high}")
    return int(text)


def only(directive: Directive, count: int = 1) -> tuple[str, ...]:
    """Give the words of a directive that takes `count` of them."""
    if len(directive.arguments) != count or directive.block:
        raise wrong(directive, f"it takes {count} word{'s' if count != 1 else ''}, not {len(directive.arguments)}")
    return directive.arguments


def first(directive: Directive, default: str) -> str:
    """Give the only word of a directive that may have one, or what stands for none."""
    if len(directive.arguments) > 1:
        raise wrong(directive, f"it takes one word, not {len(directive.arguments)}")
    return directive.arguments[0] if directive.arguments else default


def zones(texts: tuple[str, ...], directive: Directive) -> tuple[str, ...]:
    """Read zones; a network in CIDR notation stands for its reverse zones."""
    return tuple(zone for text in texts for zone in _zones(text, directive))


def _zones(text: str, directive: Directive) -> tuple[str, ...]:
    if text == ".":
        return (ROOT,)
    if "/" in text:
        try:
            return names.reverse_zones(ip_network(text, strict=False))
        except ValueError as error:
            raise wrong(directive, f"{text!r} is no network: {error}") from None
    try:
        names.check_hostname(text)
    except NameInvalid as error:
        raise wrong(directive, str(error)) from None
    return (text.removesuffix(".").lower(),)


def address(text: str, directive: Directive) -> Address:
    """Read an address."""
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        raise wrong(directive, f"{text!r} is not an address") from None


def places(text: str, directive: Directive) -> tuple[tuple[Address, int], ...]:
    """Read `[ADDRESS]:PORT`; without an address it is every address, and `localhost` is both loopback ones."""
    host, _, port = text.rpartition(":")
    at = number(port, directive, 0, 65535)
    if not host:
        return tuple((each, at) for each in EVERYWHERE)
    if host == "localhost":
        return ((ip_address("127.0.0.1"), at),)
    return ((address(host, directive), at),)
