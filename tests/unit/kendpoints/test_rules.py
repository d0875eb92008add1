"""The rules of Kubernetes' endpoint controllers, numbered as docs/reference/kendpoints.md numbers them.

D1 is the EndpointSlice controller, D2 its hints, D3 the Endpoints controller, D4 the mirroring controller. The rules
that only show in a running controller are in test_rules_at_work.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

import pytest

from kapi.network import ContainerPort, EndpointSlice, Node, Protocol, Reference, Service, ServicePort, ServiceType
from kendpoints.codec import slice_json
from kendpoints.endpoints import EndpointAddress, Endpoints, Subset, desired
from kendpoints.labels import (
    ENDPOINTS_MANAGED_BY,
    HEADLESS,
    LAST_APPLIED,
    LEADER,
    MANAGED_BY,
    OVER_CAPACITY,
    SERVICE_NAME,
    SKIP_MIRROR,
    TOPOLOGY_HINTS,
    TOPOLOGY_MODE,
    TRIGGER_TIME,
)
from kendpoints.mirror import mirror
from kendpoints.pack import Changes, identity
from kendpoints.slices import concerns, has_slices, slices
from kendpoints.trigger import Seen, attribute

TCP, UDP = Protocol.TCP, Protocol.UDP
V6 = ip_address("fd44::9")


@dataclass(frozen=True)
class Rule:
    """A rule: its number, what it says, what is found, and what must be."""

    number: str
    says: str
    found: Callable[[Any], Any]
    expected: Any

    def __str__(self) -> str:
        return f"{self.number} {self.says}"


def made(build: Any, pod: dict[str, Any] | None = None, **service: Any) -> list[EndpointSlice]:
    """The slices of a Service with one pod."""
    return list(slices(build.service(**service), [build.pod(**(pod or {}))], build.nodes(a="west"), []).changes.create)


def states(build: Any, pod: dict[str, Any] | None = None, **service: Any) -> list[tuple[bool, bool, bool]]:
    found = (endpoint for one in made(build, pod, **service) for endpoint in one.endpoints)
    return [(endpoint.ready, endpoint.serving, endpoint.terminating) for endpoint in found]


def after(build: Any, before: Service, now: Service, count: int = 1, then: int = 1) -> dict[str, int]:
    """How many slices are written when a Service changes, and the number of its pods."""
    existing = build.written(slices(before, build.pods(count), build.nodes(), []).changes)
    changes = slices(now, build.pods(then), build.nodes(), existing).changes
    return {"create": len(changes.create), "update": len(changes.update), "delete": len(changes.delete)}


def ports(build: Any, *wanted: ServicePort, **pod: Any) -> list[tuple[str, int]]:
    return [(port.name, port.port) for one in made(build, pod, ports=wanted) for port in one.ports]


def old(build: Any, pod: dict[str, Any] | None = None, **service: Any) -> Endpoints:
    """The Endpoints of a Service with one pod."""
    found = desired(build.service(**service), [build.pod(**(pod or {}))], None)
    assert found is not None
    return found


def shape(found: Endpoints) -> list[tuple[int, int, list[int]]]:
    return [(len(s.ready), len(s.not_ready), [p.port for p in s.ports]) for s in found.subsets]


def hand_made(*addresses: str, not_ready: bool = False, **fields: Any) -> Endpoints:
    found = tuple(EndpointAddress(ip_address(address)) for address in addresses)
    subset = Subset(() if not_ready else found, found if not_ready else (), ())
    return Endpoints("default", "web", "e", subsets=(subset,), **fields)


def mirrored(build: Any, endpoints: Endpoints, **service: Any) -> list[EndpointSlice]:
    return list(mirror(build.service(**({"selector": None} | service)), endpoints, []).changes.create)


def hand_mirrored(build: Any) -> tuple[EndpointSlice, ...]:
    return tuple(mirrored(build, hand_made("192.0.2.1")))


def stamped(build: Any, seen: Seen | None, since: str) -> str:
    return attribute(seen, build.service(), [build.pod(ready_since=since)])[1]


def hints(build: Any, pod: dict[str, Any] | None = None, **service: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    endpoint = made(build, pod, **service)[0].endpoints[0]
    return endpoint.zone_hints, endpoint.node_hints


def spread(build: Any, **cpus: int) -> dict[str, int]:
    """How many of four endpoints, all in the first zone, are hinted at each; zones have so many thousandths of CPUs."""
    nodes = {
        zone: Node(zone, zone, labels={"topology.kubernetes.io/zone": zone}, milli_cpu=cpu)
        for zone, cpu in cpus.items()
    }
    pods = [replace(pod, node_name=next(iter(cpus))) for pod in build.pods(4)]
    (one,) = slices(build.service(annotations=AUTO), pods, nodes, []).changes.create
    return Counter("".join(endpoint.zone_hints) for endpoint in one.endpoints)


A, B = ServicePort("a", TCP, 80, "http"), ServicePort("b", TCP, 81, "missing")
SIDECAR = {"ports": (ContainerPort("http", TCP, 8080), ContainerPort("metrics", TCP, 9090))}
AUTO = {TOPOLOGY_MODE: "Auto"}
NOTES = {"a": "b", TRIGGER_TIME: "t", LAST_APPLIED: "{}"}
ZONED: dict[str, Any] = {"traffic_distribution": "PreferClose"}

RULES = [
    Rule("D1.01", "no selector, no slices", lambda b: has_slices(b.service(selector=None)), False),
    Rule("D1.01", "ExternalName", lambda b: has_slices(b.service(type=ServiceType.EXTERNAL_NAME)), False),
    Rule("D1.02", "a terminating pod stays", lambda b: states(b, {"terminating": True}), [(False, True, True)]),
    Rule("D1.02", "a finished pod leaves", lambda b: states(b, {"terminating": True, "phase": "Failed"}), []),
    Rule("D1.02", "no address, no endpoint", lambda b: states(b, {"ips": ()}), []),
    Rule("D1.03", "ready is serving and not terminating", states, [(True, True, False)]),
    Rule(
        "D1.03",
        "or published anyway",
        lambda b: states(b, {"ready": False, "terminating": True}, publish_not_ready=True),
        [(True, False, True)],
    ),
    Rule(
        "D1.03",
        "all three conditions are written",
        lambda b: slice_json(made(b)[0])["endpoints"][0]["conditions"],
        {"ready": True, "serving": True, "terminating": False},
    ),
    Rule(
        "D1.04",
        "target, node and zone",
        lambda b: [(e.target, e.node_name, e.zone) for e in made(b)[0].endpoints],
        [(Reference("Pod", "default", "web-0001", "uid-1"), "a", "west")],
    ),
    Rule("D1.04", "a node that is missing", lambda b: states(b, {"node_name": "gone"}), []),
    Rule(
        "D1.04",
        "unless published anyway",
        lambda b: len(states(b, {"node_name": "gone"}, publish_not_ready=True)),
        1,
    ),
    Rule(
        "D1.05",
        "a hostname below the pod's subdomain",
        lambda b: made(b, {"hostname": "h", "subdomain": "web"})[0].endpoints[0].hostname,
        "h",
    ),
    Rule("D1.05", "and only there", lambda b: made(b, {"hostname": "h"})[0].endpoints[0].hostname, ""),
    Rule("D1.06", "a named target port", lambda b: ports(b, A), [("a", 8080)]),
    Rule(
        "D1.06",
        "of a sidecar",
        lambda b: ports(b, ServicePort("m", TCP, 1, "metrics"), **SIDECAR),
        [("m", 9090)],
    ),
    Rule("D1.06", "of another protocol", lambda b: ports(b, ServicePort("a", UDP, 80, "http")), []),
    Rule("D1.06", "one that is missing is left out", lambda b: ports(b, A, B), [("a", 8080)]),
    Rule(
        "D1.07",
        "different ports, different slices",
        lambda b: len(
            slices(
                b.service(),
                [b.pod(1), b.pod(2, ports=(ContainerPort("http", TCP, 9),))],
                b.nodes(),
                [],
            ).changes.create
        ),
        2,
    ),
    Rule(
        "D1.08",
        "headless without ports",
        lambda b: [(one.ports, len(one.endpoints)) for one in made(b, headless=True, cluster_ips=(), ports=())],
        [((), 1)],
    ),
    Rule(
        "D1.08",
        "a port always has a name",
        lambda b: slice_json(made(b, ports=(ServicePort("", TCP, 80, 80),))[0])["ports"],
        [{"name": "", "port": 80, "protocol": "TCP"}],
    ),
    Rule(
        "D1.09",
        "slices of each family",
        lambda b: [one.family for one in made(b, {"ips": (ip_address("10.0.0.9"), V6)}, ip_families=(6, 4))],
        [6, 4],
    ),
    Rule(
        "D1.09",
        "a family given up",
        lambda b: after(b, b.service(ip_families=(4, 6)), b.service(ip_families=(4,))),
        {"create": 0, "update": 0, "delete": 1},
    ),
    Rule(
        "D1.10",
        "a placeholder for each family",
        lambda b: [(s.family, s.endpoints, s.ports) for s in made(b, {"ips": ()}, ip_families=(4, 6))],
        [(4, (), ()), (6, (), ())],
    ),
    Rule(
        "D1.11",
        "labels",
        lambda b: made(b, labels={"x": "y", MANAGED_BY: "me"}, headless=True)[0].labels,
        {"x": "y", SERVICE_NAME: "web", MANAGED_BY: "endpointslice-controller.k8s.io", HEADLESS: ""},
    ),
    Rule(
        "D1.12",
        "generated name and owner",
        lambda b: [slice_json(made(b)[0])["metadata"][name] for name in ("generateName", "ownerReferences")],
        [
            "web-",
            [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": "web",
                    "uid": "uid-web",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        ],
    ),
    Rule(
        "D1.12",
        "slices of an earlier Service",
        lambda b: after(b, b.service(uid="earlier"), b.service()),
        {"create": 1, "update": 0, "delete": 1},
    ),
    Rule(
        "D1.13",
        "a hundred in a slice",
        lambda b: sorted(len(s.endpoints) for s in slices(b.service(), b.pods(250), b.nodes(), []).changes.create),
        [50, 100, 100],
    ),
    Rule(
        "D1.14",
        "emptied slices go, others stay as they are",
        lambda b: after(b, b.service(), b.service(), 250, 100),
        {"create": 0, "update": 0, "delete": 2},
    ),
    Rule(
        "D1.14",
        "the rest into the slice it fills best",
        lambda b: after(b, b.service(), b.service(), 250, 280),
        {"create": 0, "update": 1, "delete": 0},
    ),
    Rule(
        "D1.15",
        "deleting and creating is updating",
        lambda b: after(b, b.service(ports=(A,)), b.service(ports=(replace(A, target_port=9),))),
        {"create": 0, "update": 1, "delete": 0},
    ),
    Rule(
        "D1.16",
        "nothing is created for a Service that goes",
        lambda b: after(b, b.service(), b.service(terminating=True), 1, 300),
        {"create": 0, "update": 1, "delete": 0},
    ),
    Rule(
        "D1.17",
        "identity is address, hostname and pod",
        lambda b: identity(b.endpoint(1)) == identity(b.endpoint(1, ready=False, zone="z", node_name="n")),
        True,
    ),
    Rule("D1.18", "a Service's creation", lambda b: stamped(b, None, "2026-01-02T00:00:00Z"), "2026-01-01T00:00:00Z"),
    Rule(
        "D1.18",
        "then the earliest change",
        lambda b: stamped(b, Seen("2026-01-01T00:00:00Z", {}), "2026-01-02T00:00:00Z"),
        "2026-01-02T00:00:00Z",
    ),
    Rule(
        "D1.18",
        "nothing new, no annotation",
        lambda b: stamped(b, Seen("2026-01-01T00:00:00Z", {"web-0001": "2026-01-02"}), "2026-01-02"),
        "",
    ),
    Rule(
        "D1.21",
        "a resync changes nothing",
        lambda b: concerns(b.pod()) == concerns(replace(b.pod(), resource_version="9", annotations={"a": "b"})),
        True,
    ),
    Rule("D2.1", "in proportion to CPUs", lambda b: spread(b, west=6000, east=2000), {"west": 3, "east": 1}),
    Rule("D2.1", "two zones at least", lambda b: spread(b, west=4000), {"": 4}),
    Rule("D2.1", "every node with CPUs", lambda b: spread(b, west=4000, east=0), {"": 4}),
    Rule("D2.1", "and none too much burdened", lambda b: spread(b, west=7000, east=500, south=500), {"": 4}),
    Rule("D2.3", "no distribution, no hints", hints, ((), ())),
    Rule("D2.3", "an endpoint that is not ready", lambda b: hints(b, {"ready": False}, **ZONED), ((), ())),
    Rule(
        "D2.2",
        "the annotation switches it off",
        lambda b: hints(b, annotations={TOPOLOGY_MODE: "Auto"}, **ZONED)[1],
        (),
    ),
    Rule(
        "D2.2",
        "the deprecated one wins",
        lambda b: hints(b, annotations={TOPOLOGY_HINTS: "Disabled", TOPOLOGY_MODE: "Auto"}, **ZONED),
        (("west",), ()),
    ),
    Rule("D2.3", "PreferClose", lambda b: hints(b, **ZONED), (("west",), ())),
    Rule("D2.3", "PreferSameZone", lambda b: hints(b, traffic_distribution="PreferSameZone"), (("west",), ())),
    Rule("D2.4", "PreferSameNode", lambda b: hints(b, traffic_distribution="PreferSameNode"), (("west",), ("a",))),
    Rule("D3.1", "the first family only", lambda b: shape(old(b, ip_families=(6, 4))), []),
    Rule("D3.2", "addresses that are not ready", lambda b: shape(old(b, {"ready": False})), [(0, 1, [8080])]),
    Rule("D3.3", "terminating pods leave", lambda b: shape(old(b, {"terminating": True})), []),
    Rule(
        "D3.3",
        "unless published anyway",
        lambda b: shape(old(b, {"terminating": True}, publish_not_ready=True)),
        [(1, 0, [8080])],
    ),
    Rule(
        "D3.4",
        "a thousand, and the object says so",
        lambda b: [
            (len(e.subsets[0].ready), e.annotations[OVER_CAPACITY])
            for e in [desired(b.service(), b.pods(1200), None)]
            if e
        ],
        [(1000, "truncated")],
    ),
    Rule(
        "D3.4",
        "ready ones first, each subset in proportion",
        lambda b: shape(
            desired(
                b.service(),
                [
                    *b.pods(900),
                    *(b.pod(n, ports=(ContainerPort("http", TCP, 9),)) for n in range(1000, 1300)),
                    *(b.pod(n, ready=False) for n in range(2000, 2100)),
                ],
                None,
            )
            or Endpoints("", "")
        ),
        [(250, 0, [9]), (750, 0, [8080])],
    ),
    Rule("D3.5", "the mark", lambda b: old(b).labels, {ENDPOINTS_MANAGED_BY: "endpoint-controller"}),
    Rule("D3.6", "headless", lambda b: old(b, headless=True).labels[HEADLESS], ""),
    Rule(
        "D3.7",
        "each port in one subset only",
        lambda b: shape(
            desired(
                b.service(ports=(A, ServicePort("b", TCP, 81, 81))),
                [b.pod(1), b.pod(2, ports=(ContainerPort("http", TCP, 9),))],
                None,
            )
            or Endpoints("", "")
        ),
        [(1, 0, [9]), (1, 0, [8080]), (2, 0, [81])],
    ),
    Rule("D4.1", "a slice for each family", lambda b: len(mirrored(b, hand_made("192.0.2.1", "2001:db8::1"))), 2),
    Rule("D4.2", "not of a Service with a selector", lambda b: mirrored(b, hand_made("192.0.2.1"), selector={}), []),
    Rule(
        "D4.2",
        "what was mirrored goes with the Service",
        lambda b: len(mirror(None, hand_made("192.0.2.1"), b.written(Changes(hand_mirrored(b)))).changes.delete),
        1,
    ),
    Rule("D4.2", "not if told", lambda b: mirrored(b, hand_made("192.0.2.1", labels={SKIP_MIRROR: "true"})), []),
    Rule("D4.2", "not a leader's", lambda b: mirrored(b, hand_made("192.0.2.1", annotations={LEADER: "{}"})), []),
    Rule(
        "D4.3",
        "labels and most annotations are copied",
        lambda b: [
            (one.labels["l"], dict(one.annotations), one.trigger_time)
            for one in mirrored(
                b,
                hand_made(
                    "192.0.2.1", labels={"l": "m"}, annotations={"a": "b", TRIGGER_TIME: "t", LAST_APPLIED: "{}"}
                ),
            )
        ],
        [("m", {"a": "b"}, "")],
    ),
    Rule(
        "D4.4",
        "the Endpoints own them",
        lambda b: [one.owner for one in mirrored(b, hand_made("192.0.2.1"))],
        [Reference("Endpoints", "default", "web", "e")],
    ),
    Rule(
        "D4.5",
        "not ready stays not ready",
        lambda b: [e.ready for one in mirrored(b, hand_made("192.0.2.1", not_ready=True)) for e in one.endpoints],
        [False],
    ),
    Rule(
        "D4.6",
        "a thousand of a subset",
        lambda b: [
            len(one.endpoints) for one in mirrored(b, hand_made(*(f"10.{n >> 8}.{n & 255}.1" for n in range(1001))))
        ],
        [1000],
    ),
    Rule(
        "D4.6",
        "of both families together",
        lambda b: [
            len(one.endpoints)
            for one in mirrored(
                b, hand_made(*(f"10.{n >> 8}.{n & 255}.1" for n in range(700)), *(f"fd44::{n:x}" for n in range(700)))
            )
        ],
        [700, 300],
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_holds(build: Any, rule: Rule) -> None:
    assert rule.found(build) == rule.expected
