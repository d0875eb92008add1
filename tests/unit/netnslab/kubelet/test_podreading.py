from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnslab.kubelet import podfiles, podreading
from netnslab.kubelet.environment import Missing, Placement, Sources, variables
from netnslab.kubelet.images import listening_ports
from netnslab.kubelet.podspec import PodSpec

Json = dict[str, Any]


def read(container: Json | None = None, **spec: Any) -> PodSpec:
    containers = [{"name": "main", "image": "x", **(container or {})}]
    return podreading.read({"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": containers, **spec}})


@pytest.mark.parametrize(
    ("pod", "problem"),
    [
        (read(hostAliases=[{"hostnames": ["a"]}]), "spec.hostAliases[0]: ip is missing"),
        (read(readinessGates=[{}]), "spec.readinessGates[0]: conditionType is missing"),
        (read(dnsConfig={"options": [{"value": "5"}]}), "spec.dnsConfig.options[0]: name is missing"),
        (
            read({"ports": [{"containerPort": 80, "hostPort": 8080}]}),
            "hostPort 8080 of container main: no port of a node leads to the pod; "
            "a Service of type NodePort has one that does",
        ),
        (read(restartPolicy="Sometimes"), "spec.restartPolicy: 'Sometimes' is not a known value; Always is used"),
        (
            read(terminationGracePeriodSeconds="9"),
            "spec.terminationGracePeriodSeconds: '9' is not a number of seconds; 30 is used",
        ),
        (read(initContainers=[{"image": "x"}]), "spec.initContainers[0]: name is missing"),
        (read(initContainers="x"), "spec.initContainers: 'x' is not a list"),
        (
            read({"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}),
            "spec.containers[0].env[0]: fieldPath is missing",
        ),
        (read({"env": ["A=1"]}), "spec.containers[0].env[0]: 'A=1' is not an object"),
        (read({"envFrom": [{}]}), "spec.containers[0].envFrom[0]: it has neither configMapRef nor secretRef"),
        (read({"ports": [{}]}), "spec.containers[0].ports[0]: containerPort None is not a port number (1-65535)"),
        (
            read({"readinessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"value": "x"}]}}}),
            "spec.containers[0].readinessProbe[0].httpGet.httpHeaders[0]: name is missing",
        ),
        (read(volumes=[{"name": "../x", "emptyDir": {}}]), "spec.volumes[0]: name '../x' is no name of a volume"),
        (
            read(volumes=[{"name": "a", "persistentVolumeClaim": {"claimName": "../x"}}]),
            "spec.volumes[0]: name '../x' is no name of a volume",
        ),
        (
            read(volumes=[{"name": "a", "configMap": {"items": [{"key": "k", "path": "../k"}]}}]),
            "spec.volumes[0].configMap.items[0]: path '../k' leads out of the volume",
        ),
        *(
            (
                read(volumes=[{"name": "a", "downwardAPI": {"items": [{"path": path}]}}]),
                f"spec.volumes[0].downwardAPI.items[0]: path '{path}' cannot be a file's: it is the volume itself, "
                "or begins with '..'",
            )
            for path in (".", "..data", "./..data/x")
        ),
        (
            read(volumes=[{"name": "a", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]),
            "spec.volumes[0].projected.sources[0]: it has none of configMap, secret, downwardAPI, serviceAccountToken",
        ),
        (read({"volumeMounts": [{"name": "a"}]}), "spec.containers[0].volumeMounts[0]: mountPath is missing"),
        (
            read({"livenessProbe": {"periodSeconds": 3}}),
            "spec.containers[0].livenessProbe[0]: it has none of httpGet, tcpSocket, exec, grpc",
        ),
    ],
)
def test_a_part_that_cannot_be_read_is_left_out_and_named(pod: PodSpec, problem: str) -> None:
    assert [str(one) for one in pod.problems] == [problem]
    assert [container.name for container in pod.containers] == ["main"]


def test_a_port_of_the_node_is_had_with_the_nodes_network() -> None:
    assert not read({"ports": [{"containerPort": 80, "hostPort": 80}]}, hostNetwork=True).problems


@pytest.mark.parametrize("path", ["/data", "data", "/data/", "//data//", "/data/."])
def test_a_mount_has_one_path_however_it_is_written_so_that_what_is_inside_of_another_comes_after_it(path: str) -> None:
    mounts = read({"volumeMounts": [{"name": "a", "mountPath": path}]}).containers[0].mounts
    assert [mount.path for mount in mounts] == ["/data"]


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 30), (0, 0), (5, 5), (-1, 1), (10**30, 2**31 - 1), ("x", 30), (True, 30)]
)
def test_a_grace_period_is_read_as_kubernetes_does(given: Any, seconds: float) -> None:
    assert read(terminationGracePeriodSeconds=given).grace == seconds
    obj = {"metadata": {"name": "web", "deletionGracePeriodSeconds": given}, "spec": {}}
    assert podreading.grace_of(obj) == seconds


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def objects(*names: str) -> st.SearchStrategy[Json]:
    """Objects in which any of these fields may be anything."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANYTHING))


def lists(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(item | ANYTHING, max_size=2) | ANYTHING


REFERENCE = objects("name", "key", "optional", "fieldPath")
VARIABLE = st.fixed_dictionaries(
    {"name": st.text(max_size=3)},
    optional={
        "value": ANYTHING,
        "valueFrom": ANYTHING
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("fieldRef", "configMapKeyRef", "secretKeyRef"), REFERENCE)),
    },
)
ASKED = objects("port", "path", "host", "scheme", "command") | st.fixed_dictionaries(
    {"httpHeaders": lists(objects("name", "value"))}
)
PROBE = ANYTHING | st.fixed_dictionaries(
    {"httpGet": ASKED}, optional=dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold"), ANYTHING)
)
CONTAINER = st.fixed_dictionaries(
    {"name": st.just("main")},
    optional={
        "env": lists(VARIABLE),
        "envFrom": lists(objects("configMapRef", "secretRef", "prefix")),
        "ports": lists(objects("name", "containerPort", "protocol")),
        "readinessProbe": PROBE,
        "volumeMounts": lists(objects("name", "mountPath", "subPath", "subPathExpr", "readOnly")),
        "lifecycle": ANYTHING | st.fixed_dictionaries({"preStop": objects("exec", "sleep")}),
        **dict.fromkeys(("image", "command", "args", "workingDir", "restartPolicy"), ANYTHING),
    },
)
SPEC = st.fixed_dictionaries(
    {"containers": lists(CONTAINER)},
    optional={
        "initContainers": lists(CONTAINER),
        "hostAliases": lists(objects("ip", "hostnames")),
        "readinessGates": lists(objects("conditionType")),
        "volumes": lists(
            st.fixed_dictionaries(
                {"name": st.just("a")},
                optional={
                    "configMap": ANYTHING | objects("name", "items", "defaultMode"),
                    "projected": ANYTHING | st.fixed_dictionaries({"sources": lists(objects("secret", "downwardAPI"))}),
                    "nfs": ANYTHING,
                },
            )
        ),
        "dnsConfig": ANYTHING
        | st.fixed_dictionaries(
            {"options": lists(objects("name", "value"))}, optional=dict.fromkeys(("nameservers", "searches"), ANYTHING)
        ),
        **dict.fromkeys(("terminationGracePeriodSeconds", "hostname", "dnsPolicy", "restartPolicy"), ANYTHING),
    },
)


@given(SPEC, st.dictionaries(st.text(max_size=3), ANYTHING, max_size=2), ANYTHING)
def test_nothing_in_a_pod_or_in_what_it_refers_to_makes_the_kubelet_fail(spec: Json, data: Json, other: Any) -> None:
    pod = podreading.read({"metadata": {"name": "web", "uid": "u", "labels": other}, "spec": spec})
    podfiles.resolv_conf(pod, "10.96.0.10", "cluster.local", "")
    podfiles.hosts(pod, ("10.244.1.2",), "cluster.local")
    sources = Sources({"default/": {"data": data}}, {"default/": {"data": data}}, ())
    for container in pod.containers:
        listening_ports(pod, container, ())
        try:
            variables(pod, container, Placement("worker-1", ("172.30.0.11",), ("10.244.1.2",)), sources)
        except Missing:
            continue


@pytest.mark.parametrize(("kind", "ends"), [("Job", True), ("ReplicaSet", False)])
def test_a_pod_of_a_job_is_known_to_come_to_an_end(kind: str, ends: bool) -> None:
    owners = [{"kind": "Node", "name": "n"}, {"kind": kind, "name": "x", "controller": True}]
    pod = podreading.read({"metadata": {"name": "web", "ownerReferences": owners}, "spec": {}})
    assert pod.of_job is ends
