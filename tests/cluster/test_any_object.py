"""Whatever the API accepts: the proxy, the DNS server, the ingress and the kubelets go on serving everybody else."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from kapi.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    INGRESSES,
    NAMESPACES,
    PODS,
    REPLICATION_CONTROLLERS,
    SECRETS,
    SERVICES,
    Resource,
)
from netnslab.lab import Lab

Json = dict[str, Any]

SPACE = "odd"
OBJECTS = 400  # drawn in each run; ODD_OBJECTS and ODD_SEED ask for more and for others
LABELS = {"app": "odd"}
POD_SPEC = {
    "containers": [
        {
            "name": "main",
            "image": "x",
            "command": ["sleep", "1000"],
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
            "livenessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 1},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        }
    ],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["other"]}],
    "dnsPolicy": "ClusterFirst",
    "dnsConfig": {"searches": ["example.test"], "options": [{"name": "ndots", "value": "2"}]},
    "hostname": "odd",
    "subdomain": "odd",
    "terminationGracePeriodSeconds": 0,
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
}
TEMPLATE = {"metadata": {"labels": LABELS, "annotations": {"a": "b"}}, "spec": POD_SPEC}
PORT = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
PATH = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "odd", "port": {"name": "http"}}}}
WHOLE: dict[Resource, Json] = {
    SERVICES: {
        "spec": {
            "type": "LoadBalancer",
            "selector": LABELS,
            "ports": [PORT, {**PORT, "name": "udp", "port": 53, "protocol": "UDP"}],
            "externalIPs": ["198.51.100.77"],
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
            "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Cluster",
            "ipFamilyPolicy": "PreferDualStack",
            "publishNotReadyAddresses": True,
            "externalName": "elsewhere.test",
        }
    },
    ENDPOINT_SLICES: {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": ["10.244.1.77"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "hostname": "one",
                "nodeName": "worker-1",
                "zone": "zone-a",
                "hints": {"forZones": [{"name": "zone-a"}]},
                "targetRef": {"kind": "Pod", "name": "one", "namespace": SPACE},
            }
        ],
    },
    ENDPOINTS: {
        "subsets": [{"addresses": [{"ip": "10.244.1.78", "hostname": "a"}], "ports": [{"name": "http", "port": 80}]}]
    },
    INGRESSES: {
        "spec": {
            "ingressClassName": "kproxy",
            "defaultBackend": {"service": {"name": "odd", "port": {"number": 80}}},
            "rules": [
                {"host": "odd.example", "http": {"paths": [PATH]}},
                {"http": {"paths": [{**PATH, "path": "/odd"}]}},
            ],
            "tls": [{"hosts": ["odd.example"], "secretName": "odd"}],
        }
    },
    SECRETS: {"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ==", "tls.key": "Yg=="}},
    PODS: {"spec": POD_SPEC},
    DEPLOYMENTS: {
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
        }
    },
    REPLICATION_CONTROLLERS: {"spec": {"replicas": 1, "selector": LABELS, "template": TEMPLATE}},
}
ANNOTATIONS = {
    INGRESSES: (
        "kproxy.io/canary-weight",
        "nginx.ingress.kubernetes.io/rewrite-target",
        "kproxy.io/allow",
        "kproxy.io/sticky",
    ),
    SERVICES: ("service.kubernetes.io/topology-mode", "kproxy.io/weight"),
    PODS: ("netns-lab.kproxy.io/socket",),
}
SERVICE_NAME = "kubernetes.io/service-name"
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 65535, 65536, 1 << 40, 1.5, [], {}, [None], [{}], {"a": None}, {"": ""}, [[]]),
    *(
        "",
        "a",
        "-",
        "A_b",
        "x" * 70,
        "x" * 300,
        "é",
        "\u0000",
        "\n",
        "%s",
        "$(A)",
        "../..",
        "0",
        "80",
        "http",
        "UDP",
        "SCTP",
    ),
    *(
        "::1",
        "0.0.0.0",
        "255.255.255.255",
        "127.0.0.1",
        "224.0.0.1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "10.0.0.0/8",
        "::/0",
    ),
    *(
        "10.96.0.1",
        "10.96.0.10",
        "*.example",
        "*",
        "/a//b",
        "/%2e%2e",
        "/(",
        "Exact",
        "None",
        "ClusterIP",
        "ExternalName",
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in an object."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoilt(chance: random.Random, whole: Json) -> Json:
    """An object with a few odd values, parts left out, and parts twice."""
    odd = copy.deepcopy(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        *above, last = chance.choice(list(places(odd)))
        holder: Any = odd
        for key in above:
            holder = holder[key]
        deed = chance.random()
        if deed < 0.15:
            del holder[last]
        elif deed < 0.3 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        else:
            holder[last] = copy.deepcopy(chance.choice(ODD))
        if not list(places(odd)):
            return odd
    return odd


def drawn(chance: random.Random, number: int) -> tuple[Resource, Json]:
    """One object of any kind; some of every kind belong together by their names."""
    resource = chance.choice(list(WHOLE))
    name = chance.choice(("odd", f"odd-{number}"))
    meta: Json = {"name": name if resource is not ENDPOINT_SLICES else f"odd-{number}"}
    if resource is ENDPOINT_SLICES:
        meta["labels"] = {SERVICE_NAME: chance.choice(("odd", "good", f"odd-{number - 1}"))}
    if resource in ANNOTATIONS and chance.random() < 0.5:
        words = ("", "x", "-1", "101", "true", "10.0.0.0/40", "/$1", "a\nb", "é")
        meta["annotations"] = {chance.choice(ANNOTATIONS[resource]): chance.choice(words)}
    return resource, {"metadata": meta, **spoilt(chance, WHOLE[resource])}


async def send(session: aiohttp.ClientSession, url: str, resource: Resource, obj: Json) -> int:
    """Create or replace an object; gives the code of the answer."""
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    data = json.dumps({**kind, **obj})
    headers = {"Content-Type": "application/json"}
    async with session.post(url + resource.path(SPACE), data=data, headers=headers) as answer:
        code = answer.status
    if code != 409:
        return code
    path = resource.path(SPACE, obj["metadata"]["name"])
    async with session.put(url + path, data=data, headers=headers) as answer:
        return answer.status


GOOD = """
apiVersion: v1
kind: Pod
metadata: {name: good, labels: {app: good}}
spec: {containers: [{name: main, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: asking}
spec: {containers: [{name: main, image: x, command: [sleep, infinity]}]}
---
apiVersion: v1
kind: Service
metadata: {name: good}
spec: {selector: {app: good}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: good}
spec:
  rules:
  - host: good.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}]}
