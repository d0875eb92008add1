"""What a Service asks of a node: the parts that the packets of the conformance cases cannot show."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from kapi.network import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    LoadBalancerAddress,
    Protocol,
    Service,
    ServicePort,
    ServiceType,
    TrafficPolicy,
)
from kproxy.desired import WITHOUT_ENDPOINTS, duties, is_ours
from kproxy.model import Absence, Duties, HealthCheck, Kind, Target
from kproxy.topology import Here

HERE = Here("here")
VIP, VIP6 = ip_address("10.96.0.1"), ip_address("fd96::1")
LOCAL, REMOTE = ip_address("10.244.1.2"), ip_address("10.244.2.2")
WEB = Service(
    "default", "web", "u", ServiceType.CLUSTER_IP, False, (VIP,), (ServicePort("http", Protocol.TCP, 80, 8080),)
)


def endpoint_slice(*endpoints: Endpoint, name: str = "web-1", port: str = "http", family: int = 4) -> EndpointSlice:
    ports = (EndpointPort(port, Protocol.TCP, 8080),)
    return EndpointSlice("default", name, "", "web", family, endpoints, ports)


BOTH = endpoint_slice(Endpoint((LOCAL,), node_name="here"), Endpoint((REMOTE,), node_name="there"))


def kinds(owed: Duties) -> list[Kind]:
    return [frontend.kind for frontend in owed.frontends]


@pytest.mark.parametrize(
    "other",
    [
        replace(WEB, type=ServiceType.EXTERNAL_NAME),
        replace(WEB, headless=True, cluster_ips=()),
        replace(WEB, cluster_ips=()),
        replace(WEB, labels={"service.kubernetes.io/service-proxy-name": ""}),
    ],
)
def test_some_services_are_not_for_this_proxy(other: Service) -> None:
    assert not is_ours(other)
    assert not duties(other, [BOTH], HERE).frontends


def test_a_cluster_ip_is_served_by_every_ready_endpoint() -> None:
    (frontend,) = duties(WEB, [BOTH], HERE).frontends
    assert frontend.pool == (Target(LOCAL, 8080), Target(REMOTE, 8080))
    assert frontend.origin == "default/web:http"
    assert frontend.outside is None


def test_an_endpoint_in_two_slices_counts_once_and_as_local_if_either_says_so() -> None:
    elsewhere = endpoint_slice(Endpoint((LOCAL,), node_name="there"), name="web-2")
    local = replace(WEB, internal_policy=TrafficPolicy.LOCAL)
    for slices in ([BOTH, elsewhere], [elsewhere, BOTH]):
        assert duties(local, slices, HERE).frontends[0].pool == (Target(LOCAL, 8080),)


def test_slice_ports_are_joined_by_name_and_protocol() -> None:
    assert duties(WEB, [endpoint_slice(Endpoint((LOCAL,)), port="other")], HERE).frontends[0].pool == ()


def test_the_headless_label_says_nothing_on_a_service_itself() -> None:
    assert is_ours(replace(WEB, labels={"service.kubernetes.io/headless": ""}))


def test_a_slice_with_the_headless_label_is_left_alone() -> None:
    labelled = replace(BOTH, labels={"service.kubernetes.io/headless": ""})
    assert duties(WEB, [labelled], HERE).frontends[0].pool == ()


def test_each_family_has_its_own_endpoints() -> None:
    dual = replace(WEB, cluster_ips=(VIP, VIP6))
    four, six = duties(dual, [BOTH], HERE).frontends
    assert (four.place.address, len(four.pool)) == (VIP, 2)
    assert (six.place.address, six.pool, six.absence) == (VIP6, (), Absence.REJECT)


def test_an_external_address_of_a_family_the_service_lacks_is_reported() -> None:
    odd = replace(WEB, external_ips=(ip_address("2001:db8::1"),))
    owed = duties(odd, [BOTH], HERE)
    assert kinds(owed) == [Kind.CLUSTER_IP]
    assert "2001:db8::1" in str(owed.problems[0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ServiceType.CLUSTER_IP, [Kind.CLUSTER_IP, Kind.EXTERNAL_IP]),
        (ServiceType.NODE_PORT, [Kind.CLUSTER_IP, Kind.EXTERNAL_IP, Kind.NODE_PORT]),
        (ServiceType.LOAD_BALANCER, [Kind.CLUSTER_IP, Kind.EXTERNAL_IP, Kind.LOAD_BALANCER, Kind.NODE_PORT]),
    ],
)
def test_the_type_decides_which_frontends_there_are(kind: ServiceType, expected: list[Kind]) -> None:
    full = replace(
        WEB,
        type=kind,
        ports=(ServicePort("http", Protocol.TCP, 80, 8080, 30080),),
        external_ips=(ip_address("203.0.113.2"),),
        load_balancer=(LoadBalancerAddress(ip_address("203.0.113.1")),),
    )
    assert kinds(duties(full, [BOTH], HERE)) == expected


def test_overlapping_source_ranges_are_joined() -> None:
    ranges = tuple(ip_network(n) for n in ("192.0.2.0/24", "192.0.2.0/25", "192.0.3.0/24", "2001:db8::/32"))
    guarded = replace(
        WEB,
        type=ServiceType.LOAD_BALANCER,
        load_balancer=(LoadBalancerAddress(ip_address("203.0.113.1")),),
        source_ranges=ranges,
    )
    balanced = duties(guarded, [BOTH], HERE).frontends[1]
    assert balanced.sources == (ip_network("192.0.2.0/23"),)


@pytest.mark.parametrize(
    ("readable", "unread", "expected"),
    [
        ((), False, None),
        (("2001:db8::/32",), False, None),
        ((), True, ()),
        (("2001:db8::/32",), True, ()),
        (("192.0.2.0/24",), True, (ip_network("192.0.2.0/24"),)),
    ],
)
def test_source_ranges_that_cannot_be_read_let_nobody_in(
    readable: tuple[str, ...], unread: bool, expected: tuple[object, ...] | None
) -> None:
    guarded = replace(
        WEB,
        type=ServiceType.LOAD_BALANCER,
        load_balancer=(LoadBalancerAddress(ip_address("203.0.113.1")),),
        source_ranges=tuple(ip_network(n) for n in readable),
        unread_ranges=unread,
    )
    assert duties(guarded, [BOTH], HERE).frontends[1].sources == expected


def test_the_load_balancer_address_itself_may_come_in_where_the_node_may() -> None:
    guarded = replace(
        WEB,
        type=ServiceType.LOAD_BALANCER,
        load_balancer=(LoadBalancerAddress(ip_address("203.0.113.1")),),
        source_ranges=(ip_network("172.30.0.0/24"),),
    )
    here = Here("here", addresses=(ip_address("172.30.0.11"),))
    sources = duties(guarded, [BOTH], here).frontends[1].sources
    assert sources == (ip_network("172.30.0.0/24"), ip_network("203.0.113.1/32"))


def test_only_endpoints_that_may_be_here_can_reach_themselves() -> None:
    unplaced = Endpoint((ip_address("10.9.9.9"),))
    owed = duties(WEB, [BOTH, endpoint_slice(unplaced, name="web-2")], HERE)
    assert owed.own == (ip_address("10.9.9.9"), LOCAL)


def test_flows_of_terminating_endpoints_go_on() -> None:
    udp = replace(WEB, ports=(ServicePort("http", Protocol.UDP, 80, 8080),))
    ports = (EndpointPort("http", Protocol.UDP, 8080),)
    leaving = Endpoint((REMOTE,), ready=False, serving=True, terminating=True)
    gone = Endpoint((ip_address("10.244.2.3"),), ready=False, serving=False, terminating=True)
    there = EndpointSlice("default", "web-1", "", "web", 4, (Endpoint((LOCAL,)), leaving, gone), ports)
    (watched,) = duties(udp, [there], HERE).datagrams
    assert watched.serving == {LOCAL, REMOTE}


@pytest.mark.parametrize(
    ("annotation", "usual", "alone", "elsewhere"),
    [
        (None, None, "reject", "drop"),
        ("reject", None, "reject", "reject"),
        ("drop", None, "drop", "drop"),
        (None, Absence.REJECT, "reject", "reject"),
        ("drop", Absence.REJECT, "drop", "drop"),
        ("vanish", None, "reject", "drop"),
    ],
)
def test_where_nobody_serves_the_service_or_the_operator_may_choose(
    annotation: str | None, usual: Absence | None, alone: str, elsewhere: str
) -> None:
    chosen = {WITHOUT_ENDPOINTS: annotation} if annotation else {}
    picky = replace(WEB, internal_policy=TrafficPolicy.LOCAL, annotations=chosen)
    far = endpoint_slice(Endpoint((REMOTE,), node_name="there"))
    owed = duties(picky, [], HERE, absence=usual)
    assert owed.frontends[0].absence == alone
    assert duties(picky, [far], HERE, absence=usual).frontends[0].absence == elsewhere
    assert bool(owed.problems) is (annotation == "vanish")


def test_weights_repeat_endpoints_and_what_is_wrong_with_them_is_told() -> None:
    heavy = replace(WEB, annotations={"kproxy.io/weights": "node/here=3,moon=1"})
    owed = duties(heavy, [BOTH], HERE)
    assert sorted(owed.frontends[0].pool) == [*[Target(LOCAL, 8080)] * 3, Target(REMOTE, 8080)]
    assert [p.field for p in owed.problems] == ["metadata.annotations[kproxy.io/weights]"]


def test_a_load_balancer_is_told_of_ready_endpoints_here_only() -> None:
    asked = replace(
        WEB, type=ServiceType.LOAD_BALANCER, external_policy=TrafficPolicy.LOCAL, health_check_node_port=32000
    )
    leaving = Endpoint((ip_address("10.244.1.9"),), ready=False, terminating=True, node_name="here")
    assert duties(asked, [BOTH, endpoint_slice(leaving, name="web-2")], HERE).health == HealthCheck(32000, 1)
    assert duties(replace(asked, external_policy=TrafficPolicy.CLUSTER), [BOTH], HERE).health is None
    assert duties(replace(asked, type=ServiceType.NODE_PORT), [BOTH], HERE).health is None
