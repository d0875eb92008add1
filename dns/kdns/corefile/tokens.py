"""A Corefile's words, line by line: quotes, comments, and environment variables. Pure.

The syntax is that of the Caddyfile, version 1. `{$NAME}` and `{%NAME%}` stand for environment variables, anywhere in
a word; one that is not set stands for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kdns.errors import SettingInvalid

_VARIABLE = re.compile(r"\{\$([^{}]+)\}|\{%([^{}]+)%\}")
_WORD = re.compile(r'(?P<space>[^\S\n]+)|(?P<end>\n)|(?P<comment>#[^\n]*)|"(?P<quoted>(?:\\"|[^"])*)"|(?P<bare>[^\s]+)')


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one line, at least one."""

    words: tuple[str, ...]
    place: Place


def lines(text: str, file: str, environment: Mapping[str, str]) -> Iterator[Line]:
    """Split a text into lines of words; raises `SettingInvalid` for a quote that is not closed."""
    words: list[str] = []
    number = 1
    for found in _WORD.finditer(text):
        if found["end"]:
            if words:
                yield Line(tuple(words), Place(file, number))
            words = []
        elif found["quoted"] is not None:
            words.append(found["quoted"].replace('\\"', '"'))
        elif found["bare"]:
            if found["bare"].startswith('"'):
                raise SettingInvalid(f"{file}:{number}: a quotation begins here and never ends")
            words.append(_replaced(found["bare"], environment))
        number += found[0].count("\n")
    if words:
        yield Line(tuple(words), Place(file, number))


def _replaced(word: str, environment: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), word)
