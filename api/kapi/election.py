"""One of several alike leads, by holding a Lease of coordination.k8s.io.

Candidates renew or take one Lease object; the server's refusal of a write with an old version decides every race. As in
client-go, nobody compares the moments in the Lease with its own clock: a candidate takes a Lease over once it has
itself seen it unchanged for as long as the holder asked for. A leader that cannot renew stops before that.
https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.client import Client
from kapi.errors import AlreadyExists, ApiError, Conflict, LeaseLost, NotFound
from kapi.events import now
from kapi.resources import LEASES

Json = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Who wants to lead, by which Lease, and for how long at a time: seconds, by default those of Kubernetes."""

    identity: str
    name: str
    namespace: str = "kube-system"
    lease: float = 15.0  # others wait so long for a leader that is silent
    deadline: float = 10.0  # a leader that could not renew for so long stops
    retry: float = 2.0  # between attempts

    def __post_init__(self) -> None:
        if not self.lease > self.deadline > self.retry > 0:
            raise ValueError(
                f"of a lease of {self.lease:g} s, a renewal deadline of {self.deadline:g} s and a retry after "
                f"{self.retry:g} s each must be longer than the next"
            )


@dataclass(frozen=True, slots=True)
class Sight:
    """A Lease as it was read, and since when it has been seen so, on the reader's own steady clock."""

    lease: Json
    since: float

    @property
    def holder(self) -> str:
        """Who holds it, or ""."""
        return (self.lease.get("spec") or {}).get("holderIdentity") or ""

    def seen(self, lease: Json, moment: float) -> Sight:
        """Look again: what has not changed has been there since the first look."""
        return self if lease.get("spec") == self.lease.get("spec") else Sight(lease, moment)

    def free_in(self, identity: str, moment: float) -> float:
        """Say in how many seconds `identity` may take it; 0 or less is now."""
        if self.holder in ("", identity):
            return 0.0
        return self.since + float(self.lease["spec"].get("leaseDurationSeconds") or 0) - moment


def claim(terms: Terms, held: Json | None, moment: datetime) -> Json:
    """Give the Lease as `terms.identity` writes it to take or renew `held`. Pure."""
    spec = (held or {}).get("spec") or {}
    stamp = _stamp(moment)
    ours = spec.get("holderIdentity") == terms.identity
    meta = (held or {}).get("metadata") or {"name": terms.name, "namespace": terms.namespace}
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": meta,
        "spec": spec
        | {
            "holderIdentity": terms.identity,
            "leaseDurationSeconds": max(1, round(terms.lease)),
            "acquireTime": spec.get("acquireTime") if ours else stamp,
            "renewTime": stamp,
            "leaseTransitions": (spec.get("leaseTransitions") or 0) + (0 if ours or held is None else 1),
        },
    }


class Elector:
    """A candidate. `clock` is a steady one, in seconds; `wall` gives the moments written into the Lease."""

    def __init__(
        self,
        client: Client,
        terms: Terms,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = now,
    ) -> None:
        self._client = client
        self._terms = terms
        self._clock = clock
        self._wall = wall
        self._sight: Sight | None = None
        self.leading = False

    @property
    def name(self) -> str:
        """The Lease's name."""
        return self._terms.name

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then do `work` for as long as it is ours, and give it back when the work ends.

        Raises `LeaseLost`, after the work was cancelled, when the Lease could not be renewed in time.
        """
        await self._acquire()
        working = asyncio.ensure_future(work())
        self.leading = True
        log.info("%s leads: it holds the lease %s", self._terms.identity, self._terms.name)
        try:
            await self._keep(working)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            self.leading = False
            await self._release()
        working.result()

    async def _acquire(self) -> None:
        while not await self._attempt():  # noqa: ASYNC110  # another process's lease tells nobody when it ends
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """How long to wait until the next look: no longer than until the Lease becomes free."""
        free = self._sight.free_in(self._terms.identity, self._clock()) if self._sight else self._terms.retry
        return min(self._terms.retry, max(free, self._terms.retry / 10))

    async def _keep(self, working: asyncio.Future[None]) -> None:
        """Renew until the work is done."""
        renewed = self._clock()
        while not working.done():
            await asyncio.wait({working}, timeout=self._terms.retry)
            asked = self._clock()
            if working.done():
                return
            if await self._in_time(renewed + self._terms.deadline - asked):
                renewed = asked
            elif self._clock() - renewed >= self._terms.deadline or self._taken():
                raise LeaseLost(self._why_lost())

    async def _in_time(self, seconds: float) -> bool:
        """Try to renew; an answer that does not come in time is as good as a refusal."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                return await self._attempt()
        except TimeoutError:
            return False

    def _taken(self) -> bool:
        return self._sight is not None and self._sight.holder != self._terms.identity

    def _why_lost(self) -> str:
        terms, sight = self._terms, self._sight
        holder = f"it is {sight.holder}'s" if sight and self._taken() else "the API server did not take a renewal"
        return (
            f"the lease {terms.namespace}/{terms.name} of {terms.identity} was not renewed within "
            f"{terms.deadline:g} s: {holder}; start again to wait for the next turn"
        )

    async def _attempt(self) -> bool:
        """Take or renew the Lease; gives whether it is ours now."""
        try:
            return await self._take()
        except (Conflict, AlreadyExists) as error:
            log.debug("somebody else was quicker: %s", error)
        except ApiError as error:
            log.warning("the lease %s could not be taken or renewed: %s", self._terms.name, error)
        return False

    async def _take(self) -> bool:
        terms = self._terms
        try:
            lease = await self._client.get(LEASES, terms.name, terms.namespace)
        except NotFound:
            self._look(await self._client.create(LEASES, claim(terms, None, self._wall())))
            return True
        if self._look(lease).free_in(terms.identity, self._clock()) > 0:
            return False
        self._look(await self._client.update(LEASES, claim(terms, lease, self._wall())))
        return True

    def _look(self, lease: Json) -> Sight:
        moment = self._clock()
        self._sight = self._sight.seen(lease, moment) if self._sight else Sight(lease, moment)
        return Sight(lease, self._sight.since)

    async def _release(self) -> None:
        """Let the next one in at once, if the Lease is still ours."""
        terms = self._terms
        try:
            async with asyncio.timeout(terms.retry):
                lease = await self._client.get(LEASES, terms.name, terms.namespace)
                if lease["spec"].get("holderIdentity") == terms.identity:
                    spec = lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.update(LEASES, {**lease, "spec": spec | {"renewTime": _stamp(self._wall())}})
        except (ApiError, TimeoutError) as error:
            log.info("the lease %s could not be given back: %s", terms.name, error)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
