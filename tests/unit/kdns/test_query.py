"""Whatever arrives is answered properly or not at all."""

from __future__ import annotations

import struct

import dnslib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdns import query as queries
from kdns import wire
from kdns.answer import Answers
from kdns.changes import Changes
from kdns.errors import Malformed
from kdns.likeness import COREDNS, STANDARD, Likeness
from kdns.query import Query
from kdns.records import Records
from kdns.responder import Responder
from kdns.wire import Rcode, Type

ASKED = bytes(dnslib.DNSRecord.question("many.z").pack())


def responder(likeness: Likeness = STANDARD) -> Responder:
    answers = Answers(["z"], 5)
    records = Records()
    for n in range(200):
        records.add_addresses(b"\4many\1z\0", bytes((10, 0, 0, n)))
    records.add_addresses(b"\3one\1z\0", bytes((10, 0, 0, 1)))
    answers.update("all", records)
    return Responder(Known(answers), likeness=likeness)


class Known:
    """Answers that stay as they are, and nobody else who knows any."""

    def __init__(self, answers: Answers) -> None:
        self.changes = Changes()
        self.steady = answers.lookup

    def others(self, question: bytes) -> wire.Answer | None:
        return None


def header(ident: int = 1, flags: int = 0x0100, *counts: int) -> bytes:
    return struct.pack("!6H", ident, flags, *(counts or (1, 0, 0, 0)))


def asked(name: str, kind: str = "A", *, edns: int | None = None, flags: str = "", version: int = 0) -> bytes:
    record = dnslib.DNSRecord.question(name, kind)
    if edns is not None:
        record.add_ar(dnslib.EDNS0(flags=flags, udp_len=edns, version=version))
    return bytes(record.pack())


def replied(data: bytes, limit: int = 0, likeness: Likeness = STANDARD) -> dnslib.DNSRecord:
    found = responder(likeness).considered(data, limit)
    assert isinstance(found, bytes)
    return dnslib.DNSRecord.parse(found)


QUESTION = b"\3one\1z\0\0\1\0\1"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (b"", None),
        (b"\0\1", None),
        (header(1, 0x8100) + QUESTION, None),
        (header(1, 0x2800) + QUESTION, Rcode.NOTIMP),
        (header(1, 0x1000) + QUESTION, Rcode.NOTIMP),
        (header(1, 0, 0, 0, 0, 0), Rcode.FORMERR),
        (header(1, 0, 2, 0, 0, 0) + QUESTION * 2, Rcode.FORMERR),
        (header(1, 0, 1, 1, 0, 0) + QUESTION, Rcode.FORMERR),
        (header(), Rcode.FORMERR),
        (header() + b"\3one\1z\0\0\1", Rcode.FORMERR),
        (header() + b"\3one\1z", Rcode.FORMERR),
        (header() + b"\xc0\x0c\0\1\0\1", Rcode.FORMERR),
        (header() + b"\3one\xc0\x0c\0\1\0\1", Rcode.FORMERR),
        (header() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", Rcode.FORMERR),
        (header() + b"\x3f" + (b"a" * 63 + b"\x3f") * 4 + b"a" * 63 + b"\0\0\1\0\1", Rcode.FORMERR),
        (header() + b"\x41" + b"a" * 65 + b"\1z\0\0\1\0\1", Rcode.FORMERR),
        (header() + QUESTION + b"extra", Rcode.FORMERR),
        (header(1, 0, 1, 0, 0, 1) + QUESTION, Rcode.FORMERR),
        (header(1, 0, 1, 0, 0, 2) + QUESTION + OPT + OPT, Rcode.FORMERR),
        (header(1, 0, 1, 0, 0, 1) + QUESTION + OPT[:-2] + b"\0\7", Rcode.FORMERR),
        (header(1, 0, 1, 0, 0, 1) + QUESTION + b"\xc0\x0c" + OPT[1:], Rcode.FORMERR),
        (header(1, 0, 1, 0, 0, 9) + QUESTION + OPT, Rcode.FORMERR),
    ],
)
def test_what_is_no_query_gets_the_fitting_refusal_or_silence(data: bytes, rcode: Rcode | None) -> None:
    found = responder().plain(data) or responder().considered(data)
    if rcode is None:
        assert found is None
    else:
        assert isinstance(found, bytes)
        assert (found[3] & 15, len(found) <= len(data)) == (rcode, True), "and never more than was sent"


