"""Decisions about a workload, carried out on values as an API server and a kubelet would, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kapi.patch import strategic
from kapi.patch.merge import merge
from kapi.patch.shape import Shape
from kapi.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from netnslab.workloads import values
from netnslab.workloads.actions import Action, Create, Decision, Delete, Patch, Tell
from netnslab.workloads.clock import stamp
from netnslab.workloads.revisions import Revision, revision

Json = dict[str, Any]

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
ENOUGH = 200  # decisions, one after the other, that must have led to rest


def template(image: str = "v1", **spec: Any) -> Json:
    containers = [{"name": "c", "image": image}]
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers, **spec}}


def workload(resource: Resource, **spec: Any) -> Json:
    """One called `web`."""
    given = {"selector": {"matchLabels": {"app": "web"}}, "template": template()}
    meta = {"name": "web", "namespace": "default", "uid": "web", "generation": 1}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": given | spec}


class Stage:
    """One workload with its pods. `journal` tells what was made and given up: `+web-0`, `-web-0`."""

    def __init__(self, resource: Resource, owner: Json, decide: Callable[[Stage], Decision]) -> None:
        self.owner = owner
        self.now = NOW
        self.journal: list[str] = []
        self.events: list[str] = []
        self.last = Decision()
        self._decide = decide
        self._made = 0
        self._objects: dict[Resource, dict[str, Json]] = {
            resource: {"default/web": owner},
            **{kind: {} for kind in (PODS, CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS)},
        }

    @property
    def status(self) -> Json:
        return self.owner.get("status") or {}

    @property
    def pods(self) -> list[values.Pod]:
        return [values.pod(obj) for obj in self._objects[PODS].values()]

    @property
    def revisions(self) -> list[Revision]:
        return [revision(obj) for obj in self._objects[CONTROLLER_REVISIONS].values()]

    @property
    def claims(self) -> dict[str, Json]:
        return self._objects[PERSISTENT_VOLUME_CLAIMS]

    def pod(self, name: str) -> Json:
        return self._objects[PODS][f"default/{name}"]

    def made(self, resource: Resource) -> list[Json]:
        return list(self._objects[resource].values())

    def put(self, pod: Json) -> None:
        """A pod that somebody else has made."""
        self._objects[PODS][f"default/{pod['metadata']['name']}"] = pod

    def names(self) -> list[str]:
        return sorted(pod.meta.name for pod in self.pods)

    def images(self) -> dict[str, str]:
        return {name: self.pod(name)["spec"]["containers"][0]["image"] for name in self.names()}

    def change(self, **spec: Any) -> list[str]:
        """Change the workload, and do what is to be done; gives what was made and given up."""
        self.owner["spec"] |= spec
        self.owner["metadata"]["generation"] += 1
        return self.settle()

    def settle(self) -> list[str]:
        """Decide, and carry it out, until there is nothing to do; gives what was made and given up."""
        before = len(self.journal)
        for _ in range(ENOUGH):
            self.last = self._decide(self)
            if not self.last.actions:
                return self.journal[before:]
            self.act(self.last.actions)
        raise AssertionError(f"no end: {self.last.actions}")

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out actions."""
        for action in actions:
            self._carry_out(action)

    def ready(self, *names: str, seconds: float = 0) -> list[str]:
        """Pods are ready, since so many seconds ago."""
        for name in names:
            since = stamp(self.now.fromtimestamp(self.now.timestamp() - seconds, UTC))
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
            self.pod(name)["status"] = {"phase": "Running", "conditions": [ready]}
        return self.settle()

    def sick(self, name: str) -> list[str]:
        self.pod(name)["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
        return self.settle()

    def ended(self, name: str, phase: str = "Failed", **status: Any) -> list[str]:
        self.pod(name)["status"] = {"phase": phase, "conditions": [], **status}
        return self.settle()

    def deleted(self, name: str) -> list[str]:
        """Somebody deletes a pod, and its kubelet has not yet ended it."""
        self.pod(name)["metadata"]["deletionTimestamp"] = stamp(self.now)
        return self.settle()

    def gone(self, *names: str) -> list[str]:
        for name in names:
            self._objects[PODS].pop(f"default/{name}")
        return self.settle()

    def run(self) -> None:
        """Let every pod become ready, and every deletion come to its end, until there is nothing to do."""
        for _ in range(ENOUGH):
            leaving = [pod.meta.name for pod in self.pods if pod.meta.terminating]
            coming = [pod.meta.name for pod in self.pods if pod.active and not pod.ready]
            if not self.gone(*leaving) and not self.ready(*coming) and not leaving and not coming:
                return
        raise AssertionError(f"no end: {self.journal[-9:]}")

    def _carry_out(self, action: Action) -> None:
        match action:
            case Create():
                for _ in range(action.count):
                    self._create(action)
            case Delete():
                self._delete(action)
            case Patch():
                held = self._objects[action.resource][action.key]
                plain = action.kind == "merge"
                merged = merge(held, action.patch) if plain else strategic.merge(held, action.patch, Shape())
                held.clear()
                held |= merged
            case Tell():
                self.events.append(f"{action.reason}: {action.message}")

    def _create(self, action: Create) -> None:
        self._made += 1
        meta = dict(action.obj["metadata"])
        meta.setdefault("name", f"{meta.get('generateName')}{self._made}")
        meta |= {"uid": f"u{self._made}", "creationTimestamp": f"2026-01-01T00:00:{self._made % 60:02}Z"}
        key = f"{meta['namespace']}/{meta['name']}"
        assert key not in self._objects[action.resource], f"{key} is there already"
        self._objects[action.resource][key] = {**action.obj, "metadata": meta}
        if action.resource == PODS:
            self.journal.append(f"+{meta['name']}")

    def _delete(self, action: Delete) -> None:
        found = self._objects[action.resource][action.key]
        assert found["metadata"]["uid"] == action.uid
        if action.resource != PODS:
            del self._objects[action.resource][action.key]
            return
        assert "deletionTimestamp" not in found["metadata"], f"{action.key} is deleted twice"
        found["metadata"]["deletionTimestamp"] = stamp(self.now)
        self.journal.append(f"-{found['metadata']['name']}")
