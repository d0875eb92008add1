"""Hints: which zones and nodes an endpoint is meant for."""

from __future__ import annotations

from typing import Any

import pytest

from kendpoints.hints import distribution, hinted
from kendpoints.labels import TOPOLOGY_HINTS, TOPOLOGY_MODE
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
