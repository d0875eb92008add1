from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from kapi.network import Protocol, Service, ServicePort, ServiceType
from netnslab.kubelet import podreading
from netnslab.kubelet.environment import Missing, Placement, Sources, expand, variables

PLACEMENT = Placement("worker-1", ("172.30.0.11", "fd30::b"), ("10.244.1.5", "fd44:0:0:1::5"))
OBJECTS = {"shop/settings": {"data": {"colour": "blue", "size": "7"}}}
SECRETS = {"shop/keys": {"data": {"key": "c2VjcmV0"}}}


def service(namespace: str, name: str, *ports: ServicePort) -> Service:
    return Service(namespace, name, "", ServiceType.CLUSTER_IP, False, (ip_address("10.96.0.7"),), ports)


SERVICES = (
    service("shop", "redis-master", ServicePort("db", Protocol.TCP, 6379, 6379)),
    service("other", "hidden", ServicePort("", Protocol.TCP, 80, 80)),
    service("default", "kubernetes", ServicePort("https", Protocol.TCP, 443, 6443)),
)


def found(*env: dict[str, Any], env_from: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, str]:
    container = {"name": "main", "image": "x", "env": list(env), "envFrom": list(env_from)}
    meta = {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}, "annotations": {"a/b": "c"}}
    pod = podreading.read({"metadata": meta, "spec": {"containers": [container], **spec}})
    return variables(pod, pod.containers[0], PLACEMENT, Sources(OBJECTS, SECRETS, SERVICES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NOBODY)", "$(NOBODY)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A}", "$A ${A}"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['a/b']", "c"),
        ("spec.nodeName", "worker-1"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "172.30.0.11"),
        ("status.podIP", "10.244.1.5"),
        ("status.podIPs", "10.244.1.5,fd44:0:0:1::5"),
    ],
)
def test_a_variable_can_be_a_field_of_the_pod(path: str, value: str) -> None:
    assert found({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})["X"] == value


def test_a_variable_can_be_a_key_of_a_config_map_or_secret() -> None:
    one = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}
    two = {"name": "B", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}
    three = {"name": "C", "value": "$(A) $(B)"}
    values = found(one, two, three)
    assert (values["A"], values["B"], values["C"]) == ("blue", "secret", "blue secret")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"configMapKeyRef": {"name": "nobody", "key": "x"}}, "no ConfigMap shop/nobody"),
        ({"configMapKeyRef": {"name": "settings", "key": "x"}}, "ConfigMap shop/settings has no key 'x'"),
        ({"secretKeyRef": {"name": "nobody", "key": "x"}}, "no Secret shop/nobody"),
        ({"fieldRef": {"fieldPath": "spec.magic"}}, "spec.magic"),
    ],
)
def test_what_is_missing_is_named(reference: dict[str, Any], words: str) -> None:
    with pytest.raises(Missing, match=words):
        found({"name": "X", "valueFrom": reference})


def test_what_is_optional_may_be_missing() -> None:
    reference = {"configMapKeyRef": {"name": "nobody", "key": "x", "optional": True}}
    assert "X" not in found({"name": "X", "valueFrom": reference})
    assert found(env_from=({"configMapRef": {"name": "nobody", "optional": True}},))


def test_whole_objects_become_variables_and_single_ones_win() -> None:
    sources = ({"configMapRef": {"name": "settings"}, "prefix": "CFG_"}, {"secretRef": {"name": "keys"}})
    values = found({"name": "key", "value": "mine"}, env_from=sources)
    assert (values["CFG_colour"], values["CFG_size"], values["key"]) == ("blue", "7", "mine")


def test_services_of_the_namespace_and_the_api_are_linked() -> None:
    values = found()
    assert values["REDIS_MASTER_SERVICE_HOST"] == "10.96.0.7"
    assert values["REDIS_MASTER_SERVICE_PORT"] == "6379"
    assert values["REDIS_MASTER_SERVICE_PORT_DB"] == "6379"
    assert values["REDIS_MASTER_PORT_6379_TCP"] == "tcp://10.96.0.7:6379"
    assert values["KUBERNETES_SERVICE_HOST"] == "10.96.0.7"
    assert not any(name.startswith("HIDDEN") for name in values)


def test_a_pod_may_want_no_links_but_those_of_the_api() -> None:
    values = found(enableServiceLinks=False)
    assert "KUBERNETES_SERVICE_HOST" in values
    assert "REDIS_MASTER_SERVICE_HOST" not in values
