"""Weights: an annotation becomes shares of a pool."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import pytest

from kapi.network import Endpoint
from kproxy.model import Target
from kproxy.weights import MOST, parse, pool

CANARY = Endpoint((ip_address("10.0.0.1"),), pod="web-canary-x1", node_name="n1", zone="eu-a")
STABLE = Endpoint((ip_address("10.0.0.2"),), pod="web-7c", node_name="n2", zone="eu-b")
BARE = Endpoint((ip_address("10.0.0.3"),))
SERVED = (CANARY, STABLE, BARE)
TARGETS = [Target(e.addresses[0], 80) for e in SERVED]


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        ("", (1, 1, 1)),
        ("*=10", (1, 1, 1)),
        ("pod/web-canary-*=1,*=9", (1, 9, 9)),
        (" node/n1 = 20 , zone/eu-b=40,*=20", (1, 2, 1)),
        ("node/n2=0", (1, 0, 1)),
        ("*=0", (1, 1, 1)),
        ("zone/eu-?=3", (3, 3, 1)),
        ("nonsense,pod/web-7c=2", (1, 2, 1)),
    ],
)
def test_each_endpoint_gets_its_share(words: str, shares: tuple[int, ...]) -> None:
    counted = Counter(target.address for target in pool(TARGETS, SERVED, parse(words)))
    assert tuple(counted[e.addresses[0]] for e in SERVED) == shares


@pytest.mark.parametrize("bad", ["pod/x", "pod/x=-1", "pod/x=101", "pod/=1", "colour/red=1", "x=1", "pod/x=1.5", "=3"])
def test_what_cannot_be_read_is_left_out_and_named(bad: str) -> None:
    weights = parse(f"{bad},node/n1=2")
    assert len(weights.entries) == 1
    assert [repr(bad) in p.message for p in weights.problems] == [True]
    assert weights.problems[0].field == "metadata.annotations[kproxy.io/weights]"


def test_repetitions_are_spread_and_bounded() -> None:
    assert [str(t.address)[-1] for t in pool(TARGETS, SERVED, parse("node/n1=3"))] == ["1", "2", "3", "1", "1"]
    many = [Target(ip_address(0x0A000000 + n), 80) for n in range(1000)]
    assert 1000 <= len(pool(many, (CANARY, BARE) * 500, parse("node/n1=100,*=99"))) <= MOST
