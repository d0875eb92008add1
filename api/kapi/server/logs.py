"""Which part of a log is asked for, and when its lines were printed. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kapi.server import statuses

Times = Sequence[tuple[int, float]]
"""How many bytes a log had, and since when (Unix time), ascending; what is beyond the last has been there since now."""

_TIMED = ("timestamps", "sinceSeconds", "sinceTime")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Cut:
    """The last `lines` of what is there, of those the ones since a moment, and of all that the first `most` bytes.

    None is without a limit. With `stamped`, each line begins with the time at which it was printed.
    """

    lines: int | None = None
    most: int | None = None
    since: float | None = None
    stamped: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str], now: float = 0.0) -> Cut:
        """Read it from a request's parameters; `now` is a Unix time. Refuses (400) what makes no sense."""
        stamped = query.get("timestamps", "") in ("true", "1")
        return cls(_number(query, "tailLines"), _number(query, "limitBytes"), _since(query, now), stamped)

    @property
    def timed(self) -> bool:
        """Whether it takes the times of lines."""
        return self.stamped or self.since is not None

    def whole(self, log: bytes, times: Times = (), now: float = 0.0) -> bytes:
        """Give the part of a log that is complete."""
        return self._chosen(log, times, now)[: self.most]

    async def stream(
        self,
        pieces: AsyncIterator[bytes],
        times: Callable[[], Times] = lambda: (),
        clock: Callable[[], float] = lambda: 0.0,
    ) -> AsyncIterator[bytes]:
        """Give the part of a log that grows; its first piece is what was there, the others are new when they come."""
        first, given, within = True, 0, False
        async for piece in pieces:
            now = clock()
            wanted = self._chosen(piece, times(), now) if first else self._fresh(piece, now, within=within)
            first, within = False, not piece.endswith(b"\n") if piece else within
            if self.most is not None:
                wanted = wanted[: self.most - given]
            given += len(wanted)
            if wanted:
                yield wanted
            if self.most is not None and given >= self.most:
                return

    def _chosen(self, log: bytes, times: Times, now: float) -> bytes:
        if self.lines is None and not self.timed:
            return log
        lines = _LINE.findall(log)
        if self.lines is not None:
            lines = lines[-self.lines :] if self.lines else []
        if self.timed:
            lines = self._dated(lines, len(log) - sum(map(len, lines)), times, now)
        return b"".join(lines)

    def _dated(self, lines: list[bytes], start: int, times: Times, now: float) -> list[bytes]:
        """The lines from byte `start` on that are not older than is asked for, with their times where wanted."""
        sizes = [size for size, _ in times]
        found = []
        for line in lines:
            index = bisect_right(sizes, start)
            moment = times[index][1] if index < len(times) else now
            if self.since is None or moment >= self.since:
                found.append(_stamp(moment) + line if self.stamped else line)
            start += len(line)
        return found

    def _fresh(self, piece: bytes, now: float, *, within: bool) -> bytes:
        """What is new; `within` says that it begins in the middle of a line."""
        if not self.stamped:
            return piece
        stamp = _stamp(now)
        lines = _LINE.findall(piece)
        return b"".join(line if within and not number else stamp + line for number, line in enumerate(lines))


def warnings(query: Mapping[str, str]) -> tuple[str, ...]:
    """Say what is asked for in vain where nobody knows the times of lines."""
    asked = [name for name in _TIMED if query.get(name, "false") not in ("", "false", "0")]
    return (f"{', '.join(asked)}: left out, since logs here have no times of their lines",) if asked else ()


def _stamp(moment: float) -> bytes:
    """A time as the kubelet writes it, with nine digits behind the point."""
    text = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text}000Z ".encode()


def _since(query: Mapping[str, str], now: float) -> float | None:
    seconds, text = _number(query, "sinceSeconds"), query.get("sinceTime", "")
    if seconds is not None and text:
        raise statuses.bad_request("at most one of sinceTime or sinceSeconds may be specified")
    if seconds is not None:
        if not seconds:
            raise statuses.bad_request("sinceSeconds: Invalid value: must be greater than 0")
        return now - seconds
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise statuses.bad_request(f"sinceTime: {text!r} is not a time such as 2030-01-31T12:00:00Z") from None


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise statuses.bad_request(f"{name}: {text!r} is not a number")
    return int(text)
