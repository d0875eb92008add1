"""What a conformance case is: a Service and its endpoints, packets, and what must happen to each."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml
from tests.conformance.stage import ADDRESSES, NODE, POD_NETWORKS, SERVICE_NETWORKS, address, node_addresses

from kproxy.model import LocalTraffic
from kproxy.rules.evaluate import Packet
from kproxy.settings import Settings
from kproxy.testing import Cluster, endpoint_slice

Json = dict[str, Any]
NODE_PORT = 30080
ELSEWHERE = {"R"}  # endpoints on the other node


@dataclass(frozen=True)
class Expectation:
    """One packet and what must happen to it: `ending` is endpoint, reject, drop or untouched.

    `reaches` names endpoints, one that gets several shares of the connections as often as that.
    """

    sender: str
    to: str
    port: int
    protocol: str
    reaches: tuple[str, ...]
    source: str  # "kept", "node", or "" where that is no question
    ending: str
    closed: bool  # untouched, and nobody listens where it goes

    def packet(self, family: int) -> Packet:
        """The packet as the evaluator takes it."""
        inside = self.sender == "node"
        own = node_addresses(family)
        source = address(self.sender, family)
        interface = "" if inside else f"v-{self.sender}"
        return Packet(source, self.address(family), self.protocol.lower(), self.port, interface, own)

    def address(self, family: int) -> Any:
        """Where the packet goes."""
        return address("node" if self.to == "nodePort" else self.to, family)


@dataclass(frozen=True)
class Case:
    """One world with its packets."""

    name: str
    service: Json
    endpoints: tuple[Json, ...]
    expectations: tuple[Expectation, ...]
    settings: Json = field(default_factory=dict)
    node: Json = field(default_factory=dict)
    extra: tuple[Json, ...] = ()
    families: tuple[int, ...] = (4, 6)
    slice_labels: Json = field(default_factory=dict)
    evaluated: bool = False  # only: one client cannot show it with packets

    def cluster(self, family: int) -> Cluster:
        """The world as the API would give it, in one IP family."""
        service = _service(self.service, family)
        piece = _slice(service, self.endpoints, family)
        piece["metadata"]["labels"] |= self.slice_labels
        others = tuple(_service(one, family) for one in self.extra)
        return Cluster((service, *others), (piece,), _node(self.node, family))

    def proxy_settings(self) -> Settings:
        """How the proxy is set up."""
        chosen = dict(self.settings)
        local = chosen.pop("localTraffic", "networks")
        networks = tuple(ip_network(n) for n in POD_NETWORKS.values())
        detectors = {
            "networks": LocalTraffic(networks=networks),
            "interface": LocalTraffic(interface="v-pod"),
            "prefix": LocalTraffic(interface="v-p*"),
            "nobody": LocalTraffic(networks=(ip_network("192.0.2.0/24"),)),
        }
        services = tuple(ip_network(n) for n in SERVICE_NETWORKS.values())
        return Settings(
            local_traffic=detectors[local],
            service_cidrs=services,
            masquerade_all=bool(chosen.get("masqueradeAll")),
            node_port_addresses=tuple(chosen.get("nodePortAddresses", ("primary",))),
        )


def cases() -> list[Case]:
    """Read every case of the folder."""
    found: list[Case] = []
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml")):
        found += [_case(item) for item in yaml.safe_load(file.read_text())]
    return found


def _case(item: Json) -> Case:
    return Case(
        name=item["name"],
        service=item.get("service", {}),
        endpoints=tuple(item.get("endpoints", ({"at": "L"}, {"at": "R"}))),
        expectations=tuple(_expectation(packet) for packet in item["packets"]),
        settings=item.get("settings", {}),
        node=item.get("node", {}),
        extra=tuple(item.get("extra", ())),
        families=(item["only"],) if "only" in item else (4, 6),
        slice_labels=item.get("sliceLabels", {}),
        evaluated=item.get("evaluated", False),
    )


def _expectation(packet: Json) -> Expectation:
    to = packet["to"]
    return Expectation(
        sender=packet["from"],
        to=to,
        port=packet.get("port", NODE_PORT if to == "nodePort" else 80),
        protocol=packet.get("protocol", "TCP"),
        reaches=tuple(packet.get("reaches", ())),
        source=packet.get("source", ""),
        ending=packet.get("ending", "endpoint"),
        closed=packet.get("closed", False),
    )


def _service(given: Json, family: int) -> Json:
    """Write a Service of type LoadBalancer with every frontend there is, changed as the case says."""
    places = ADDRESSES[family]
    named = given.get("name", "web")
    spec: Json = {
        "type": "LoadBalancer",
        "clusterIPs": [places["clusterIP"]],
        "externalIPs": [places["externalIP"]],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": NODE_PORT, "targetPort": 8080}],
    }
    spec |= _named(given.get("spec", {}), places)
    status = given.get("status", {"loadBalancer": {"ingress": [{"ip": "lb"}]}})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": named, **given.get("metadata", {})},
        "spec": spec,
        "status": _named(status, places),
    }


def _named(value: Any, places: dict[str, str]) -> Any:
    """Put addresses in the place of their names, wherever they stand."""
    if isinstance(value, dict):
        return {key: _named(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, places) for item in value]
    if isinstance(value, str):
        name, slash, bits = value.partition("/")
        place = name.strip()
        return name.replace(place, places[place]) + slash + bits if place in places else value
    return value


def _slice(service: Json, endpoints: tuple[Json, ...], family: int) -> Json:
    written = []
    for given in endpoints:
        at = given["at"]
        conditions = {name: given[name] for name in ("ready", "serving", "terminating") if name in given}
        node = given.get("node", "there" if at in ELSEWHERE else NODE)
        written.append(
            {
                "addresses": [ADDRESSES[family][at]],
                "conditions": conditions,
                "nodeName": node,
                "hints": given.get("hints", {}),
            }
        )
    ports = [
        {"name": port.get("name", ""), "port": port.get("targetPort", 8080), "protocol": port.get("protocol", "TCP")}
        for port in service["spec"]["ports"]
    ]
    key = f"default/{service['metadata']['name']}"
    return endpoint_slice(key, family, written, ports)


def _node(given: Json, family: int) -> Json:
    return {
        "metadata": {"name": NODE, "labels": given.get("labels", {})},
        "status": {"addresses": [{"type": "InternalIP", "address": ADDRESSES[family]["node"]}]},
    }
