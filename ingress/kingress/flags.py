"""The command line's words, read into values. Pure; each error names the flag's value and what it should be."""

from __future__ import annotations

from argparse import ArgumentTypeError
from urllib.parse import SplitResult, urlsplit


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


def url(text: str) -> SplitResult:
    """Read the URL of a request; `http://` need not be written."""
    try:
        found = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        found = urlsplit("")
    if found.scheme not in ("http", "https") or not found.netloc:
        raise ArgumentTypeError(f"{text!r} is not the URL of a request, such as http://shop.example/cart")
    return found


def key(text: str) -> str:
    """Read `NAMESPACE/NAME`."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME, such as kube-system/ingress")
    return text
