"""The command line's words, read into values. Pure; each error names the flag's value and what it should be."""

from __future__ import annotations

from argparse import ArgumentTypeError


def count(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdigit() or not int(text[:9]) > 0:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on, such as 2")
    return int(text)


def number(text: str) -> int:
    """Read a number from 0 on."""
    if not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a number from 0 on, such as 100")
    return int(text[:9])


def key(text: str) -> str:
    """Read `NAMESPACE/NAME`."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME, such as kube-system/ingress")
    return text
