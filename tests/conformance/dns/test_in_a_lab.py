"""The released CoreDNS and this server as pods of one lab, asked by other pods: with dig, and by glibc and by musl.

Both are behind Services, so that questions take the way that those of every pod take, over UDP and TCP, IPv4 and IPv6.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.dns import asking
from tests.conformance.dns.conftest import PEERS, corefile
from tests.conformance.dns.test_coredns import QUESTIONS, REASONS, ZONE, drawn, explained, seen
from tests.musl import resolve

from kapi.resources import NAMESPACES, PODS, SERVICES
from kdns.testing import namespace
from netnslab import doctor
from netnslab.lab import Lab

Json = dict[str, Any]

pytestmark = [pytest.mark.peers, pytest.mark.root, pytest.mark.timeout(300)]
SPACE = "peers"
SLOW_OR_CUT = {"ring", "there", "back", "large", *(f"link-{n}" for n in range(5))}
SERVERS = ("kdns", "like", "coredns")
RESOLVING = 'for name in "$@"; do echo "= $name"; $resolver "$name" | cut -d" " -f1 | sort -u; done'
DIGGING = 'for name in "$@"; do echo "= $name"; dig $options +tries=2 +noall +answer $name | sort; done'


@dataclass(frozen=True)
class Peers:
    """The lab, and where both servers are: their Services' addresses, IPv4 first."""

    lab: Lab
    at: dict[str, list[str]]
    folder: Path


def server(name: str, container: Json) -> Json:
    """A pod that is one of the servers."""
    probe = {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1}
    main = {"name": "main", "image": name, "readinessProbe": probe, **container}
    meta = {"name": name, "labels": {"app": name}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"containers": [main], "dnsPolicy": "Default"}}


