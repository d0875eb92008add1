"""What names need of Services and EndpointSlices is read as `kapi.decode` reads them, whatever else is in them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi import decode
from kapi.errors import DecodeError
from kapi.network import ServiceType
from kdns import objects
from kdns.objects import Backend, Port

ODD: Any = st.sampled_from([None, "", "x", 0, 7, True, [], ["x"], {}, {"x": 1}])
ADDRESS = st.sampled_from(["10.0.0.1", "255.255.255.255", "fd00::1", "::ffff:10.0.0.1"])
BAD = st.sampled_from(["", "None", "10.0.0", "10.0.0.256", "010.0.0.1", "1.2.3.4.5", "+1.2.3.4", "\0", "à.0.0.1"])
PORT = st.fixed_dictionaries(
    {"port": st.sampled_from([80, 65535]) | ODD},
    optional={"name": st.sampled_from(["http", ""]), "protocol": st.sampled_from(["TCP", "UDP", "SCTP", "tcp"]) | ODD},
)
PORTS = st.lists(PORT, max_size=3) | ODD
META = {"name": st.just("a"), "namespace": st.sampled_from(["n", ""])}
SERVICE = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*ServiceType, "Other", None]),
        "clusterIPs": st.lists(ADDRESS | BAD, max_size=2) | st.just(["None"]) | ODD,
        "clusterIP": ADDRESS | BAD | ODD,
        "ports": PORTS,
        "externalName": st.just("x.example") | ODD,
        "publishNotReadyAddresses": ODD,
        "selector": st.just({"app": "a"}) | st.just({}) | st.none(),
    }
)
ENDPOINT = st.fixed_dictionaries(
    {"addresses": st.lists(ADDRESS, max_size=2)},
    optional={
        "hostname": st.just("h") | ODD,
        "conditions": st.fixed_dictionaries({}, optional={"ready": st.booleans() | st.none()}) | ODD,
        "targetRef": st.fixed_dictionaries({"kind": st.sampled_from(["Pod", "Node"]), "name": st.just("p")}) | ODD,
    },
)
SLICE = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            META,
            optional={
                "labels": st.fixed_dictionaries({"kubernetes.io/service-name": st.just("a") | ODD}),
                "annotations": st.fixed_dictionaries({"endpoints.kubernetes.io/last-change-trigger-time": ODD}),
            },
        ),
        "addressType": st.sampled_from(["IPv4", "IPv6", "FQDN", "", None]),
        "endpoints": st.lists(ENDPOINT, max_size=3) | st.none(),
        "ports": PORTS,
    }
)


@given(st.fixed_dictionaries({"metadata": st.fixed_dictionaries(META), "spec": SERVICE | ODD}))
def test_a_service_is_read_as_others_read_it(obj: Any) -> None:
    found, others = objects.service(obj), decode.service(obj)
    assert found == (
        others.namespace,
        others.name,
        others.uid,
        others.type is ServiceType.EXTERNAL_NAME,
        others.headless,
        tuple(address.packed for address in others.cluster_ips),
        tuple(Port(port.name, port.protocol.lower(), port.port) for port in others.ports),
        others.external_name,
        others.publish_not_ready,
        bool(others.selector),
    )


@given(SLICE)
def test_a_slice_is_read_as_others_read_it(obj: Any) -> None:
    found, others = objects.endpoint_slice_with_pods(obj), decode.endpoint_slice(obj)
    assert found == (
        others.name,
        others.service_key if others.service else "",
        tuple(
            Backend(address.packed, endpoint.hostname, endpoint.pod, endpoint.ready)
            for endpoint in others.endpoints
            for address in endpoint.addresses
        ),
        found.ports,
        others.trigger_time,
    )
    numbered = tuple(port for port in found.ports if port.number)
    assert numbered == tuple(Port(port.name, port.protocol.lower(), port.port) for port in others.ports)


def test_a_port_of_endpoints_may_have_no_number_and_one_of_a_service_may_not() -> None:
    meta, ports = {"name": "a"}, [{"name": "all"}, {"name": "none", "port": 0}, {"name": "http", "port": 80}]
    read = objects.endpoint_slice({"metadata": meta, "addressType": "IPv4", "ports": ports})
    assert read.ports == (Port("all", "tcp", 0), Port("http", "tcp", 80))
    assert objects.service({"metadata": meta, "spec": {"ports": ports}}).ports == (Port("http", "tcp", 80),)


@given(ADDRESS | BAD | st.text(max_size=9) | st.builds("{}.{}.{}.{}".format, *[st.integers(0, 300)] * 4))
def test_an_address_is_what_python_takes_for_one(text: str) -> None:
    read = objects.service({"metadata": {"name": "a"}, "spec": {"clusterIPs": [text]}}).addresses
    try:
        expected: tuple[bytes, ...] = (ip_address(text).packed,)
    except ValueError:
        expected = ()
    assert read == expected


def test_one_bad_address_costs_its_endpoint_no_other() -> None:
    endpoint = {"addresses": ["10.0.0.1", "junk", 7, "fd00::1"]}
    read = objects.endpoint_slice({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint, None]})
    assert read.backends == (Backend(bytes((10, 0, 0, 1)), "", "", ready=True),)


@pytest.mark.parametrize("obj", [{}, {"metadata": {}}, {"metadata": {"name": 7}}, None, {"metadata": "x"}])
def test_what_has_no_name_is_an_error(obj: Any) -> None:
    for read in (objects.service, objects.endpoint_slice):
        with pytest.raises(DecodeError, match=r"without metadata\.name"):
            read(obj)
