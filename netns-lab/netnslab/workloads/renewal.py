"""Which pods of a DaemonSet are renewed next, with few nodes without a pod, or with two for a while. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from netnslab.workloads.availability import is_available
from netnslab.workloads.revisions import LABEL
from netnslab.workloads.rolling import share
from netnslab.workloads.sets import DaemonSet
from netnslab.workloads.values import Pod


@dataclass(frozen=True, slots=True)
class Step:
    """Nodes that get a pod of the new revision beside the old one, and pods that are given up."""

    made: tuple[str, ...] = ()
    given_up: tuple[Pod, ...] = ()


@dataclass(frozen=True, slots=True)
class _Node:
    """The pods on one node that stay, of the new revision and of an earlier one; `clear` if at most one of each.

    One that is not `wanted` has a pod that may stay, and would get no other.
    """

    name: str
    wanted: bool
    new: Pod | None
    old: Pod | None
    clear: bool


def surge(owner: DaemonSet, nodes: int) -> int:
    """How many nodes may have two pods for a while."""
    return share(owner.surge, nodes, up=True) if owner.strategy == "RollingUpdate" else 0


def next_step(
    owner: DaemonSet, pods: Mapping[str, Sequence[Pod]], wanted: Collection[str], new: str, now: datetime
) -> Step:
    """Take the next step towards pods of the revision `new` (its hash), on the nodes that are to have one."""
    nodes = [_sorted_out(name, there, new, wanted=name in wanted) for name, there in pods.items()]
    most = surge(owner, len(wanted))
    if most:
        return _doubled(owner, nodes, most, now)
    return _replaced(owner, nodes, share(owner.unavailable, len(wanted), up=True), now)


def excess(owner: DaemonSet, pods: Sequence[Pod], new: str, now: datetime) -> list[Pod]:
    """Choose what a node has too much while it may have two pods: one of either revision, the old one only if ready.

    When the new one is available, the old one has done its part.
    """
    ours = [pod for pod in pods if pod.meta.labels.get(LABEL) == new]
    others = [pod for pod in pods if pod.meta.labels.get(LABEL) != new]
    found = [*ours[1:], *others[1:]]
    if ours and others and (not others[0].ready or is_available(ours[0], owner.min_ready_seconds, now)):
        found.append(others[0])
    return found


def _sorted_out(name: str, pods: Sequence[Pod], new: str, *, wanted: bool) -> _Node:
    staying = [pod for pod in pods if not pod.meta.terminating]
    ours = [pod for pod in staying if pod.meta.labels.get(LABEL) == new]
    others = [pod for pod in staying if pod.meta.labels.get(LABEL) != new]
    return _Node(name, wanted, next(iter(ours), None), next(iter(others), None), len(ours) < 2 and len(others) < 2)


def _replaced(owner: DaemonSet, nodes: Sequence[_Node], most: int, now: datetime) -> Step:
    """Give up old pods: those that do not work in any case, and as many others as may be missing beside these."""
    left = most or 1  # else no pod could ever be replaced
    broken, working = list[Pod](), list[Pod]()
    for node in nodes:
        if not node.clear or (node.old is None) == (node.new is None):
            left -= 1  # it has no pod, or is about to give up one of two
        elif node.old is not None:
            works = is_available(node.old, owner.min_ready_seconds, now)
            (working if works else broken).append(node.old)
        elif node.new is not None and not is_available(node.new, owner.min_ready_seconds, now):
            left -= 1
    return Step(given_up=(*broken, *working[: max(0, left - len(broken))]))


def _doubled(owner: DaemonSet, nodes: Sequence[_Node], most: int, now: datetime) -> Step:
    """Make new pods beside old ones, and give up the old ones where the new ones are available."""

    def works(pod: Pod | None) -> bool:
        return pod is not None and is_available(pod, owner.min_ready_seconds, now)

    settled = [node for node in nodes if node.clear and node.old is not None]
    doubled = [node for node in settled if node.new is not None]
    done = [node for node in doubled if works(node.new)]
    left = most - sum(not node.clear for node in nodes) - (len(doubled) - len(done))
    single = [node for node in settled if node.new is None]
    unwanted = [node for node in single if not node.wanted]
    broken = [node for node in single if node.wanted and not works(node.old)]
    working = [node for node in single if node.wanted and works(node.old)]
    made = (*broken, *working[: max(0, left)])
    return Step(tuple(node.name for node in made), tuple(_old_pods((*done, *unwanted))))


def _old_pods(nodes: Iterable[_Node]) -> Iterator[Pod]:
    return (node.old for node in nodes if node.old is not None)