@settings(max_examples=400)
@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: header() + QUESTION + tail))
@example(header() + b"\1\0\1\0\1\0\1")
def test_no_bytes_raise_loop_or_amplify(data: bytes) -> None:
    found = responder().plain(data) or responder().considered(data)
    if isinstance(found, bytes):
        assert found[:2] == data[:2]
        assert found[2] & 0x80
        assert len(found) <= 1232


@settings(max_examples=300)
@given(st.binary(min_size=12, max_size=200))
def test_no_bytes_from_an_upstream_raise_anything_but_malformed(data: bytes) -> None:
    question = b"\3one\1z\0\0\1\0\1"
    for message in (data, data[:2] + b"\x80\0\0\1" + data[6:12] + question + data[12:]):
        try:
            answer = wire.answer_of(message, question)
            if answer is not None:
                wire.records(answer, question)
        except Malformed:
            pass


@given(st.text("oneONEzZ", min_size=3, max_size=3))
def test_the_letter_case_of_the_question_comes_back(name: str) -> None:
    data = header() + bytes((3,)) + name.encode() + b"\1Z\0\0\1\0\1"
    found = responder().plain(data)
    assert found is not None
    assert found[12 : len(data)] == data[12:]


def test_flags_that_are_echoed_and_flags_that_are_not() -> None:
    for sent, back in ((0x0100, 0x8580), (0x0000, 0x8480), (0x0120, 0x8580), (0x0110, None)):
        found = responder().plain(header(1, sent) + QUESTION)
        assert (found and int.from_bytes(found[2:4], "big")) == back
    checking_disabled = responder().considered(header(1, 0x0110) + QUESTION)
    assert isinstance(checking_disabled, Query), "what is remembered was validated, or not, by someone else"


def test_a_large_answer_is_cut_to_512_octets_without_edns() -> None:
    reply = replied(ASKED)
    assert (reply.header.tc, len(reply.rr)) == (1, 30)
    assert len(reply.pack()) <= 512
    assert responder().plain(ASKED) is None


@pytest.mark.parametrize(("payload", "count"), [(0, 29), (512, 29), (1232, 74), (4096, 74), (65535, 74)])
def test_with_edns_it_is_cut_to_what_the_client_takes_and_1232_at_most(payload: int, count: int) -> None:
    reply = replied(asked("many.z", edns=payload))
    assert (reply.header.tc, len(reply.rr), reply.ar[0].edns_len) == (1, count, 1232)
    if payload > 3300:
        assert len(replied(asked("many.z", edns=payload), likeness=COREDNS).rr) == 200, "as long as the client takes"


def test_over_tcp_it_comes_whole() -> None:
    reply = replied(ASKED, queries.STREAM_LIMIT)
    assert (reply.header.tc, len(reply.rr)) == (0, 200)


def test_edns_is_answered_with_edns_only_where_it_was_asked() -> None:
    assert not replied(asked("one.z")).ar
    assert replied(asked("one.z", edns=1400)).ar[0].rtype == Type.OPT


def test_another_version_of_edns_is_told_so() -> None:
    found = responder().considered(asked("one.z", edns=1232, version=1))
    assert isinstance(found, bytes)
    reply = dnslib.DNSRecord.parse(found)
    assert (reply.header.get_rcode(), reply.ar[0].edns_rcode) == (0, 1), "16, in two parts"


def test_additional_records_are_left_out_first_and_without_tc() -> None:
    glue = [wire.record(b"\1a\0", Type.A, 5, bytes(4)) for _ in range(60)]
    answer = wire.Answer(
        wire.flags_of(0), wire.counts_of(1, 0, 60), wire.record(wire.POINTER, Type.A, 5, bytes(4)) + b"".join(glue)
    )
    query = queries.parse(ASKED)
    assert query is not None
    for all_sections in (False, True):
        reply = dnslib.DNSRecord.parse(queries.reply(query, answer, 512, all_sections=all_sections))
        assert (reply.header.tc, len(reply.rr)) == (all_sections, 1)
        assert 0 < len(reply.ar) < 60


@pytest.mark.parametrize("payload", [0, 512, 600, 1232, 4096])
@pytest.mark.parametrize("name", ["one.z", "gone.z", "ONE.z", "many.z"])
def test_the_short_way_replies_as_the_long_one_with_and_without_edns(name: str, payload: int) -> None:
    for data in (asked(name), asked(name, edns=payload)):
        short, long = responder().plain(data), responder().considered(data)
        assert short == long or (short is None and name == "many.z"), "what does not fit is cut on the long way"
    assert responder().plain(asked("one.z", edns=payload)) is not None
    assert responder().plain(asked("one.z", edns=payload, flags="do")) is None
    assert responder().plain(asked("one.z", edns=payload, version=1)) is None
