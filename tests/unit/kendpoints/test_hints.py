"""Hints: which zones and nodes an endpoint is meant for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kapi.network import EndpointSlice, Node
from kendpoints.hints import distribution, hinted
from kendpoints.labels import TOPOLOGY_HINTS, TOPOLOGY_MODE
from kendpoints.proportional import capacity
from kendpoints.slices import slices


@pytest.mark.parametrize(
    ("preference", "zones", "nodes"),
    [
        ("", (), ()),
        ("PreferClose", ("west",), ()),
        ("PreferSameZone", ("west",), ()),
        ("PreferSameNode", ("west",), ("a",)),
        ("SomethingNew", (), ()),
    ],
)
def test_a_distribution_hints_at_the_endpoints_own_zone_or_node(
    build: Any, preference: str, zones: tuple[str, ...], nodes: tuple[str, ...]
) -> None:
    service = build.service(traffic_distribution=preference)
    (only,) = slices(service, [build.pod()], build.nodes(a="west"), []).changes.create
    assert (only.endpoints[0].zone_hints, only.endpoints[0].node_hints) == (zones, nodes)


def test_no_hint_for_an_endpoint_that_is_not_ready(build: Any) -> None:
    endpoint = build.endpoint(1, node_name="a", zone="west", ready=False)
    assert hinted(endpoint, "PreferSameNode") is endpoint


def test_an_endpoint_in_no_zone_can_still_be_its_nodes_own(build: Any) -> None:
    found = hinted(build.endpoint(1, node_name="a"), "PreferSameNode")
    assert (found.zone_hints, found.node_hints) == ((), ("a",))


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, "PreferClose"),
        ({TOPOLOGY_MODE: "Auto"}, ""),
        ({TOPOLOGY_MODE: "Disabled"}, "PreferClose"),
        ({TOPOLOGY_HINTS: "auto"}, ""),
        ({TOPOLOGY_HINTS: "Disabled", TOPOLOGY_MODE: "Auto"}, "PreferClose"),
    ],
    ids=str,
)
def test_the_topology_annotation_switches_the_distribution_off(
    build: Any, annotations: dict[str, str], expected: str
) -> None:
    assert distribution(build.service(traffic_distribution="PreferClose", annotations=annotations)) == expected


def test_changing_the_distribution_rewrites_the_slices_in_place(build: Any) -> None:
    existing = build.written(slices(build.service(), [build.pod()], build.nodes(a="west"), []).changes)
    service = build.service(traffic_distribution="PreferClose")
    changes = slices(service, [build.pod()], build.nodes(a="west"), existing).changes
    assert [one.name for one in changes.update] == [existing[0].name]


AUTO = {TOPOLOGY_MODE: "Auto"}


def zones(cpus: dict[str, int], **fields: Any) -> dict[str, Node]:
    """A node of each zone, called like it, with so many thousandths of a CPU."""
    return {
        zone: Node(zone, zone, labels={"topology.kubernetes.io/zone": zone}, milli_cpu=cpu, **fields)
        for zone, cpu in cpus.items()
    }


def hints(slices: list[EndpointSlice]) -> dict[str, int]:
    return dict(Counter("+".join(endpoint.zone_hints) for one in slices for endpoint in one.endpoints))


@pytest.mark.parametrize(
    ("cpus", "placed", "expected"),
    [
        ({"w": 4, "e": 4}, {"w": 4, "e": 4}, {"w": 4, "e": 4}),
        ({"w": 4, "e": 4}, {"w": 6, "e": 2}, {"w": 4, "e": 4}),
        ({"w": 6, "e": 2}, {"w": 4, "e": 4}, {"w": 6, "e": 2}),
        ({"w": 4, "e": 4}, {"w": 8}, {"w": 4, "e": 4}),
        ({"w": 4, "e": 4, "n": 4}, {"w": 8, "e": 2, "n": 2}, {"w": 4, "e": 4, "n": 4}),
        ({"w": 4, "e": 4, "n": 4}, {"w": 7, "e": 2, "n": 2}, {"": 11}),  # somebody would carry more than 20 % too much
        ({"w": 4, "e": 4, "n": 4}, {"w": 1, "e": 1}, {"": 2}),
        ({"w": 7, "e": 1}, {"w": 1, "e": 1}, {"": 2}),
        ({"w": 4}, {"w": 4}, {"": 4}),
        ({"w": 4, "e": 0}, {"w": 2, "e": 2}, {"": 4}),
    ],
    ids=str,
)
def test_d2_hints_in_proportion_follow_the_cpus_of_zones(
    build: Any, cpus: dict[str, int], placed: dict[str, int], expected: dict[str, int]
) -> None:
    homes = [zone for zone, count in placed.items() for _ in range(count)]
    pods = [build.pod(number, node_name=zone) for number, zone in enumerate(homes)]
    plan = slices(build.service(annotations=AUTO), pods, zones(cpus), [])
    assert hints(build.written(plan.changes)) == expected
    assert bool(plan.notices) == ("" in expected), "and whoever asked for hints is told why there are none"


def test_d2_hints_that_do_no_harm_are_not_written_again(build: Any) -> None:
    service, here = build.service(annotations=AUTO), zones({"w": 4, "e": 4})
    pods = [build.pod(number, node_name="we"[number % 2]) for number in range(8)]
    existing = build.written(slices(service, pods, here, []).changes)
    assert not slices(service, pods, here, existing).changes
    assert not slices(service, pods, zones({"w": 5, "e": 4}), existing).changes
    changed = slices(service, pods, zones({"w": 9, "e": 3}), existing).changes
    assert hints(list(changed.update)) == {"w": 6, "e": 2}


def test_d2_hints_go_when_the_annotation_goes(build: Any) -> None:
    pods = [build.pod(number, node_name="we"[number % 2]) for number in range(4)]
    here = zones({"w": 4, "e": 4})
    existing = build.written(slices(build.service(annotations=AUTO), pods, here, []).changes)
    assert hints(list(slices(build.service(), pods, here, existing).changes.update)) == {"": 4}


@pytest.mark.parametrize(
    "fields", [{"ready": False}, {"labels": {"node-role.kubernetes.io/control-plane": ""}}], ids=str
)
def test_d2_nodes_that_are_not_ready_or_of_the_control_plane_do_not_count(fields: dict[str, Any]) -> None:
    others = zones({"w": 4, "e": 4})
    assert capacity([*others.values(), Node("x", "x", **fields)]).parts == {"e": 0.5, "w": 0.5}
