"""The older Endpoints object: one family, subsets by ports, at most a thousand addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from kapi.network import ContainerPort, EndpointPort, Protocol, ServicePort
from kendpoints.codec import endpoints_json
from kendpoints.endpoints import Endpoints, desired, read
from kendpoints.labels import ENDPOINTS_MANAGED_BY, HEADLESS, OVER_CAPACITY, TRIGGER_TIME

TCP = Protocol.TCP
V6 = ip_address("fd44::9")


def made(service: Any, pods: list[Any], existing: Endpoints | None = None) -> Endpoints:
    found = desired(service, pods, existing)
    assert found is not None
    return found


def names(found: Endpoints) -> list[tuple[list[str], list[str], list[int]]]:
    """Each subset as the pods that are ready, those that are not, and the port numbers."""
    return [
        (
            [address.target.name for address in subset.ready if address.target],
            [address.target.name for address in subset.not_ready if address.target],
            [port.port for port in subset.ports],
        )
        for subset in found.subsets
    ]


@pytest.mark.parametrize(
    ("pod", "service", "expected"),
    [
        ({}, {}, [(["web-0001"], [], [8080])]),
        ({"ready": False}, {}, [([], ["web-0001"], [8080])]),
        ({"ready": False}, {"publish_not_ready": True}, [(["web-0001"], [], [8080])]),
        ({"terminating": True}, {}, []),
        ({"terminating": True}, {"publish_not_ready": True}, [(["web-0001"], [], [8080])]),
        ({"phase": "Succeeded"}, {}, []),
        ({"ips": ()}, {}, []),
        ({"ips": (V6,)}, {}, []),
        ({"ips": (V6,)}, {"ip_families": (6, 4)}, [(["web-0001"], [], [8080])]),
        ({"ports": ()}, {}, []),
        ({}, {"headless": True, "cluster_ips": (), "ports": ()}, [(["web-0001"], [], [])]),
    ],
    ids=str,
)
def test_a_pods_state_decides_where_its_address_stands(
    build: Any, pod: dict[str, Any], service: dict[str, Any], expected: list[Any]
) -> None:
    assert names(made(build.service(**service), [build.pod(**pod)])) == expected


def test_where_nothing_names_a_family_the_pods_first_address_counts(build: Any) -> None:
    headless = build.service(headless=True, cluster_ips=(), ip_families=())
    found = made(headless, [build.pod(1), build.pod(2, ips=(V6,))])
    assert names(found) == [(["web-0001", "web-0002"], [], [8080])]


def test_addresses_with_the_same_ports_share_a_subset(build: Any) -> None:
    other = build.pod(3, ports=(ContainerPort("http", TCP, 9090),))
    found = made(build.service(), [build.pod(2), build.pod(1), other, build.pod(4, ready=False)])
    assert names(found) == [(["web-0001", "web-0002"], ["web-0004"], [8080]), (["web-0003"], [], [9090])]


def test_a_port_that_does_not_resolve_is_left_out(build: Any) -> None:
    service = build.service(ports=(ServicePort("a", TCP, 80, 80), ServicePort("b", TCP, 81, "missing")))
    assert made(service, [build.pod()]).subsets[0].ports == (EndpointPort("a", TCP, 80),)


def test_labels_are_the_services_and_the_marks_of_controller_and_headless(build: Any) -> None:
    found = made(build.service(labels={"team": "shop", HEADLESS: "x"}), [])
    assert found.labels == {"team": "shop", ENDPOINTS_MANAGED_BY: "endpoint-controller"}
    assert made(build.service(headless=True, cluster_ips=()), []).labels[HEADLESS] == ""


def test_annotations_of_others_stay(build: Any) -> None:
    existing = Endpoints("default", "web", "u", "7", annotations={"theirs": "1", TRIGGER_TIME: "then"})
    found = desired(build.service(), [build.pod()], existing, trigger_time="now")
    assert found is not None
    assert found.annotations == {"theirs": "1", TRIGGER_TIME: "now"}
    assert (found.uid, found.resource_version) == ("u", "7")


@pytest.mark.parametrize(
    ("ready", "not_ready", "expected"), [(1000, 0, (1000, 0)), (1500, 9, (1000, 0)), (600, 900, (600, 400))]
)
def test_a_thousand_addresses_are_kept_and_ready_ones_first(
    build: Any, ready: int, not_ready: int, expected: tuple[int, int]
) -> None:
    pods = build.pods(ready) + [replace(pod, ready=False) for pod in build.pods(not_ready, start=2001)]
    (subset,) = made(build.service(), pods).subsets
    assert (len(subset.ready), len(subset.not_ready)) == expected


def test_subsets_are_cut_in_proportion_and_the_object_says_so(build: Any) -> None:
    others = [replace(pod, ports=(ContainerPort("http", TCP, 9090),)) for pod in build.pods(500, start=2001)]
    found = made(build.service(), build.pods(1500) + others)
    assert [len(subset.ready) for subset in found.subsets] == [750, 250]
    assert found.annotations[OVER_CAPACITY] == "truncated"
    assert OVER_CAPACITY not in made(build.service(), build.pods(3), found).annotations


def test_what_is_written_reads_back_equal_and_needs_no_second_write(build: Any) -> None:
    pods = [build.pod(1, hostname="h", subdomain="web"), build.pod(2, ready=False)]
    found = made(build.service(labels={"a": "b"}), pods)
    back = read(endpoints_json(found))
    assert back == found
    assert desired(build.service(labels={"a": "b"}), pods, back) is None


def test_one_bad_address_hides_no_other() -> None:
    subset = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "nonsense"}, {}], "ports": [{"port": 80}, {"port": "x"}]}
    found = read({"metadata": {"name": "n", "namespace": "d"}, "subsets": [subset]})
    assert [str(address.ip) for address in found.subsets[0].ready] == ["10.0.0.1"]
    assert [notice.where for notice in found.unread] == [
        "subsets[0].addresses[1].ip",
        "subsets[0].addresses[2].ip",
        "subsets[0].ports[1]",
    ]
