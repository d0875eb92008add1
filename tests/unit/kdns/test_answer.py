"""Answers kept current change by change are those that a fresh start would give."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Resource
from kdns import names
from kdns.answer import Answers
from kdns.chain import Chain, Setup, load
from kdns.errors import NameInvalid
from kdns.records import Records, version_records
from kdns.settings import Settings
from kdns.testing import HandFed, ask, endpoint_slice, namespace, service
from kdns.wire import Rcode

NAMES = st.sampled_from(["a", "b", "c"])
SPACES = st.sampled_from(["x", "y"])
ADDRESSES = st.sampled_from([f"10.0.0.{n}" for n in range(1, 5)])

services = st.builds(
    service,
    NAMES,
    namespace=SPACES,
    ips=st.lists(st.sampled_from(["10.96.0.1", "10.0.0.1", "fd96::1"]), max_size=2, unique=True),
    ports=st.lists(st.sampled_from(["http:80", "dns:53/UDP", ":99"]), max_size=2, unique=True),
    external=st.sampled_from(["", "", "", "a.x.svc.cluster.local", "other.example"]),
)
slices = st.builds(
    endpoint_slice,
    st.sampled_from(["s1", "s2", "s3"]),
    NAMES,
    st.lists(
        ADDRESSES | st.builds(lambda ip, host: {"addresses": [ip], "hostname": host}, ADDRESSES, st.sampled_from("hk")),
        max_size=3,
    ),
    namespace=SPACES,
    ports=st.lists(st.sampled_from(["http:8080", "dns:53/UDP"]), max_size=2, unique=True),
)
spaces = st.builds(namespace, SPACES)
puts = st.one_of(
    st.tuples(st.just(SERVICES), services),
    st.tuples(st.just(ENDPOINT_SLICES), slices),
    st.tuples(st.just(NAMESPACES), spaces),
)
steps = st.lists(st.tuples(puts, st.integers(0, 3)), max_size=25)


def key(obj: dict[str, Any]) -> str:
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else str(meta["name"])


def chain_of(source: HandFed) -> Chain:
    return load(Setup(Settings(), lambda: 7.0, lambda: 7.0, source))


def contents(chain: Chain) -> Any:
    answers = chain.plugins[0]._answers  # type: ignore[attr-defined]
    ordered = {question: sorted_records(answer) for question, answer in answers._sets.items()}
    shared = {question: sorted(answers._targets(question)) for question in answers._shared}
    return ordered, answers._above._reasons, answers._aliases, shared


def sorted_records(packed: bytes) -> Any:
    return packed[:6], sorted(packed[6:])  # the order of records may follow the order of events


@settings(max_examples=60)
@given(steps)
def test_any_history_of_changes_ends_in_what_a_fresh_start_gives(history: list[Any]) -> None:
    async def run() -> None:
        source = HandFed()
        chain = chain_of(source)
        source.sync_all([])
        known: dict[tuple[Resource, str], dict[str, Any]] = {}
        for (resource, obj), choice in history:
            if choice:
                known[resource, key(obj)] = obj
                source.put(resource, obj)
            else:
                known.pop((resource, key(obj)), None)
                source.remove(resource, key(obj))
            if choice == 3:
                await ask(chain, "a.x.svc.cluster.local")  # let it be compiled now, not with what follows
        await ask(chain, "a.x.svc.cluster.local")
        fresh_source = HandFed()
        fresh = chain_of(fresh_source)
        fresh_source.sync_all(known.values())
        await ask(fresh, "a.x.svc.cluster.local")
        assert contents(chain) == contents(fresh)

    asyncio.run(run())


@given(st.binary(max_size=300))
def test_a_lookup_survives_any_bytes(question: bytes) -> None:
    answers = Answers(["cluster.local"], 5)
    answers.lookup(question)
    answers.lookup(question + b"\7cluster\5local\0\0\1\0\1")


def test_a_change_touches_only_the_names_of_its_owner() -> None:
    answers = Answers(["z"], 5)
    answers.update("one", alias("one.z"))
    answers.update("two", alias("two.z"))
    before = answers.hit(question("one.z"))
    answers.update("two", alias("three.z"))
    assert answers.hit(question("one.z")) == before
    assert answers.hit(question("two.z")) is None
    answers.remove("two")
    answers.remove("one")
    assert len(answers) == 1, "only the SOA is left"


def test_a_name_too_long_for_the_protocol_is_no_record() -> None:
    long = ".".join(["a" * 60] * 4)
    with pytest.raises(NameInvalid, match="octets of 255"):
        Records().add(b"\x0flabel-in-front-" + names.to_wire(long), b"\0\5\0\1", names.to_wire("x.example"))


def alias(name: str) -> Records:
    found = Records()
    found.add(names.to_wire(name), b"\0\5\0\1", names.to_wire("x.example"))
    return found


def question(name: str) -> bytes:
    return names.to_wire(name) + b"\0\5\0\1"


def test_an_answer_at_a_name_without_underscores_is_made_once_until_anything_changes() -> None:
    answers = Answers(["z"], 5)
    answers.update("a", with_port("10.0.0.1"))
    question = names.to_wire("http.tcp.a.z") + b"\0\x21\0\1"
    first = answers.lookup(question)
    assert first is not None
    assert answers.lookup(question) is first
    answers.update("a", with_port("10.0.0.2"))
    changed = answers.lookup(question)
    assert changed is not None
    assert ip_address("10.0.0.2").packed in changed.tail
    answers.remove("a")
    gone = answers.lookup(question)
    assert gone is not None
    assert gone.rcode == Rcode.NXDOMAIN


def test_only_the_records_that_have_a_ttl_of_their_own_do_not_have_that_of_all() -> None:
    found, txt = version_records("z"), b"\0\x10\0\1"
    found.add(names.to_wire("other.z"), txt, b"\1x")
    answers = Answers(["z"], 5)
    answers.update("a", found)
    version, other = (answers.hit(names.to_wire(f"{name}.z") + txt) for name in ("dns-version", "other"))
    assert version is not None
    assert other is not None
    assert [int.from_bytes(answer.tail[6:10], "big") for answer in (version, other)] == [28_800, 5]


def with_port(address: str) -> Records:
    found, name = Records(), names.to_wire("a.z")
    found.add(names.to_wire("_http._tcp.a.z"), b"\0\x21\0\1", bytes(6) + name)
    found.add_addresses(name, ip_address(address).packed)
    return found