"""


async def everybody_else_is_served(lab: Lab) -> None:
    """A Service made just now has a name, an address and a way in from outside."""
    await asyncio.sleep(0.5)
    by_name = await lab.exec("good/asking", "curl", "-sS", "--max-time", "5", "http://good/")
    assert "pod: good\n" in by_name.stdout, by_name
    outside = "http://203.0.113.1/"  # the lab's ingress has the pool's first address
    front = await lab.exec("client", "curl", "-sS", "--max-time", "5", "-H", "Host: good.example", outside)
    assert "pod: good\n" in front.stdout, front


@pytest.mark.root
@pytest.mark.timeout(120)
async def test_nothing_that_the_api_accepts_stops_what_serves_everybody_else() -> None:
    seed = int(os.environ.get("ODD_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    async with Lab() as lab, aiohttp.ClientSession() as session:
        for name in (SPACE, "good"):
            await lab.client.create(NAMESPACES, {"metadata": {"name": name}})
        objects = (drawn(chance, number) for number in range(int(os.environ.get("ODD_OBJECTS", OBJECTS))))
        codes = [await send(session, lab.status["api"], *one) for one in objects]
        assert max(codes) < 500, f"seed {seed}"
        assert sum(code < 300 for code in codes) > len(codes) / 10, f"seed {seed}: too little was accepted"
        (await lab.kubectl("apply", "-n", "good", "-f", "-", given=GOOD)).check()
        (await lab.kubectl("wait", "-n", "good", "--for=condition=Ready", "pod", "--all", "--timeout=30s")).check()
        await everybody_else_is_served(lab)
        log = (await lab.command("logs")).check()
        assert "Traceback" not in log, f"seed {seed}:\n{log[log.index('Traceback') - 500 :][:4000]}"
        own = json.loads((await lab.kubectl("get", "pods", "-n", "kube-system", "-o", "json")).check())
        for pod in own["items"]:
            assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, f"seed {seed}: {pod['metadata']['name']}"
            told = (await lab.command("logs", f"kube-system/{pod['metadata']['name']}")).check()
            assert "Traceback" not in told, f"seed {seed}:\n{told[-3000:]}"
