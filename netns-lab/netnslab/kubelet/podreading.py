"""Reads a pod from the API's JSON, whatever is in it. Pure.

One bad part never spoils the rest, as in `kapi.decode`: it is left out and named in `problems`. An API server refuses
most of what is tolerated here, but a kubelet has to finish the deletion of any pod, also of one that an older or
another server let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

from kapi.network import Problem
from netnslab.kubelet.podspec import DEFAULT_GRACE, Container, PodSpec, Port, Probe, ProbeKind, RestartPolicy

Json = dict[str, Any]
T = TypeVar("T")

_MOST_SECONDS = 2**31 - 1  # what fits the API's own int32
_REFERENCES = ("fieldRef", "configMapKeyRef", "secretKeyRef", "resourceFieldRef")


def read(obj: Json) -> PodSpec:
    """Read a v1 Pod; `problems` of it names what could not be read."""
    problems: list[Problem] = []
    meta, spec = _object(obj.get("metadata")), _object(obj.get("spec"))
    name = _text(meta.get("name"))
    return PodSpec(
        namespace=_text(meta.get("namespace")) or "default",
        name=name,
        uid=_text(meta.get("uid")),
        containers=_containers(spec, "containers", problems),
        init_containers=_containers(spec, "initContainers", problems),
        restart_policy=_restart_policy(spec, problems),
        grace=_grace(spec.get("terminationGracePeriodSeconds"), "spec.terminationGracePeriodSeconds", problems),
        host_network=bool(spec.get("hostNetwork")),
        hostname=_text(spec.get("hostname")) or name[:63],
        subdomain=_text(spec.get("subdomain")),
        dns_policy=_text(spec.get("dnsPolicy")) or "ClusterFirst",
        dns_config=_dns_config(_object(spec.get("dnsConfig")), problems),
        host_aliases=_each(spec.get("hostAliases"), "spec.hostAliases", _alias, problems),
        readiness_gates=_each(spec.get("readinessGates"), "spec.readinessGates", _gate, problems),
        service_links=spec.get("enableServiceLinks") is not False,
        service_account=_text(spec.get("serviceAccountName")) or "default",
        labels=_labels(meta.get("labels")),
        annotations=_labels(meta.get("annotations")),
        problems=tuple(problems),
    )


def grace_of(obj: Json) -> float:
    """The seconds a pod that is being deleted has left to end by itself."""
    given = _object(obj.get("metadata")).get("deletionGracePeriodSeconds")
    return read(obj).grace if given is None else _grace(given, "metadata.deletionGracePeriodSeconds", [])


def _grace(value: Any, path: str, problems: list[Problem]) -> float:
    """A grace period: a negative one counts as a second, as in Kubernetes."""
    if value is None:
        return DEFAULT_GRACE
    if not _is_number(value):
        problems.append(Problem(path, f"{value!r} is not a number of seconds; {DEFAULT_GRACE} is used"))
        return DEFAULT_GRACE
    return 1 if value < 0 else min(value, _MOST_SECONDS)


def _restart_policy(spec: Json, problems: list[Problem]) -> RestartPolicy:
    value = spec.get("restartPolicy") or RestartPolicy.ALWAYS
    if value not in tuple(RestartPolicy):
        problems.append(Problem("spec.restartPolicy", f"{value!r} is not a known value; Always is used"))
        return RestartPolicy.ALWAYS
    return RestartPolicy(value)


def _alias(item: Json, _: str, __: list[Problem]) -> tuple[str, tuple[str, ...]]:
    return _needed(item, "ip"), _strings(item.get("hostnames"))


def _gate(item: Json, _: str, __: list[Problem]) -> str:
    return _needed(item, "conditionType")


def _dns_config(config: Json, problems: list[Problem]) -> Json:
    def option(item: Json, _: str, __: list[Problem]) -> Json:
        return {"name": _needed(item, "name"), "value": _text(item.get("value"))}

    return {
        "nameservers": _strings(config.get("nameservers")),
        "searches": _strings(config.get("searches")),
        "options": _each(config.get("options"), "spec.dnsConfig.options", option, problems),
    }


def _containers(spec: Json, field: str, problems: list[Problem]) -> tuple[Container, ...]:
    return _each(spec.get(field), f"spec.{field}", _container, problems)


def _container(item: Json, path: str, problems: list[Problem]) -> Container:
    hook = _object(_object(item.get("lifecycle")).get("preStop"))

    def probe(purpose: str) -> Probe | None:
        found = _each([item[purpose]] if item.get(purpose) else None, f"{path}.{purpose}", _probe, problems)
        return found[0] if found else None

    return Container(
        name=_needed(item, "name"),
        image=_text(item.get("image")),
        command=_strings(item.get("command")),
        args=_strings(item.get("args"), empty=True),
        env=_each(item.get("env"), f"{path}.env", _variable, problems),
        env_from=_each(item.get("envFrom"), f"{path}.envFrom", _source, problems),
        cwd=_text(item.get("workingDir")),
        ports=_each(item.get("ports"), f"{path}.ports", _port, problems),
        readiness=probe("readinessProbe"),
        liveness=probe("livenessProbe"),
        startup=probe("startupProbe"),
        pre_stop=_strings(_object(hook.get("exec")).get("command")),
        pre_stop_sleep=_seconds(_object(hook.get("sleep")), "seconds", 0),
        sidecar=item.get("restartPolicy") == "Always",
    )


def _variable(item: Json, _: str, __: list[Problem]) -> Json:
    """A variable that has a name, and says where its value is from in a way that can be followed."""
    name = _needed(item, "name")
    origin = item.get("valueFrom")
    if not origin:
        value = item.get("value")
        return {"name": name, "value": "" if value is None else str(value)}
    if not isinstance(origin, dict) or not any(isinstance(origin.get(kind), dict) for kind in _REFERENCES):
        raise ValueError(f"valueFrom has none of {', '.join(_REFERENCES)}")
    if "fieldRef" in origin:
        _needed(_object(origin["fieldRef"]), "fieldPath")
    return {"name": name, "valueFrom": {kind: ref for kind, ref in origin.items() if isinstance(ref, dict)}}


def _source(item: Json, _: str, __: list[Problem]) -> Json:
    kind = next((kind for kind in ("configMapRef", "secretRef") if isinstance(item.get(kind), dict)), None)
    if kind is None:
        raise ValueError("it has neither configMapRef nor secretRef")
    return {kind: item[kind], "prefix": _text(item.get("prefix"))}


def _port(item: Json, _: str, __: list[Problem]) -> Port:
    number = item.get("containerPort")
    if not isinstance(number, int) or not 0 < number < 65536:
        raise ValueError(f"containerPort {number!r} is not a port number (1-65535)")
    return Port(_text(item.get("name")), _text(item.get("protocol")) or "TCP", number)


def _probe(item: Json, path: str, problems: list[Problem]) -> Probe | None:
    kind = next((kind for kind in ProbeKind if kind in item), None)
    if kind is None:
        raise ValueError(f"it has none of {', '.join(ProbeKind)}")
    how = _object(item[kind])
    port = how.get("port") or 0
    if not isinstance(port, int | str):
        raise ValueError(f"port {port!r} is neither a number nor a name")  # noqa: TRY004  # it names a bad part

    def header(given: Json, _: str, __: list[Problem]) -> tuple[str, str]:
        return _needed(given, "name"), _text(given.get("value"))

    return Probe(
        kind=kind,
        port=port,
        path=_text(how.get("path")) or "/",
        scheme=_text(how.get("scheme")) or "HTTP",
        host=_text(how.get("host")),
        headers=_each(how.get("httpHeaders"), f"{path}.{kind}.httpHeaders", header, problems),
        command=_strings(how.get("command")),
        initial_delay=_seconds(item, "initialDelaySeconds", 0),
        period=_seconds(item, "periodSeconds", 10) or 10,
        timeout=_seconds(item, "timeoutSeconds", 1) or 1,
        success_threshold=int(_seconds(item, "successThreshold", 1)) or 1,
        failure_threshold=int(_seconds(item, "failureThreshold", 3)) or 3,
    )


def _each(
    items: Any, path: str, read_one: Callable[[Json, str, list[Problem]], T | None], problems: list[Problem]
) -> tuple[T, ...]:
    """Read every item of a list, leaving out (and naming) those that cannot be read."""
    if items is not None and not isinstance(items, list):
        problems.append(Problem(path, f"{items!r:.80} is not a list"))
        return ()
    found: list[T] = []
    for index, item in enumerate(items or ()):
        where = f"{path}[{index}]"
        try:
            value = read_one(item, where, problems) if isinstance(item, dict) else None
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        if value is None:
            problems.append(Problem(where, f"{item!r:.80} is not an object"))
        else:
            found.append(value)
    return tuple(found)


def _needed(item: Json, name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing" if value in (None, "") else f"{name} {value!r:.80} is not a text")
    return value


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any, *, empty: bool = False) -> tuple[str, ...]:
    items = value if isinstance(value, list) else ()
    return tuple(item for item in items if isinstance(item, str) and (item or empty))


def _labels(value: Any) -> Mapping[str, str]:
    return {name: item for name, item in _object(value).items() if isinstance(item, str)}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124  # not NaN


def _seconds(item: Json, name: str, default: float) -> float:
    value = item.get(name)
    return max(0, min(value, _MOST_SECONDS)) if _is_number(value) else default
