"""Keeps the rules equal to the cluster: notes what changed, and carries it out, one atomic step at a time.

An event costs what its Service costs: nothing here loops over all Services but a full sync, which happens at the start,
after a failed commit, when the node itself changed, and when somebody else has changed the rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kapi.network import Address, EndpointSlice, Network, Problem, Reference, Service
from kproxy import flows
from kproxy.backends import Backend
from kproxy.claims import Claims
from kproxy.desired import duties
from kproxy.errors import ProxyError
from kproxy.longlived import uncollected
from kproxy.model import Datagrams, Duties, NodeDuties, Place
from kproxy.pending import Pending
from kproxy.settings import Settings
from kproxy.topology import Here

log = logging.getLogger(__name__)

_LISTED = 100  # Services of one commit that the log names one by one
_BREATH = 64  # Services worked out before others on the event loop have their turn


@dataclass(slots=True)
class World:
    """What is known of the cluster, arranged by Service."""

    services: Mapping[str, Service]
    slices: dict[str, tuple[EndpointSlice, ...]] = field(default_factory=dict)  # by the key of their Service

    def put_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> set[str]:
        """Take in a change of one slice; returns the Services it is about."""
        touched = set()
        for piece, present in ((old, False), (new, True)):
            if piece is None or not piece.service:
                continue
            key = piece.service_key
            rest = tuple(s for s in self.slices.get(key, ()) if s.key != piece.key)
            kept = (*rest, piece) if present else rest
            if kept:
                self.slices[key] = kept
            else:
                self.slices.pop(key, None)
            touched.add(key)
        return touched


@dataclass(frozen=True, slots=True)
class Done:
    """One finished commit, for those who count or act on it: what it was about and how long it took."""

    services: int
    seconds: float
    full: bool
    wanted: Mapping[str, Duties] = field(default_factory=dict)  # all Services after a full sync, else those looked at
    taken: Pending = field(default_factory=Pending)


LookAt = Callable[[Mapping[Place, frozenset[Address]], tuple[Network, ...]], None]
Report = Callable[[Reference, Iterable[Problem]], None]


class Sync:
    """Carries the world's changes to a backend. `touch` and `renew` may be called at any time; `run` does the work."""

    def __init__(
        self,
        world: World,
        backend: Backend,
        settings: Settings,
        *,
        report: Report,
        done: Callable[[Done], None] = lambda _: None,
        failed: Callable[[bool], None] = lambda _: None,
        look_at: LookAt | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._backend = backend
        self._settings = settings
        self._report = report
        self._done = done
        self._failed = failed  # told after each failed commit, with whether it was a full one
        self._look_at = look_at
        self._clock = clock
        self._datagrams: dict[str, tuple[Datagrams, ...]] = {}
        self._claims = Claims()
        self.refused: dict[str, str] = {}  # tried again now and then: what stood in the way may be gone
        self.pending = Pending()
        self._taken: Pending | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._full = True
        self._look_due = clock() + settings.drift_seconds
        self._rest_due = clock()
        self._ready: tuple[NodeDuties, Here] | None = None
        self.synced = asyncio.Event()  # set once the first state is in place

    def touch(self, keys: Iterable[str], *, services: int = 0, slices: int = 0, trigger: str = "") -> None:
        """Note that these Services, or their endpoints, have changed; `trigger` is when a pod did."""
        keys = frozenset(keys)
        if not keys:
            return
        self.pending.note(self._clock(), keys, services=services, slices=slices)
        if trigger:
            self.pending.triggers.append(trigger)
        self._woken()

    def renew(self, node: NodeDuties, here: Here) -> None:
        """Note what holds for the node now; nothing is put in place before the first time."""
        if self._ready != (node, here):
            self._ready = (node, here)
            self._full = True
            self.pending.note(self._clock())
            self._woken()

    def waiting(self) -> float:
        """Give the seconds that the oldest change has waited for, 0 where none waits."""
        noted = [p.since for p in (self.pending, self._taken) if p is not None and p.since is not None]
        return self._clock() - min(noted) if noted else 0.0

    async def settled(self) -> None:
        """Wait until all that was noted so far is in place, or refused."""
        await self.synced.wait()
        await self._settled.wait()

    async def run(self) -> None:
        """Work for ever."""
        delay = self._settings.retry_seconds
        while True:
            if not self._full and not self.pending.keys:
                await self._idle()
            if self._ready is None:
                await self._wake.wait()
                self._wake.clear()
                continue
            if not self._full and self._clock() >= self._look_due:
                await self._look()
            await self._rest()
            full = self._full
            self._full = False
            taken, self.pending = self.pending, Pending()
            self._taken = taken
            try:
                await self._work(*self._ready, taken, full)
            except (ProxyError, OSError) as error:
                log.warning("the rules could not be put in place: %s; trying again in %.1f s", error, delay)
            except Exception:  # the outermost edge: the rules in place serve on, and all can be tried anew
                log.exception("the rules could not be put in place, by a fault of ours; trying again in %.1f s", delay)
            else:
                self._rest_due = self._clock() + self._settings.rest_seconds
                delay = self._settings.retry_seconds
                self._taken = None
                continue
            self._full = True
            self.pending.merge(taken)
            self._failed(full)
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._settings.retry_limit)

    def _woken(self) -> None:
        self._settled.clear()
        self._wake.set()

    async def _idle(self) -> None:
        """Wait for a change, or until it is time to look after the rules."""
        self._wake.clear()
        self._settled.set()
        # asyncio.wait_for would make a task of the wait, for every change there is.
        timer = asyncio.get_running_loop().call_later(max(self._look_due - self._clock(), 0.0), self._wake.set)
        await self._wake.wait()
        timer.cancel()

    async def _rest(self) -> None:
        """After a commit, wait a moment for what else changes; but no change waits longer than that."""
        since, rest = self.pending.since, self._settings.rest_seconds
        due = self._rest_due if since is None else min(self._rest_due, since + rest)
        if (left := due - self._clock()) > 0:
            await asyncio.sleep(left)

    async def _look(self) -> None:
        """See whether somebody else has changed the rules, and try again what was refused."""
        if await self._drifted():  # and never back: the node itself may have changed meanwhile
            self._full = True
        if self.refused:
            self.pending.note(self._clock(), self.refused)
        self._look_due = self._clock() + self._settings.drift_seconds

    async def _drifted(self) -> bool:
        try:
            changed = await self._backend.drifted()
        except (ProxyError, OSError) as error:
            log.warning("the rules could not be looked at: %s", error)
            return True
        except Exception:  # as in `run`
            log.exception("the rules could not be looked at, by a fault of ours")
            return True
        if changed:
            log.warning("somebody else has changed the rules: putting them back")
        return changed

    async def _work(self, node: NodeDuties, here: Here, taken: Pending, full: bool) -> None:
        started = time.perf_counter()
        if full:
            self._claims = Claims()
            with uncollected():
                wanted = await self._settle(list(self._world.services), here)
                refused = await self._backend.resync(node, wanted)
        elif taken.keys:
            wanted = await self._settle(taken.keys, here)
            refused = await self._backend.commit(wanted)
        else:
            return
        if self._look_at:
            vanished = self._datagrams.keys() - wanted.keys() if full else set[str]()
            self._look_at(self._changed_datagrams(wanted, vanished), node.node_port_networks)
        self.refused = {k: why for k, why in self.refused.items() if k not in wanted and not full} | dict(refused)
        self._tell(wanted, refused)
        if log.isEnabledFor(logging.INFO):
            _log(wanted, refused, time.perf_counter() - started)
        self._done(Done(len(wanted), time.perf_counter() - started, full, wanted, taken))
        if full:
            self.synced.set()

    async def _settle(self, keys: Iterable[str], here: Here) -> dict[str, Duties]:
        """Work out the duties of these Services, and of those that gain or lose a place by it.

        What changes meanwhile is noted as pending, and follows with the next commit.
        """
        wanted: dict[str, Duties] = {}
        waiting = list(keys)
        looked = 0
        while waiting:
            key = waiting.pop()
            settlement = self._claims.settle(self._duties(key, here))
            wanted[key] = settlement.duties
            waiting += settlement.touched
            looked += 1
            if not looked % _BREATH:
                await asyncio.sleep(0)
        return wanted

    def _duties(self, key: str, here: Here) -> Duties:
        service = self._world.services.get(key)
        if service is None:
            namespace, _, name = key.partition("/")
            return Duties(key, Reference("Service", namespace, name))
        settings = self._settings
        slices = self._world.slices.get(key, ())
        try:
            return duties(service, slices, here, settings.families, settings.without_endpoints)
        except Exception as error:  # a fault met with one Service must never stop the work on all others
            log.exception("Service %s is left out: what it is owed could not be worked out", key)
            return Duties(key, service.reference, problems=(Problem("spec", f"the Service is left out: {error!r}"),))

    def _changed_datagrams(
        self, wanted: Mapping[str, Duties], vanished: Iterable[str]
    ) -> dict[Place, frozenset[Address]]:
        """Give the UDP places whose serving endpoints have changed, so that stale flows can be forgotten."""
        found: dict[Place, frozenset[Address]] = {}
        for key in tuple(vanished):
            found |= flows.changed(self._datagrams.pop(key), ())
        for key, owed in wanted.items():
            before = self._datagrams.pop(key, ())
            if before or owed.datagrams:
                found |= flows.changed(before, owed.datagrams)
            if owed.datagrams:
                self._datagrams[key] = owed.datagrams
        return found

    def _tell(self, wanted: Mapping[str, Duties], refused: Mapping[str, str]) -> None:
        for key, cause in refused.items():
            self._report(wanted[key].reference, (Problem("spec", cause),))
        for owed in wanted.values():
            if owed.problems:
                self._report(owed.reference, owed.problems)


def _log(wanted: Mapping[str, Duties], refused: Mapping[str, str], seconds: float) -> None:
    """Say what was put in place, for those who want to see it."""
    for owed in wanted.values() if len(wanted) <= _LISTED else ():
        if owed.key not in refused:
            log.info("Service %s: %s", owed.key, "; ".join(map(str, owed.frontends)) or "nothing")
    log.info("%d Services were put in place in %.1f ms", len(wanted) - len(refused), seconds * 1000)
