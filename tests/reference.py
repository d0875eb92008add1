"""What a page of docs/reference says of a command line, and what the command line says of itself, in the same form."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

EVERYWHERE = {"--help", "--version"}
FOLDER = Path(__file__).parents[1] / "docs/reference"


def code(words: str) -> str:
    """Words as a cell has them."""
    return f"`{words}`".replace("|", "\\|") if words else ""


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The flags that --help shows, but for those that every command has."""
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS and not EVERYWHERE & set(action.option_strings):
            yield action


def takes(action: argparse.Action) -> str:
    """What a flag takes: a word, or one of several."""
    if action.choices:
        return ", ".join(code(str(choice)) for choice in action.choices)
    return code(action.metavar) if isinstance(action.metavar, str) else ""


def flags(parser: argparse.ArgumentParser) -> set[tuple[str, str, str]]:
    """Flag, what it takes, and what it is for, of each."""
    return {
        (", ".join(map(code, a.option_strings)), takes(a), (a.help or "") % {"default": a.default})
        for a in options(parser)
    }


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    return text.partition(f"\n## {title}")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """The rows of a text's tables, without their heads."""
    lines = text.splitlines()
    for before, line in pairwise(lines[1:] if lines[:1] == [""] else lines):
        if line.startswith("| ") and before.startswith("|"):  # a head follows something else
            yield tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
