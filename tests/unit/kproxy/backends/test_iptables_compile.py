"""One Service's chains: what is written, and that only what changed is written again."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from kapi.network import Protocol, Reference
from kproxy.backends.iptables.changes import Change, InPlace, everything, nothing, read, update
from kproxy.backends.iptables.compile import compile_service
from kproxy.backends.iptables.layout import chain_name
from kproxy.model import Duties, Frontend, Kind, LocalTraffic, NodeDuties, Place, Target

NODE = NodeDuties(local_traffic=LocalTraffic(networks=(ip_network("10.244.0.0/16"),)))
POOL = tuple(Target(ip_address(f"10.244.1.{n}"), 8080) for n in (2, 3))
FRONTEND = Frontend(Place(4, ip_address("10.96.0.1"), Protocol.TCP, 80), Kind.CLUSTER_IP, "default/web:http", POOL)
WEB = Duties("default/web", Reference("Service", "default", "web"), (FRONTEND,), (ip_address("10.96.0.1"),))
SERVICE = chain_name("SVC", "default/web:http", "tcp")
FIRST, SECOND = (chain_name("SEP", "default/web:http", "tcp", str(target)) for target in POOL)


def written(before: Duties | None, after: Duties | None) -> list[str]:
    place = InPlace(NODE)
    if before:
        place.take([Change(before.key, None, compile_service(before, NODE))])
    change = place.change(WEB.key, compile_service(after, NODE) if after else None)
    return update([change], 4).splitlines()


def test_a_digest_names_a_chain_as_kube_proxy_does() -> None:
    # The first 16 letters of base32(sha256("default/kubernetes:https" + "tcp")), as on every cluster there is.
    assert chain_name("SVC", "default/kubernetes:https", "tcp") == "KUBE-SVC-NPX46M4PTMTKRN6Y"


def test_an_endpoint_less_touches_its_chain_and_its_service_and_nothing_else() -> None:
    lines = written(WEB, replace(WEB, frontends=(replace(FRONTEND, pool=POOL[:1]),)))
    assert lines[0] == "*nat"
    assert f":{SERVICE} - [0:0]" in lines
    assert f"-X {SECOND}" in lines
    assert not any(FIRST in line and line.startswith((":", "-X")) for line in lines)
    assert not any("KUBE-SERVICES" in line for line in lines)


def test_no_endpoint_is_refused_before_it_is_not_served() -> None:
    lines = written(WEB, replace(WEB, frontends=(replace(FRONTEND, pool=()),)))
    assert lines.index("*filter") < lines.index("*nat")
    assert any(line.startswith("-I KUBE-SERVICES -d 10.96.0.1/32") and "REJECT" in line for line in lines)
    assert any(line.startswith("-D KUBE-SERVICES -d 10.96.0.1/32") for line in lines)


def test_nothing_new_is_nothing_written() -> None:
    assert written(WEB, WEB) == []


def test_what_is_there_is_read_and_can_be_removed() -> None:
    listing = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-OLD - [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\n"
        "-A PREROUTING -j KUBE-SERVICES\n-A PREROUTING -j DOCKER\n-A KUBE-SERVICES -j KUBE-SVC-OLD\nCOMMIT\n"
    )
    there = read(listing)
    assert there.chains == {"nat/KUBE-SERVICES", "nat/KUBE-SVC-OLD"}
    removal = nothing(there).splitlines()
    assert "-D PREROUTING -j KUBE-SERVICES" in removal
    assert "-X KUBE-SVC-OLD" in removal
    assert not any("DOCKER" in line or "CANARY" in line for line in removal)
    assert ":KUBE-SVC-OLD - [0:0]" in everything(InPlace(NODE).table(4), there)
