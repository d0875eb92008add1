"""The names of the cluster, from live state.

Listeners note which Services changed; a callback of the event loop compiles them in slices short enough that queries
are answered in between, and one that is asked for before its turn is compiled at once. So this server is ready as soon
as it has heard of the whole cluster. Nothing is cached: an answer is what the cluster is now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import ClassVar

from kapi.cache import Cache, Change, key_of
from kapi.network import Problem, Reference
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kapi.source import Source
from kdns import alias, names, nameservers, objects, podnames, searchpath, wire
from kdns.alias import aliased
from kdns.answer import Answers
from kdns.backlog import Backlog
from kdns.chain import Rest, Setup
from kdns.compiled import compiled, unpacked
from kdns.errors import NameInvalid
from kdns.histogram import Histogram
from kdns.objects import Service, Slice
from kdns.podnames import PodName
from kdns.pods import Pods
from kdns.query import Query, asking
from kdns.records import Names, Records, endpoint_records, orphan_records, service_names, version_records
from kdns.wire import REFUSED, SERVFAIL, Answer, Rcode, Type, tail_of

log = logging.getLogger(__name__)

_SLICE = 0.0005  # seconds of compiling before the event loop may do something else
_LOOK = 0.01  # seconds between two looks whether the whole cluster is known
_LONG = 0.05  # seconds: a Service that took longer to compile rests before it is compiled again
_REST = 4  # times as long as it took, so that queries have most of the time, however many endpoints it has
_PROGRAMMING = tuple(0.001 * 2**n for n in range(20))  # seconds: CoreDNS' buckets
_ZONE = "zone"  # owner of the zone's own records
_ARPA = (b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0")
_IN_ZONES = ("svc", "pod", nameservers.FIRST)  # what every zone has, with or without records, as in CoreDNS
_SRV = tail_of(Type.SRV)


def setup(setup: Setup) -> Cluster | None:
    """Serve the cluster that the source knows, if there is one."""
    if setup.source is None or not setup.settings.cluster:
        return None
    cluster = Cluster(setup, setup.source)
    cluster.listen()
    return cluster


class Cluster:
    """Answers for Services, endpoints, pods and addresses; hands on what is in none of its zones."""

    name: ClassVar[str] = "cluster"
    steady = True

    def __init__(self, setup: Setup, source: Source) -> None:
        settings = self._settings = setup.settings
        self._recorder = setup.recorder
        self._clock = setup.clock
        self._changes = setup.changes
        self._pods = f"pod.{settings.zone}" if settings.pods != "disabled" else ""
        self._pods_wire = names.to_wire(self._pods)
        reverse = [zone for network in settings.reverse for zone in names.reverse_zones(network)]
        passed = settings.passed if settings.answers.owns_passed else ()
        self._zones = (settings.zone, *reverse, *passed)
        handed_on = [*([settings.zone] if settings.fallthrough else []), *passed]
        open_names = [*handed_on, *([self._pods] if self._pods else [])]
        self._handed_on = tuple(map(names.to_wire, handed_on))
        self._answers = Answers(
            self._zones,
            settings.ttl,
            open_names=open_names,
            serial=int(setup.clock()),
            likeness=settings.answers,
        )
        self._services: Cache[Service] = source.cache(SERVICES, objects.service)
        read = objects.endpoint_slice_with_pods if settings.pod_names else objects.endpoint_slice
        self._slices: Cache[Slice] = source.cache(ENDPOINT_SLICES, read)
        self._namespaces: Cache[str] = source.cache(NAMESPACES, key_of)
        walks = settings.autopath is not None
        self._pods_known = Pods(source) if settings.pods == "verified" or walks else None
        self._paths = names.to_wire(f"svc.{settings.zone}") if walks else b""
        self.walked = 0  # search paths that led to a name
        self.programming: dict[str, Histogram] = {}  # seconds from what triggered a change to its answers, by kind
        self._triggers: dict[str, str] = {}  # Service key -> when the oldest change not yet compiled was triggered
        self._pieces: dict[str, dict[str, Slice]] = {}  # Service key -> its slices by key
        self._backlog = Backlog(settings.zone)
        self._zone = names.to_wire(settings.zone)
        self._below = names.to_wire(f"svc.{settings.zone}")
        self._here = [names.reverse_wire(address.packed) for address in settings.addresses]
        self._own_names = nameservers.own_names(self._zones)
        self._cased = self._own_names if settings.answers.case_matters else {}
        self._scheduled = False
        self._resting: dict[str, bool] = {}  # key of a large Service -> whether it changed meanwhile
        self._complete = False
        self._reported: dict[str, tuple[Problem, ...]] = {}
        self._servers: nameservers.Servers | None = None  # what NS records say; nothing yet

    def listen(self) -> None:
        """Hear of every change from now on."""
        self._name_zone()
        self._namespaces.listen(self._on_namespace)
        self._services.listen(self._on_service)
        self._slices.listen(self._on_slice)

    @property
    def ready(self) -> bool:
        """Whether the whole cluster has been seen, once."""
        if not self._complete:
            synced = self._services.synced and self._slices.synced and self._namespaces.synced
            synced = synced and (self._pods_known is None or self._pods_known.synced)
            self._complete = synced and not any(self._resting.values())
            if self._complete:
                self._open()
        return self._complete

    @property
    def settled(self) -> bool:
        """Whether it is ready and all names are compiled."""
        return self.ready and not self._backlog

    def _open(self) -> None:
        """Let what is not compiled yet be found by whatever may be asked."""
        for key in self._backlog:
            self._backlog.index(key, self._reverse_names(key))
        self._compile_servers()

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`. Until everything is known, nothing is denied."""
        return None if self._cased and question[:-4] in self._cased else self._known(question)

    def _known(self, question: bytes) -> Answer | None:
        known = self._complete or self.ready
        if self._scheduled:
            self._compile_asked(question[:-4])
        answer = self._answers.hit(question)
        if answer is None and known:
            answer = self._of_endpoint(question) or self._answers.miss(question)
        if self._paths and answer is not None and answer.rcode == Rcode.NXDOMAIN and self._paths in question:
            return None  # perhaps a search path's first try
        return answer

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        missed = self._missed_by_case(query)
        if missed is not None:
            return await self._or_next(missed, query, rest)
        answer = self._known(query.question)
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
        found = self._pod(query) or await self._walk(query, rest)
        return await self._or_next(found or self._answers.deny(query.question) or SERVFAIL, query, rest)

    async def _or_next(self, answer: Answer, query: Query, rest: Rest) -> Answer:
        """Give an answer; where others may know what is not here, theirs instead of a denial."""
        if answer.rcode == Rcode.NXDOMAIN and query.name.endswith(self._handed_on):
            return await rest.next(query)
        return answer

    async def transfer(self, query: Query) -> Iterator[Answer] | None:
        """Give a whole zone, in messages, to a client that may have it (AXFR, RFC 5936), once all is compiled."""
        allowed = {"*", query.client} & set(self._settings.transfer_to)
        while allowed and self.ready and self._backlog:  # noqa: ASYNC110  # rare, and over in seconds
            await asyncio.sleep(_LOOK)
        self._name_zone()
        records = self._answers.whole(query.name) if allowed and self.ready else None
        return wire.messages(records) if records is not None else None

    async def run(self) -> None:
        """Nothing is left to do but to stop listening in the end."""
        try:
            await asyncio.Event().wait()
        finally:
            self._namespaces.unlisten(self._on_namespace)
            self._services.unlisten(self._on_service)
            self._slices.unlisten(self._on_slice)
            if self._pods_known is not None:
                self._pods_known.close()

    async def _walk(self, query: Query, rest: Rest) -> Answer | None:
        """Walk the search path of the pod that asks; the first name that exists is told as an alias (autopath)."""
        if self._settings.autopath is None or self._pods_known is None or query.hops:
            return None
        for namespace in self._pods_known.namespaces(query.client):
            search = searchpath.suffixes(namespace, self._settings.zone, self._settings.autopath)
            for name in searchpath.further_names(query.name, search):
                asked = asking(name, query.type, query)
                found = await rest.again(asked)
                if found.rcode == Rcode.NOERROR:
                    self.walked += 1
                    return aliased(query, name, self._settings.ttl, asked, found)
        return None

    async def _follow(self, query: Query, target: bytes, rest: Rest) -> Answer:
        """Answer for an ExternalName."""
        ttl = self._settings.ttl
        if not self._settings.answers.aliases_are_addresses:
            return await alias.followed(query, target, ttl, rest.again)
        found = await alias.followed_to_addresses(query, target, ttl, rest.again, self._zone)
        return found or self._answers.deny(query.question) or SERVFAIL

    def _pod(self, query: Query) -> Answer | None:
        """Answer for the name of a pod: the address that it spells, where the namespace exists."""
        pod = podnames.spelled(query.name, self._pods_wire) if self._pods else None
        if pod is None or not self._answers.exists(names.parent(pod.name)) or not self._verified(pod):
            return None
        denial = self._answers.deny(query.question)
        nothing = denial and denial._replace(flags=wire.flags_of(Rcode.NOERROR))
        return podnames.answered(query, pod, self._settings.ttl) or nothing

    def _missed_by_case(self, query: Query) -> Answer | None:
        """Deny what CoreDNS denies by the letter case of the question."""
        zone = self._cased.get(query.name)
        code = nameservers.misses_by_case(query, zone) if zone else None
        denial = self._answers.deny(query.question) if code is not None and self.ready else None
        return denial and denial._replace(flags=wire.flags_of(code or Rcode.NOERROR))

    def _verified(self, pod: PodName) -> bool:
        if self._settings.pods != "verified" or self._pods_known is None:
            return True
        return pod.namespace in self._pods_known.namespaces(str(pod.address))

    def _of_endpoint(self, question: bytes) -> Answer | None:
        """Answer with the SRV records at an endpoint's name: they are made when asked for, which few do."""
        name = question[:-4]
        if not question.endswith(_SRV) or names.parent(names.parent(names.parent(name))) != self._below:
            return None
        if not self._answers.exists(name):
            return None
        label, name_of, namespace = [each.decode() for each in islice(names.labels(name), 3)]
        key = f"{namespace}/{name_of}"
        service, pieces = self._services.get(key), self._pieces.get(key, {}).values()
        if service is None:
            return None
        found = endpoint_records(service, pieces, self._settings.zone, label, pod_names=self._settings.pod_names)
        packed = compiled(found, self._settings.ttl).answers.get(question)
        return unpacked(question, packed) if packed else None

    def _on_namespace(self, change: Change[str]) -> None:
        self._tell()
        chosen = self._settings.namespaces
        if change.new is None:
            self._answers.remove(f"namespace/{change.key}")
        elif names.is_label(change.key) and (not chosen or change.key in chosen):
            below = [f"svc.{self._settings.zone}", *([self._pods] if self._pods else [])]
            self._answers.update(f"namespace/{change.key}", Records(), [f"{change.key}.{parent}" for parent in below])

    def _on_service(self, change: Change[Service]) -> None:
        self._touch(change.key, partial(self._moved, change))

    def _on_slice(self, change: Change[Slice]) -> None:
        for piece in (change.old, change.new):
            if piece is None or not piece.service:
                continue
            pieces = self._pieces.setdefault(piece.service, {})
            if piece is change.new:
                pieces[change.key] = piece
            else:
                pieces.pop(change.key, None)
            if not pieces:
                del self._pieces[piece.service]
            self._touch(piece.service, partial(self._moved_of, piece.service, change))
            if self._complete and piece is change.new and piece.trigger_time:
                self._triggers.setdefault(piece.service, piece.trigger_time)

    def _moved(self, change: Change[Service]) -> Iterator[bytes]:
        """Give the reverse names that a change of a Service may have changed."""
        old, new = change.old, change.new
        if old is None or new is None or _naming(old) != _naming(new):
            return self._reverse_names(change.key)
        return map(names.reverse_wire, set(old.addresses) ^ set(new.addresses))

    def _moved_of(self, key: str, change: Change[Slice]) -> Iterator[bytes]:
        """Give those that a change of a slice may have changed: with its last endpoint a ClusterIP may lose its own."""
        old, new = [
            frozenset(each.backends if each and each.service == key else ()) for each in (change.old, change.new)
        ]
        service = self._services.get(key)
        yield from map(names.reverse_wire, {backend.address for backend in old ^ new})
        yield from map(names.reverse_wire, service.addresses if service else ())

    def _touch(self, key: str, reverse: Callable[[], Iterable[bytes]]) -> None:
        """Note that a Service changed, and by which reverse names it is to be found meanwhile."""
        if key in self._resting:
            self._resting[key] = True
            return
        self._backlog.add(key)
        if self._complete:
            self._backlog.index(key, reverse())
        self._tell()
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._compile)

    def _tell(self) -> None:
        """Say that something is not as it was: prepared replies are void, and the SOA has another serial."""
        self._changes.tell()
        self._answers.touch(int(self._clock()))

    def _compile(self) -> None:
        """Bring the answers of a few changed Services up to date; come back for the others, whatever happens.

        Before the whole cluster is known, what is compiled would mostly be compiled again.
        """
        loop, ready = asyncio.get_running_loop(), self.ready
        try:
            until = time.perf_counter() + _SLICE
            while ready and self._backlog and time.perf_counter() < until:
                self._compile_now(self._backlog.first())
            self._name_zone()
        finally:
            self._scheduled = bool(self._backlog)
            if self._scheduled and ready:
                loop.call_soon(self._compile)
            elif self._scheduled:
                loop.call_later(_LOOK, self._compile)

    def _compile_asked(self, name: bytes) -> None:
        """Compile, before it is answered, all that the answer at a name, or whether there is such a name, hangs on."""
        if name in self._own_names:
            self._compile_servers()
        for key in self._backlog.asked_for(name):
            self._compile_now(key)
        while self._complete and (below := self._backlog.below(name)):
            if self._answers.gives(f"namespace/{below.partition('/')[0]}", name):
                return
            self._compile_now(below)
            if self._answers.gives(f"service/{below}", name):
                return

    def _compile_servers(self) -> None:
        """Compile what the zone's own records are made of: the Services at this server's addresses."""
        for name in self._here:
            for key in self._backlog.asked_for(name):
                self._compile_now(key)
        for owner in self._sharers():
            if owner.removeprefix("service/") in self._backlog:  # another of its addresses is to change
                self._compile_now(owner.removeprefix("service/"))
        self._name_zone()

    def _sharers(self) -> set[str]:
        """Give those who have this server's addresses."""
        return {owner for address in self._settings.addresses for owner in self._answers.sharers(address.packed)}

    def _compile_now(self, key: str) -> None:
        self._backlog.take(key)
        started = time.perf_counter()
        self._compile_guarded(key)
        self._changes.tell()  # one that cannot be compiled loses more names than its change was about
        took = time.perf_counter() - started
        if took > _LONG:  # let it not be compiled again at once
            self._resting[key] = False
            asyncio.get_running_loop().call_later(_REST * took, self._rested, key)

    def _rested(self, key: str) -> None:
        if self._resting.pop(key):
            self._touch(key, partial(self._reverse_names, key))

    def _reverse_names(self, key: str) -> Iterator[bytes]:
        """Give those that a Service has, and those that it may come to have."""
        yield from self._answers.reverse_names(f"service/{key}")
        service = self._services.get(key)
        yield from map(names.reverse_wire, service.addresses if service else ())
        for piece in self._pieces.get(key, {}).values():
            yield from (names.reverse_wire(backend.address) for backend in piece.backends)

    def _compile_guarded(self, key: str) -> None:
        """Compile one Service. One that cannot be compiled has no names, and keeps no other from having theirs."""
        try:
            self._compile_one(key)
        except Exception as error:  # the outermost edge of one Service: the others are not its fault
            log.exception("the names of Service %s could not be made", key)
            namespace, _, name = key.partition("/")
            service = self._services.get(key)
            about = service.reference if service else Reference("Service", namespace, name)
            said = f"its names could not be made ({type(error).__name__}: {error}), so it has none"
            self._report(key, about, (Problem("spec", said),))
            self._answers.remove(f"service/{key}")

    def _compile_one(self, key: str) -> None:
        service = self._services.get(key)
        chosen = self._settings.namespaces
        other = bool(chosen) and key.partition("/")[0] not in chosen
        if service is None or other:
            self._answers.update(f"service/{key}", Records() if other else self._orphans(key))
            self._reported.pop(key, None)
            return
        try:
            found = service_names(
                service,
                self._pieces.get(key, {}).values(),
                self._settings.zone,
                pod_names=self._settings.pod_names,
                empty_services=self._settings.empty_services,
                any_port=self._settings.answers.any_port,
            )
        except NameInvalid as error:
            found = Names(problems=(Problem("metadata.name", f"{error}; the Service has no names"),))
        if service.alias:
            found.records.pointers.update(self._orphans(key).pointers)
        more = _too_many(self._answers.update(f"service/{key}", found.records))
        self._report(key, service.reference, (*found.problems, *more))
        self._measure(key, service)

    def _orphans(self, key: str) -> Records:
        """Give the records of endpoints that no Service names."""
        if not self._settings.answers.names_orphans:
            return Records()
        pieces = self._pieces.get(key, {}).values()
        return orphan_records(key, pieces, self._settings.zone, pod_names=self._settings.pod_names)

    def _measure(self, key: str, service: Service) -> None:
        """Note how long it took from the change of an endpoint to the answers that show it."""
        trigger = self._triggers.pop(key, "")
        try:
            seconds = self._clock() - datetime.fromisoformat(trigger).timestamp() if trigger else -1.0
        except ValueError:
            return
        if seconds >= 0:
            selected = "with_selector" if service.selects else "without_selector"
            kind = f"headless_{selected}" if service.headless else "cluster_ip"
            self.programming.setdefault(kind, Histogram(_PROGRAMMING)).observe(seconds)

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
        """Write the zones' own records, once and whenever this server's own Services or their addresses are others."""
        servers = self._name_servers()
        if servers == self._servers:
            return
        found = version_records(self._settings.zone)
        for zone in self._zones:
            home = zone if self._settings.answers.servers_by_address else self._settings.zone
            nameservers.add_servers(found, zone, servers, home)
        self._tell()
        self._answers.update(_ZONE, found, [f"{name}.{zone}" for zone in self._zones for name in _IN_ZONES])
        self._servers = servers

    def _name_servers(self) -> nameservers.Servers:
        own = [address.packed for address in self._settings.addresses]
        keys = [owner.removeprefix("service/") for owner in sorted(self._sharers()) if owner.startswith("service/")]
        if self._settings.answers.servers_by_address:
            behind = [(self._services.get(key), self._pieces.get(key, {}).values()) for key in keys]
            known = [(service, pieces) for service, pieces in behind if service]
            return nameservers.by_address(known, own, pod_names=self._settings.pod_names)
        services = {f"{name}.{namespace}.svc": key for key in keys for namespace, _, name in [key.partition("/")]}
        zone = self._settings.zone
        found = {name: self._answers.addresses(names.to_wire(f"{name}.{zone}")) for name in services}
        return found or {nameservers.FIRST: own}


def _naming(service: Service) -> tuple[bool, ...]:
    """Give what decides which of the addresses behind a Service have names."""
    return service.alias, service.headless, bool(service.addresses), service.publish_not_ready


def _too_many(cut: list[str]) -> tuple[Problem, ...]:
    """Say in one sentence which record sets were cut. It has no counts, so that a change of one is no new event."""
    others = " and of other names" if len(cut) > 1 else ""
    said = f"there are more {{}}{others} than a reply over TCP can carry; only the first are served"
    return (Problem("endpoints", said.format(cut[0])),) if cut else ()
