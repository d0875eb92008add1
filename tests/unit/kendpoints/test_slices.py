"""Which pods are endpoints, in which state and on which ports: every rule of the EndpointSlice controller."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import pytest

from kapi.network import ContainerPort, EndpointPort, Pod, Problem, Protocol, Reference, ServicePort, ServiceType
from kendpoints.labels import HEADLESS, MANAGED_BY, SERVICE_NAME
from kendpoints.slices import concerns, families_of, has_slices, slices

TCP, UDP = Protocol.TCP, Protocol.UDP
V4, V6 = ip_address("10.244.0.9"), ip_address("fd44::9")


@dataclass(frozen=True)
class Case:
    """A pod of a Service, and the conditions (ready, serving, terminating) of its endpoint; None where it is none."""

    what: str
    conditions: tuple[bool, bool, bool] | None
    pod: dict[str, Any] = field(default_factory=dict)
    service: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("a ready pod", (True, True, False)),
    Case("a pod that is not ready", (False, False, False), {"ready": False}),
    Case("a terminating pod that still serves", (False, True, True), {"terminating": True}),
    Case("a terminating pod that no longer serves", (False, False, True), {"terminating": True, "ready": False}),
    Case("a pod that has succeeded", None, {"phase": "Succeeded"}),
    Case("a pod that has failed", None, {"phase": "Failed"}),
    Case("a terminating pod at its end", None, {"phase": "Succeeded", "terminating": True}),
    Case("a pod without an address", None, {"ips": ()}),
    Case("a pending pod with an address", (False, False, False), {"phase": "Pending", "ready": False}),
    Case("a pod of a node that does not exist", None, {"node_name": "gone"}),
    Case("the same, published anyway", (True, True, False), {"node_name": "gone"}, {"publish_not_ready": True}),
    Case("not ready, published anyway", (True, False, False), {"ready": False}, {"publish_not_ready": True}),
    Case("terminating, published anyway", (True, True, True), {"terminating": True}, {"publish_not_ready": True}),
    Case("a pod of the other family only", None, {"ips": (V6,)}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_pods_state_gives_its_endpoints_conditions(build: Any, case: Case) -> None:
    plan = slices(build.service(**case.service), [build.pod(**case.pod)], build.nodes(), [])
    (only,) = plan.changes.create
    found = [(e.ready, e.serving, e.terminating) for e in only.endpoints]
    assert found == ([case.conditions] if case.conditions else [])


def test_an_endpoint_names_its_pod_node_and_zone(build: Any) -> None:
    (only,) = slices(build.service(), [build.pod(7)], build.nodes(a="west"), []).changes.create
    (endpoint,) = only.endpoints
    assert endpoint.target == Reference("Pod", "default", "web-0007", "uid-7")
    assert (endpoint.pod, endpoint.node_name, endpoint.zone) == ("web-0007", "a", "west")


@pytest.mark.parametrize(
    ("hostname", "subdomain", "expected"),
    [("web-0", "web", "web-0"), ("web-0", "other", ""), ("web-0", "", ""), ("", "web", "")],
)
def test_a_hostname_counts_only_below_the_pods_own_subdomain(
    build: Any, hostname: str, subdomain: str, expected: str
) -> None:
    pod = build.pod(hostname=hostname, subdomain=subdomain)
    (only,) = slices(build.service(), [pod], build.nodes(), []).changes.create
    assert only.endpoints[0].hostname == expected


@pytest.mark.parametrize(
    ("target", "protocol", "expected"),
    [(8080, TCP, 8080), ("http", TCP, 8080), ("http", UDP, None), ("metrics", TCP, 9090), ("missing", TCP, None)],
    ids=["a number", "a name", "a name of another protocol", "a sidecar's name", "an unknown name"],
)
def test_target_ports_are_numbers_or_names_of_container_ports(
    build: Any, target: int | str, protocol: Protocol, expected: int | None
) -> None:
    pod = build.pod(ports=(ContainerPort("http", TCP, 8080), ContainerPort("metrics", TCP, 9090)))
    service = build.service(ports=(ServicePort("p", protocol, 80, target, app_protocol="h2c"),))
    (only,) = slices(service, [pod], build.nodes(), []).changes.create
    assert only.ports == ((EndpointPort("p", protocol, expected, "h2c"),) if expected else ())


def test_a_port_that_does_not_resolve_spoils_no_other_and_is_told(build: Any) -> None:
    service = build.service(ports=(ServicePort("a", TCP, 80, 8080), ServicePort("b", TCP, 81, "missing")))
    plan = slices(service, build.pods(3), build.nodes(), [])
    (only,) = plan.changes.create
    assert [port.name for port in only.ports] == ["a"]
    assert len(only.endpoints) == 3
    assert [notice.where for notice in plan.notices] == ["spec.ports[1].targetPort 'missing'"]


def test_pods_that_resolve_a_name_differently_are_in_different_slices(build: Any) -> None:
    other = build.pod(2, ports=(ContainerPort("http", TCP, 9999),))
    made = slices(build.service(), [build.pod(1), other], build.nodes(), []).changes.create
    assert sorted((s.ports[0].port, s.endpoints[0].pod) for s in made) == [(8080, "web-0001"), (9999, "web-0002")]


def test_a_headless_service_without_ports_has_slices_without_ports(build: Any) -> None:
    service = build.service(headless=True, cluster_ips=(), ports=())
    (only,) = slices(service, [build.pod()], build.nodes(), []).changes.create
    assert (only.ports, len(only.endpoints)) == ((), 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ip_families": (6, 4)}, (6, 4)),
        ({"ip_families": (), "cluster_ips": (V4,)}, (4,)),
        ({"ip_families": (), "cluster_ips": (V6,)}, (6,)),
        ({"ip_families": (), "cluster_ips": (), "headless": True}, (4, 6)),
    ],
)
def test_families_are_the_specs_or_the_addresses_or_both(
    build: Any, fields: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert families_of(build.service(**fields)) == expected


def test_each_family_has_slices_with_the_pods_addresses_of_that_family(build: Any) -> None:
    pods = [build.pod(1, ips=(V4, V6)), build.pod(2)]
    made = slices(build.service(ip_families=(4, 6)), pods, build.nodes(), []).changes.create
    found = {one.family: [str(e.addresses[0]) for e in one.endpoints] for one in made}
    assert found == {4: ["10.244.0.9", "10.244.0.3"], 6: ["fd44::9"]}


def test_slices_of_a_family_no_longer_wanted_are_deleted(build: Any) -> None:
    both = build.service(ip_families=(4, 6))
    existing = build.written(slices(both, [build.pod(ips=(V4, V6))], build.nodes(), []).changes)
    changes = slices(build.service(ip_families=(6,)), [build.pod(ips=(V4, V6))], build.nodes(), existing).changes
    assert [one.family for one in changes.delete] == [4]
    assert not changes.create
    assert not changes.update


def test_without_endpoints_each_family_has_one_placeholder_without_ports(build: Any) -> None:
    service = build.service(ip_families=(4, 6))
    changes = slices(service, [], build.nodes(), []).changes
    assert [(one.family, one.endpoints, one.ports) for one in changes.create] == [(4, (), ()), (6, (), ())]
    assert not slices(service, [], build.nodes(), build.written(changes)).changes


def test_slices_carry_the_services_labels_but_never_reserved_ones(build: Any) -> None:
    service = build.service(labels={"team": "shop", MANAGED_BY: "me", HEADLESS: "", SERVICE_NAME: "x"})
    (only,) = slices(service, [], build.nodes(), []).changes.create
    assert only.labels == {"team": "shop", SERVICE_NAME: "web", MANAGED_BY: "endpointslice-controller.k8s.io"}


def test_slices_of_a_headless_service_are_marked(build: Any) -> None:
    (only,) = slices(build.service(headless=True, cluster_ips=()), [], build.nodes(), []).changes.create
    assert only.labels[HEADLESS] == ""


def test_a_changed_label_of_the_service_reaches_its_slices(build: Any) -> None:
    existing = build.written(slices(build.service(), [build.pod()], build.nodes(), []).changes)
    changes = slices(build.service(labels={"a": "b"}), [build.pod()], build.nodes(), existing).changes
    assert [one.labels["a"] for one in changes.update] == ["b"]


def test_slices_belong_to_their_service(build: Any) -> None:
    (only,) = slices(build.service(), [], build.nodes(), []).changes.create
    assert only.owner == Reference("Service", "default", "web", "uid-web")


def test_slices_of_an_earlier_service_of_the_same_name_are_deleted(build: Any) -> None:
    existing = build.written(slices(build.service(uid="earlier"), [build.pod()], build.nodes(), []).changes)
    changes = slices(build.service(), [build.pod()], build.nodes(), existing).changes
    assert [one.owner and one.owner.uid for one in changes.delete] == ["earlier"]
    assert [one.owner and one.owner.uid for one in changes.create] == ["uid-web"]


def test_nothing_is_created_for_a_service_that_is_being_deleted(build: Any) -> None:
    existing = build.written(slices(build.service(), [build.pod()], build.nodes(), []).changes)
    changes = slices(build.service(terminating=True), build.pods(120), build.nodes(), existing).changes
    assert not changes.create
    assert len(changes.update[0].endpoints) == 20


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"selector": None}, False),
        ({"selector": {}}, True),
        ({"type": ServiceType.EXTERNAL_NAME}, False),
    ],
)
def test_only_services_with_a_selector_and_addresses_behind_them_have_slices(
    build: Any, fields: dict[str, Any], expected: bool
) -> None:
    assert has_slices(build.service(**fields)) is expected


def test_the_trigger_time_is_on_what_is_written_only(build: Any) -> None:
    stamp = "2026-01-02T03:04:05Z"
    pods = build.pods(150)
    existing = build.written(slices(build.service(), pods, build.nodes(), [], trigger_time=stamp).changes)
    assert {one.trigger_time for one in existing} == {stamp}
    pods[0] = replace(pods[0], ready=False)
    (only,) = slices(build.service(), pods, build.nodes(), existing).changes.update
    assert only.trigger_time == ""


def test_what_could_not_be_read_of_a_pod_is_told_and_spoils_no_other(build: Any) -> None:
    broken = build.pod(1, ips=(), problems=(Problem("status.podIPs[0]", "'x' is no address"),))
    plan = slices(build.service(), [broken, build.pod(2)], build.nodes(), [])
    assert build.addresses(list(plan.changes.create)) == ["10.244.0.3"]
    assert [str(notice) for notice in plan.notices] == ["pod web-0001: status.podIPs[0]: 'x' is no address"]


def test_a_pod_without_its_node_is_told(build: Any) -> None:
    plan = slices(build.service(), [build.pod(node_name="gone")], build.nodes(), [])
    assert "gone" in plan.notices[0].message


def test_a_node_that_is_gone_is_told_once_and_not_with_each_of_its_pods(build: Any) -> None:
    lost = [replace(pod, node_name="gone") for pod in build.pods(300)]
    plan = slices(build.service(), [*lost, build.pod(301), build.pod(302, node_name="lost")], build.nodes(), [])
    assert [notice.where for notice in plan.notices] == ["pod web-0001", "pod web-0302"]


@pytest.mark.parametrize("number", [0, -1, 65536, 70000])
def test_a_target_that_no_port_can_be_spoils_no_other(build: Any, number: int) -> None:
    service = build.service(ports=(ServicePort("a", TCP, 80, 8080), ServicePort("b", TCP, 81, number)))
    plan = slices(service, [build.pod()], build.nodes(), [])
    assert [port.name for one in plan.changes.create for port in one.ports] == ["a"]
    assert [notice.where for notice in plan.notices] == [f"spec.ports[1].targetPort {number}"]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"ready": False}, True),
        ({"terminating": True}, True),
        ({"phase": "Failed"}, True),
        ({"ips": (V4,)}, True),
        ({"node_name": "b"}, True),
        ({"uid": "other"}, True),
        ({"hostname": "h"}, True),
        ({"resource_version": "99"}, False),
        ({"annotations": {"a": "b"}}, False),
        ({"labels": {"app": "web", "x": "y"}}, False),
    ],
    ids=str,
)
def test_only_some_fields_of_a_pod_can_change_an_endpoint(build: Any, change: dict[str, Any], counts: bool) -> None:
    pod: Pod = build.pod()
    assert (concerns(pod) != concerns(replace(pod, **change))) is counts


def test_nothing_is_written_when_nothing_changed(build: Any) -> None:
    pods = build.pods(250)
    existing = build.written(slices(build.service(), pods, build.nodes(), []).changes)
    assert len(existing) == 3
    assert not slices(build.service(), pods, build.nodes(), existing).changes
