"""The names of the cluster, from live state.

Listeners note which Services changed; a callback of the event loop compiles them in slices short enough that queries
are answered in between. Nothing is cached: an answer is what the cluster is now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from kapi import decode
from kapi.cache import Cache, Change, key_of
from kapi.events import Recorder
from kapi.network import EndpointSlice, Problem, Reference, Service
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kapi.source import Source
from kdns import names, wire
from kdns.alias import aliased
from kdns.answer import Answers
from kdns.chain import Rest, Settings, Setup
from kdns.errors import NameInvalid
from kdns.query import Query, asking
from kdns.records import Names, apex_records, service_names
from kdns.wire import REFUSED, SERVFAIL, Answer, Rcode, Type

_SLICE = 64  # Services compiled before the event loop may do something else: a few milliseconds
_ZONE = "zone"  # owner of the zone's own records
_ARPA = (b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0")


def setup(setup: Setup) -> Cluster | None:
    """Serve the cluster that the source knows, if there is one."""
    if setup.source is None:
        return None
    cluster = Cluster(setup.settings, setup.source, setup.recorder, setup.clock)
    cluster.listen()
    return cluster


class Cluster:
    """Answers for Services, endpoints, pods and addresses; hands on what is in none of its zones."""

    name: ClassVar[str] = "cluster"

    def __init__(self, settings: Settings, source: Source, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._recorder = recorder
        self._clock = clock
        self._pods = f"pod.{settings.zone}" if settings.pods != "disabled" else ""
        self._pods_wire = names.to_wire(self._pods)
        reverse = [zone for network in settings.reverse for zone in names.reverse_zones(network)]
        open_names = [self._pods] if self._pods else []
        self._answers = Answers(
            [settings.zone, *reverse],
            settings.ttl,
            open_names=open_names,
            serial=int(clock()),
            empty_names=settings.empty_names,
        )
        self._services: Cache[Service] = source.cache(SERVICES, decode.service)
        self._slices: Cache[EndpointSlice] = source.cache(ENDPOINT_SLICES, decode.endpoint_slice)
        self._namespaces: Cache[str] = source.cache(NAMESPACES, key_of)
        self._pieces: dict[str, dict[str, EndpointSlice]] = {}  # Service key -> its slices by key
        self._changed: dict[str, None] = {}  # keys of Services to compile, in the order of their changes
        self._scheduled = False
        self._complete = False
        self._reported: dict[str, tuple[Problem, ...]] = {}
        self._servers: frozenset[str] = frozenset()

    def listen(self) -> None:
        """Hear of every change from now on."""
        self._name_zone()
        self._namespaces.listen(self._on_namespace)
        self._services.listen(lambda change: self._touch(change.key))
        self._slices.listen(self._on_slice)

    @property
    def ready(self) -> bool:
        """Whether the whole cluster has been seen and compiled, once."""
        if not self._complete:
            synced = self._services.synced and self._slices.synced and self._namespaces.synced
            self._complete = synced and not self._changed
        return self._complete

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`. Until everything is known, nothing is denied."""
        return self._answers.lookup(question) if self._complete or self.ready else self._answers.hit(question)

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        answer = self.lookup(query.question)
        if answer is not None:
            return answer
        if not self._answers.serves(query.name):
            return SERVFAIL if not self.ready and query.name.endswith(_ARPA) else await rest.next(query)
        if query.type in (Type.AXFR, Type.IXFR):
            return REFUSED
        target = self._answers.alias(query.name)
        if target is not None:
            return await self._follow(query, target, rest)
        if not self.ready:
            return SERVFAIL
        return self._pod(query) or self._answers.deny(query.question) or SERVFAIL

    async def _follow(self, query: Query, target: bytes, rest: Rest) -> Answer:
        """Answer for an ExternalName: the CNAME, and what the whole server says of its target."""
        asked = asking(target, query.type, query)
        found = await rest.again(asked)
        if found.rcode == Rcode.REFUSED:  # nobody here resolves such names; the client may know who does
            return aliased(query, target, self._settings.ttl, None, None)
        return aliased(query, target, self._settings.ttl, asked, found)

    def _pod(self, query: Query) -> Answer | None:
        """Answer for `10-0-0-1.namespace.pod.zone`: the address in the name, where the namespace exists."""
        if not self._pods or names.parent(names.parent(query.name)) != self._pods_wire:
            return None
        if not self._answers.exists(names.parent(query.name)):
            return None
        address = names.undashed(next(names.labels(query.name)).decode("ascii", "replace"))
        if address is None:
            return None
        if query.type != (Type.A if address.version == 4 else Type.AAAA):
            denial = self._answers.deny(query.question)
            return denial and denial._replace(flags=wire.flags_of(Rcode.NOERROR))
        record = wire.record(wire.POINTER, query.type, self._settings.ttl, address.packed)
        return Answer(wire.flags_of(Rcode.NOERROR), wire.counts_of(1), record)

    def _on_namespace(self, change: Change[str]) -> None:
        if change.new is None:
            self._answers.remove(f"namespace/{change.key}")
        elif names.is_label(change.key):
            below = [f"svc.{self._settings.zone}", *([self._pods] if self._pods else [])]
            self._answers.update(f"namespace/{change.key}", (), [f"{change.key}.{parent}" for parent in below])

    def _on_slice(self, change: Change[EndpointSlice]) -> None:
        for piece in (change.old, change.new):
            if piece is None or not piece.service:
                continue
            pieces = self._pieces.setdefault(piece.service_key, {})
            if piece is change.new:
                pieces[change.key] = piece
            else:
                pieces.pop(change.key, None)
            if not pieces:
                del self._pieces[piece.service_key]
            self._touch(piece.service_key)

    def _touch(self, key: str) -> None:
        self._changed[key] = None
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._compile)

    def _compile(self) -> None:
        """Bring the answers of a few changed Services up to date; come back for the others."""
        for key in list(self._changed)[:_SLICE]:
            del self._changed[key]
            self._compile_one(key)
        self._answers.touch(int(self._clock()))
        self._name_zone()
        self._scheduled = bool(self._changed)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._compile)

    def _compile_one(self, key: str) -> None:
        service = self._services.get(key)
        if service is None:
            self._answers.remove(f"service/{key}")
            self._reported.pop(key, None)
            return
        found = service_names(service, self._pieces.get(key, {}).values(), self._settings.zone)
        try:
            self._answers.update(f"service/{key}", found.records)
        except NameInvalid as error:
            self._answers.remove(f"service/{key}")
            found = Names((), (*found.problems, Problem("metadata.name", f"{error}; the Service has no names")))
        self._report(key, service.reference, found.problems)

    def _report(self, key: str, about: Reference, problems: tuple[Problem, ...]) -> None:
        known = self._reported.get(key, ())
        for problem in problems:
            if problem not in known:
                self._recorder.event(about, "Warning", "NameNotServed", str(problem))
        if problems:
            self._reported[key] = problems
        else:
            self._reported.pop(key, None)

    def _name_zone(self) -> None:
        """Write the zone's own records, once and whenever this server comes to belong to other Services."""
        owners = {o for address in self._settings.addresses for o in self._answers.sharers(names.reverse_name(address))}
        servers = frozenset(self._service_name(owner) for owner in owners if owner.startswith("service/"))
        if servers == self._servers and self._answers.exists(names.to_wire(f"svc.{self._settings.zone}")):
            return
        self._servers = servers
        records = apex_records(self._settings.zone, servers, self._settings.addresses)
        below = ["svc", "ns.dns", *(["pod"] if self._pods else [])]
        self._answers.update(_ZONE, records, [f"{name}.{self._settings.zone}" for name in below])

    def _service_name(self, owner: str) -> str:
        _, namespace, name = owner.split("/")
        return f"{name}.{namespace}.svc.{self._settings.zone}"
