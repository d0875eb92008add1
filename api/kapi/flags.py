"""The words of command lines that every component understands alike. Pure."""

from __future__ import annotations

from argparse import ArgumentTypeError
from urllib.parse import urlsplit


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
