"""`kdns explain`: what a pod's resolver tries for a name, what each try answers, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dnslib

from kapi import decode
from kapi.cache import Cache
from kapi.network import EndpointSlice, Service
from kapi.resources import ENDPOINT_SLICES, PODS, SERVICES
from kapi.source import wait_synced
from kdns import searchpath
from kdns.asker import PodSpec, asker, pod_spec
from kdns.chain import Chain, Setup, load
from kdns.errors import NotKnown
from kdns.plugins.forward import Forward, Group
from kdns.query import Query, parse
from kdns.router import Router
from kdns.settings import Upstream
from kdns.wire import HEADER, Answer, Rcode

_HANDED_ON = ("forward", "cache", "")  # who gives what others were asked for
_FROM_HERE = "asked from this host: to a pod another server may answer there"
_PATIENCE = 20.0  # seconds until the whole cluster must be known


@dataclass(frozen=True, slots=True)
class World:
    """The objects that names come from."""

    zone: str
    services: dict[str, Service]
    slices: dict[str, EndpointSlice]
    pods: dict[str, PodSpec]


async def explained(blocks: Sequence[tuple[Sequence[str], Setup]], name: str, kind: str, pod: str) -> str:
    """Ask as a pod (`namespace/name`, or nobody in particular) would; gives lines to print.

    `blocks` are zones with what their chains are made from.
    """
    namespace, _, named = pod.rpartition("/")
    chains = [(zones, load(setup)) for zones, setup in blocks]
    setup = next((made for _, made in blocks if made.settings.cluster), blocks[0][1])
    async with asyncio.TaskGroup() as tasks:
        jobs = [tasks.create_task(chain.run()) for _, chain in chains]
        world = World(setup.settings.zone, {}, {}, {})
        if setup.source is not None and setup.settings.cluster:
            services = setup.source.cache(SERVICES, decode.service)
            slices = setup.source.cache(ENDPOINT_SLICES, decode.endpoint_slice)
            pods = setup.source.cache(PODS, pod_spec) if named else {}
            jobs.append(tasks.create_task(setup.source.run()))
            followed: list[Cache[Any]] = [services, slices, *([pods] if isinstance(pods, Cache) else [])]
            await _ready([chain for _, chain in chains], followed)
            world = World(setup.settings.zone, dict(services), dict(slices), dict(pods))
        asking = _Asking(Router(chains), [chain for _, chain in chains], world)
        lines = [line async for line in asking.tries(name, kind, namespace or "default", named)]
        for job in jobs:
            job.cancel()
    return "".join(f"{line}\n" for line in lines)


async def _ready(chains: Sequence[Chain], caches: Iterable[Cache[Any]]) -> None:
    """Wait until the whole cluster is known. Raises `NotKnown`."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await wait_synced(*caches)
            while any(chain.waiting for chain in chains):  # noqa: ASYNC110  # they tell whether, not when
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise NotKnown(f"the cluster is not known after {_PATIENCE:g} s; does its API server answer?") from None


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks as a pod's resolver does, and tells of it."""

    router: Router
    chains: Sequence[Chain]
    world: World

    async def tries(self, name: str, kind: str, namespace: str, pod: str) -> AsyncIterator[str]:
        known = self.world.pods.get(f"{namespace}/{pod}")
        who = f"pod {namespace}/{pod}" if known else f"a pod of namespace {namespace}"
        if pod and not known:
            yield f"there is no pod {namespace}/{pod}; this is what {who} sees"
        asks = asker(known, namespace, self.world.zone)
        if asks.elsewhere:
            yield f"{who} does not ask this server, by {asks.elsewhere}; if it did:"
        yield f"{who} has: search {' '.join(asks.search) or '(nothing)'}, ndots:{asks.ndots}"
        number = 0
        for tried in searchpath.tried(name, asks.search, asks.ndots):
            number += 1
            query = parse(bytes(dnslib.DNSRecord.question(tried, kind).pack()))
            assert query is not None
            before = self._replies(query)
            answer = await self.router.resolve(query)
            yield f"{number}. {tried}. {kind}: {_rcode(answer)}{f' (plug-in {answer.author})' if answer.author else ''}"
            for line in _shown(query, answer):
                yield f"     {line}"
            yield f"     because {why(tried, self.world)}{self._forwarded(query, answer, before)}"
            if answer.rcode == Rcode.NOERROR and answer.counts[:2] != b"\0\0":
                yield f"the resolver stops here, after {number} tr{'y' if number == 1 else 'ies'} for {kind}"
                return
        yield f"none of {number} tries has an answer"

    def _group(self, query: Query) -> Group | None:
        """Give those who are asked for a name that is not known here."""
        chain = self.router.chain(query.name)
        forward = next((plugin for plugin in chain.plugins if isinstance(plugin, Forward)), None) if chain else None
        return forward.group(query.name) if forward is not None else None

    def _replies(self, query: Query) -> dict[Upstream, int]:
        """Count the replies of those who are asked, up to now."""
        group = self._group(query)
        return {server: sum(seen.counts) for server, seen in group.seconds.items()} if group else {}

    def _forwarded(self, query: Query, answer: Answer, before: dict[Upstream, int]) -> str:
        """Say who is asked for a name that is not known here, and whether anybody replied since `before`."""
        group = self._group(query)
        if group is None or answer.author not in _HANDED_ON:
            return ""
        asked = ", ".join(map(str, group.upstreams)) or "nobody"
        files = f", by {', '.join(group.forwarding.files)} of this host" if group.forwarding.files else ""
        heard = self._heard(query, before) if answer.rcode == Rcode.SERVFAIL else ""
        return f"; it is forwarded to {asked}{files}{heard}\n     {_FROM_HERE}"

    def _heard(self, query: Query, before: dict[Upstream, int]) -> str:
        """Say what a failure is: one that an upstream tells of, or that none says anything."""
        replied = ", ".join(
            str(server) for server, count in self._replies(query).items() if count > before.get(server, 0)
        )
        return f"; SERVFAIL is what {replied} replies" if replied else "; none of them answers here"


