"""From API JSON to the values of `kingress.objects`. Pure.

As in `kapi.decode`, a bad part is left out and named in `problems`, and only an object without a name is refused
(`DecodeError`). The checks are those of the API server, made again because objects also come from files, and because
servers differ: a path or a host that breaks them is never matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from kapi.decode import as_object, identity
from kapi.network import Problem
from kingress import features
from kingress.objects import BackendRef, HostRule, Ingress, IngressClass, PathRule, PathType, Tls
from kingress.policy import PLAIN
from kingress.target import BadTarget, rule_path

Json = dict[str, Any]

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_CAPTURE = re.compile(r"(/[^()\[\]^$*+?|{}]*?|)(\(/\|\$\)\(\.\*\)|/\(\.\*\))\$?")  # /shop(/|$)(.*) and /shop/(.*)
NOTHING = BackendRef("", "", 0)  # behind a path whose backend cannot be read
_AMBIGUOUS = re.compile(r"//|/\.\.?(?:/|$)|%2f", re.IGNORECASE)


class _Wrong(ValueError):
    """A part that is left out; `field` is where it stands."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(field, message)


def ingress(obj: Json) -> Ingress:
    """Read a networking.k8s.io/v1 Ingress."""
    namespace, name, meta = identity(obj, "Ingress")
    spec, annotations = as_object(obj.get("spec")), as_object(meta.get("annotations"))
    problems: list[Problem] = []
    try:
        default = (
            _backend(spec["defaultBackend"], namespace, "spec.defaultBackend") if "defaultBackend" in spec else None
        )
    except _Wrong as error:
        default = None
        problems.append(error.problem)
    tls = tuple(_tls(entry) for _, entry in _items(spec.get("tls"), "spec.tls"))
    policy, misread = features.read(annotations, has_tls=bool(tls))
    problems += [*misread, *_miscounted(spec, features.capture(annotations))]
    return Ingress(
        namespace=namespace,
        name=name,
        uid=meta.get("uid") or "",
        class_name=spec.get("ingressClassName") or None,
        class_annotation=annotations.get(CLASS_ANNOTATION) or None,
        rules=_rules(spec, namespace, default, problems),
        default_backend=default,
        tls=tls,
        policy=PLAIN if policy == PLAIN else policy,
        addresses=_addresses(obj),
        created=meta.get("creationTimestamp") or "",
        terminating="deletionTimestamp" in meta,
        problems=tuple(problems),
    )


def ingress_class(obj: Json) -> IngressClass:
    """Read a networking.k8s.io/v1 IngressClass."""
    _, name, meta = identity(obj, "IngressClass")
    annotations = as_object(meta.get("annotations"))
    controller = as_object(obj.get("spec")).get("controller") or ""
    return IngressClass(name, str(controller), annotations.get(DEFAULT_CLASS_ANNOTATION) == "true")


def _rules(spec: Json, namespace: str, default: BackendRef | None, problems: list[Problem]) -> tuple[HostRule, ...]:
    found = []
    for field, rule in _items(spec.get("rules"), "spec.rules"):
        try:
            host = _host(rule.get("host") or "", f"{field}.host")
        except _Wrong as error:
            problems.append(error.problem)
            continue
        http = rule.get("http")
        if http is None and default is not None:
            # A rule without paths sends everything of its host to the default backend.
            paths: tuple[PathRule, ...] = (PathRule("/", PathType.PREFIX, default, field),)
        else:
            paths = tuple(_paths(as_object(http), namespace, f"{field}.http.paths", problems))
        found.append(HostRule(host, paths, field))
    return tuple(found)


def _paths(http: Json, namespace: str, where: str, problems: list[Problem]) -> Iterator[PathRule]:
    for field, item in _items(http.get("paths"), where):
        try:
            kind = _path_type(item.get("pathType"), f"{field}.pathType")
            path = _path(item.get("path"), kind, f"{field}.path")
        except _Wrong as error:
            problems.append(error.problem)
            continue
        try:
            yield PathRule(path, kind, _backend(item.get("backend"), namespace, f"{field}.backend"), field)
        except _Wrong as error:  # the path stays taken: what it asks for must not fall to a wider rule
            problems.append(error.problem)
            yield PathRule(path, kind, NOTHING, field, str(error.problem))


