"""A pod on every node that admits it: what a DaemonSet has to do next. Pure.

Semantics: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.resources import DAEMON_SETS, PODS
from netnslab.workloads import daemonpod, renewal
from netnslab.workloads.actions import Action, Decision, Delete, Patch
from netnslab.workloads.availability import is_available, next_available
from netnslab.workloads.claim import claim
from netnslab.workloads.revisions import LABEL, Revision, history, surplus
from netnslab.workloads.sets import DaemonSet
from netnslab.workloads.values import Node, Pod

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Present:
    """A DaemonSet as it is: its pods by the node they are for, oldest first; `wanted` are the nodes to have one."""

    owner: DaemonSet
    pods: Mapping[str, tuple[Pod, ...]]
    wanted: tuple[str, ...]
    tolerated: frozenset[str]  # nodes where a pod that is there may stay
    known: frozenset[str]  # all nodes there are
    update: Revision
    now: datetime


def decide(
    owner: DaemonSet,
    candidates: Iterable[Pod],
    revisions: Iterable[Revision],
    nodes: Iterable[Node],
    now: datetime,
    *,
    taken: Container[str] = (),
) -> Decision:
    """Take the next step. `candidates` are its pods, and those near it that nobody owns.

    `revisions` likewise; `taken` holds the keys of all ControllerRevisions there are.
    """
    claimed = claim(owner.reference, owner.selector, candidates, PODS, adopt=not owner.meta.terminating)
    past = history(owner, revisions, taken)
    if past.update is None:
        return Decision((*claimed.patches, *past.actions))
    present = _present(owner, claimed.owned, nodes, past.update, now)
    actions = [*claimed.patches, *past.actions]
    status = _status(present)
    if {name: owner.status.get(name) for name in status} != status:
        actions.append(Patch(DAEMON_SETS, owner.key, {"status": status}, "status"))
    if not owner.meta.terminating:  # last, as the server may refuse a pod
        used = {pod.meta.labels.get(LABEL, "") for pod in claimed.owned}
        actions += [*surplus(owner, past, used), *_steps(present)]
    return Decision(tuple(actions), next_available(claimed.owned, owner.min_ready_seconds, now))


def _present(owner: DaemonSet, pods: Iterable[Pod], nodes: Iterable[Node], update: Revision, now: datetime) -> _Present:
    example = daemonpod.example(owner)
    admitted = {node.key: daemonpod.admits(example, node) for node in sorted(nodes, key=lambda node: node.key)}
    placed: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: (not pod.node_name, pod.meta.created, pod.meta.name)):
        node = daemonpod.node_of(pod)
        if node and not (pod.finished and pod.meta.terminating):  # that is about to go, and nothing of it runs
            placed.setdefault(node, []).append(pod)
    return _Present(
        owner,
        {name: tuple(there) for name, there in placed.items()},
        tuple(node for node, (wanted, _) in admitted.items() if wanted),
        frozenset(node for node, (_, stays) in admitted.items() if stays),
        frozenset(admitted),
        update,
        now,
    )


def _steps(present: _Present) -> list[Action]:
    """Have a pod wherever there should be one; where that is so, renew those of earlier revisions."""
    owner = present.owner
    steps = [*_missing(present), *_doomed(present)]
    if steps or owner.strategy != "RollingUpdate":
        return steps
    renewed = renewal.next_step(owner, present.pods, present.wanted, present.update.hash, present.now)
    made: Iterator[Action] = (daemonpod.pod(owner, node, present.update) for node in renewed.made)
    return [*made, *(_deleted(owner, pod) for pod in renewed.given_up)]


def _missing(present: _Present) -> Iterator[Action]:
    """Make a pod where there is none; where two are allowed for a while, one that goes or has ended is none."""
    surging = renewal.surge(present.owner, len(present.wanted)) > 0
    for node in present.wanted:
        there = present.pods.get(node, ())
        if not (any(pod.active for pod in there) if surging else there):
            yield daemonpod.pod(present.owner, node, present.update)


def _doomed(present: _Present) -> Iterator[Action]:
    """Give up pods that have ended, that are one too many, and that their node does not want.

    Those on a node that has gone have a grace, which is not this controller's; those not yet there never will be.
    """
    owner = present.owner
    for node, pods in present.pods.items():
        if node not in present.known:
            yield from (_deleted(owner, pod) for pod in pods if not pod.node_name and not pod.meta.terminating)
            continue
        staying = [pod for pod in pods if pod.active]
        if node not in present.tolerated:
            excess = staying
        elif renewal.surge(owner, len(present.wanted)):
            excess = renewal.excess(owner, staying, present.update.hash, present.now)
        else:
            excess = staying[1:]
        ended = [pod for pod in pods if pod.finished]
        yield from (_deleted(owner, pod) for pod in (*ended, *excess))


def _deleted(owner: DaemonSet, pod: Pod) -> Delete:
    return Delete(PODS, pod.key, pod.uid, owner.reference)


def _status(present: _Present) -> Json:
    """Count nodes, each by the oldest pod on it."""
    owner, wanted = present.owner, present.wanted
    first = {node: pods[0] for node, pods in present.pods.items()}
    there = [first[node] for node in wanted if node in first]
    available = sum(is_available(pod, owner.min_ready_seconds, present.now) for pod in there)
    status: Json = {
        "observedGeneration": owner.meta.generation,
        "desiredNumberScheduled": len(wanted),
        "currentNumberScheduled": len(there),
        "numberMisscheduled": len((first.keys() & present.known) - set(wanted)),
        "numberReady": sum(pod.ready for pod in there),
        "updatedNumberScheduled": sum(pod.meta.labels.get(LABEL) == present.update.hash for pod in there),
        "numberAvailable": available,
        "numberUnavailable": len(wanted) - available,
    }
    return status
