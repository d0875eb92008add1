"""Ingresses and their classes. Pure. Rules: networking.k8s.io/v1 API reference."""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from kapi.objects import Ingress, IngressClass
from kapi.resources import INGRESS_CLASSES, INGRESSES
from kapi.server.columns import AGE, NAME, Column, at, shortened
from kapi.server.fields import FieldError, invalid, required, unsupported
from kapi.server.kinds.ips import load_balancer_errors
from kapi.server.kinds.kind import Kind
from kapi.server.names import LABEL_1035_TEXT, SUBDOMAIN_TEXT, is_label_1035, is_subdomain

Json = dict[str, Any]

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NEVER_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_NEVER_AT_END = ("/..", "/.")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")


def _validate(new: Json, old: Json | None) -> list[FieldError]:
    spec = new.get("spec") or {}
    errors: list[FieldError] = []
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and not backend:
        errors.append(invalid("spec", [], "either `defaultBackend` or `rules` must be specified"))
    if backend:
        errors += _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            errors += _host_errors(host, f"spec.tls[{index}].hosts[{number}]")
    named = spec.get("ingressClassName")
    if named and not is_subdomain(named):
        errors.append(invalid("spec.ingressClassName", named, SUBDOMAIN_TEXT))
    noted = (new["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    if old is None and named and noted and named != noted:
        text = "must match `ingressClassName` when both are specified"
        errors.append(invalid("metadata.annotations.kubernetes.io/ingress.class", noted, text))
    return errors


def _rule_errors(rule: Json, path: str) -> list[FieldError]:
    errors = _host_errors(rule["host"], f"{path}.host") if rule.get("host") else []
    if rule.get("http") is None:
        return errors
    paths = rule["http"].get("paths") or ()
    if not paths:
        errors.append(required(f"{path}.http.paths"))
    for index, item in enumerate(paths):
        errors += _path_errors(item, f"{path}.http.paths[{index}]")
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    try:
        ip_address(host)
    except ValueError:
        plain = host.removeprefix("*.")
        return [] if is_subdomain(plain) else [invalid(path, host, SUBDOMAIN_TEXT)]
    return [invalid(path, host, "must be a DNS name, not an IP address")]


def _path_errors(item: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, text = item.get("pathType"), item.get("path") or ""
    if kind is None:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
    elif kind not in _PATH_TYPES:
        errors.append(unsupported(f"{path}.pathType", kind, _PATH_TYPES))
    if kind in ("Exact", "Prefix") or text:
        errors += _path_text_errors(text, kind or "", f"{path}.path")
    if item.get("backend") is None:
        errors.append(required(f"{path}.backend"))
    else:
        errors += _backend_errors(item["backend"], f"{path}.backend")
    return errors


def _path_text_errors(text: str, kind: str, path: str) -> list[FieldError]:
    if not text.startswith("/"):
        return [invalid(path, text, "must be an absolute path")]
    if kind not in ("Exact", "Prefix"):
        return []
    errors = [invalid(path, text, f"must not contain '{part}'") for part in _NEVER_IN_PATH if part in text]
    return errors + [invalid(path, text, f"cannot end with '{end}'") for end in _NEVER_AT_END if text.endswith(end)]


def _backend_errors(backend: Json, path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if service is None and resource is None:
        return [required(path, "resource or service backend is required")]
    return [] if service is None else _service_errors(service, f"{path}.service")


def _service_errors(service: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        errors.append(required(f"{path}.name"))
    elif not is_label_1035(name):
        errors.append(invalid(f"{path}.name", name, LABEL_1035_TEXT))
    if port.get("name") and port.get("number"):
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        if not _PORT_NAME.fullmatch(port["name"]):
            errors.append(invalid(f"{path}.port.name", port["name"], "must be a port name: at most 15 of a-z, 0-9, -"))
    elif port.get("number"):
        if not 0 < port["number"] < 65536:
            errors.append(invalid(f"{path}.port.number", port["number"], "must be between 1 and 65535, inclusive"))
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def _class(obj: Json, _: datetime) -> str:
    noted = (obj["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    return (obj.get("spec") or {}).get("ingressClassName") or noted or "<none>"


def _hosts(obj: Json, _: datetime) -> str:
    hosts = [rule["host"] for rule in (obj.get("spec") or {}).get("rules") or () if rule.get("host")]
    return shortened(hosts) if hosts else "*"


def _address(obj: Json, _: datetime) -> str:
    entries = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(entry.get("ip") or entry.get("hostname") or "" for entry in entries)


def _ports(obj: Json, _: datetime) -> str:
    return "80, 443" if (obj.get("spec") or {}).get("tls") else "80"


INGRESS = Kind(
    INGRESSES,
    Ingress,
    validate=_validate,
    validate_status=load_balancer_errors,
    columns=(
        NAME,
        Column("Class", _class),
        Column("Hosts", _hosts),
        Column("Address", _address),
        Column("Ports", _ports),
        AGE,
    ),
    counted=("spec",),
)


def _check_class(new: Json, old: Json | None) -> list[FieldError]:
    controller = (new.get("spec") or {}).get("controller") or ""
    if not controller:
        return [required("spec.controller")]
    if "/" not in controller or len(controller) > 250:
        return [invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    if old is not None and (old.get("spec") or {}).get("controller") != controller:
        return [invalid("spec.controller", controller, "field is immutable")]
    return []


def _parameters(obj: Json, _: datetime) -> str:
    given = (obj.get("spec") or {}).get("parameters")
    if not given:
        return "<none>"
    kind = f"{given['kind']}.{given['apiGroup']}" if given.get("apiGroup") else given.get("kind", "")
    return f"{kind}/{given.get('name', '')}"


INGRESS_CLASS = Kind(
    INGRESS_CLASSES,
    IngressClass,
    validate=_check_class,
    columns=(NAME, Column("Controller", at("spec.controller")), Column("Parameters", _parameters), AGE),
    counted=("spec",),
)
