"""From a query's bytes to a reply's bytes, at once where memory knows the answer. No sockets, no waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

from kdns import query as queries
from kdns import wire
from kdns.changes import Changes
from kdns.edns import Options
from kdns.errors import Malformed
from kdns.likeness import STANDARD, Likeness
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
from kdns.wire import LATER, Answer

T = TypeVar("T")

_LONGEST_LABEL = 63  # octets
_MOST_PREPARED = 16_384  # whole replies: some 5 MB


class Answering(Protocol):
    """What knows answers: a chain, or several of them; see `Chain`."""

    changes: Changes

    def steady(self, question: bytes) -> Answer | None:
        """Answer at once with what stays so until `changes` are told."""
        ...

    def others(self, question: bytes) -> Answer | None:
        """Answer at once where `steady` does not."""
        ...


class _Form(NamedTuple):
    """A plain query that steady plug-ins know nothing of: its question, and what a reply repeats, and may be."""

    question: bytes
    echoed: int
    limit: int
    opt: bytes


class Responder:
    """Replies to queries. Whole replies made of steady answers are kept, by query, until anything changes."""

    def __init__(
        self,
        answering: Answering,
        options: Options | None = None,
        likeness: Likeness = STANDARD,
        payload: int = 0,
    ) -> None:
        """Reply to queries over UDP in `payload` octets at most; 0: in as many as `likeness` says."""
        self._answering = answering
        self._options = options
        self._payload = max(CLASSIC_LIMIT, payload or likeness.payload)
        self._glue = likeness.lost_glue_is_truncation
        self._turn = 0
        self._changes = answering.changes
        self._seen = self._changes.number
        self._others = answering.others
        self._prepared: dict[bytes, bytes] = {}  # all but the two octets of identity, of queries and replies
        self._forms: dict[bytes, _Form] = {}  # by the same part of queries
        self._authors: dict[bytes, str] = {}  # of what is prepared
        self._author = ""  # of the last answer that was put together

    def plain(self, data: bytes) -> bytes | None:
        """Reply to the commonest forms of query: one question, no EDNS or its plainest, an answer in memory that fits.

        None means that `considered` must look. A name ends at the first zero octet, but for one in a label.
        """
        if self._changes.number != self._seen:
            self._seen = self._changes.number
            self._prepared.clear()
            self._forms.clear()
            self._authors.clear()
        known = data[2:]
        prepared = self._prepared.get(known)
        if prepared is not None:
            return data[:2] + prepared
        form = self._forms.get(known)
        if form is None:
            return self._looked_up(data)
        answer = self._others(form.question)
        return None if answer is None or answer is LATER else self._put_together(data, form, answer)

    def _looked_up(self, data: bytes) -> bytes | None:
        """Reply to a query that nothing is prepared for; if it comes again, something is."""
        end = data.find(0, wire.HEADER) + 5
        echoed = ECHOED.get(data[2:4])
        limit, opt = self._room(data, end)
        if echoed is None or not limit or not _is_name(data, end - 5):
            return None
        form = _Form(data[12 : end - 4].lower() + data[end - 4 : end], echoed, limit, opt)
        steady = self._answering.steady(form.question)
        answer = steady or self._others(form.question)
        if answer is None or answer is LATER:
            return None
        reply = self._put_together(data, form, answer)
        if data.startswith(form.question, wire.HEADER):  # such in mixed letter case are no two alike
            if steady is None:
                _keep(self._forms, data[2:], form)
            elif reply is not None and not answer.stride and len(reply) <= EDNS_LIMIT:
                known = data[2:]
                _keep(self._prepared, known, reply[2:])
                _keep(self._authors, known, answer.author)
        return reply

    def _put_together(self, data: bytes, form: _Form, answer: Answer) -> bytes | None:
        flags, counts, tail, stride, self._author = answer
        question, echoed, limit, opt = form
        if stride:
            tail = self._next_turn(answer).tail
        if opt:
            counts = wire.one_more(counts)
        asked = data[wire.HEADER : wire.HEADER + len(question)]
        reply = data[:2] + (flags | echoed).to_bytes(2, "big") + b"\0\1" + counts + asked + tail + opt
        return reply if len(reply) <= limit else None

    def _room(self, data: bytes, end: int) -> tuple[int, bytes]:
        """Give how long the reply to a plain query may be, and the OPT record that ends it; 0 where it is not plain."""
        if data[4:12] == ONE_QUESTION and len(data) == end:
            return CLASSIC_LIMIT, b""
        if data[4:12] == ONE_WITH_OPT and data[end : end + 3] == OPT_START and data[end + 5 :] == OPT_END:
            asked = data[end + 3] << 8 | data[end + 4]
            return max(CLASSIC_LIMIT, min(asked, self._payload)), PLAIN_OPT
        return 0, b""

    def considered(self, data: bytes, limit: int = 0, client: str = "") -> bytes | Query | None:
        """Read any bytes: the reply, or the query that needs waiting for, or None where no reply is deserved.

        `limit` bounds the reply in octets; 0 is what the client allows over UDP. `client` is its address.
        """
        self._author = ""
        try:
            query = queries.parse(data)
        except Malformed as error:
            return queries.complaint(data, error.rcode)
        if query is None:
            return None
        query = replace(query, client=client)
        if query.dnssec or query.checking_disabled:
            return query  # what is remembered was asked without these
        answer = self._answering.steady(query.question) or self._others(query.question)
        if answer is None or answer is LATER:
            return query
        return self.reply(query, answer, limit)

    def author(self, data: bytes) -> str:
        """Name the plug-in that gave the answer to a query, right after it was replied to; empty where none did."""
        return self._authors.get(data[2:], self._author)

    def knows(self, data: bytes, client: str) -> bool:
        """Whether a query shows that its sender is at the address it came from."""
        try:
            query = queries.parse(data)
        except Malformed:
            return False
        return query is not None and self._options is not None and self._options.knows(replace(query, client=client))

    def reply(self, query: Query, answer: Answer, limit: int = 0) -> bytes:
        """Give the reply that carries an answer; see `considered` for `limit`."""
        self._author = answer.author
        if answer.stride:
            answer = self._next_turn(answer)
        options = self._options.answer(query, stream=limit > 0) if self._options else b""
        limit = limit or min(query.limit, self._payload)
        return queries.reply(query, answer, limit, options, all_sections=self._glue)

    def _next_turn(self, answer: Answer) -> Answer:
        self._turn += 1
        return wire.turned(answer, self._turn)


def _keep(table: dict[bytes, T], query: bytes, found: T) -> None:
    if len(table) >= _MOST_PREPARED:
        table.clear()
    table[query] = found


def _is_name(data: bytes, root: int) -> bool:
    """Whether the labels of a query's name, which is not compressed, end where the root's zero octet stands."""
    at = wire.HEADER
    while at < root:
        if data[at] > _LONGEST_LABEL:
            return False
        at += data[at] + 1
    return at == root
