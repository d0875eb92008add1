from __future__ import annotations

from ipaddress import ip_address

from kapi.network import Endpoint, EndpointPort, EndpointSlice, Protocol, Service, ServicePort, ServiceType
from kingress.backends import resolve
from kingress.objects import BackendRef

TCP = Protocol.TCP


def service(*ports: ServicePort, kind: ServiceType = ServiceType.CLUSTER_IP, external: str = "") -> Service:
    return Service("shop", "web", "", kind, False, (), ports, external_name=external)


def endpoint(address: str, *, ready: bool = True, serving: bool = True, terminating: bool = False) -> Endpoint:
    return Endpoint((ip_address(address),), ready, serving, terminating)


def slice_of(*endpoints: Endpoint, port: int = 8080, name: str = "http", suffix: str = "1") -> EndpointSlice:
    family = endpoints[0].addresses[0].version if endpoints else 4
    return EndpointSlice("shop", f"web-{suffix}", "", "web", family, endpoints, (EndpointPort(name, TCP, port),))


HTTP = ServicePort("http", TCP, 80, "web")
DNS = ServicePort("dns", Protocol.UDP, 80, 53)


def addresses(ref_port: int | str, *slices: EndpointSlice, to: Service | None = None) -> list[str]:
    found = resolve(BackendRef("shop", "web", ref_port), to or service(HTTP), slices)
    return [f"{host}:{port}" for host, port in found.addresses]


def test_a_port_is_found_by_number_and_by_name() -> None:
    one = slice_of(endpoint("10.0.0.1"))
    assert addresses(80, one) == addresses("http", one) == ["10.0.0.1:8080"]


def test_a_udp_port_of_the_same_number_is_not_it() -> None:
    assert addresses(80, slice_of(endpoint("10.0.0.1")), to=service(DNS, HTTP)) == ["10.0.0.1:8080"]


def test_ready_endpoints_are_used_and_others_are_not() -> None:
    one = slice_of(
        endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False), endpoint("10.0.0.3", ready=False, terminating=True)
    )
    assert addresses(80, one) == ["10.0.0.1:8080"]


def test_where_none_is_ready_those_that_serve_while_terminating_are_used() -> None:
    one = slice_of(
        endpoint("10.0.0.1", ready=False, serving=True, terminating=True),
        endpoint("10.0.0.2", ready=False, serving=False, terminating=True),
        endpoint("10.0.0.3", ready=False, serving=False),
    )
    assert addresses(80, one) == ["10.0.0.1:8080"]


def test_an_endpoint_in_two_slices_counts_once() -> None:
    assert addresses(80, slice_of(endpoint("10.0.0.1")), slice_of(endpoint("10.0.0.1"), suffix="2")) == [
        "10.0.0.1:8080"
    ]


def test_a_dual_stack_service_is_reached_over_its_first_family() -> None:
    both = slice_of(endpoint("10.0.0.1")), slice_of(endpoint("fd00::1"), suffix="6")
    assert addresses(80, *both) == ["10.0.0.1:8080"]
    six = Service("shop", "web", "", ServiceType.CLUSTER_IP, False, (), (HTTP,), ip_families=(6, 4))
    assert addresses(80, *both, to=six) == ["fd00::1:8080"]


def test_an_external_name_is_reached_by_its_name() -> None:
    external = service(kind=ServiceType.EXTERNAL_NAME, external="db.example")
    assert addresses(8080, to=external) == ["db.example:8080"]
    named = service(HTTP, kind=ServiceType.EXTERNAL_NAME, external="db.example")
    assert addresses("http", to=named) == ["db.example:80"]


def test_what_is_missing_is_said() -> None:
    ref = BackendRef("shop", "web", "http")
    assert resolve(ref, None, ()).reason == "Service shop/web does not exist."
    metrics = ServicePort("metrics", TCP, 9090, 9090)
    assert resolve(ref, service(metrics), ()).reason == (
        "Service shop/web has no TCP port http; its ports are: 9090 (metrics)."
    )
    none_ready = slice_of(endpoint("10.0.0.1", ready=False, serving=False))
    assert resolve(ref, service(HTTP), (none_ready,)).reason == (
        "Service shop/web port http has no ready endpoints (of 1)."
    )


def test_endpoints_hinted_for_the_own_zone_are_preferred_where_all_have_hints() -> None:
    def hinted(address: str, *zones: str) -> Endpoint:
        return Endpoint((ip_address(address),), zone_hints=zones)

    both = slice_of(hinted("10.0.0.1", "a"), hinted("10.0.0.2", "b"))
    some = slice_of(hinted("10.0.0.1", "a"), hinted("10.0.0.2"))
    ref = BackendRef("shop", "web", 80)
    for slices, zone, count in ((both, "a", 1), (both, "b", 1), (both, "c", 2), (both, "", 2), (some, "a", 2)):
        assert len(resolve(ref, service(HTTP), [slices], zone).addresses) == count