def _miscounted(spec: Json, number: str) -> Iterator[Problem]:
    """Tell of paths whose rest is not the capture that the rewrite names: in `(/|$)(.*)` the first is the slash."""
    for field, rule in _items(spec.get("rules"), "spec.rules"):
        for where, item in _items(as_object(rule.get("http")).get("paths"), f"{field}.http.paths"):
            found = _CAPTURE.fullmatch(str(item.get("path")))
            rest = str(found[2].count("(")) if found else number
            if number and rest != number:
                said = f"in {item['path']!r} ${number} is not what follows the prefix: ${rest} is, and is used"
                yield Problem(f"{where}.path", f"rewrite-target is wrong: {said}")


def _host(host: Any, field: str) -> str:
    if host == "":
        return ""
    if not isinstance(host, str) or not _HOST.fullmatch(host.lower()) or len(host) > 253:
        raise _Wrong(field, f"{host!r} is not a host name, nor one with `*.` for its first label")
    try:
        ip_address(host)
    except ValueError:
        return host.lower()
    raise _Wrong(field, f"{host!r} is an address; a rule needs a host name, or no host at all")


def _path_type(value: Any, field: str) -> PathType:
    try:
        return PathType(value)
    except ValueError:
        known = ", ".join(PathType)
        raise _Wrong(field, f"{value!r} is not a path type (one of {known})") from None


def _path(path: Any, kind: PathType, field: str) -> str:
    if path in (None, "") and kind is PathType.IMPLEMENTATION_SPECIFIC:
        return "/"
    if not isinstance(path, str) or not path.startswith("/"):
        raise _Wrong(field, f"{path!r} does not start with /")
    if kind is not PathType.IMPLEMENTATION_SPECIFIC and _AMBIGUOUS.search(path):
        raise _Wrong(field, f"{path!r} has one of //, /./, /../ and %2f, which no rule may have")
    captured = _CAPTURE.fullmatch(path) if kind is PathType.IMPLEMENTATION_SPECIFIC else None
    if captured:  # the regular expressions that many write for ingress-nginx and that mean a prefix
        path = captured[1] or "/"
    try:
        return rule_path(path)
    except (BadTarget, UnicodeEncodeError):
        raise _Wrong(field, f"{path!r} has an escape or a character that no request's path can have") from None


def _backend(value: Any, namespace: str, field: str) -> BackendRef:
    backend = as_object(value)
    service = backend.get("service")
    if backend.get("resource") is not None and service is None:
        raise _Wrong(f"{field}.resource", "only Services can be backends here; a resource cannot")
    name = as_object(service).get("name")
    if not isinstance(name, str) or not name:
        raise _Wrong(f"{field}.service.name", "a backend needs the name of a Service")
    port = as_object(as_object(service).get("port"))
    number, port_name = port.get("number"), port.get("name")
    if isinstance(port_name, str) and port_name and not number:
        return BackendRef(namespace, name, port_name)
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 65536 and not port_name:
        return BackendRef(namespace, name, number)
    raise _Wrong(f"{field}.service.port", "a backend needs a port: either its name, or its number (1-65535)")


def _tls(entry: Json) -> Tls:
    hosts = entry.get("hosts")
    names = tuple(host.lower() for host in hosts if isinstance(host, str)) if isinstance(hosts, list) else ()
    return Tls(names, str(entry.get("secretName") or ""))


def _addresses(obj: Json) -> tuple[str, ...]:
    status = as_object(as_object(obj.get("status")).get("loadBalancer"))
    entries = (item for _, item in _items(status.get("ingress"), ""))
    return tuple(str(entry.get("ip") or entry.get("hostname") or "") for entry in entries)


def _items(value: Any, field: str) -> Iterator[tuple[str, Json]]:
    """The objects of a list, each with its JSON path."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield f"{field}[{index}]", item
