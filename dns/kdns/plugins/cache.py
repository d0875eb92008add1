"""Remembers forwarded answers for as long as their records allow (RFC 2308). The cluster's names never come here.

A remembered answer is valid for the very question it answered; nothing in it is used for another name, so
an upstream's extra records poison nothing. What is asked for often is asked again before it ends (prefetch); what has
ended may still help out (serve stale, RFC 8767): at once while it is asked for again, or only if no upstream answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from kdns import names, wire
from kdns.chain import Rest, Setup
from kdns.errors import Malformed
from kdns.query import Query
from kdns.settings import Caching
from kdns.wire import SERVFAIL, Answer, Rcode, Record, Type


def setup(setup: Setup) -> Cache | None:
    """Remember what is forwarded, where anything is."""
    settings = setup.settings
    return Cache(settings.cache, setup.monotonic) if settings.forwards and settings.cache else None


@dataclass
class Counts:
    """What the cache did so far."""

    hits: int = 0
    denials: int = 0  # hits that deny a name or its data
    misses: int = 0
    prefetches: int = 0
    stale: int = 0
    evictions: int = 0


class _Entry:
    """One answer, from `since` (seconds) until `until`; its TTLs count down once a second."""

    __slots__ = ("_answer", "_records", "_second", "_since", "_start", "asked", "denies", "lifetime", "until")

    def __init__(self, answer: Answer, records: list[Record], question: int, now: float, lifetime: float) -> None:
        self._answer = answer._replace(author=Cache.name)
        self.denies = answer.counts[:2] == b"\0\0"  # there is nothing in it but why
        self._records = tuple((record.ttl_at, record.ttl) for record in records)
        self._start = wire.HEADER + question
        self._since = now
        self._second = 0
        self.lifetime = lifetime
        self.until = now + lifetime
        self.asked: deque[float] = deque(maxlen=64)  # when it was asked for lately, where prefetching is on

    def at(self, now: float) -> Answer:
        """Give the answer with the TTLs that are left; 0 after its end."""
        second = int(now - self._since)
        if second != self._second:
            tail = bytearray(self._answer.tail)
            for at, ttl in self._records:
                left = max(0, min(ttl, int(self.lifetime)) - second)
                tail[at - self._start : at - self._start + 4] = left.to_bytes(4, "big")
            self._answer = self._answer._replace(tail=bytes(tail))
            self._second = second
        return self._answer


class Cache:
    """Two bounded tables, of answers and of denials; the least recently stored goes first."""

    name: ClassVar[str] = "cache"
    ready = True

    def __init__(self, caching: Caching, monotonic: Callable[[], float]) -> None:
        self._caching = caching
        self._monotonic = monotonic
        self._disabled = tuple((kind == "denial", names.to_wire(zone)) for kind, zone in caching.disabled)
        self._entries: dict[bytes, _Entry] = {}
        self._denials: dict[bytes, _Entry] = {}
        self._asked: dict[bytes, asyncio.Future[Answer]] = {}
        self._refreshing: set[asyncio.Task[Answer]] = set()
        self.counts = Counts()

    @property
    def sizes(self) -> tuple[int, int]:
        """How many answers and how many denials are remembered."""
        return len(self._entries), len(self._denials)

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`."""
        entry = self._entries.get(question) or self._denials.get(question)
        if entry is None:
            return None
        now = self._monotonic()
        if now >= entry.until or (self._caching.prefetch and self._wanted(entry, now)):
            return None
        self.counts.hits += 1
        self.counts.denials += entry.denies
        return entry.at(now)

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`. The same question asked again meanwhile waits for the same answer."""
        key = _key(query)
        answer = self.lookup(key)
        if answer is not None:
            return answer
        entry = self._entries.get(key) or self._denials.get(key)
        now = self._monotonic()
        if entry is not None and now < entry.until:
            self.counts.prefetches += key not in self._asked
            self.counts.hits += 1
            entry.asked.clear()
            return self._meanwhile(key, query, rest, entry)
        self.counts.misses += 1
        if entry is not None and not self._caching.stale_verified and now < entry.until + self._caching.stale:
            self.counts.stale += 1
            return self._meanwhile(key, query, rest, entry)
        asked = self._asked.get(key)
        answer = await (asyncio.shield(asked) if asked is not None else self._ask(key, query, rest))
        now = self._monotonic()
        if answer.rcode == Rcode.SERVFAIL and entry is not None and now < entry.until + self._caching.stale:
            self.counts.stale += 1
            return entry.at(now)
        return answer

    def _meanwhile(self, key: bytes, query: Query, rest: Rest, entry: _Entry) -> Answer:
        """Answer from memory, and ask upstream meanwhile."""
        if key not in self._asked:
            task = asyncio.get_running_loop().create_task(self._ask(key, query, rest))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)
        return entry.at(self._monotonic())

    def _wanted(self, entry: _Entry, now: float) -> bool:
        """Whether an answer is about to end and was asked for often."""
        caching = self._caching
        entry.asked.append(now)
        if entry.until - now > entry.lifetime * caching.prefetch_percent / 100:
            return False
        return sum(now - at <= caching.prefetch_within for at in entry.asked) >= min(caching.prefetch, 64)

    async def _ask(self, key: bytes, query: Query, rest: Rest) -> Answer:
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
        lifetime, records = _lifetime(query, answer, self._caching)
        if not lifetime or (answer.rcode == Rcode.SERVFAIL and self._caching.stale and key in self._entries):
            return
        entry = _Entry(answer, records, len(query.sent), self._monotonic(), lifetime)
        if any(entry.denies == denies and query.name.endswith(zone) for denies, zone in self._disabled):
            return
        self._entries.pop(key, None)
        self._denials.pop(key, None)
        table, most = (
            (self._denials, self._caching.denied_entries) if entry.denies else (self._entries, self._caching.entries)
        )
        table[key] = entry
        if len(table) > most:
            del table[next(iter(table))]
            self.counts.evictions += 1


def _key(query: Query) -> bytes:
    """Give the question; with DNSSEC flags, which change the answer, an octet more."""
    marks = query.dnssec | query.checking_disabled << 1
    return query.question + bytes((marks,)) if marks else query.question


def _lifetime(query: Query, answer: Answer, caching: Caching) -> tuple[float, list[Record]]:
    """For how many seconds an answer may be kept (0: not at all), and its records."""
    if wire.is_truncated(answer):
        return 0, []
    if answer.rcode == Rcode.SERVFAIL:
        return caching.failures, []
    if answer.rcode not in {Rcode.NOERROR, Rcode.NXDOMAIN}:
        return 0, []
    try:
        records = wire.records(answer, query.sent)
    except Malformed:
        return 0, []
    answers = [record.ttl for record in records if record.section == 0]
    if answers and answer.rcode == Rcode.NOERROR:
        return max(caching.shortest, min(caching.longest, *answers)), records
    limits = [
        min(record.ttl, int.from_bytes(record.data[-4:], "big"))
        for record in records
        if record.type == Type.SOA and record.section == 1
    ]
    return (min(caching.longest_denied, *limits, *answers) if limits else 0), records
