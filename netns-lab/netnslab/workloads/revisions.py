"""The templates that a StatefulSet or a DaemonSet has had, kept as ControllerRevisions. Pure.

A pod carries the name of its revision, so that those of an earlier template are known, and `kubectl rollout undo`
brings a template back.
https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/#understanding-daemonset-revisions
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kapi.resources import CONTROLLER_REVISIONS, STATEFUL_SETS
from netnslab.workloads.actions import Action, Create, Delete, Patch
from netnslab.workloads.claim import claim
from netnslab.workloads.sets import Revised
from netnslab.workloads.template import template_hash, without_hash
from netnslab.workloads.values import Object, identity

Json = dict[str, Any]

LABEL = "controller-revision-hash"  # of a pod, and of the revision of a DaemonSet
_HASH = "controller.kubernetes.io/hash"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # long, and of no use to a history
_REPLACE = {"$patch": "replace"}  # what makes the data of a revision a patch that brings the template back


@dataclass(frozen=True, slots=True)
class Revision(Object):
    """One template of an owner; the highest number is the present one."""

    number: int = 0
    template: Json = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """What tells its template from the others of its owner."""
        return self.meta.labels.get(_HASH) or self.meta.labels.get(LABEL) or ""


@dataclass(frozen=True, slots=True)
class History:
    """The revisions of an owner, oldest first. `update` is that of its present template, None until it is written."""

    known: tuple[Revision, ...]
    update: Revision | None
    actions: tuple[Action, ...]

    def named(self, name: str) -> Revision | None:
        """Give the revision of a name."""
        return next((one for one in self.known if one.meta.name == name), None)


def revision(obj: Json) -> Revision:
    """Read an apps/v1 ControllerRevision."""
    spec = (obj.get("data") or {}).get("spec") or {}
    template = {name: value for name, value in (spec.get("template") or {}).items() if name not in _REPLACE}
    return Revision(identity(obj), number=int(obj.get("revision") or 0), template=template)


def history(owner: Revised, candidates: Iterable[Revision], taken: Container[str]) -> History:
    """Find the revision of the present template, or have it written.

    `candidates` are the owner's revisions, and those near it that nobody owns; `taken` holds the keys of all there are.
    """
    adopt = not owner.meta.terminating
    claimed = claim(owner.reference, owner.selector, candidates, CONTROLLER_REVISIONS, adopt=adopt)
    known = tuple(sorted(claimed.owned, key=lambda one: (one.number, one.meta.created, one.meta.name)))
    wanted = without_hash(owner.template)
    update = next((one for one in reversed(known) if without_hash(one.template) == wanted), None)
    steps = _steps(owner, known, update, taken) if adopt else ()
    return History(known, update, (*claimed.patches, *steps))


def surplus(owner: Revised, past: History, used: Collection[str]) -> list[Action]:
    """Forget the oldest revisions beyond the history that is kept; `used` are names and hashes that are in use."""
    idle = [one for one in past.known if one is not past.update and not {one.meta.name, one.hash} & set(used)]
    doomed = idle[: max(0, len(idle) - owner.history_limit)]
    return [Delete(CONTROLLER_REVISIONS, one.key, one.uid, owner.reference) for one in doomed]


def _steps(
    owner: Revised, known: Sequence[Revision], update: Revision | None, taken: Container[str]
) -> Iterable[Action]:
    """Write the present template, give one that came back the highest number, or count a name that is taken."""
    highest = known[-1].number if known else 0
    if update is None:
        name = template_hash(owner.template, owner.collisions)
        if f"{owner.key}-{name}" in taken:
            status = {"status": {"collisionCount": owner.collisions + 1}}
            yield Patch(owner.resource, owner.key, status, "status")
        else:
            yield Create(CONTROLLER_REVISIONS, _object(owner, name, highest + 1), owner.reference)
    elif update is not known[-1]:
        yield Patch(CONTROLLER_REVISIONS, update.key, {"revision": highest + 1})


def _object(owner: Revised, name: str, number: int) -> Json:
    labels = (owner.template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{owner.meta.name}-{name}",
            "namespace": owner.meta.namespace,
            "annotations": {name: text for name, text in owner.meta.annotations.items() if name != _APPLIED},
            "labels": {**labels, _HASH if owner.resource == STATEFUL_SETS else LABEL: name},
            "ownerReferences": [owner.reference.as_owner()],
        },
        "data": {"spec": {"template": {**owner.template, **_REPLACE}}},
        "revision": number,
    }
