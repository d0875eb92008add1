"""Names as programs in pods see them: through glibc's resolver, through musl's, and asked for with dig."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.musl import resolve

from kapi.resources import NAMESPACES, PODS, SERVICES
from netnslab.lab import Lab

Json = dict[str, Any]

SPACE = "names"


def service(name: str, **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def pod(name: str, **spec: Any) -> Json:
    main = {"name": "main", "image": "busybox", "command": ["sleep", "1000"]}
    meta = {"name": name, "labels": {"app": spec.get("subdomain", name)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [main], **spec}}


BOTH = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"name": "pg", "port": 5432}]}
OBJECTS = {
    SERVICES: [
        service("web", **BOTH, selector={"app": "web"}),
        service("db", **BOTH, selector={"app": "db"}, clusterIP="None"),
        service("alias", type="ExternalName", externalName=f"web.{SPACE}.svc.cluster.local"),
        service("far", type="ExternalName", externalName="legacy.outside.test"),
    ],
    PODS: [pod("asker"), *(pod(f"db-{n}", hostname=f"db-{n}", subdomain="db") for n in range(2))],
}


OUTSIDE = {"198.51.100.10", "2001:db8:c::a"}  # legacy.outside.test, which a server outside of the cluster knows
Resolver = Callable[[Lab, str], Awaitable[tuple[int, set[str]]]]


@dataclass(frozen=True)
class World:
    """What names stand for, and the addresses of the cluster's DNS server."""

    addresses: dict[str, set[str]]
    servers: list[str]


async def filled(lab: Lab) -> World:
    """Create everything, and wait until it runs."""
    await lab.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    for resource, objects in OBJECTS.items():
        for made in objects:
            await lab.client.create(resource, made, SPACE)
    waited = await lab.kubectl("wait", "pod", "--all", "-n", SPACE, "--for=condition=Ready", "--timeout=20s")
    waited.check()
    web = set((await lab.client.get(SERVICES, "web", SPACE))["spec"]["clusterIPs"])
    pods = [await lab.client.get(PODS, f"db-{n}", SPACE) for n in range(2)]
    each = [{address["ip"] for address in made["status"]["podIPs"]} for made in pods]
    servers = (await lab.client.get(SERVICES, "kube-dns", "kube-system"))["spec"]["clusterIPs"]
    return World({"web": web, "db": each[0] | each[1], "db-0": each[0], "outside": OUTSIDE}, servers)


@pytest.fixture(scope="module")
def world(running_lab: Lab) -> Iterator[World]:
    """Services of every kind, and a pod called `asker`."""

    async def within(job: Callable[[Lab], Coroutine[Any, Any, Any]]) -> Any:
        async with running_lab.connected():
            return await job(running_lab)

    yield asyncio.run(within(filled))
    asyncio.run(within(lambda lab: lab.client.delete(NAMESPACES, SPACE)))


async def getent(lab: Lab, name: str) -> tuple[int, set[str]]:
    """Ask glibc."""
    done = await lab.exec(f"{SPACE}/asker", "getent", "ahosts", name)
    return done.code, {line.split()[0] for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def musl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that asks musl: pods of a lab see this host's files."""
    return resolve(tmp_path_factory.mktemp("musl"))


@pytest.fixture(params=["glibc", "musl"])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    """A C library's resolver: exit code and addresses."""
    if request.param == "glibc":
        return getent
    program = request.getfixturevalue("musl")

    async def asked(lab: Lab, name: str) -> tuple[int, set[str]]:
        done = await lab.exec(f"{SPACE}/asker", str(program), name)
        return done.code, set(done.stdout.splitlines()) if done.code == 0 else set()

    return asked


NAMES = [
    *((name, "web") for name in ("web", f"web.{SPACE}", f"web.{SPACE}.svc", f"web.{SPACE}.svc.cluster.local")),
    *((name, "web") for name in (f"web.{SPACE}.svc.cluster.local.", "WEB", "alias", f"alias.{SPACE}")),
    *((name, "db") for name in ("db", f"db.{SPACE}.svc.cluster.local")),
    *((name, "db-0") for name in ("db-0.db", f"db-0.db.{SPACE}.svc.cluster.local.")),
    *((name, "outside") for name in ("far", "legacy.outside.test", "legacy.outside.test.")),
]


async def test_every_name_has_all_its_addresses(lab: Lab, world: World, resolver: Resolver) -> None:
    found = {name: await resolver(lab, name) for name, _ in NAMES}
    assert found == {name: (0, world.addresses[target]) for name, target in NAMES}


@pytest.mark.parametrize("name", ["gone", f"gone.{SPACE}.svc.cluster.local.", "db-7.db", "gone.outside.test"])
async def test_a_name_that_does_not_exist_has_none(lab: Lab, world: World, resolver: Resolver, name: str) -> None:
    async with asyncio.timeout(4):  # musl waits for five seconds where a server is at a loss
        assert await resolver(lab, name) == (2, set())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_dig_gets_the_same_over_udp_and_tcp_ipv4_and_ipv6(
    lab: Lab, world: World, family: int, transport: str
) -> None:
    (server,) = [address for address in world.servers if (":" in address) == (family == 6)]
    asked = ("dig", f"@{server}", transport, "+short", "+tries=2", "+timeout=3")
    base = f"{SPACE}.svc.cluster.local"

    async def dig(name: str, *kinds: str) -> set[str]:
        questions = [(await lab.exec(f"{SPACE}/asker", *asked, name, kind)).check() for kind in kinds]
        return {line for answer in questions for line in answer.splitlines()}

    assert await dig(f"web.{base}", "A", "AAAA") == world.addresses["web"]
    assert await dig(f"db.{base}", "A", "AAAA") == world.addresses["db"]
    assert await dig(f"alias.{base}", "A", "AAAA") == world.addresses["web"] | {f"web.{base}."}
    assert await dig("legacy.outside.test", "A", "AAAA") == OUTSIDE
    assert await dig(f"_pg._tcp.db.{base}", "SRV") == {f"0 25 5432 db-{n}.db.{base}." for n in range(2)}
    assert await dig(f"gone.{base}", "A") == set()


async def test_explain_asks_whom_the_clusters_server_asks_and_says_so(lab: Lab, world: World) -> None:
    """Not the resolver of where it runs, which in a pod is the cluster's server itself."""
    words = ("-m", "kdns", "explain", "legacy.outside.test.", "--from", f"{SPACE}/asker")
    told = (await lab.exec(f"{SPACE}/asker", sys.executable, *words)).check()
    assert "1. legacy.outside.test. A: NOERROR (plug-in forward)" in told
    assert "legacy.outside.test. 3600 A 198.51.100.10" in told
    assert "it is forwarded to 198.51.100.10:53\n" in told
