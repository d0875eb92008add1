"""Scheduler, workload, node lifecycle and load-balancer controllers: decide, then write, whenever something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from kapi.client import Client
from kapi.events import Recorder, now
from kapi.network import Network
from kapi.queue import Queue
from kapi.resources import SERVICES
from kapi.source import Source
from netnslab.workloads import (
    daemonset,
    deployment,
    job,
    jobpods,
    nodes,
    replicas,
    scheduler,
    statefulset,
    storage,
    unattended,
)
from netnslab.workloads.actions import Decision, Patch
from netnslab.workloads.addresses import Assignment, Balanced, assign
from netnslab.workloads.clock import stamp
from netnslab.workloads.effects import Effects
from netnslab.workloads.world import Part, Work, World

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """What the controllers need to know beside the cluster itself."""

    pools: tuple[Network, ...] = (ip_network("203.0.113.0/24"), ip_network("2001:db8:1b::/112"))  # of load balancers
    node_grace: float = 3.0  # seconds that a node may be silent before it is taken for dead; at most
    job_backoff: float = job.FIRST_BACKOFF  # seconds until a pod of a Job that failed is replaced, the first time
    clock: Callable[[], datetime] = now


async def run(client: Client, source: Source, recorder: Recorder, settings: Settings | None = None) -> None:
    """Run all of them until cancelled; `source` must be running."""
    await Controllers(client, source, recorder, settings or Settings()).run()


class Controllers:
    """One queue of work for all controllers, and the workers that do it."""

    def __init__(self, client: Client, source: Source, recorder: Recorder, settings: Settings) -> None:
        self._client = client
        self._recorder = recorder
        self._settings = settings
        self._source = source
        self._world = World(source)
        self._effects = Effects(client, recorder, self._world)
        self._queue: Queue[Work] = Queue()

    @property
    def idle(self) -> bool:
        """Whether everything heard of has been dealt with."""
        return self._queue.idle

    async def run(self) -> None:
        """Work until cancelled."""
        await self._world.synced()
        self._world.listen(self._queue.add)
        async with asyncio.TaskGroup() as tasks:
            for resource, view in self._world.views.items():
                tasks.create_task(view.settle(self._client, resource))
            tasks.create_task(self._queue.work(self._work, workers=_WORKERS))
            tasks.create_task(self._look())
            tasks.create_task(unattended.run(self._source, self._recorder))

    async def _look(self) -> None:
        """See again and again which nodes are alive.

        A look that comes late does not count: this process is busy, and so may be the kubelets that live in it.
        """
        pause = self._settings.node_grace / nodes.LOOKS
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await asyncio.sleep(pause)
            if clock() - began < 1.5 * pause:
                self._world.look_at_nodes()

    async def _work(self, work: Work) -> None:
        parts: dict[Part, Callable[[Work], Awaitable[None]]] = {
            "replicasets": self._replicas,
            "replicationcontrollers": self._replicas,
            "deployments": self._deployment,
            "statefulsets": self._stateful_set,
            "daemonsets": self._daemon_set,
            "jobs": self._job,
            "strays": self._stray,
            "claims": self._claim,
            "schedule": self._schedule,
            "addresses": self._address,
            "nodes": self._nodes,
        }
        await parts[work.part](work)

    async def _replicas(self, work: Work) -> None:
        owner = self._world.keepers[work.part].get(work.key)
        if owner is not None:
            pods = self._world.pods_of.of(owner.meta)
            await self._follow(work, replicas.decide(owner, pods, self._settings.clock()))

    async def _deployment(self, work: Work) -> None:
        one = self._world.deployments.get(work.key)
        if one is None:
            return
        sets = self._world.sets_of.of(one.meta)
        alive = {held.uid: self._alive(held.uid) for held in sets}
        taken = self._world.replica_sets
        await self._follow(work, deployment.decide(one, sets, alive, self._settings.clock(), taken=taken))

    def _alive(self, uid: str) -> int:
        return sum(pod.phase not in ("Succeeded", "Failed") for pod in self._world.pods_of.owned(uid))

    async def _stateful_set(self, work: Work) -> None:
        world = self._world
        one = world.stateful_sets.get(work.key)
        if one is not None:
            pods, revisions = world.pods_of.of(one.meta), world.revisions_of.of(one.meta)
            moment = self._settings.clock()
            decided = statefulset.decide(one, pods, revisions, moment, taken=world.revisions, claims=world.claims)
            await self._follow(work, decided)

    async def _daemon_set(self, work: Work) -> None:
        world = self._world
        one = world.daemon_sets.get(work.key)
        if one is not None:
            pods, revisions = world.pods_of.of(one.meta), world.revisions_of.of(one.meta)
            there, moment = world.nodes.values(), self._settings.clock()
            await self._follow(work, daemonset.decide(one, pods, revisions, there, moment, taken=world.revisions))

    async def _job(self, work: Work) -> None:
        one = self._world.jobs.get(work.key)
        if one is not None:
            settings = self._settings
            pods = self._world.pods_of.owned(one.uid)
            await self._follow(work, job.decide(one, pods, settings.clock(), settings.job_backoff))

    async def _stray(self, work: Work) -> None:
        """A pod of a Job that has gone: nobody will count it, so nothing is to hold it up."""
        pod = self._world.pods.get(work.key)
        if pod is not None and self._world.is_stray(pod):
            await self._follow(work, Decision(tuple(jobpods.untracked([pod]))))

    async def _claim(self, work: Work) -> None:
        claim = self._world.claims.get(work.key)
        if claim is not None:
            await self._follow(work, storage.decide(claim))

    async def _schedule(self, work: Work) -> None:
        world = self._world
        moment = stamp(self._settings.clock())
        actions = scheduler.decide(world.pending.values(), world.nodes.values(), deepcopy(world.load), moment)
        await self._follow(work, Decision(actions))

    async def _nodes(self, work: Work) -> None:
        world = self._world
        moment = stamp(self._settings.clock())
        await self._follow(work, Decision(nodes.decide(world.pulses, world.nodes, world.pods_on, moment)))

    async def _follow(self, work: Work, decision: Decision) -> None:
        await self._effects.perform(decision.actions)
        if decision.again is not None:
            self._queue.add(work, decision.again)

    async def _address(self, work: Work) -> None:
        world = self._world
        service = world.services.get(work.key)
        if service is not None and not service.ours:
            return
        held = {ip for ip, key in world.taken.items() if key == work.key}
        assignment = assign(service, world.taken, self._settings.pools) if service is not None else Assignment()
        for ip in held - set(assignment.addresses):
            del world.taken[ip]
        world.taken |= dict.fromkeys(assignment.addresses, work.key)
        if held - set(assignment.addresses):
            self._feed()
        if service is not None:
            await self._assigned(service, assignment)

    def _feed(self) -> None:
        """An address is free again: whoever waits for one gets a chance."""
        for key in sorted(self._world.starved):
            self._queue.add(Work("addresses", key))
        self._world.starved.clear()

    async def _assigned(self, service: Balanced, assignment: Assignment) -> None:
        if not assignment.problem:
            self._world.starved.discard(service.key)
        elif service.key not in self._world.starved:
            self._recorder.event(service.reference, "Warning", "AllocationFailed", assignment.problem)
            self._world.starved.add(service.key)
        if service.present == assignment.addresses:
            return
        ingress: Any = [{"ip": str(ip), "ipMode": "VIP"} for ip in assignment.addresses] or None
        patch = {"status": {"loadBalancer": {"ingress": ingress}}}
        await self._effects.perform([Patch(SERVICES, service.key, patch, "status")])
        if assignment.addresses:
            listed = ", ".join(map(str, assignment.addresses))
            self._recorder.event(service.reference, "Normal", "IPAllocated", f"Assigned {listed}")
