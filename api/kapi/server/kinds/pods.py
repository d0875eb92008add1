"""Pods: what a pod is if nothing is said, which pods make no sense, and how a pod's state is told in a word. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import Pod
from kapi.quantities import QuantityError, parse
from kapi.resources import PODS
from kapi.server.columns import AGE, NAME, Column, age, at
from kapi.server.fields import FieldError, duplicate, forbidden, invalid, required, unsupported
from kapi.server.kinds.affinity import affinity_errors
from kapi.server.kinds.kind import EVERYWHERE, Kind
from kapi.server.names import LABEL_TEXT, is_label

Json = dict[str, Any]

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_RESTARTS = ("Always", "OnFailure", "Never")
_FILES, _FILE_MODE = frozenset({"configMap", "secret", "downwardAPI", "projected"}), 0o644
_DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")


def default_spec(spec: Json) -> None:
    """Fill in the defaults of a pod's specification, in a Pod or in a template."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", 30),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
    ):
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec or "serviceAccount" in spec:
        account = spec.get("serviceAccountName") or spec["serviceAccount"]
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in _containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if isinstance(token := source.get("serviceAccountToken"), dict):
                token.setdefault("expirationSeconds", 3600)
        for name in _FILES & volume.keys():
            volume[name].setdefault("defaultMode", _FILE_MODE)


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _default_container(container: Json) -> None:
    image = container.get("image") or ""
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    for name, value in (
        ("terminationMessagePath", "/dev/termination-log"),
        ("terminationMessagePolicy", "File"),
        ("imagePullPolicy", "Always" if latest and "@" not in image else "IfNotPresent"),
    ):
        container.setdefault(name, value)
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])


def _default_probe(probe: Json) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(name, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def _default_requests(resources: Json) -> None:
    """Let a container ask for as much as it may use, where it does not say."""
    for name, most in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, most)


def _default(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    default_spec(spec)
    for container in _containers(spec):
        _default_requests(container["resources"])
    status = obj.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", _quality(spec))


def _quality(spec: Json) -> str:
    needs = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(need.get("limits") or need.get("requests") for need in needs):
        return "BestEffort"
    complete = all({"cpu", "memory"} <= set(need.get("limits") or ()) for need in needs)
    equal = all((need.get("requests") or need.get("limits")) == need.get("limits") for need in needs)
    return "Guaranteed" if complete and equal else "Burstable"


def spec_errors(spec: Json, path: str) -> list[FieldError]:
    """Say what is wrong with a pod's specification."""
    errors: list[FieldError] = []
    containers = spec.get("containers") or []
    if not containers:
        errors.append(required(f"{path}.containers"))
    names: set[str] = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or ()):
            where = f"{path}.{part}[{index}]"
            errors += _container_errors(container, where)
            if container.get("name") in names:
                errors.append(duplicate(f"{where}.name", container["name"]))
            names.add(container.get("name") or "")
    if spec["restartPolicy"] not in _RESTARTS:
        errors.append(unsupported(f"{path}.restartPolicy", spec["restartPolicy"], _RESTARTS))
    if spec["dnsPolicy"] not in _DNS:
        errors.append(unsupported(f"{path}.dnsPolicy", spec["dnsPolicy"], _DNS))
    for name in ("hostname", "subdomain"):
        if spec.get(name) and not is_label(spec[name]):
            errors.append(invalid(f"{path}.{name}", spec[name], LABEL_TEXT))
    return errors + affinity_errors(spec, path) + _volume_errors(spec, path)


