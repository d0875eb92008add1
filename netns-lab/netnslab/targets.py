"""Where a command can be run: a pod, a node, the router, the client outside."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kapi.resources import PODS
from netnslab import outside
from netnslab.child import Program
from netnslab.cluster import Cluster
from netnslab.errors import LabError, NoSuchTarget
from netnslab.kernel import Namespace
from netnslab.kubelet import launch
from netnslab.kubelet.kubelet import same
from netnslab.kubelet.pod import PodWorker
from netnslab.kubelet.surroundings import PATH
from netnslab.topology import CLIENT, ROUTER

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A namespace to run commands in, and how they are run. A `cwd` of "" stands for the caller's own."""

    namespace: Namespace
    like: Program

    def program(self, argv: list[str], env: dict[str, str], cwd: str, *, terminal: bool) -> Program:
        """A command that runs here with the caller's descriptors."""
        return replace(
            self.like,
            argv=argv,
            env={"PATH": PATH} | (launch.prompt(self.like.hostname) if terminal else {}) | env | self.like.env,
            cwd=self.like.cwd or (cwd if Path(cwd).is_dir() else "/"),
            standard=True,
            terminal=terminal,
        )


def find(cluster: Cluster, name: str) -> Target:
    """The target called `name`: `client`, `router`, `node/NAME`, or a pod (see `pod`).

    Raises NoSuchTarget, naming what comes close.
    """
    ground = cluster.ground
    files = outside.files(ground.folder)
    if name in (CLIENT, ROUTER):
        return Target(ground.namespaces[name], Program([], cwd="", hostname=name, files=files))
    node = name.removeprefix("node/")
    if node != name:
        if node not in cluster.kubelets:
            raise NoSuchTarget(f"no node {node!r} is in this lab: there are {', '.join(cluster.kubelets)}")
        env = {"PATH": f"{PATH}:{Path(sys.executable).parent}", "KUBECONFIG": str(ground.folder.node_kubeconfig)}
        return Target(ground.namespaces[node], Program([], env=env, cwd="", hostname=node, files=files))
    worker = pod(cluster, name)
    assert worker.sandbox is not None
    if all(state.final for state in worker.states()):
        raise LabError(f"pod {worker.spec.key} has ended, and nothing can be run in it: see `netns-lab logs`")
    place = worker.place(worker.spec.containers[0].name)
    if place is None or not place.variables:
        raise LabError(f"pod {worker.spec.key} cannot run anything: its container has not been started")
    folder = str(worker.sandbox.folder / "work")
    return Target(worker.sandbox.namespace, replace(launch.program(place, []), log="", cwd=folder))


def pod(cluster: Cluster, name: str) -> PodWorker:
    """The running pod called `NAMESPACE/NAME`, or `NAME`: in `default`, or in the only namespace that has one.

    Where no pod has the name, it may be a Deployment's, or `deploy/NAME`: one of its running pods, always the same.
    """
    found = {worker.spec.key: worker for worker in _workers(cluster)}
    key = name if "/" in name else f"default/{name}"
    if key in found:
        return found[key]
    elsewhere = [known for known in found if known.endswith(f"/{name}")]
    if len(elsewhere) == 1:
        return found[elsewhere[0]]
    if elsewhere:
        raise NoSuchTarget(f"several pods are called {name}: say which of {', '.join(sorted(elsewhere))}")
    waiting = cluster.source.cache(PODS, same).get(key)
    if waiting is not None:
        raise NoSuchTarget(f"pod {key} does not run: it is {_state_of(waiting)}")
    deployed = _deployed(re.sub("^deploy/", "default/", key), found)
    if deployed is not None:
        return deployed
    raise NoSuchTarget(f"no pod {key} runs in this lab{_hint(cluster, name, found)}")


def log_path(cluster: Cluster, name: str, container: str) -> Path:
    """The file with the output of a pod's container. Raises NoSuchTarget."""
    worker = pod(cluster, name)
    path = worker.log_path(container)
    if path is None:
        names = ", ".join(one.name for one in (*worker.spec.containers, *worker.spec.init_containers))
        raise NoSuchTarget(f"pod {worker.spec.key} has no container {container!r}, only {names}")
    return path


def _state_of(pod: Json) -> str:
    """The phase of a pod that does not run, and what it waits for."""
    status = pod.get("status") or {}
    conditions = [one.get("message") for one in status.get("conditions") or () if one.get("status") != "True"]
    why = status.get("message") or next(filter(None, conditions), "")
    return f"{status.get('phase') or 'Pending'}{': ' if why else ''}{why}"


def _workers(cluster: Cluster) -> Iterator[PodWorker]:
    for kubelet in cluster.kubelets.values():
        yield from (worker for worker in kubelet.workers.values() if worker.sandbox is not None)


def _deployed(key: str, found: Mapping[str, PodWorker]) -> PodWorker | None:
    """The first pod, by name, of the Deployment `namespace/name`."""
    of_it = [one for one in found if one.startswith(f"{key}-{found[one].spec.labels.get('pod-template-hash')}-")]
    return found[min(of_it)] if of_it else None


def _hint(cluster: Cluster, name: str, found: dict[str, PodWorker]) -> str:
    short = {key.rpartition("/")[2]: key for key in found}
    known = [*short, *(f"node/{node}" for node in cluster.kubelets), CLIENT, ROUTER]
    close = get_close_matches(name.rpartition("/")[2], known, n=3, cutoff=0.5)
    starting = [one for one in short if one.startswith(name)]
    names = [short.get(one, one) for one in dict.fromkeys([*starting, *close])][:3]
    where = "`kubectl get pods -A` tells which pods there are and which run; nodes are node/NAME"
    return f"; did you mean {' or '.join(names)}?" if names else f": {where}"
