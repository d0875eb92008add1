"""Reads a pod from the API's JSON, whatever is in it. Pure.

One bad part never spoils the rest, as in `kapi.decode`: it is left out and named in `problems`. An API server refuses
most of what is tolerated here, but a kubelet has to finish the deletion of any pod, also of one that an older or
another server let pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kapi.network import Problem
from netnslab.kubelet import parts, volumereading
from netnslab.kubelet.podspec import DEFAULT_GRACE, Container, PodSpec, Port, Probe, ProbeKind, RestartPolicy

Json = dict[str, Any]

_REFERENCES = ("fieldRef", "configMapKeyRef", "secretKeyRef", "resourceFieldRef")


def read(obj: Json) -> PodSpec:
    """Read a v1 Pod; `problems` of it names what could not be read."""
    problems: list[Problem] = []
    meta, spec = parts.mapping(obj.get("metadata")), parts.mapping(obj.get("spec"))
    name = parts.text(meta.get("name"))
    containers, init_containers = (_containers(spec, field, problems) for field in ("containers", "initContainers"))
    if not spec.get("hostNetwork"):  # where a container has the node's network, its ports are the node's
        problems += _host_ports(*containers, *init_containers)
    account_token = spec.get("automountServiceAccountToken")
    return PodSpec(
        namespace=parts.text(meta.get("namespace")) or "default",
        name=name,
        uid=parts.text(meta.get("uid")),
        containers=containers,
        init_containers=init_containers,
        restart_policy=_restart_policy(spec, problems),
        of_job=any(parts.each(meta.get("ownerReferences"), "metadata.ownerReferences", _is_job, problems)),
        grace=_grace(spec.get("terminationGracePeriodSeconds"), "spec.terminationGracePeriodSeconds", problems),
        host_network=bool(spec.get("hostNetwork")),
        hostname=parts.text(spec.get("hostname")) or name[:63],
        subdomain=parts.text(spec.get("subdomain")),
        dns_policy=parts.text(spec.get("dnsPolicy")) or "ClusterFirst",
        dns_config=_dns_config(parts.mapping(spec.get("dnsConfig")), problems),
        host_aliases=parts.each(spec.get("hostAliases"), "spec.hostAliases", _alias, problems),
        readiness_gates=parts.each(spec.get("readinessGates"), "spec.readinessGates", _gate, problems),
        service_links=spec.get("enableServiceLinks") is not False,
        service_account=parts.text(spec.get("serviceAccountName")) or "default",
        account_token=account_token if isinstance(account_token, bool) else None,
        volumes=parts.each(spec.get("volumes"), "spec.volumes", volumereading.volume, problems),
        labels=parts.labels(meta.get("labels")),
        annotations=parts.labels(meta.get("annotations")),
        problems=tuple(problems),
    )


def _is_job(owner: Json, _: str, __: list[Problem]) -> bool:
    return owner.get("kind") == "Job" and owner.get("controller") is True


def marked(pod: PodSpec, obj: Json) -> PodSpec:
    """The pod with the labels and annotations that it has now; the rest of it does not change while it runs."""
    meta = parts.mapping(obj.get("metadata"))
    return replace(pod, labels=parts.labels(meta.get("labels")), annotations=parts.labels(meta.get("annotations")))


def grace_of(obj: Json) -> float:
    """The seconds a pod that is being deleted has left to end by itself."""
    given = parts.mapping(obj.get("metadata")).get("deletionGracePeriodSeconds")
    return read(obj).grace if given is None else _grace(given, "metadata.deletionGracePeriodSeconds", [])


def _grace(value: Any, path: str, problems: list[Problem]) -> float:
    """A grace period: a negative one counts as a second, as in Kubernetes."""
    if value is None:
        return DEFAULT_GRACE
    if not parts.is_number(value):
        problems.append(Problem(path, f"{value!r} is not a number of seconds; {DEFAULT_GRACE} is used"))
        return DEFAULT_GRACE
    return 1 if value < 0 else min(value, parts.MOST_SECONDS)


def _restart_policy(spec: Json, problems: list[Problem]) -> RestartPolicy:
    value = spec.get("restartPolicy") or RestartPolicy.ALWAYS
    if value not in tuple(RestartPolicy):
        problems.append(Problem("spec.restartPolicy", f"{value!r} is not a known value; Always is used"))
        return RestartPolicy.ALWAYS
    return RestartPolicy(value)


def _alias(item: Json, _: str, __: list[Problem]) -> tuple[str, tuple[str, ...]]:
    return parts.needed(item, "ip"), parts.strings(item.get("hostnames"))


def _gate(item: Json, _: str, __: list[Problem]) -> str:
    return parts.needed(item, "conditionType")


def _dns_config(config: Json, problems: list[Problem]) -> Json:
    def option(item: Json, _: str, __: list[Problem]) -> Json:
        return {"name": parts.needed(item, "name"), "value": parts.text(item.get("value"))}

    return {
        "nameservers": parts.strings(config.get("nameservers")),
        "searches": parts.strings(config.get("searches")),
        "options": parts.each(config.get("options"), "spec.dnsConfig.options", option, problems),
    }


def _containers(spec: Json, field: str, problems: list[Problem]) -> tuple[Container, ...]:
    return parts.each(spec.get(field), f"spec.{field}", _container, problems)


def _container(item: Json, path: str, problems: list[Problem]) -> Container:
    hook = parts.mapping(parts.mapping(item.get("lifecycle")).get("preStop"))

    def probe(purpose: str) -> Probe | None:
        found = parts.each([item[purpose]] if item.get(purpose) else None, f"{path}.{purpose}", _probe, problems)
        return found[0] if found else None

    return Container(
        name=parts.needed(item, "name"),
        image=parts.text(item.get("image")),
        command=parts.strings(item.get("command")),
        args=parts.strings(item.get("args"), empty=True),
        env=parts.each(item.get("env"), f"{path}.env", _variable, problems),
        env_from=parts.each(item.get("envFrom"), f"{path}.envFrom", _source, problems),
        cwd=parts.text(item.get("workingDir")),
        mounts=parts.each(item.get("volumeMounts"), f"{path}.volumeMounts", volumereading.mount, problems),
        ports=parts.each(item.get("ports"), f"{path}.ports", _port, problems),
        readiness=probe("readinessProbe"),
        liveness=probe("livenessProbe"),
        startup=probe("startupProbe"),
        pre_stop=parts.strings(parts.mapping(hook.get("exec")).get("command")),
        pre_stop_sleep=parts.seconds(parts.mapping(hook.get("sleep")), "seconds", 0),
        sidecar=item.get("restartPolicy") == "Always",
    )


def _host_ports(*containers: Container) -> Iterator[Problem]:
    for container in containers:
        for port in container.ports:
            if port.host:
                where = f"hostPort {port.host} of container {container.name}"
                yield Problem(where, "no port of a node leads to the pod; a Service of type NodePort has one that does")


def _variable(item: Json, _: str, __: list[Problem]) -> Json:
    """A variable that has a name, and says where its value is from in a way that can be followed."""
    name = parts.needed(item, "name")
    origin = item.get("valueFrom")
    if not origin:
        value = item.get("value")
        return {"name": name, "value": "" if value is None else str(value)}
    if not isinstance(origin, dict) or not any(isinstance(origin.get(kind), dict) for kind in _REFERENCES):
        raise ValueError(f"valueFrom has none of {', '.join(_REFERENCES)}")
    if "fieldRef" in origin:
        parts.needed(parts.mapping(origin["fieldRef"]), "fieldPath")
    return {"name": name, "valueFrom": {kind: ref for kind, ref in origin.items() if isinstance(ref, dict)}}


def _source(item: Json, _: str, __: list[Problem]) -> Json:
    kind = next((kind for kind in ("configMapRef", "secretRef") if isinstance(item.get(kind), dict)), None)
    if kind is None:
        raise ValueError("it has neither configMapRef nor secretRef")
    return {kind: item[kind], "prefix": parts.text(item.get("prefix"))}


def _port(item: Json, _: str, __: list[Problem]) -> Port:
    number = item.get("containerPort")
    if not isinstance(number, int) or not 0 < number < 65536:
        raise ValueError(f"containerPort {number!r} is not a port number (1-65535)")
    host = item.get("hostPort")
    protocol = parts.text(item.get("protocol")) or "TCP"
    return Port(parts.text(item.get("name")), protocol, number, host if isinstance(host, int) else 0)


def _probe(item: Json, path: str, problems: list[Problem]) -> Probe | None:
    kind = next((kind for kind in ProbeKind if kind in item), None)
    if kind is None:
        raise ValueError(f"it has none of {', '.join(ProbeKind)}")
    how = parts.mapping(item[kind])
    port = how.get("port") or 0
    if not isinstance(port, int | str):
        raise ValueError(f"port {port!r} is neither a number nor a name")  # noqa: TRY004  # it names a bad part

    def header(given: Json, _: str, __: list[Problem]) -> tuple[str, str]:
        return parts.needed(given, "name"), parts.text(given.get("value"))

    return Probe(
        kind=kind,
        port=port,
        path=parts.text(how.get("path")) or "/",
        scheme=parts.text(how.get("scheme")) or "HTTP",
        host=parts.text(how.get("host")),
        headers=parts.each(how.get("httpHeaders"), f"{path}.{kind}.httpHeaders", header, problems),
        command=parts.strings(how.get("command")),
        initial_delay=parts.seconds(item, "initialDelaySeconds", 0),
        period=parts.seconds(item, "periodSeconds", 10) or 10,
        timeout=parts.seconds(item, "timeoutSeconds", 1) or 1,
        success_threshold=int(parts.seconds(item, "successThreshold", 1)) or 1,
        failure_threshold=int(parts.seconds(item, "failureThreshold", 3)) or 3,
    )
