"""How few slices are written: KEP-0752's packing, as tables of how full the slices are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.network import Endpoint, EndpointPort, EndpointSlice, Protocol, Reference
from kendpoints.pack import Changes, Ports, identity, pack

PORTS: Ports = (EndpointPort("http", Protocol.TCP, 8080),)
OTHER: Ports = (EndpointPort("http", Protocol.TCP, 9090),)
BLANK = EndpointSlice(
    "default", "", "", "web", 4, (), (), {"l": "1"}, owner=Reference("Service", "default", "web", "u")
)
LIMIT = 10


@dataclass(frozen=True)
class Case:
    """Slices so full (by how many of their endpoints stay and go), new endpoints, and how full they are afterwards."""

    what: str
    stay: list[int]
    go: list[int]
    new: int
    full: list[int]
    created: int = 0
    updated: int = 0
    deleted: int = 0


CASES = [
    Case("the first endpoints", [], [], 3, [3], created=1),
    Case("more than fits into one slice", [], [], 25, [5, 10, 10], created=3),
    Case("exactly two slices", [], [], 20, [10, 10], created=2),
    Case("one endpoint goes", [9, 10], [1, 0], 0, [9, 10], updated=1),
    Case("a slice that has lost all is deleted", [10, 0], [0, 4], 0, [10], deleted=1),
    Case("new ones take the place of those that go", [9, 5], [1, 0], 1, [5, 10], updated=1),
    Case("new ones first go where a write is due", [8, 9], [1, 0], 2, [9, 10], updated=1),
    Case("the fullest of the slices to be written first", [3, 7], [1, 1], 2, [3, 9], updated=2),
    Case("the rest goes to the slice it fills best", [3, 8, 5], [0, 0, 0], 2, [3, 5, 10], updated=1),
    Case("a slice too full is passed over", [9, 4], [0, 0], 3, [7, 9], updated=1),
    Case("what fits nowhere gets a slice", [8, 8], [0, 0], 5, [5, 8, 8], created=1),
    Case("a full load gets a slice of its own", [1], [0], 10, [1, 10], created=1),
    Case("half-empty slices are never merged", [1, 1, 1], [0, 0, 0], 0, [1, 1, 1]),
    Case("deleting and creating is updating", [0], [4], 3, [3], updated=1),
]


def members(build: Any, first: int, count: int) -> tuple[Any, ...]:
    return tuple(build.endpoint(number) for number in range(first, first + count))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_slices_are_filled_by_kubernetes_rules(build: Any, case: Case) -> None:
    existing: list[EndpointSlice] = []
    wanted: list[Endpoint] = []
    number = 0
    for index, (stay, go) in enumerate(zip(case.stay, case.go, strict=True)):
        stays, goes = members(build, number, stay), members(build, number + stay, go)
        number += stay + go
        existing.append(replace(BLANK, name=f"s{index}", uid=f"s{index}", ports=PORTS, endpoints=(*stays, *goes)))
        wanted += stays
    wanted += members(build, 1000, case.new)
    changes = pack(BLANK, {PORTS: wanted}, existing, limit=LIMIT)
    assert (len(changes.create), len(changes.update), len(changes.delete)) == (case.created, case.updated, case.deleted)
    after = build.written(changes, existing)
    assert sorted(len(one.endpoints) for one in after) == case.full
    assert build.addresses(after) == sorted(str(e.addresses[0]) for e in wanted)


def slice_of(name: str, *endpoints: Any, **fields: Any) -> EndpointSlice:
    return replace(BLANK, name=name, uid=name, resource_version="7", ports=PORTS, endpoints=endpoints, **fields)


def test_a_changed_condition_updates_the_slice_in_place(build: Any) -> None:
    existing = [slice_of("a", build.endpoint(1)), slice_of("b", build.endpoint(2))]
    wanted = [build.endpoint(1), build.endpoint(2, ready=False)]
    changes = pack(BLANK, {PORTS: wanted}, existing, limit=LIMIT)
    (only,) = changes.update
    assert (only.name, only.uid, only.resource_version, only.endpoints[0].ready) == ("b", "b", "7", False)


def test_an_endpoint_that_is_twice_in_slices_stays_once(build: Any) -> None:
    existing = [slice_of("a", build.endpoint(1)), slice_of("b", build.endpoint(1), build.endpoint(2))]
    changes = pack(BLANK, {PORTS: [build.endpoint(1), build.endpoint(2)]}, existing, limit=LIMIT)
    assert build.addresses(build.written(changes, existing)) == ["10.0.0.2", "10.0.0.3"]


def test_changed_ports_update_the_slice_instead_of_replacing_it(build: Any) -> None:
    existing = [slice_of("a", build.endpoint(1))]
    changes = pack(BLANK, {OTHER: [build.endpoint(1)]}, existing, limit=LIMIT)
    (only,) = changes.update
    assert (only.name, only.ports) == ("a", OTHER)
    assert not changes.create
    assert not changes.delete


def test_the_order_of_ports_in_a_slice_means_nothing(build: Any) -> None:
    ports: Ports = (EndpointPort("a", Protocol.TCP, 1), EndpointPort("b", Protocol.TCP, 2))
    existing = [replace(slice_of("a", build.endpoint(1)), ports=ports[::-1])]
    assert not pack(BLANK, {ports: [build.endpoint(1)]}, existing, limit=LIMIT)


def test_the_last_endpoint_leaves_a_placeholder_by_an_update(build: Any) -> None:
    changes = pack(BLANK, {}, [slice_of("a", build.endpoint(1)), slice_of("b", build.endpoint(2))], limit=LIMIT)
    assert [(one.endpoints, one.ports) for one in changes.update] == [((), ())]
    assert len(changes.delete) == 1


def test_a_placeholder_becomes_the_first_slice(build: Any) -> None:
    placeholder = replace(slice_of("p"), ports=())
    changes = pack(BLANK, {PORTS: [build.endpoint(1)]}, [placeholder], limit=LIMIT)
    assert [one.name for one in changes.update] == ["p"]


def test_an_empty_slice_that_nothing_needs_is_deleted(build: Any) -> None:
    existing = [slice_of("a", build.endpoint(1)), slice_of("b")]
    assert pack(BLANK, {PORTS: [build.endpoint(1)]}, existing, limit=LIMIT) == Changes(delete=(existing[1],))
    (filled,) = pack(BLANK, {PORTS: members(build, 1, LIMIT + 1)}, existing, limit=LIMIT).update
    assert (filled.name, len(filled.endpoints)) == ("b", LIMIT), "unless it can be filled"


def test_a_slice_above_a_lowered_limit_is_split(build: Any) -> None:
    existing = [slice_of("a", *members(build, 0, 8))]
    after = build.written(pack(BLANK, {PORTS: members(build, 0, 8)}, existing, limit=5), existing)
    assert sorted(len(one.endpoints) for one in after) == [3, 5]


def test_foreign_annotations_stay_unless_all_must_be_ours(build: Any) -> None:
    existing = [slice_of("a", build.endpoint(1), annotations={"theirs": "1"}, labels={})]
    (kept,) = pack(BLANK, {PORTS: [build.endpoint(1)]}, existing, limit=LIMIT).update
    (cleaned,) = pack(BLANK, {PORTS: [build.endpoint(1)]}, existing, limit=LIMIT, exact_annotations=True).update
    assert (kept.annotations, cleaned.annotations) == ({"theirs": "1"}, {})


def test_identity_is_address_hostname_and_pod_and_nothing_else(build: Any) -> None:
    one = build.endpoint(1, target=Reference("Pod", "default", "p", "uid-1"), ready=True)
    same = build.endpoint(1, target=Reference("Pod", "default", "p", "uid-2"), ready=False, zone="z")
    assert identity(one) == identity(same)
    assert identity(one) != identity(one._replace(hostname="h"))
    assert identity(one) != identity(one._replace(target=Reference("Pod", "default", "q", "uid-1")))


@given(st.lists(st.sets(st.integers(0, 60)), max_size=8), st.integers(1, 12))
def test_any_history_ends_with_exactly_the_wanted_endpoints(build: Any, history: list[set[int]], limit: int) -> None:
    slices: list[EndpointSlice] = []
    for wanted in history:
        groups: dict[Ports, list[Endpoint]] = {PORTS: [build.endpoint(n) for n in sorted(wanted)]} if wanted else {}
        changes: Changes = pack(BLANK, groups, slices, limit=limit)
        touched = [one.name for one in (*changes.update, *changes.delete)]
        assert len(touched) == len(set(touched))
        slices = build.written(changes, slices)
        assert build.addresses(slices) == sorted(str(build.endpoint(n).addresses[0]) for n in wanted)
        assert all(len(one.endpoints) <= limit for one in slices)
        assert all(one.endpoints for one in slices) or len(slices) == 1
        assert not pack(BLANK, groups, slices, limit=limit)
