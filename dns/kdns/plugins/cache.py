"""Remembers forwarded answers for as long as their records allow (RFC 2308). The cluster's names never come here.

A remembered answer is valid for the very question it answered; nothing in it is used for another name, so
an upstream's extra records poison nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from kdns import wire
from kdns.chain import Rest, Setup
from kdns.errors import Malformed
from kdns.query import Query
from kdns.wire import SERVFAIL, Answer, Rcode, Record, Type

_LONGEST = 3600  # seconds
_LONGEST_NEGATIVE = 1800
_KEPT = (Rcode.NOERROR, Rcode.NXDOMAIN)


def setup(setup: Setup) -> Cache | None:
    """Remember what is forwarded, where anything is."""
    settings = setup.settings
    return Cache(settings.cache_entries, setup.monotonic) if settings.forwards and settings.cache_entries else None


class _Entry:
    """One answer, from `since` (seconds) until `until`; its TTLs count down once a second."""

    __slots__ = ("_answer", "_records", "_second", "_since", "_start", "until")

    def __init__(self, answer: Answer, records: list[Record], question: int, now: float, lifetime: int) -> None:
        self._answer = answer
        self._records = tuple((record.ttl_at, record.ttl) for record in records)
        self._start = wire.HEADER + question
        self._since = now
        self._second = 0
        self.until = now + lifetime

    def at(self, now: float) -> Answer:
        """Give the answer with the TTLs that are left."""
        second = int(now - self._since)
        if second != self._second:
            tail = bytearray(self._answer.tail)
            for at, ttl in self._records:
                tail[at - self._start : at - self._start + 4] = max(0, ttl - second).to_bytes(4, "big")
            self._answer = self._answer._replace(tail=bytes(tail))
            self._second = second
        return self._answer


class Cache:
    """A bounded table of answers; the least recently stored goes first."""

    name: ClassVar[str] = "cache"
    ready = True

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._entries: dict[bytes, _Entry] = {}
        self._asked: dict[bytes, asyncio.Future[Answer]] = {}

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        now = self._monotonic()
        if now < entry.until:
            return entry.at(now)
        del self._entries[question]
        return None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`. The same question asked again meanwhile waits for the same answer."""
        key = _key(query)
        answer = self.lookup(key)
        if answer is not None:
            return answer
        asked = self._asked.get(key)
        if asked is not None:
            return await asyncio.shield(asked)
        asked = self._asked[key] = asyncio.get_running_loop().create_future()
        answer = SERVFAIL
        try:
            answer = await rest.next(query)
            self._keep(key, query, answer)
        finally:
            del self._asked[key]
            asked.set_result(answer)
        return answer

    def _keep(self, key: bytes, query: Query, answer: Answer) -> None:
        lifetime, records = _lifetime(query, answer)
        if not lifetime:
            return
        self._entries.pop(key, None)
        self._entries[key] = _Entry(answer, records, len(query.sent), self._monotonic(), lifetime)
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]


def _key(query: Query) -> bytes:
    """Give the question; with DNSSEC flags, which change the answer, an octet more."""
    marks = query.dnssec | query.checking_disabled << 1
    return query.question + bytes((marks,)) if marks else query.question


def _lifetime(query: Query, answer: Answer) -> tuple[int, list[Record]]:
    """For how many seconds an answer may be kept (0: not at all), and its records."""
    if answer.rcode not in _KEPT or wire.is_truncated(answer):
        return 0, []
    try:
        records = wire.records(answer, query.sent)
    except Malformed:
        return 0, []
    answers = [record.ttl for record in records if record.section == 0]
    if answers and answer.rcode == Rcode.NOERROR:
        return min(_LONGEST, *answers), records
    limits = [
        min(record.ttl, int.from_bytes(record.data[-4:], "big"))
        for record in records
        if record.type == Type.SOA and record.section == 1
    ]
    return min(_LONGEST_NEGATIVE, *limits, *answers) if limits else 0, records
