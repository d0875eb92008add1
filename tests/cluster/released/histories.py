"""Histories of writes, and whom an API server says the fields of the objects belong to after each of them.

Usage: python -m tests.cluster.released.histories FOLDER, in a network namespace of its own, whose loopback is up. Runs
every history on our server and on the released one and prints, as JSON, what differs.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.kubectls import PEERS, Kubectl
from tests.cluster.released.churn import ours, theirs

from kapi.client import Client
from kapi.errors import StatusError
from kapi.kubeconfig import client_from
from kapi.resources import CONFIG_MAPS, DEPLOYMENTS, ENDPOINT_SLICES, INGRESSES, NODES, PODS, SERVICES, Resource
from kapi.transport import Request

Json = dict[str, Any]
_APPLY = "application/apply-patch+yaml"
_CHANGING = re.compile(
    r'\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f-]{27}|"resourceVersion":"\d+"|pod-template-hash\S*'
)
OLD, NEW = "v1.27", "v1.35"


@dataclass
class Side:
    """One server, and what it was seen to say."""

    client: Client
    access: Path
    home: Path
    said: list[Any]

    async def kubectl(self, version: str, *arguments: str, given: str = "") -> None:
        """Run a kubectl; what it says of what it did is noted."""
        flags = ("--kubeconfig", str(self.access), "--cache-dir", str(self.home / "cache"))
        program = Kubectl(str(PEERS / f"kubectl-{version}"), flags, self.home)
        done = await asyncio.to_thread(program.run, *arguments, given=given)
        self.said.append(_CHANGING.sub("*", done.stdout + done.stderr))

    async def send(
        self, method: str, path: str, body: Any, *, kind: str = "merge-patch", manager: str = "", force: bool = False
    ) -> None:
        """Send one request; a refusal is noted."""
        query = {"fieldManager": manager} if manager else {}
        query |= {"force": "true"} if force else {}
        media = {"PATCH": _APPLY if kind == "apply" else f"application/{kind}+json"}.get(method, "application/json")
        try:
            await self.client.transport.send(Request(method, path, query, body, media))
        except StatusError as error:
            causes = (error.status.get("details") or {}).get("causes")
            causes = sorted(causes or (), key=lambda cause: json.dumps(cause, sort_keys=True))
            self.said.append([_CHANGING.sub("*", str(error)), causes])

    async def look(self, resource: Resource, name: str, namespace: str | None = "default") -> Json:
        """Note the owners of an object, and which of its lists' items are where; gives the object."""
        obj = await self.client.get(resource, name, namespace)
        entries = obj["metadata"].get("managedFields") or []
        entries = [{**entry, "time": "time" in entry} for entry in entries]
        self.said.append(sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True)))
        return obj


History = Callable[[Side], Awaitable[Any]]


def deployment(**spec: Any) -> Json:
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "nginx:1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "1"}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template} | spec
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": labels}, "spec": spec}


