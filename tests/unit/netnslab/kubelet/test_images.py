from __future__ import annotations

from typing import Any

import pytest

from kapi.network import Protocol, Service, ServicePort, ServiceType
from netnslab.kubelet import images, podreading
from netnslab.kubelet.images import Kind
from netnslab.kubelet.podspec import PodSpec


def pod(*containers: dict[str, Any], labels: dict[str, str] | None = None) -> PodSpec:
    listed = [{"name": f"c{number}", "image": "x", **item} for number, item in enumerate(containers)]
    return podreading.read(
        {"metadata": {"name": "p", "namespace": "shop", "labels": labels}, "spec": {"containers": listed}}
    )


@pytest.mark.parametrize(
    ("container", "kind", "entry"),
    [
        ({"image": "kproxy.io/kdns", "args": ["-v"]}, Kind.BUILT_IN, "kdns.cli:main"),
        ({"image": "kproxy.io/kdns:v1"}, Kind.BUILT_IN, "kdns.cli:main"),
        ({"image": "kproxy.io/kingress@sha256:00"}, Kind.BUILT_IN, "kingress.cli:main"),
        ({"image": "kproxy.io/echo", "args": ["--tcp=80"]}, Kind.BUILT_IN, "netnslab.echo:main"),
        ({"image": "kproxy.io/echo"}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "busybox", "command": ["sh", "-c", "true"]}, Kind.COMMAND, ""),
        ({"image": "busybox", "args": ["sh", "-c", "true"]}, Kind.COMMAND, ""),
        ({"image": "registry.example:5000/library/alpine:3@sha256:00", "args": ["sh"]}, Kind.COMMAND, ""),
        ({"image": "busybox", "args": ["/app/server"]}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "busybox"}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "example/app", "command": ["/app/server"]}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "nginx"}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "nginx", "args": ["sh"]}, Kind.STAND_IN, "netnslab.echo:main"),
        ({"image": "kproxy.io/unknown"}, Kind.STAND_IN, "netnslab.echo:main"),
    ],
)
def test_what_is_run_for_an_image(container: dict[str, Any], kind: Kind, entry: str) -> None:
    found = images.resolve(pod(container).containers[0], lambda command: command == "sh")
    assert (found.kind, found.entry) == (kind, entry)


@pytest.mark.parametrize(
    ("container", "once", "argv"),
    [
        ({"image": "curlimages/curl:8", "args": ["curl", "-s", "http://web"]}, False, "curl -s http://web"),
        ({"image": "curlimages/curl", "args": ["-s", "http://web"]}, False, "curl -s http://web"),
        ({"image": "curlimages/curl", "args": ["http://web"]}, False, "curl http://web"),
        ({"image": "curlimages/curl", "command": ["curl"], "args": ["http://web"]}, False, "curl http://web"),
        ({"image": "nicolaka/netshoot", "args": ["curl", "web"]}, False, "curl web"),
        ({"image": "example/app", "args": ["curl", "web"]}, True, "curl web"),
        ({"image": "example/app", "args": ["curl", "web"]}, False, None),
        ({"image": "example/app", "args": ["serve"]}, True, None),
        ({"image": "example/app"}, True, None),
        ({"image": "curlimages/curl"}, True, None),
    ],
)
def test_args_that_are_a_command_are_run_where_that_is_what_they_mean(
    container: dict[str, Any], once: bool, argv: str | None
) -> None:
    given = pod(container).containers[0]
    found = images.resolve(given, lambda command: command == "curl", once=once)
    assert (" ".join((*found.program, *given.args)) if found.kind is Kind.COMMAND else None) == argv


def test_only_a_replaced_image_is_announced() -> None:
    assert images.announced(pod({"image": "nginx"}).containers[0])
    assert not images.announced(pod({"image": "kproxy.io/echo"}).containers[0])


def service(
    namespace: str, selector: dict[str, str], *targets: int | str, protocol: Protocol = Protocol.TCP
) -> Service:
    ports = tuple(ServicePort(f"p{target}", protocol, 80, target) for target in targets)
    return Service(namespace, "s", "", ServiceType.CLUSTER_IP, False, (), ports, selector)


@pytest.mark.parametrize(
    ("container", "services", "ports"),
    [
        ({"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}, (), {("tcp", 80), ("udp", 53)}),
        ({"ports": [{"containerPort": 9, "protocol": "SCTP"}]}, (), set()),
        (
            {"readinessProbe": {"httpGet": {"port": 8081}}, "livenessProbe": {"tcpSocket": {"port": 8082}}},
            (),
            {("tcp", 8081), ("tcp", 8082)},
        ),
        ({"readinessProbe": {"grpc": {"port": 9555}}}, (), {("tcp", 9555)}),
        (
            {"readinessProbe": {"httpGet": {"port": "web"}}, "ports": [{"name": "web", "containerPort": 80}]},
            (),
            {("tcp", 80)},
        ),
        ({}, (service("shop", {"app": "web"}, 8080, "named"),), {("tcp", 8080)}),
        ({}, (service("shop", {"app": "web"}, 5353, protocol=Protocol.UDP),), {("udp", 5353)}),
        ({}, (service("shop", {"app": "other"}, 8080), service("elsewhere", {"app": "web"}, 8081)), set()),
        ({}, (service("shop", {}, 8080),), set()),
    ],
)
def test_a_stand_in_answers_where_it_is_asked(
    container: dict[str, Any], services: tuple[Service, ...], ports: set[tuple[str, int]]
) -> None:
    made = pod(container, labels={"app": "web"})
    assert images.listening_ports(made, made.containers[0], services) == ports


def test_a_port_that_a_service_names_and_no_container_declares_is_told_of() -> None:
    some = [{"containerPort": 80}]
    declaring, silent, echo = pod({"ports": some}), pod({}), pod({"image": "kproxy.io/echo", "ports": some})
    ports = frozenset({("tcp", 80), ("tcp", 8080)})
    (told,) = images.undeclared(declaring, declaring.containers[0], ports)
    assert "port 8080/TCP" in told
    assert not images.undeclared(silent, silent.containers[0], ports)
    assert not images.undeclared(echo, echo.containers[0], ports)


def test_a_services_port_goes_to_the_container_that_declares_it_or_the_first() -> None:
    made = pod({}, {"ports": [{"containerPort": 9000}]}, labels={"app": "web"})
    services = (service("shop", {"app": "web"}, 9000, 9001),)
    first, second = (images.listening_ports(made, container, services) for container in made.containers)
    assert [first, second] == [{("tcp", 9001)}, {("tcp", 9000)}]
