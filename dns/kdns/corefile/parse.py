"""From a Corefile's lines to its server blocks and their directives; snippets and imports are put in place. Pure.

What a directive means is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kdns.corefile.tokens import Line, Place, lines
from kdns.errors import SettingInvalid

_MOST_IMPORTS = 100  # nested or not: more is a file that imports itself


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name, the words after it, and the lines of its block."""

    name: str
    arguments: tuple[str, ...]
    block: tuple[Directive, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """One server: the zones it is for, as written (`tls://example.org:853`), and its directives."""

    keys: tuple[str, ...]
    directives: tuple[Directive, ...]
    place: Place


Read = Callable[[str, str], Mapping[str, str]]  # (pattern, importing file) -> file names and texts


def server_blocks(text: str, file: str, read: Read, environment: Mapping[str, str]) -> tuple[ServerBlock, ...]:
    """Parse a Corefile. Raises `SettingInvalid` with the file and line where it cannot be understood."""
    parser = _Parser(read, environment)
    found = list(parser.blocks(_Lines(lines(text, file, environment))))
    if not found:
        raise SettingInvalid(f"{file}: there is no server block in it, such as `. {{ forward . 9.9.9.9 }}`")
    return tuple(found)


class _Lines:
    """Lines, one after the other, with a look at the next."""

    def __init__(self, found: Iterator[Line]) -> None:
        self._found = list(found)
        self._at = 0

    @property
    def next(self) -> Line | None:
        return self._found[self._at] if self._at < len(self._found) else None

    def take(self, why: Place) -> Line:
        line = self.next
        if line is None:
            raise SettingInvalid(f"{why}: a block begins here and never ends: a line `}}` is missing")
        self._at += 1
        return line


class _Parser:
    """Knows the snippets seen so far."""

    def __init__(self, read: Read, environment: Mapping[str, str]) -> None:
        self._read = read
        self._environment = environment
        self._snippets: dict[str, tuple[Directive, ...]] = {}
        self._imports = 0

    def blocks(self, source: _Lines) -> Iterator[ServerBlock]:
        """Go through server blocks; imported files are part of it, snippets are remembered."""
        while (first := source.next) is not None:
            if first.words[0] == "import":
                source.take(first.place)
                for name, text in self._files(first).items():
                    yield from self.blocks(_Lines(lines(text, name, self._environment)))
                continue
            keys, braces = self._keys(source, first)
            body = tuple(self._body(source, first.place, braces=braces))
            if len(keys) == 1 and keys[0].startswith("("):
                self._snippets[keys[0].strip("()")] = body
            else:
                yield ServerBlock(keys, body, first.place)

    def _keys(self, source: _Lines, first: Line) -> tuple[tuple[str, ...], bool]:
        """Read the zones: over several lines where a comma ends the line. Without braces, the rest is one block."""
        keys: list[str] = []
        while True:
            words = source.take(first.place).words
            braces = words[-1] == "{"
            keys += [key for word in words[: -1 if braces else None] for key in word.split(",") if key]
            if braces or not words[-1].endswith(","):
                if not keys:
                    raise SettingInvalid(f"{first.place}: a server block needs a zone before its brace, such as `. {{`")
                return tuple(keys), braces

    def _body(self, source: _Lines, start: Place, *, braces: bool) -> Iterator[Directive]:
        while braces or source.next is not None:
            line = source.take(start)
            if line.words == ("}",):
                if braces:
                    return
                raise SettingInvalid(f"{line.place}: nothing is open that this brace could close")
            if line.words[0] == "import":
                yield from self._imported(line)
            elif line.words[-1] == "{":
                block = tuple(self._body(source, line.place, braces=True))
                yield Directive(line.words[0], line.words[1:-1], block, line.place)
            else:
                yield Directive(line.words[0], line.words[1:], (), line.place)

    def _imported(self, line: Line) -> Iterator[Directive]:
        known = self._snippets.get(line.words[-1])
        if known is not None:
            yield from known
            return
        for name, text in self._files(line).items():
            yield from self._body(_Lines(lines(text, name, self._environment)), Place(name, 1), braces=False)

    def _files(self, line: Line) -> Mapping[str, str]:
        self._imports += 1
        if len(line.words) != 2:
            raise SettingInvalid(
                f"{line.place}: import takes one name: a snippet's, or a file's, such as `import *.zone`"
            )
        if self._imports > _MOST_IMPORTS:
            raise SettingInvalid(f"{line.place}: over {_MOST_IMPORTS} imports; does a file import itself?")
        found = self._read(line.words[1], line.place.file)
        if not found and "*" not in line.words[1]:
            raise SettingInvalid(f"{line.place}: there is neither a snippet nor a file {line.words[1]!r}")
        return found