def config(data: Json, name: str = "c", **meta: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": data}


def pod(*containers: Json, **spec: Any) -> Json:
    containers = containers or ({"name": "c", "image": "i"},)
    spec = {"containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def service(*ports: Json, **spec: Any) -> Json:
    spec = {"ports": list(ports), "selector": {"app": "web"}, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}


def written(obj: Json) -> str:
    return yaml.safe_dump(obj)


MAPS, WEB, POD = (
    CONFIG_MAPS.path("default", "c"),
    DEPLOYMENTS.path("default", "web"),
    PODS.path("default", "p"),
)
TIMES = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
TRUE = {"type": "Ready", "status": "True", **TIMES}
CONDITIONS = [{**TRUE, "lastProbeTime": "2026-01-01T00:00:00Z"}]
READY = {"conditions": CONDITIONS, "phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}]}


def applied_by_the_client_then_by_the_server(version: str) -> History:
    async def history(side: Side) -> None:
        await side.kubectl(version, "apply", "-f", "-", given=written(deployment()))
        await side.look(DEPLOYMENTS, "web")
        await side.send("PATCH", WEB + "/status", {"status": {"replicas": 2, "observedGeneration": 1}}, manager="kcm")
        await side.kubectl(version, "apply", "-f", "-", given=written(deployment(replicas=3)))
        await side.look(DEPLOYMENTS, "web")
        await side.kubectl(version, "apply", "--server-side", "-f", "-", given=written(deployment(replicas=4)))
        await side.look(DEPLOYMENTS, "web")
        await side.kubectl(version, "apply", "--server-side", "-f", "-", given=written(deployment(replicas=4)))
        less = deployment()
        del less["spec"]["replicas"]
        await side.kubectl(version, "apply", "--server-side", "-f", "-", given=written(less))
        await side.look(DEPLOYMENTS, "web")

    return history


def a_pod_that_runs_is_applied_by_the_server(version: str) -> History:
    async def history(side: Side) -> None:
        await side.kubectl(version, "apply", "-f", "-", given=written(pod()))
        await side.send("POST", POD + "/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
        await side.send("PATCH", POD + "/status", {"status": READY}, kind="strategic-merge-patch", manager="kubelet")
        await side.look(PODS, "p")
        await side.kubectl(version, "apply", "--server-side", "-f", "-", given=written(pod()))
        await side.look(PODS, "p")
        await side.kubectl(version, "apply", "--server-side", "--dry-run=server", "-f", "-", given=written(pod()))
        await side.kubectl(version, "label", "pod", "p", "x=y")
        await side.look(PODS, "p")

    return history


def scaled(version: str) -> History:
    async def history(side: Side) -> None:
        await side.kubectl(version, "create", "deployment", "web", "--image=nginx:1")
        await side.look(DEPLOYMENTS, "web")
        await side.kubectl(version, "scale", "deployment", "web", "--replicas=3")
        await side.look(DEPLOYMENTS, "web")
        await side.kubectl(version, "apply", "--server-side", "-f", "-", given=written(deployment(replicas=5)))
        await side.kubectl(
            version, "apply", "--server-side", "--force-conflicts", "-f", "-", given=written(deployment(replicas=5))
        )
        await side.look(DEPLOYMENTS, "web")
        await side.kubectl(version, "set", "image", "deployment/web", "web=nginx:2")
        await side.look(DEPLOYMENTS, "web")

    return history


async def everyday_commands(side: Side) -> None:
    await side.kubectl(NEW, "create", "configmap", "c", "--from-literal=a=1")
    await side.kubectl(NEW, "label", "configmap", "c", "l=1")
    await side.kubectl(NEW, "annotate", "configmap", "c", "n=1")
    await side.kubectl(NEW, "patch", "configmap", "c", "-p", '{"data":{"b":"2"}}')
    await side.look(CONFIG_MAPS, "c")
    await side.kubectl(NEW, "label", "configmap", "c", "l-")
    await side.look(CONFIG_MAPS, "c")
    await side.kubectl(NEW, "replace", "-f", "-", given=written(config({"b": "3"})))
    await side.look(CONFIG_MAPS, "c")
    await side.kubectl(NEW, "create", "service", "nodeport", "s", "--tcp=80:8080")
    await side.look(SERVICES, "s")


async def two_who_apply(side: Side) -> None:
    await side.send("PATCH", MAPS, config({"a": "1", "b": "1"}), kind="apply", manager="one")
    await side.send("PATCH", MAPS, config({"b": "1", "c": "1"}), kind="apply", manager="two")
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, config({"a": "2"}), kind="apply", manager="two")
    await side.send("PATCH", MAPS, config({"a": "2", "b": "2", "c": "1"}), kind="apply", manager="two")
    await side.send("PATCH", MAPS, config({"a": "2", "b": "2", "c": "1"}), kind="apply", manager="two", force=True)
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, config({"d": "1"}), kind="apply", manager="two")
    obj = await side.look(CONFIG_MAPS, "c")
    side.said.append(obj["data"])


async def an_update_and_an_apply_by_the_same(side: Side) -> None:
    await side.send("POST", CONFIG_MAPS.path("default"), config({"a": "1", "b": "1"}), manager="me")
    await side.send("PATCH", MAPS, config({"a": "2"}), kind="apply", manager="me")
    await side.send("PATCH", MAPS, config({"a": "2"}), kind="apply", manager="me", force=True)
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, {"data": {"a": "3", "b": None}}, manager="me")
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, config({"x": "1"}), kind="apply", manager="me", force=True)
    obj = await side.look(CONFIG_MAPS, "c")
    side.said.append(obj["data"])


async def items_of_lists(side: Side) -> None:
    both = ({"port": 80, "name": "a"}, {"port": 81, "name": "b"})
    path = SERVICES.path("default", "s")
    await side.send("PATCH", path, service(*both), kind="apply", manager="one")
    await side.look(SERVICES, "s")
    await side.send("PATCH", path, service({"port": 82, "name": "c"}), kind="apply", manager="two")
    await side.send("PATCH", path, service({"port": 81, "name": "b"}), kind="apply", manager="one")
    obj = await side.look(SERVICES, "s")
    side.said.append([port["port"] for port in obj["spec"]["ports"]])
    await side.send("PATCH", path, service({"port": 81, "name": "b", "targetPort": 9}), kind="apply", manager="three")
    third = {"port": 81, "name": "x", "targetPort": 9}
    await side.send("PATCH", path, service(third), kind="apply", manager="three")
    await side.send("PATCH", path, service(third, selector={"app": "x"}), kind="apply", manager="three")
    await side.send("PATCH", path, service(third), kind="apply", manager="three", force=True)
    await side.look(SERVICES, "s")


