"""What the workload controllers know of the cluster, and which work each change of it calls for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from kapi.cache import Change
from kapi.network import Address
from kapi.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from kapi.selectors import matches_labels
from kapi.source import Source, wait_synced
from kapi.written import Written
from netnslab.workloads import sets, storage, values
from netnslab.workloads.addresses import balanced
from netnslab.workloads.holdings import Holdings
from netnslab.workloads.jobspec import TRACKING, Job, job
from netnslab.workloads.nodes import Pulses, lease
from netnslab.workloads.revisions import Revision, revision
from netnslab.workloads.scheduler import Load
from netnslab.workloads.values import Identity, Node, Pod, ReplicaSet

Part = Literal[
    "replicasets",
    "replicationcontrollers",
    "deployments",
    "statefulsets",
    "daemonsets",
    "jobs",
    "strays",
    "claims",
    "schedule",
    "addresses",
    "nodes",
]
Dirty = Callable[["Work", float], None]


class Work(NamedTuple):
    """One object that one controller should look at; the scheduler looks at all waiting pods at once."""

    part: Part
    key: str


_PARTS: Mapping[str, Part] = {  # by the kind of an owner
    "ReplicaSet": "replicasets",
    "ReplicationController": "replicationcontrollers",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "Job": "jobs",
}
SCHEDULE = Work("schedule", "")
HEARTBEATS = Work("nodes", "")


class World:
    """Pods, Nodes, the controllers of pods, and Services, each as this process has last written or heard of it."""

    def __init__(self, source: Source) -> None:
        self.nodes = source.cache(NODES, values.node)
        self.leases = source.cache(LEASES, lease)
        self.pods = Written(source.cache(PODS, values.pod), values.pod)
        self.replica_sets = Written(source.cache(REPLICA_SETS, values.replica_set), values.replica_set)
        self.replication_controllers = Written(
            source.cache(REPLICATION_CONTROLLERS, values.replication_controller), values.replication_controller
        )
        self.deployments = Written(source.cache(DEPLOYMENTS, values.deployment), values.deployment)
        self.stateful_sets = Written(source.cache(STATEFUL_SETS, sets.stateful_set), sets.stateful_set)
        self.daemon_sets = Written(source.cache(DAEMON_SETS, sets.daemon_set), sets.daemon_set)
        self.jobs = Written(source.cache(JOBS, job), job)
        self.revisions = Written(source.cache(CONTROLLER_REVISIONS, revision), revision)
        self.claims = Written(source.cache(PERSISTENT_VOLUME_CLAIMS, storage.volume_claim), storage.volume_claim)
        self.services = Written(source.cache(SERVICES, balanced), balanced)
        self.pods_of: Holdings[Pod] = Holdings()
        self.sets_of: Holdings[ReplicaSet] = Holdings()
        self.revisions_of: Holdings[Revision] = Holdings()
        self.pending: dict[str, Pod] = {}  # waiting for a node
        self.load = Load()
        self.pods_on: dict[str, dict[str, Pod]] = {}  # by the name of their node
        self.pulses = Pulses()
        self.taken: dict[Address, str] = {}  # load-balancer addresses, and the Services that have them
        self.starved: set[str] = set()  # Services that wait for a load-balancer address

    @property
    def views(self) -> Mapping[Resource, Written[Any]]:
        """Where the replies to writes go."""
        return {
            PODS: self.pods,
            REPLICA_SETS: self.replica_sets,
            REPLICATION_CONTROLLERS: self.replication_controllers,
            DEPLOYMENTS: self.deployments,
            STATEFUL_SETS: self.stateful_sets,
            DAEMON_SETS: self.daemon_sets,
            JOBS: self.jobs,
            CONTROLLER_REVISIONS: self.revisions,
            PERSISTENT_VOLUME_CLAIMS: self.claims,
            SERVICES: self.services,
        }

    @property
    def keepers(self) -> Mapping[Part, Written[Any]]:
        """What owns pods."""
        return {
            "replicasets": self.replica_sets,
            "replicationcontrollers": self.replication_controllers,
            "statefulsets": self.stateful_sets,
            "daemonsets": self.daemon_sets,
            "jobs": self.jobs,
        }

    async def synced(self) -> None:
        """Wait until everything has been heard of once."""
        await wait_synced(self.nodes, self.leases, *(view.cache for view in self.views.values()))

    def listen(self, dirty: Dirty) -> None:
        """Build the indexes, and call `dirty` for all work there is, now and from now on."""
        self._dirty = dirty
        self.replica_sets.listen(self._set_changed)
        parts: Mapping[Part, Written[Any]] = {
            "replicationcontrollers": self.replication_controllers,
            "deployments": self.deployments,
            "statefulsets": self.stateful_sets,
            "daemonsets": self.daemon_sets,
            "claims": self.claims,
        }
        for part, view in parts.items():
            view.listen(partial(self._note, part))
        self.jobs.listen(self._job_changed)
        self.revisions.listen(self._revision_changed)
        self.pods.listen(self._pod_changed)
        self.nodes.listen(self._node_changed)
        for service in self.services.values():  # what is assigned already stays, before anything is given away
            self.taken |= {ip: service.key for ip in service.present if service.wanted and service.ours}
        self.services.listen(partial(self._note, "addresses"))

    def is_stray(self, pod: Pod) -> bool:
        """Whether a pod waits for being counted by a Job that is not there any more."""
        owner = pod.meta.owner
        known = self.jobs.get(f"{pod.meta.namespace}/{owner.name}") if owner is not None else None
        return TRACKING in pod.finalizers and (known is None or owner is None or known.uid != owner.uid)

    def look_at_nodes(self) -> None:
        """Look once more who is alive, and ask for work, which most often is none."""
        self.pulses = self.pulses.look(self.leases.values(), self.pods_on.keys() - self.nodes.keys())
        self._dirty(HEARTBEATS, 0)

    def _note(self, part: Part, change: Change[Any]) -> None:
        self._dirty(Work(part, change.key), 0)

    def _pod_changed(self, change: Change[Pod]) -> None:
        self.pods_of.take(change)
        self._placed(change)
        for pod in (change.old, change.new):
            if pod is not None:
                self._owner_of_pod(pod)
        if change.new is not None and change.new.finalizers and self.is_stray(change.new):
            self._dirty(Work("strays", change.key), 0)

    def _placed(self, change: Change[Pod]) -> None:
        """Keep the nodes' loads, and the list of pods that wait for a node."""
        old, new = change.old, change.new
        if old is not None and _occupies(old):
            self.load.add(old, old.node_name, -1)
            self.pods_on[old.node_name].pop(change.key, None)
            if not self.pods_on[old.node_name]:
                del self.pods_on[old.node_name]
        self.pending.pop(change.key, None)
        if new is None:
            return
        if _occupies(new):
            self.load.add(new, new.node_name)
            self.pods_on.setdefault(new.node_name, {})[change.key] = new
        elif not new.node_name and not new.gated and new.active and new.scheduler == "default-scheduler":
            self.pending[change.key] = new
            self._dirty(SCHEDULE, 0)

    def _owner_of_pod(self, pod: Pod) -> None:
        owner = pod.meta.owner
        if owner is not None:
            self._owner_of(pod.meta)
            if not pod.active and owner.kind == "ReplicaSet":
                # a Recreate rollout waits for the end of every old pod
                self._owner_of_set(f"{pod.meta.namespace}/{owner.name}")
            return
        for part, view in self.keepers.items():
            for one in view.values():
                if one.meta.namespace == pod.meta.namespace and matches_labels(one.selector or (), pod.meta.labels):
                    self._dirty(Work(part, one.key), 0)

    def _owner_of(self, meta: Identity) -> None:
        """Have the owner of something looked at, where it is one of ours."""
        part = _PARTS.get(meta.owner.kind) if meta.owner is not None else None
        if part is not None and meta.owner is not None:
            self._dirty(Work(part, f"{meta.namespace}/{meta.owner.name}"), 0)

    def _job_changed(self, change: Change[Job]) -> None:
        self._dirty(Work("jobs", change.key), 0)
        if change.old is not None and (change.new is None or change.new.uid != change.old.uid):
            for pod in self.pods_of.owned(change.old.uid):
                self._dirty(Work("strays", pod.key), 0)

    def _revision_changed(self, change: Change[Revision]) -> None:
        self.revisions_of.take(change)
        for one in (change.old, change.new):
            if one is not None:
                self._owner_of(one.meta)

    def _owner_of_set(self, key: str) -> None:
        one = self.replica_sets.get(key)
        if one is not None and one.meta.owner is not None:
            self._dirty(Work("deployments", f"{one.meta.namespace}/{one.meta.owner.name}"), 0)

    def _set_changed(self, change: Change[ReplicaSet]) -> None:
        self.sets_of.take(change)
        self._dirty(Work("replicasets", change.key), 0)
        for one in (change.old, change.new):
            if one is None:
                continue
            if one.meta.owner is not None:
                self._dirty(Work("deployments", f"{one.meta.namespace}/{one.meta.owner.name}"), 0)
                continue
            for deployment in self.deployments.values():
                if deployment.meta.namespace == one.meta.namespace:
                    self._dirty(Work("deployments", deployment.key), 0)

    def _node_changed(self, change: Change[Node]) -> None:
        old, new = change.old, change.new
        if new is not None and self.pending:
            self._dirty(SCHEDULE, 0)
        if old is None or new is None or (old.meta.labels, old.taints) != (new.meta.labels, new.taints):
            for key in self.daemon_sets:
                self._dirty(Work("daemonsets", key), 0)


def _occupies(pod: Pod) -> bool:
    return bool(pod.node_name) and pod.phase not in ("Succeeded", "Failed")
