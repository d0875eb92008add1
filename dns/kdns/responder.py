"""From a query's bytes to a reply's bytes, at once where memory knows the answer. No sockets, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kdns import query as queries
from kdns import wire
from kdns.edns import Options
from kdns.errors import Malformed
from kdns.query import (
    CLASSIC_LIMIT,
    ECHOED,
    EDNS_LIMIT,
    ONE_QUESTION,
    ONE_WITH_OPT,
    OPT_END,
    OPT_START,
    PLAIN_OPT,
    Query,
)
from kdns.wire import Answer

Lookup = Callable[[bytes], Answer | None]


class Responder:
    """Replies to queries; `lookup` knows answers by question."""

    def __init__(self, lookup: Lookup, options: Options | None = None, payload: int = EDNS_LIMIT) -> None:
        self._lookup = lookup
        self._options = options
        self._payload = max(CLASSIC_LIMIT, payload)
        self._turn = 0

    def plain(self, data: bytes) -> bytes | None:
        """Reply to the commonest forms of query: one question, no EDNS or its plainest, an answer in memory that fits.

        None means that `considered` must look. Nothing is parsed here: a name ends at the first zero octet unless a
        label contains one, and then the bytes up to it are no known question.
        """
        end = data.find(0, wire.HEADER) + 5
        echoed = ECHOED.get(data[2:4])
        if echoed is None:
            return None
        if data[4:12] == ONE_QUESTION and len(data) == end:
            limit, opt = CLASSIC_LIMIT, b""
        elif data[4:12] == ONE_WITH_OPT and data[end : end + 3] == OPT_START and data[end + 5 :] == OPT_END:
            limit, opt = data[end + 3] << 8 | data[end + 4], PLAIN_OPT
            if limit > self._payload:
                limit = self._payload
            elif limit < CLASSIC_LIMIT:
                limit = CLASSIC_LIMIT
        else:
            return None
        answer = self._lookup(data[12 : end - 4].lower() + data[end - 4 : end])
        if answer is None:
            return None
        flags, counts, tail, stride = answer
        if stride:
            tail = self._next_turn(answer).tail
        if opt:
            counts = wire.one_more(counts)
        reply = data[:2] + (flags | echoed).to_bytes(2, "big") + b"\0\1" + counts + data[12:end] + tail + opt
        return reply if len(reply) <= limit else None

    def considered(self, data: bytes, limit: int = 0, client: str = "") -> bytes | Query | None:
        """Read any bytes: the reply, or the query that needs waiting for, or None where no reply is deserved.

        `limit` bounds the reply in octets; 0 is what the client allows over UDP. `client` is its address.
        """
        try:
            query = queries.parse(data)
        except Malformed as error:
            return queries.complaint(data, error.rcode)
        if query is None:
            return None
        query = replace(query, client=client)
        if query.dnssec or query.checking_disabled:
            return query  # what is remembered was asked without these
        answer = self._lookup(query.question)
        if answer is None:
            return query
        return self.reply(query, answer, limit)

    def reply(self, query: Query, answer: Answer, limit: int = 0) -> bytes:
        """Give the reply that carries an answer; see `considered` for `limit`."""
        if answer.stride:
            answer = self._next_turn(answer)
        options = self._options.answer(query, stream=limit > 0) if self._options else b""
        return queries.reply(query, answer, limit or min(query.limit, self._payload), options)

    def _next_turn(self, answer: Answer) -> Answer:
        self._turn += 1
        return wire.turned(answer, self._turn)