async def items_with_the_same_key(side: Side) -> None:
    def web(*values: str) -> Json:
        env = [{"name": value[0], "value": value[1:]} for value in values]
        spec = {"template": {"spec": {"containers": [{"name": "web", "env": env}]}}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}

    async def look() -> None:
        obj = await side.look(DEPLOYMENTS, "web")
        side.said.append(obj["spec"]["template"]["spec"]["containers"][0].get("env"))

    await side.send("POST", DEPLOYMENTS.path("default"), deployment(), manager="one")
    for values in (("A1", "Xx", "A2"), ("A1", "Xx", "A9"), ("A1", "Xx"), ("A1", "Xx", "A2")):
        env = web(*values)["spec"]["template"]["spec"]["containers"][0]["env"]
        changed = [{"op": "replace", "path": "/spec/template/spec/containers/0/env", "value": env}]
        await side.send("PATCH", WEB, changed, kind="json-patch", manager=f"then-{'-'.join(values)}")
        await look()
    for text, force in (("Bb", False), ("Xx Bb", False), ("A3", False), ("A3", True), ("", False)):
        await side.send("PATCH", WEB, web(*text.split()), kind="apply", manager="two", force=force)
        await look()
    twice = [{"port": 80, "name": name} for name in "abc"]
    for ports in (twice[:2], twice, [*twice, {"port": 81, "name": "d"}, {"port": 81, "name": "e"}]):
        await side.send("PATCH", SERVICES.path("default", "s"), service(*ports), kind="apply", manager="one")
    await side.send("PATCH", MAPS, config({}, finalizers=["x.example/a"] * 2), kind="apply", manager="one")


async def sets_and_references(side: Side) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1"}
    made = config({"a": "1"}, finalizers=["x.example/a"], ownerReferences=[owner])
    await side.send("POST", CONFIG_MAPS.path("default"), made, manager="one")
    await side.look(CONFIG_MAPS, "c")
    more = config({"a": "1"}, finalizers=["x.example/b"])
    await side.send("PATCH", MAPS, more, kind="apply", manager="two")
    obj = await side.look(CONFIG_MAPS, "c")
    side.said.append(obj["metadata"]["finalizers"])
    await side.send("PATCH", MAPS, config({"a": "1"}), kind="apply", manager="two")
    obj = await side.look(CONFIG_MAPS, "c")
    side.said.append(obj["metadata"]["finalizers"])
    await side.send("PATCH", MAPS, {"metadata": {"finalizers": None}})


async def a_record_that_is_ended(side: Side) -> None:
    await side.send("POST", CONFIG_MAPS.path("default"), config({"a": "1", "b": "1"}), manager="one")
    await side.send("PATCH", MAPS, {"metadata": {"managedFields": [{}]}})
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, {"data": {"b": "2"}}, manager="two")
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, config({"a": "2"}), kind="apply", manager="three")
    await side.send("PATCH", MAPS, config({"a": "2"}), kind="apply", manager="three", force=True)
    await side.look(CONFIG_MAPS, "c")
    await side.send("PATCH", MAPS, {"metadata": {"managedFields": []}})
    await side.look(CONFIG_MAPS, "c")
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    await side.send("PATCH", MAPS, {"metadata": {"managedFields": [{**entry, "fieldsV1": {"f:data": {"f:a": {}}}}]}})
    await side.look(CONFIG_MAPS, "c")


async def more_writers_than_are_kept(side: Side) -> None:
    await side.send("POST", CONFIG_MAPS.path("default"), config({"a": "1"}), manager="first")
    for number in range(13):
        await side.send("PATCH", MAPS, {"data": {f"k{number}": "1"}}, manager=f"m{number:02}")
    await side.send("PATCH", MAPS, {"data": {"k7": None, "k8": "2"}}, manager="m99")
    await side.look(CONFIG_MAPS, "c")


