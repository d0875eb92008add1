"""The flag of every command that tells which version it is."""

from __future__ import annotations

import argparse
import sys


def add_version(to: argparse._ActionsContainer) -> None:
    """Add the flag."""
    to.add_argument("--version", action=_Version, nargs=0, help="print the version, and end")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        tell(parser)


def tell(parser: argparse.ArgumentParser) -> None:
    """Print the version of a command, and end."""
    from importlib.metadata import version  # noqa: PLC0415  # takes a while

    sys.stdout.write(f"{parser.prog.partition(' ')[0]} {version('kproxy')}\n")
    parser.exit()
