"""API JSON becomes values; a bad part is left out and named, and never spoils the rest."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi import decode
from kapi.errors import DecodeError
from kapi.network import Protocol, ServiceType, TrafficPolicy

Json = dict[str, Any]


def service(spec: Json, **more: Any) -> Json:
    return {"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}, "spec": spec, **more}


def test_a_service_from_a_file_gets_the_defaults_of_the_api() -> None:
    web = decode.service(service({"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}))
    assert web.key == "shop/web"
    assert web.type is ServiceType.CLUSTER_IP
    assert web.cluster_ips == (ip_address("10.96.0.7"),)
    assert web.ports[0].target_port == 80
    assert web.ports[0].protocol is Protocol.TCP
    assert web.external_policy is web.internal_policy is TrafficPolicy.CLUSTER
    assert web.affinity_seconds == 0
    assert not web.problems


def test_a_service_without_a_namespace_is_in_default() -> None:
    assert decode.service({"metadata": {"name": "web"}}).key == "default/web"


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"clusterIPs": ["None"]}])
def test_a_headless_service_has_no_cluster_address(spec: Json) -> None:
    web = decode.service(service(spec))
    assert web.headless
    assert web.cluster_ips == ()


def test_an_external_name_service_is_not_headless_and_owns_no_address() -> None:
    web = decode.service(service({"type": "ExternalName", "externalName": "example.org", "clusterIP": "10.96.0.7"}))
    assert not web.headless
    assert web.cluster_ips == ()
    assert web.external_name == "example.org"


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}}, 10),
    ],
)
def test_session_affinity_is_a_number_of_seconds(spec: Json, seconds: int) -> None:
    assert decode.service(service(spec)).affinity_seconds == seconds


def test_source_ranges_may_be_padded_with_spaces() -> None:
    web = decode.service(service({"loadBalancerSourceRanges": [" 10.0.0.0/8 ", "fd00::/8"]}))
    assert web.source_ranges == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert not web.unread_ranges


def test_leading_zeros_of_source_ranges_mean_nothing_as_in_kubernetes() -> None:
    web = decode.service(service({"loadBalancerSourceRanges": ["010.020.000.0/016", "100.0.0.0/08"]}))
    assert web.source_ranges == (ip_network("10.20.0.0/16"), ip_network("100.0.0.0/8"))


@pytest.mark.parametrize("ranges", [["10.0.0.0/99"], [""], [None], ["10.0.0.0/8", "x"], "10.0.0.0/8", 7])
def test_source_ranges_that_cannot_be_read_are_known_to_be_there(ranges: Any) -> None:
    assert decode.service(service({"loadBalancerSourceRanges": ranges})).unread_ranges


@pytest.mark.parametrize("ranges", [[], None, ["10.0.0.0/8"]])
def test_where_all_source_ranges_can_be_read_none_is_missing(ranges: Any) -> None:
    assert not decode.service(service({"loadBalancerSourceRanges": ranges})).unread_ranges


def test_load_balancer_addresses_keep_their_mode_and_host_names_are_left_alone() -> None:
    ingress = [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}, {"hostname": "lb.example"}]
    web = decode.service(service({}, status={"loadBalancer": {"ingress": ingress}}))
    assert [(str(a.ip), a.proxied) for a in web.load_balancer] == [("203.0.113.1", False), ("203.0.113.2", True)]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ports": [{"port": 80}, {"port": 70000}]}, "spec.ports[1]"),
        ({"ports": [{"port": 80}, {"port": 53, "protocol": "QUIC"}]}, "spec.ports[1]"),
        ({"ports": [{"port": 80}, {"port": True}]}, "spec.ports[1]"),
        ({"ports": [{"port": 80}, {"port": 81, "nodePort": -1}]}, "spec.ports[1]"),
        ({"ports": [{"port": 80}, "eighty"]}, "spec.ports[1]"),
        ({"ports": [{"port": 80}], "externalIPs": ["not an address"]}, "spec.externalIPs[0]"),
        ({"ports": [{"port": 80}], "externalIPs": [7.5]}, "spec.externalIPs[0]"),
        ({"ports": [{"port": 80}], "loadBalancerSourceRanges": ["10.0.0.0/99"]}, "spec.loadBalancerSourceRanges[0]"),
        ({"ports": [{"port": 80}], "externalTrafficPolicy": "Global"}, "spec.externalTrafficPolicy"),
        ({"ports": [{"port": 80}], "type": "Magic"}, "spec.type"),
    ],
)
def test_a_bad_part_of_a_service_is_named_and_the_rest_is_used(spec: Json, field: str) -> None:
    web = decode.service(service(spec))
    assert [p.port for p in web.ports] == [80]
    assert [p.field for p in web.problems] == [field]


@pytest.mark.parametrize("obj", [None, [], {}, {"metadata": {}}, {"metadata": {"name": 7}}, {"metadata": None}])
@pytest.mark.parametrize("read", [decode.service, decode.endpoint_slice, decode.node, decode.pod])
def test_an_object_without_a_name_cannot_be_read(read: Any, obj: Any) -> None:
    with pytest.raises(DecodeError):
        read(obj)


@pytest.mark.parametrize("junk", [None, "x", 7, [], [None], ["x"], {"a": 1}, True])
@pytest.mark.parametrize("field", ["spec", "status", "endpoints", "ports", "addressType"])
def test_junk_in_any_place_never_raises(field: str, junk: Any) -> None:
    for read in (decode.service, decode.endpoint_slice, decode.node, decode.pod):
        obj: Json = {"metadata": {"name": "x", "labels": junk, "annotations": junk}, "addressType": "IPv4"}
        read({**obj, field: junk})
        read({**obj, "spec": {"ports": junk, "containers": junk, "clusterIPs": junk, "type": "NodePort"}})
        read({**obj, "status": {"conditions": junk, "podIPs": junk, "loadBalancer": junk, "addresses": junk}})


def slice_of(*endpoints: Any, **more: Any) -> Json:
    meta = {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    return {"metadata": meta, "addressType": "IPv4", "endpoints": list(endpoints), **more}


@pytest.mark.parametrize(
    ("conditions", "ready", "serving", "terminating"),
    [
        (None, True, True, False),
        ({}, True, True, False),
        ({"ready": False}, False, True, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True, True),
        ({"ready": True, "serving": False, "terminating": True}, True, False, True),
    ],
)
def test_conditions_that_are_not_said_have_the_defaults_of_the_api(
    conditions: Json | None, ready: bool, serving: bool, terminating: bool
) -> None:
    found = decode.endpoint_slice(slice_of({"addresses": ["10.1.0.1"], "conditions": conditions})).endpoints[0]
    assert (found.ready, found.serving, found.terminating) == (ready, serving, terminating)


def test_an_endpoint_of_another_family_is_left_out_and_named() -> None:
    found = decode.endpoint_slice(slice_of({"addresses": ["fd00::1"]}, {"addresses": ["10.1.0.1"]}))
    assert [str(e.addresses[0]) for e in found.endpoints] == ["10.1.0.1"]
    assert found.problems[0].field == "endpoints[0].addresses"


def test_ports_without_a_number_or_a_name_are_not_ports() -> None:
    ports: list[Json] = [{"name": "a"}, {"port": 80}, {"name": "", "port": 81}, {"name": "c", "port": 0}]
    assert [p.port for p in decode.endpoint_slice(slice_of(ports=ports)).ports] == [81]


def test_a_slice_of_names_has_no_endpoints() -> None:
    found = decode.endpoint_slice({**slice_of({"addresses": ["example.org"]}), "addressType": "FQDN"})
    assert found.endpoints == ()
    assert found.family == 0


def test_a_sidecars_ports_count_and_those_of_other_init_containers_do_not() -> None:
    spec = {
        "containers": [{"ports": [{"name": "http", "containerPort": 80}]}],
        "initContainers": [
            {"restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]},
            {"ports": [{"name": "once", "containerPort": 1}]},
        ],
    }
    assert [p.name for p in decode.pod({"metadata": {"name": "x"}, "spec": spec}).ports] == ["http", "mesh"]


_SCALARS = st.none() | st.booleans() | st.integers(-1, 70000) | st.sampled_from(["", "TCP", "10.0.0.1", "fd00::1", "a"])
_KEYS = st.sampled_from(
    [
        "name",
        "type",
        "status",
        "port",
        "protocol",
        "ports",
        "ip",
        "ips",
        "podIPs",
        "containerPort",
        "containers",
        "initContainers",
        "restartPolicy",
        "clusterIPs",
        "conditions",
        "addresses",
        "address",
        "endpoints",
        "hints",
        "forZones",
        "targetRef",
        "kind",
        "loadBalancer",
        "ingress",
        "taints",
        "key",
        "spec",
    ]
)
_JUNK = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4))


@given(spec=_JUNK, status=_JUNK, items=_JUNK)
def test_whatever_an_object_holds_it_can_be_read(spec: Any, status: Any, items: Any) -> None:
    obj = {"metadata": {"name": "x"}, "spec": spec, "status": status, "addressType": "IPv4"}
    for read in (decode.service, decode.endpoint_slice, decode.node, decode.pod):
        read({**obj, "endpoints": items, "ports": items})
