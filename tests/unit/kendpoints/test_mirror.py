"""Hand-made Endpoints become slices."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.network import Reference
from kendpoints.endpoints import Endpoints, read
from kendpoints.labels import LAST_APPLIED, LEADER, MANAGED_BY, SERVICE_NAME, SKIP_MIRROR, TRIGGER_TIME
from kendpoints.mirror import mirror
from kendpoints.notices import Reason


def hand_made(*subsets: Any, **meta: Any) -> Endpoints:
    return read({"metadata": {"name": "web", "namespace": "default", "uid": "e", **meta}, "subsets": list(subsets)})


def subset(*addresses: str, not_ready: tuple[str, ...] = (), port: int = 80) -> dict[str, Any]:
    return {
        "addresses": [{"ip": ip} for ip in addresses],
        "notReadyAddresses": [{"ip": ip} for ip in not_ready],
        "ports": [{"name": "http", "port": port}],
    }


def test_each_subset_and_family_has_its_slice(build: Any) -> None:
    endpoints = hand_made(subset("192.0.2.1", "2001:db8::1"), subset("192.0.2.2", port=81))
    made = mirror(build.service(selector=None), endpoints, []).changes.create
    assert sorted((one.family, one.ports[0].port, len(one.endpoints)) for one in made) == [
        (4, 80, 1),
        (4, 81, 1),
        (6, 80, 1),
    ]


def test_addresses_that_are_not_ready_are_endpoints_that_are_not_ready(build: Any) -> None:
    endpoints = hand_made(subset("192.0.2.1", not_ready=("192.0.2.2",)))
    (only,) = mirror(build.service(selector=None), endpoints, []).changes.create
    assert [(str(e.addresses[0]), e.ready) for e in only.endpoints] == [("192.0.2.1", True), ("192.0.2.2", False)]


def test_a_mirrored_slice_belongs_to_the_endpoints_and_copies_labels_and_annotations(build: Any) -> None:
    notes = {"a": "b", TRIGGER_TIME: "now", LAST_APPLIED: "{}"}
    endpoints = hand_made(subset("192.0.2.1"), labels={"l": "m"}, annotations=notes)
    (only,) = mirror(build.service(selector=None), endpoints, []).changes.create
    assert only.owner == Reference("Endpoints", "default", "web", "e")
    assert only.labels == {"l": "m", SERVICE_NAME: "web", MANAGED_BY: "endpointslicemirroring-controller.k8s.io"}
    assert only.annotations == {"a": "b"}
    assert only.trigger_time == "", "the moment is that of the Endpoints, which others time"


@pytest.mark.parametrize(
    ("service", "meta"),
    [
        ({"selector": {"app": "web"}}, {}),
        (None, {}),
        ({"selector": None}, {"labels": {SKIP_MIRROR: "true"}}),
        ({"selector": None}, {"annotations": {LEADER: "{}"}}),
    ],
    ids=["a service with a selector", "no service", "asked not to", "a leader election"],
)
def test_some_endpoints_are_not_mirrored_and_what_was_mirrored_goes(
    build: Any, service: dict[str, Any] | None, meta: dict[str, Any]
) -> None:
    existing = build.written(mirror(build.service(selector=None), hand_made(subset("192.0.2.1")), []).changes)
    found = mirror(build.service(**service) if service else None, hand_made(subset("192.0.2.1"), **meta), existing)
    assert (found.changes.create, found.changes.delete) == ((), tuple(existing))


def test_without_endpoints_nothing_is_mirrored(build: Any) -> None:
    existing = build.written(mirror(build.service(selector=None), hand_made(subset("192.0.2.1")), []).changes)
    assert mirror(build.service(selector=None), None, existing).changes.delete == tuple(existing)
    assert mirror(build.service(selector=None), hand_made(), existing).changes.delete == tuple(existing)


def test_a_thousand_addresses_of_a_subset_are_mirrored_and_the_rest_is_told(build: Any) -> None:
    many = [str(build.endpoint(number).addresses[0]) for number in range(1100)]
    plan = mirror(build.service(selector=None), hand_made(subset(*many)), [])
    assert [len(one.endpoints) for one in plan.changes.create] == [1000]
    assert [notice.reason for notice in plan.notices] == [Reason.TOO_MANY_TO_MIRROR]


def test_the_thousand_of_a_subset_are_of_both_families_together_and_ready_ones_first(build: Any) -> None:
    first = [str(build.endpoint(number).addresses[0]) for number in range(600)]
    then = [f"2001:db8::{number:x}" for number in range(600)]
    one = {"addresses": [{"ip": ip} for ip in first], "notReadyAddresses": [{"ip": ip} for ip in then]}
    made = mirror(build.service(selector=None), hand_made(one), []).changes.create
    assert {one.family: len(one.endpoints) for one in made} == {4: 600, 6: 400}


def test_an_address_that_is_none_is_told_and_the_rest_mirrored(build: Any) -> None:
    plan = mirror(build.service(selector=None), hand_made(subset("nonsense", "192.0.2.1")), [])
    assert build.addresses(list(plan.changes.create)) == ["192.0.2.1"]
    (told,) = plan.notices
    assert (told.reason, told.where) == (Reason.INVALID_ADDRESS, "subsets[0].addresses[0].ip")


def test_an_annotation_taken_away_is_taken_away_from_the_slice(build: Any) -> None:
    before = hand_made(subset("192.0.2.1"), annotations={"a": "b"})
    existing = build.written(mirror(build.service(selector=None), before, []).changes)
    (only,) = mirror(build.service(selector=None), hand_made(subset("192.0.2.1")), existing).changes.update
    assert only.annotations == {}
    assert not mirror(build.service(selector=None), before, existing).changes