def service(name: str) -> Json:
    ports = [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    spec = {"ipFamilyPolicy": "RequireDualStack", "selector": {"app": name}, "ports": ports}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


def asker(name: str, nameserver: str) -> Json:
    """A pod whose resolver asks one of the servers."""
    searches = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    config = {"nameservers": [nameserver], "searches": searches, "options": [{"name": "ndots", "value": "5"}]}
    main = {"name": "main", "image": "busybox", "command": ["sleep", "1000"]}
    spec = {"containers": [main], "dnsPolicy": "None", "dnsConfig": config}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": f"asks-{name}"}, "spec": spec}


@pytest.fixture(scope="module")
def peers(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """A lab with the drawn cluster in it, both servers, and a pod that asks each of them."""
    if not (PEERS / "coredns").exists():
        pytest.skip("CoreDNS is not built: scripts/peers coredns")
    missing = [found for found in doctor.examine() if found.needed and not found.present]
    if missing:
        pytest.skip(f"no lab can run here: {'; '.join(f'{each.feature}: {each.detail}' for each in missing)}")
    lab, folder = Lab(nodes=2), tmp_path_factory.mktemp("peers")
    asyncio.run(lab.start())
    try:
        yield Peers(lab, asyncio.run(filled(lab, world, folder)), folder)
    finally:
        asyncio.run(lab.stop())


async def filled(lab: Lab, world: Any, folder: Path) -> dict[str, list[str]]:
    """Write the drawn cluster, and start the servers and who asks them; gives the servers' addresses."""
    file = folder / "Corefile"
    file.write_text(corefile(53, ready=":8181"))
    containers: dict[str, Json] = {
        "kdns": {"image": "kproxy.io/kdns", "args": [f"--corefile={file}"]},
        "like": {"image": "kproxy.io/kdns", "args": [f"--corefile={file}", "--answers=like-coredns"]},
        "coredns": {"command": [str(PEERS / "coredns"), "-conf", str(file)]},
    }
    at: dict[str, list[str]] = {}
    async with lab.connected():
        await world.write(lab.client)
        await lab.client.create(NAMESPACES, namespace(SPACE))
        for name in SERVERS:
            made = await lab.client.create(SERVICES, service(name), SPACE)
            at[name] = sorted(made["spec"]["clusterIPs"], key=lambda address: ":" in address)
            await lab.client.create(PODS, server(name, containers[name]), SPACE)
            await lab.client.create(PODS, asker(name, at[name][0]), SPACE)
        waited = await lab.kubectl("wait", "pod", "--all", "-n", SPACE, "--for=condition=Ready", "--timeout=60s")
        waited.check()
    return at


async def within(peers: Peers, pod: str, *words: str) -> str:
    return (await peers.lab.exec(f"{SPACE}/{pod}", *words)).check()


async def test_every_difference_that_a_pod_sees_has_a_reason_and_like_coredns_there_is_none(
    world: Any, peers: Peers
) -> None:
    asked, said = drawn(world, QUESTIONS), {}
    for name in SERVERS:
        queries = peers.folder / f"queries-{name}"
        queries.write_text(json.dumps([each.to(peers.at[name], 53) for each in asked]))
        replies = json.loads(await within(peers, f"asks-{name}", sys.executable, asking.__file__, str(queries)))
        said[name] = [seen(reply, peers.at[name]) for reply in replies]
    assert explained(world, asked, said["kdns"], said["coredns"]) == set(REASONS) - {"passed"}
    assert explained(world, asked, said["like"], said["coredns"]) == set()
    apex = next(told for told, each in zip(said["kdns"], asked, strict=True) if (each.name, each.type) == (ZONE, "NS"))
    assert apex.answer == (f"{ZONE}. 30 ns self.peers.svc.{ZONE}.",)
    assert [line.split()[-1] for line in apex.additional] == ["own-0", "own-1"]


def absolute(world: Any) -> list[str]:
    """The names of all Services but those that musl would wait for (of a ring), or takes a part of (of a cut reply)."""
    names = [(made["metadata"]["name"], made["metadata"]["namespace"]) for made in world.services]
    return [f"{name}.{space}.svc.cluster.local." for name, space in names if name not in SLOW_OR_CUT]


def relative(world: Any) -> list[str]:
    """What a pod of namespace `shop` may call those that surely exist, and what has one suffix too many."""
    with_address = [made["metadata"] for made in world.services if made["spec"].get("clusterIPs", ["None"]) != ["None"]]
    names = [f"{meta['name']}.{meta['namespace']}" for meta in with_address]
    return [*names, *(meta["name"] for meta in with_address if meta["namespace"] == "shop")]


@pytest.mark.parametrize("library", ["glibc", "musl"])
async def test_resolvers_of_c_libraries_find_the_same_by_both(world: Any, peers: Peers, library: str) -> None:
    resolver = "getent ahosts" if library == "glibc" else str(resolve(peers.folder))
    names = [*absolute(world), *relative(world), "gone.shop.svc.cluster.local."]
    words = ("env", f"resolver={resolver}", "sh", "-c", RESOLVING, "sh", *names)
    ours, like, theirs = [await within(peers, f"asks-{name}", *words) for name in SERVERS]
    assert ours == theirs
    assert like == theirs
    assert sum(line[:1].isdigit() for line in ours.splitlines()) > len(relative(world)), "most of them were found"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_dig_shows_the_same_of_both(world: Any, peers: Peers, family: int, transport: str) -> None:
    if not shutil.which("dig"):
        pytest.skip("dig is not installed (Debian package bind9-dnsutils)")
    aliases = {f"{name}." for name in world.aliases}
    names = [f"{name} {kind}" for name in absolute(world) if name not in aliases for kind in ("A", "AAAA", "SRV")]
    said = []
    for name in SERVERS:
        options = f"@{peers.at[name][family == 6]} {transport}"
        said.append(
            await within(peers, f"asks-{name}", "env", f"options={options}", "sh", "-c", DIGGING, "sh", *names[::4])
        )
    assert said[0] == said[1] == said[2]
    assert said[0].count("IN") > 20
