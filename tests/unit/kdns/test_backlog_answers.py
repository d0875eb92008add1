"""At any moment every answer is the one that is given once nothing is left to compile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

import dnslib
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kdns.chain import Chain, Setup, load
from kdns.names import reverse_zones
from kdns.query import parse
from kdns.settings import Settings
from kdns.testing import HandFed, ask, endpoint_slice, namespace, service
from kdns.wire import records

Json = dict[str, Any]
Moment = tuple[bool, list[Any], list[tuple[str, str]]]  # whether all is compiled before, what changes, what is asked
SPACES, NAMES = ("a", "b"), ("x", "y")
ADDRESSES = ("10.96.0.1", "10.96.1.1", "fd00::1")
NETWORKS = (ip_network("10.96.0.0/16"), ip_network("fd00::/56"))
ZONES = ("cluster.local", *(zone for network in NETWORKS for zone in reverse_zones(network)))
SETTINGS = Settings(
    reverse=NETWORKS,
    addresses=(ip_address("10.96.0.1"), ip_address("fd00::1")),
    transfer_to=("*",),
    forwards=(),
)
KINDS = ["cluster", "cluster", "headless", "headless", "unready", "alias", "gone"]
PORTS = [[], ["http:80"], ["http:80", "dns:53/UDP"]]
READY = [{}, {"conditions": {"ready": False}}, {"hostname": "h"}]

some = st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=3)
a_service = st.tuples(
    st.just("service"),
    st.sampled_from(SPACES),
    st.sampled_from(NAMES),
    st.sampled_from(KINDS),
    some,
    st.sampled_from(PORTS),
)
a_slice = st.tuples(
    st.just("slice"),
    st.sampled_from(SPACES),
    st.sampled_from(("1", "2")),
    st.sampled_from([*NAMES, "gone"]),
    st.lists(st.tuples(st.sampled_from(ADDRESSES[:2]), st.sampled_from(READY)), max_size=3),
    st.sampled_from(PORTS),
)
a_namespace = st.tuples(st.just("namespace"), st.sampled_from(SPACES), st.booleans())
a_change = st.one_of(a_service, a_service, a_slice, a_slice, a_slice, a_namespace)


def made(change: Any) -> tuple[Any, str, Json | None]:
    """Give what a drawn change is about, its key, and what becomes of it."""
    if change[0] == "namespace":
        return NAMESPACES, change[1], namespace(change[1]) if change[2] else None
    what, space, name, kind, given, ports = change
    key = f"{space}/{name}"
    if kind == "gone":
        return SERVICES if what == "service" else ENDPOINT_SLICES, key, None
    if what == "slice":
        endpoints = [{"addresses": [address], **how} for address, how in given]
        return ENDPOINT_SLICES, key, endpoint_slice(name, kind, endpoints, namespace=space, ports=ports)
    spec: Json = {"publishNotReadyAddresses": True} if kind == "unready" else {}
    ips = given if kind == "cluster" else ()
    to = "x.b.svc.cluster.local" if kind == "alias" else ""
    return SERVICES, key, service(name, namespace=space, ips=ips, ports=ports, external=to, **spec)


def feed(source: HandFed, change: Any) -> None:
    resource, key, obj = made(change)
    if obj is None:
        source.remove(resource, key)
    else:
        source.put(resource, obj)


def reverse() -> Iterator[tuple[str, str]]:
    """The names of all addresses, and names above them."""
    for address in ADDRESSES:
        labels = ip_address(address).reverse_pointer.split(".")
        yield from ((".".join(labels[cut:]), "PTR") for cut in (0, 1, 2, 4, 5, 8) if cut < len(labels) - 2)


def forward() -> Iterator[tuple[str, str]]:
    """The names that Services may have, and those above them."""
    for space, name in product(SPACES, NAMES):
        own = f"{name}.{space}.svc.cluster.local"
        yield from ((own, kind) for kind in ("A", "AAAA", "SRV"))
        yield from ((f"{below}.{own}", "SRV") for below in ("_http._tcp", "_tcp", "http.tcp"))
        yield from ((f"{below}.{own}", "A") for below in ("h", "10-96-0-1"))


def zones() -> Iterator[tuple[str, str]]:
    """What more than one Service has a part in."""
    yield from ((f"{space}.svc.cluster.local", "A") for space in SPACES)
    yield from ((f"10-96-0-1.{space}.pod.cluster.local", "A") for space in SPACES)
    for name in ("cluster.local", "dns.cluster.local", "ns.dns.cluster.local", "svc.cluster.local"):
        yield from ((name, kind) for kind in ("NS", "A", "SOA"))
    yield from ((zone, "AXFR") for zone in ZONES)


a_question = st.one_of(*(st.sampled_from(list(dict.fromkeys(group()))) for group in (reverse, forward, zones)))


async def answer(chain: Chain, question: tuple[str, str]) -> object:
    """Give what is said at once, in no order."""
    if question[1] == "AXFR":
        return await transferred(chain, question[0])
    reply = await ask(chain, *question, turns=0)
    sections = [sorted(map(str, part)) for part in (reply.rr, reply.auth, reply.ar)]
    return reply.header.get_rcode(), *sections


async def transferred(chain: Chain, zone: str) -> object:
    query = parse(bytes(dnslib.DNSRecord.question(zone, "AXFR").pack()))
    assert query is not None
    messages = await chain.transfer(query)
    assert messages is not None
    return sorted(record[:4] for each in messages for record in records(each, query.question))


async def told(moments: list[Moment], *, patient: bool) -> list[object]:
    """Feed a chain, and ask questions at every moment: at once, or each when all is compiled."""
    source = HandFed()
    chain = load(Setup(SETTINGS, lambda: 1.0, lambda: 1.0, source))
    found = []
    for number, (settled, changes, asked) in enumerate(moments):
        await turns(8 if settled else 0)
        for change in changes:
            feed(source, change)
        if not number:
            for resource in (NAMESPACES, SERVICES, ENDPOINT_SLICES):
                source.synced(resource)
        await turns(8 if patient else 0)
        found += [await answer(chain, question) for question in asked]
    return found


async def turns(number: int) -> None:
    """Let the event loop come round, so that what changed is compiled."""
    for _ in range(number):
        await asyncio.sleep(0)


a_moment = st.tuples(
    st.booleans(), st.lists(a_change, min_size=1, max_size=3), st.lists(a_question, min_size=1, max_size=3)
)


@settings(max_examples=30)
@given(st.lists(a_change, min_size=8, max_size=8), st.lists(a_moment, min_size=4, max_size=8))
def test_an_answer_is_the_same_at_once_and_later(start: list[Any], moments: list[Moment]) -> None:
    moments = [(False, start, moments[0][2]), *moments]
    at_once, later = [asyncio.run(told(moments, patient=patient)) for patient in (False, True)]
    assert at_once == later
