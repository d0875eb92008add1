"""Records after a question say the same whether their names are whole or point back."""

from __future__ import annotations

import dnslib
from hypothesis import given
from hypothesis import strategies as st

from kdns import compression, names, wire
from kdns.wire import Record, Type

NAMES = st.lists(st.sampled_from(["a", "b", "cc", "web", "shop", "svc"]), min_size=1, max_size=5).map(
    lambda labels: names.to_wire(".".join([*labels, "z"]))
)
ADDRESSES = st.builds(lambda owner: Record(owner, Type.A, 5, bytes(4), 0, 0), NAMES)
LEADING = st.builds(
    lambda owner, kind, target: Record(owner, kind, 5, target, 0, 0),
    NAMES,
    st.sampled_from([Type.CNAME, Type.PTR, Type.NS]),
    NAMES,
)
SERVICES = st.builds(lambda owner, target: Record(owner, Type.SRV, 5, bytes(6) + target, 0, 0), NAMES, NAMES)
ZONES = st.builds(
    lambda owner, one, two: Record(owner, Type.SOA, 5, one + two + bytes(range(20)), 0, 0), NAMES, NAMES, NAMES
)


@given(NAMES, st.lists(ADDRESSES | LEADING | SERVICES | ZONES, max_size=8))
def test_names_that_point_back_are_the_names_that_were_written(name: bytes, records: list[Record]) -> None:
    question = name + wire.tail_of(Type.A)
    tail = compression.after(question, records)
    found = wire.records(wire.Answer(wire.flags_of(0), wire.counts_of(len(records)), tail), question)
    assert [each[:4] for each in found] == [each[:4] for each in records]
    assert len(tail) <= sum(len(each.owner) + 10 + len(each.data) for each in records)


def test_no_message_is_shorter_with_dnslib_but_for_targets_of_srv_which_are_written_out() -> None:
    """RFC 2782 forbids to compress them; dnslib, like many, does."""
    web, shop = names.to_wire("web.shop.svc.z"), names.to_wire("shop.svc.z")
    question = web + wire.tail_of(Type.SRV)
    alias = compression.after(
        question, [Record(web, Type.CNAME, 5, shop, 0, 0), Record(shop, Type.A, 5, bytes(4), 0, 0)]
    )
    theirs = dnslib.DNSRecord.question("web.shop.svc.z", "SRV")
    theirs.header.qr = 1
    theirs.add_answer(
        dnslib.RR("web.shop.svc.z", dnslib.QTYPE.CNAME, ttl=5, rdata=dnslib.CNAME("shop.svc.z")),
        dnslib.RR("shop.svc.z", dnslib.QTYPE.A, ttl=5, rdata=dnslib.A("0.0.0.0")),
    )
    assert bytes(theirs.pack())[wire.HEADER + len(question) :] == alias
    service = compression.after(question, [Record(web, Type.SRV, 5, bytes(6) + shop, 0, 0)])
    assert service.endswith(shop)


def test_what_is_out_of_a_pointers_reach_is_written_out() -> None:
    question = names.to_wire("z") + wire.tail_of(Type.PTR)
    every = [Record(b"\1z\0", Type.PTR, 5, names.to_wire(f"{n}.{'x' * 60}.{n % 2}.y"), 0, 0) for n in range(2000)]
    tail = compression.after(question, every)
    found = wire.records(wire.Answer(wire.flags_of(0), wire.counts_of(len(every)), tail), question)
    assert [each.data for each in found] == [each.data for each in every]