async def parts_of_pods(side: Side) -> None:
    container = {
        "name": "c",
        "image": "i",
        "env": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        ],
        "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "name": "tcp"}],
        "resources": {"limits": {"cpu": "1"}},
        "readinessProbe": {"httpGet": {"port": 80}},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "command": ["sh"],
    }
    more = {
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "s"}],
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}],
    }
    await side.send("POST", PODS.path("default"), pod(container, **more), manager="one")
    await side.look(PODS, "p")
    await side.send("PATCH", POD + "/status", {"status": READY}, kind="strategic-merge-patch", manager="kubelet")
    later = {**READY, "phase": "Failed", "message": "m"}
    await side.send("PATCH", POD + "/status", {"status": later}, kind="strategic-merge-patch", manager="kubelet")
    await side.send("PATCH", POD + "/status", {"status": {"reason": "r"}}, manager="other")
    await side.look(PODS, "p")
    await side.send("DELETE", POD, {"gracePeriodSeconds": 0})
    await side.send("PATCH", POD, pod(container, **more), kind="apply", manager="one")
    await side.look(PODS, "p")


async def other_kinds(side: Side) -> None:
    await side.send(
        "POST",
        NODES.path(),
        {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}},
        manager="one",
    )
    status = {
        "addresses": [{"type": "InternalIP", "address": "1.1.1.1"}],
        "conditions": [{**TRUE, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
    }
    await side.send("PATCH", NODES.path(None, "n", "status"), {"status": status}, kind="strategic-merge-patch")
    await side.look(NODES, "n", None)
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    rule = {"host": "h", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress = {"metadata": {"name": "i"}, "spec": {"rules": [rule], "defaultBackend": backend}}
    await side.send("POST", INGRESSES.path("default"), ingress, manager="one")
    address = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    await side.send("PATCH", INGRESSES.path("default", "i", "status"), address, manager="two")
    await side.look(INGRESSES, "i")
    head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e"}}
    rest = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}
    await side.send("POST", ENDPOINT_SLICES.path("default"), head | rest, manager="one")
    await side.send(
        "PATCH", ENDPOINT_SLICES.path("default", "e"), {"endpoints": [{"addresses": ["10.0.0.2"]}]}, manager="two"
    )
    await side.look(ENDPOINT_SLICES, "e")


HISTORIES: dict[str, History] = {
    "applied by the client, then by the server (1.27)": applied_by_the_client_then_by_the_server(OLD),
    "applied by the client, then by the server (1.35)": applied_by_the_client_then_by_the_server(NEW),
    "a pod that runs is applied by the server (1.27)": a_pod_that_runs_is_applied_by_the_server(OLD),
    "a pod that runs is applied by the server (1.35)": a_pod_that_runs_is_applied_by_the_server(NEW),
    "scaled (1.27)": scaled(OLD),
    "scaled (1.35)": scaled(NEW),
    "everyday commands": everyday_commands,
    "two who apply": two_who_apply,
    "an update and an apply by the same": an_update_and_an_apply_by_the_same,
    "items of lists": items_of_lists,
    "items with the same key": items_with_the_same_key,
    "sets and references": sets_and_references,
    "a record that is ended": a_record_that_is_ended,
    "more writers than are kept": more_writers_than_are_kept,
    "parts of pods": parts_of_pods,
    "other kinds": other_kinds,
}
MADE = (
    (CONFIG_MAPS, "c"),
    (DEPLOYMENTS, "web"),
    (PODS, "p"),
    (SERVICES, "s"),
    (INGRESSES, "i"),
    (ENDPOINT_SLICES, "e"),
)


async def clean(client: Client) -> None:
    """Remove what a history made."""
    for resource, name in MADE:
        with suppress(StatusError):
            await client.delete(resource, name, "default", grace_seconds=0)
    with suppress(StatusError):
        await client.delete(NODES, "n")


async def play(access: Path, home: Path, only: str = "") -> dict[str, list[Any]]:
    """Run the histories on a server; gives what it said in each."""
    client = client_from(access, None)
    found = {}
    for name, history in HISTORIES.items():
        if only in name:
            side = Side(client, access, home, [])
            await history(side)
            found[name] = side.said
            await clean(client)
    await client.close()
    return found


def main() -> None:
    """Run them on both servers."""
    folder = Path(sys.argv[1])
    said = []
    for run in (ours, theirs):
        place = folder / run.__name__
        (place / "home").mkdir(parents=True)
        with run(place):
            said.append(asyncio.run(play(place / "access", place / "home")))
    here, there = said
    differ = {
        name: [{"ours": a, "theirs": b} for a, b in zip(here[name], there[name], strict=True) if a != b]
        for name in HISTORIES
    }
    sys.stdout.write(json.dumps({"compared": len(HISTORIES), "differ": {n: d for n, d in differ.items() if d}}))


if __name__ == "__main__":
    main()
