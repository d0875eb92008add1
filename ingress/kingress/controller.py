"""Keeps the data path equal to the cluster: what its caches tell becomes routes and endpoints at once.

A change of one object costs the work for that object: an Ingress recompiles the hosts it names, a Service or a slice
refreshes the backends of that Service. What is wrong is told by Events, and where an Ingress can be reached by its
status; these are written in the background and never delay a route.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from kapi import decode as core
from kapi.cache import Cache, Change
from kapi.client import Client
from kapi.errors import ApiError, NotFound
from kapi.events import Recorder
from kapi.network import EndpointSlice, Problem, Service
from kapi.queue import Queue
from kapi.resources import ENDPOINT_SLICES, INGRESS_CLASSES, INGRESSES, SERVICES
from kapi.source import Source, wait_synced
from kingress import backends, decode, publish
from kingress.authorities import client_context
from kingress.backends import Resolution
from kingress.certificates import Certificate
from kingress.ejections import Ejections
from kingress.metrics import Metrics
from kingress.objects import BackendRef, Ingress, IngressClass, Target
from kingress.ownership import owned, why_not
from kingress.policy import Conduct
from kingress.routes import Routes
from kingress.secrets import Data
from kingress.settings import Settings
from kingress.tls import Tls
from kingress.upstreams import Upstreams

_SECRETS_WAIT = 5.0  # seconds; a Secret that may not be read hinders no other


class Reason(StrEnum):
    """What an Event on an Ingress is about; `docs/reference/kingress.md` tells what each says."""

    SKIPPED = "Skipped"
    CONFLICT = "Conflict"
    BACKEND_MISSING = "BackendMissing"
    CERTIFICATE = "Certificate"


@dataclass(frozen=True, slots=True)
class Publishing:
    """Where this ingress is reached: addresses given, and the Service (`namespace/name`) in front of it."""

    addresses: tuple[str, ...] = ()
    service: str = ""


class Controller:
    """Feeds `routes` and `upstreams` from a source. Without `publishing`, no status is written.

    Secrets are read with `client`, one by one, or are among the `secrets` that come with everything else.
    """

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        settings: Settings,
        *,
        client: Client | None = None,
        secrets: Cache[Data] | None = None,
        class_name: str = "",
        publishing: Publishing | None = None,
        default_certificate: str = "",
        stand_in: Certificate | None = None,
        zone: str = "",
        ejections: Ejections | None = None,
    ) -> None:
        self.routes = Routes()
        self._queue: Queue[str] = Queue()  # keys of Ingresses whose Events and status are to be looked at
        self.tls = Tls(
            self._queue.add,
            self._secret_changed,
            client=client,
            at_hand=secrets,
            default=default_certificate,
            stand_in=stand_in,
        )
        self.routes.table.lacks = self.tls.lacks
        self.upstreams = Upstreams(settings, self.resolve, self._context, ejections)
        self.metrics = Metrics()
        self._recorder = recorder
        self._client = client
        self._class_name = class_name
        self._publishing = publishing
        self._zone = zone
        self._withdrawn = False
        self._told: dict[str, frozenset[tuple[str, str]]] = {}  # what was said of each Ingress already
        self._slices: dict[str, dict[str, EndpointSlice]] = {}  # by the Service's key
        self._holders: dict[Target, set[str]] = {}  # the Ingresses that name a backend
        self._users: dict[str, set[str]] = {}  # by the Service's key: the Ingresses that name it
        self._ingresses = source.cache(INGRESSES, decode.ingress)
        self._classes = source.cache(INGRESS_CLASSES, decode.ingress_class)
        self._services = source.cache(SERVICES, core.service)
        self._endpoint_slices = source.cache(ENDPOINT_SLICES, core.endpoint_slice)

    def start(self) -> None:
        """Listen to the caches. Call once, before the source runs or while it does."""
        self.tls.start()
        self._endpoint_slices.listen(self._slice_changed)
        self._services.listen(self._service_changed)
        self._classes.listen(self._class_changed)
        self._ingresses.listen(self._ingress_changed)

    async def wait_synced(self) -> None:
        """Wait until all that is there has become routes: requests before that would be answered wrongly."""
        await wait_synced(self._classes, self._services, self._endpoint_slices, self._ingresses)
        await self.tls.secrets.wait_synced(_SECRETS_WAIT)

    @property
    def synced(self) -> bool:
        """Whether all that was there has become routes."""
        return all(c.synced for c in (self._classes, self._services, self._endpoint_slices, self._ingresses))

    async def run(self) -> None:
        """Write Events and status until cancelled."""
        await self.wait_synced()
        await self._queue.work(self._report)

    async def withdraw(self) -> None:
        """Take the addresses out of the status of our Ingresses: nobody answers there any more."""
        self._withdrawn = True
        for ingress in list(self.routes.ingresses.values()):
            known = self._ingresses.get(ingress.key)
            if known is not None and self._client is not None and known.addresses:
                with contextlib.suppress(ApiError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._write_status(known, ())

    def resolve(self, ref: BackendRef) -> Resolution:
        """Give the addresses behind a Service port, as they are known now."""
        slices = self._slices.get(ref.service_key, {})
        return backends.resolve(ref, self._services.get(ref.service_key), slices.values(), self._zone)

    def _context(self, conduct: Conduct) -> ssl.SSLContext:
        return client_context(conduct, self.tls.secrets)

    def strangers(self) -> Iterator[tuple[Ingress, str]]:
        """Give the Ingresses that are not ours, and why they are not."""
        for ingress in self._ingresses.values():
            if not self._owned(ingress):
                yield ingress, why_not(ingress, self._classes, self._class_name)

    def problem_counts(self) -> Iterator[tuple[str, str, str, int]]:
        """Give namespace and name of each Ingress with problems, the reason of these, and how many they are."""
        for key, told in self._told.items():
            namespace, _, name = key.partition("/")
            for reason, count in Counter(reason for reason, _ in told).items():
                yield namespace, name, reason, count

    # What the caches tell.

    def _ingress_changed(self, change: Change[Ingress]) -> None:
        self._judge(change.key, change.new)

    def _class_changed(self, _: Change[IngressClass]) -> None:
        for key, ingress in self._ingresses.items():
            if (key in self.routes.ingresses) is not self._owned(ingress):
                self._judge(key, ingress)

    def _service_changed(self, change: Change[Service]) -> None:
        self.upstreams.refresh(change.key)
        ours = self._publishing is not None and change.key == self._publishing.service
        everyone = self.routes.ingresses if ours else ()
        for key in {*self._users.get(change.key, ()), *everyone}:
            self._queue.add(key)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        for each in (change.old, change.new):
            if each is not None:
                self._slices.setdefault(each.service_key, {}).pop(change.key, None)
        if change.new is not None:
            self._slices[change.new.service_key][change.key] = change.new
        for service in {each.service_key for each in (change.old, change.new) if each is not None}:
            if not self._slices[service]:
                del self._slices[service]
            self.upstreams.refresh(service)

    def _owned(self, ingress: Ingress) -> bool:
        return owned(ingress, self._classes, self._class_name)

    def _judge(self, key: str, ingress: Ingress | None) -> None:
        """Bring the routes of one Ingress to what it says now."""
        before = self.routes.ingresses.get(key)
        if ingress is not None and self._owned(ingress):
            changed = self.routes.put(ingress)
            self.tls.put(ingress)
            after = ingress.targets
        else:
            changed = self.routes.remove(key)
            self.tls.remove(key)
            after = frozenset()
            if before is not None:
                self.metrics.forget(before.namespace, before.name)
        for target in after:
            self._holders.setdefault(target, set()).add(key)
            self._users.setdefault(target.ref.service_key, set()).add(key)
        for target in (before.targets if before is not None else frozenset()) - after:
            self._unused(target, key, {each.ref.service_key for each in after})
        for each in changed:
            self._queue.add(each)

    def _unused(self, target: Target, key: str, services: set[str]) -> None:
        """An Ingress names a backend no more; `services` are those that it still names."""
        service = target.ref.service_key
        if service not in services:
            self._users[service].discard(key)
            if not self._users[service]:
                del self._users[service]
        self._holders[target].discard(key)
        if not self._holders[target]:
            del self._holders[target]
            self.upstreams.forget(target)

    def _secret_changed(self, key: str) -> None:
        self.routes.table.changed()  # a host may have a certificate now, or none
        self.upstreams.refresh_authority(key)

    # What is written, in the background.

    async def _report(self, key: str) -> None:
        """Tell what is wrong with an Ingress, once, and where it is reached."""
        await asyncio.sleep(0)  # where thousands are looked at, and nothing is to be written, requests come between
        ingress = self._ingresses.get(key)
        if ingress is None or key not in self.routes.ingresses:
            self._told.pop(key, None)
            return
        wrong = frozenset(self._wrong(key, ingress))
        for reason, message in sorted(wrong - self._told.get(key, frozenset())):
            self._recorder.event(ingress.reference, "Warning", reason, message)
        self._told[key] = wrong
        with contextlib.suppress(NotFound):  # deleted meanwhile
            await self._write_status(ingress, self._addresses())

    def _wrong(self, key: str, ingress: Ingress) -> list[tuple[Reason, str]]:
        """Give what is wrong with an Ingress: reasons and messages of Events."""
        problems = self.routes.problems(key)
        own: set[Problem] = set(ingress.problems)
        found = [(Reason.SKIPPED if problem in own else Reason.CONFLICT, str(problem)) for problem in problems]
        found += [(Reason.CERTIFICATE, text) for text in self.tls.problems(ingress)]
        for ref in {target.ref for target in ingress.targets}:
            service = self._services.get(ref.service_key)
            resolution = self.resolve(ref)
            if service is None or (not resolution.addresses and "endpoints" not in resolution.reason):
                found.append((Reason.BACKEND_MISSING, resolution.reason))
        return found

    def _addresses(self) -> tuple[str, ...]:
        if self._withdrawn or self._publishing is None:
            return ()
        return publish.addresses(self._publishing.addresses, self._services.get(self._publishing.service))

    async def _write_status(self, ingress: Ingress, wanted: tuple[str, ...]) -> None:
        patch = publish.patch(wanted, ingress)
        if patch is not None and self._client is not None and self._publishing is not None:
            await self._client.patch(INGRESSES, ingress.name, patch, ingress.namespace, subresource="status")
