"""The query log: what is refused is told of as well, whatever it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kdns.observe import Seen, log_line

HEADER = bytes.fromhex("0007 0100 0001 0000 0000 0001")
REFUSED = HEADER[:2] + b"\x81\x81" + HEADER[4:]


def told(query: bytes, style: str) -> str:
    return log_line(Seen(query, REFUSED, ("10.244.1.3", 4000), "udp", "1", 0.001), style)


@pytest.mark.parametrize("style", ["combined", "json"])
@given(st.binary(max_size=40))
@example(b"\0\0\1\0\1\0\0\x29")  # an OPT record that ends after its type
@example(b"\x3fab\0")  # a label that ends before its length
@example(b"")
def test_no_query_is_too_broken_to_be_told_of(style: str, rest: bytes) -> None:
    assert told(HEADER + rest, style)


def test_what_is_refused_is_told_of_with_what_is_there() -> None:
    facts = json.loads(told(HEADER + b"\0\0\1\0\1\0\0\x29", "json"))
    assert (facts["rcode"], facts["do"], facts["bufsize"]) == ("FORMERR", False, 512)
