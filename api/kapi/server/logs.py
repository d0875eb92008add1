"""Which part of a log is asked for. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from kapi.server import statuses

_UNKEPT = ("timestamps", "sinceSeconds", "sinceTime")  # they need the time of each line, which nobody writes down


@dataclass(frozen=True, slots=True)
class Cut:
    """The last `lines` of what is there, and of all that follows the first `most` bytes; None is without a limit."""

    lines: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Cut:
        """Read it from a request's parameters. Refuses (400) what is no number."""
        return cls(_number(query, "tailLines"), _number(query, "limitBytes"))

    def whole(self, log: bytes) -> bytes:
        """Give the part of a log that is complete."""
        return self._tail(log)[: self.most]

    async def stream(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Give the part of a log that grows; its first piece is what was there."""
        first, given = True, 0
        async for piece in pieces:
            wanted = self._tail(piece) if first else piece
            first = False
            if self.most is not None:
                wanted = wanted[: self.most - given]
            given += len(wanted)
            if wanted:
                yield wanted
            if self.most is not None and given >= self.most:
                return

    def _tail(self, log: bytes) -> bytes:
        if self.lines is None:
            return log
        return b"".join(log.splitlines(keepends=True)[-self.lines :]) if self.lines else b""


def warnings(query: Mapping[str, str]) -> tuple[str, ...]:
    """Say what is asked for in vain."""
    asked = [name for name in _UNKEPT if query.get(name, "false") not in ("", "false", "0")]
    return (f"{', '.join(asked)}: left out, since logs here have no times of their lines",) if asked else ()


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise statuses.bad_request(f"{name}: {text!r} is not a number")
    return int(text)