def why(name: str, world: World) -> str:
    """Say in a sentence what of the cluster a name stands for, or what is missing."""
    name = name.lower().removesuffix(".")
    if not name.endswith(f".{world.zone}"):
        return f"it is not below the cluster's domain {world.zone}: this is for others to say"
    labels = name[: -len(world.zone) - 1].split(".")
    if labels[-1] == "pod":
        return "the names of pods hold their address: 10-0-0-1.NAMESPACE.pod"
    if labels[-1] != "svc":
        return f"below {world.zone} there are only svc and pod"
    if len(labels) < 3:
        return "it names no Service: SERVICE.NAMESPACE.svc"
    service = world.services.get(f"{labels[-2]}/{labels[-3]}")
    if service is None:
        return f"namespace {labels[-2]} has no Service {labels[-3]}"
    return _service(service, labels[:-3], world)


def _service(service: Service, below: list[str], world: World) -> str:
    about = f"Service {service.key}"
    if service.external_name:
        return f"{about} is an ExternalName: an alias of {service.external_name}"
    endpoints = [
        endpoint for each in world.slices.values() if each.service_key == service.key for endpoint in each.endpoints
    ]
    everyone = {endpoint.pod or endpoint.addresses for endpoint in endpoints}  # once, whatever addresses a pod has
    ready = len({e.pod or e.addresses for e in endpoints if e.ready or service.publish_not_ready})
    count = f"{ready} of its {len(everyone)} endpoints {'is' if ready == 1 else 'are'} ready"
    if len(below) == 2:
        ports = ", ".join(f"_{port.name}._{port.protocol.lower()}" for port in service.ports if port.name) or "none"
        return f"{about} has the named ports {ports}"
    if len(below) == 1:
        hostnames = sorted({endpoint.hostname for endpoint in endpoints if endpoint.hostname}) or ["none"]
        return f"{about}: {count}; their hostnames: {', '.join(hostnames)} (without one: the address with hyphens)"
    if service.headless:
        return f"{about} is headless: {count}" + ("" if ready else ", and without one it has no name")
    return f"{about} has the ClusterIP {', '.join(map(str, service.cluster_ips))}; {count}"


def _rcode(answer: Answer) -> str:
    if answer.rcode == Rcode.NOERROR and answer.counts[:2] == b"\0\0":
        return "no data"
    return str(dnslib.RCODE.get(answer.rcode))


def _shown(query: Query, answer: Answer) -> Iterator[str]:
    data = bytes(HEADER - 8) + b"\0\1" + answer.counts + query.sent + answer.tail
    for record in dnslib.DNSRecord.parse(data).rr:
        yield f"{record.rname} {record.ttl} {dnslib.QTYPE.get(record.rtype)} {record.rdata}"