def _container_errors(container: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    elif not is_label(name):
        errors.append(invalid(f"{path}.name", name, LABEL_TEXT))
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    for index, port in enumerate(container.get("ports") or ()):
        errors += _port_errors(port, f"{path}.ports[{index}]")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            errors.append(required(f"{path}.env[{index}].name"))
    for name in _PROBES:
        if name in container:
            errors += _probe_errors(container[name], f"{path}.{name}")
    return errors + _resource_errors(container.get("resources") or {}, f"{path}.resources")


def _port_errors(port: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    number = port.get("containerPort")
    if number is None:
        errors.append(required(f"{path}.containerPort"))
    elif not 0 < number < 65536:
        errors.append(invalid(f"{path}.containerPort", number, "must be between 1 and 65535, inclusive"))
    if port["protocol"] not in _PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", port["protocol"], _PROTOCOLS))
    return errors


def _probe_errors(probe: Json, path: str) -> list[FieldError]:
    given = [action for action in _ACTIONS if action in probe]
    errors: list[FieldError] = []
    if not given:
        errors.append(required(path, "must specify a handler type"))
    errors += [forbidden(f"{path}.{action}", "may not specify more than 1 handler type") for action in given[1:]]
    negative = [name for name in _PROBE_NUMBERS if probe.get(name, 0) < 0]
    return errors + [invalid(f"{path}.{name}", probe[name], "must be greater than or equal to 0") for name in negative]


def _resource_errors(resources: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for part in ("limits", "requests"):
        for name, quantity in (resources.get(part) or {}).items():
            try:
                if parse(quantity) < 0:
                    errors.append(invalid(f"{path}.{part}[{name}]", quantity, "must be greater than or equal to 0"))
            except QuantityError as error:
                errors.append(invalid(f"{path}.{part}[{name}]", quantity, str(error)))
    return errors


def _volume_errors(spec: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    known: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        name = volume.get("name") or ""
        if not name:
            errors.append(required(f"{path}.volumes[{index}].name"))
        elif name in known:
            errors.append(duplicate(f"{path}.volumes[{index}].name", name))
        known.add(name)
    for number, container in enumerate(spec.get("containers") or ()):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("name") not in known:
                where = f"{path}.containers[{number}].volumeMounts[{index}].name"
                errors.append(FieldError(where, "Not found", mount.get("name") or ""))
    return errors


def _validate(new: Json, old: Json | None) -> list[FieldError]:
    errors = spec_errors(new["spec"], "spec")
    before = old["spec"].get("nodeName") if old is not None else None
    if before and before != new["spec"].get("nodeName"):
        errors.append(forbidden("spec.nodeName", "pod updates may not change the node of a pod"))
    return errors


def _statuses(obj: Json) -> list[Json]:
    return (obj.get("status") or {}).get("containerStatuses") or []


def _ready(obj: Json, _: datetime) -> str:
    ready = sum(1 for status in _statuses(obj) if status.get("ready"))
    return f"{ready}/{len(obj['spec'].get('containers') or ())}"


def _state(obj: Json, _: datetime) -> str:
    status = obj.get("status") or {}
    word: str = status.get("reason") or status.get("phase") or "Unknown"
    for container in reversed(_statuses(obj)):
        state = container.get("state") or {}
        told = (state.get("waiting") or {}).get("reason") or (state.get("terminated") or {}).get("reason")
        if told:
            word = told
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    return word


def _restarts(obj: Json, now: datetime) -> str:
    count = sum(status.get("restartCount") or 0 for status in _statuses(obj))
    ends = [((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for s in _statuses(obj)]
    return f"{count} ({age(max(ends), now)} ago)" if count and any(ends) else str(count)


def _gates(obj: Json, _: datetime) -> str:
    gates = obj["spec"].get("readinessGates") or ()
    if not gates:
        return "<none>"
    conditions = {c.get("type"): c.get("status") for c in (obj.get("status") or {}).get("conditions") or ()}
    return f"{sum(conditions.get(gate.get('conditionType')) == 'True' for gate in gates)}/{len(gates)}"


POD = Kind(
    PODS,
    Pod,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("Ready", _ready, "Containers that are ready, of all."),
        Column("Status", _state, "What the pod does, in a word."),
        Column("Restarts", _restarts, "How often containers were started again."),
        AGE,
        Column("IP", at("status.podIP"), wide=True),
        Column("Node", at("spec.nodeName"), wide=True),
        Column("Nominated Node", at("status.nominatedNodeName"), wide=True),
        Column("Readiness Gates", _gates, wide=True),
    ),
    selectable=EVERYWHERE
    | {f"spec.{part}" for part in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork")}
    | {f"status.{part}" for part in ("phase", "podIP", "nominatedNodeName")},
    counted=("spec",),
    shown_when_deleted=True,
)
