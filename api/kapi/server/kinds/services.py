"""Services: what is filled in, and which combinations make no sense. Pure.

Allocation of addresses and ports is `kapi.server.addresses`; what needs to know the cluster's ranges is there as well.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Any

from kapi import decode
from kapi.objects import Service
from kapi.resources import SERVICES
from kapi.server.columns import AGE, NAME, Column, at, pairs
from kapi.server.fields import FieldError, duplicate, forbidden, invalid, required, unsupported
from kapi.server.kinds.ips import NOT_AN_ADDRESS, ip_error, is_ip, load_balancer_errors
from kapi.server.kinds.kind import EVERYWHERE, Kind
from kapi.server.names import LABEL_TEXT, SUBDOMAIN_TEXT, is_label, is_subdomain

Json = dict[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
EXTERNALLY_REACHED = ("NodePort", "LoadBalancer")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_DAY = 86400
_RANGE_TEXT = "must be between 1 and 65535, inclusive"


def is_headless(spec: Json) -> bool:
    """Whether a Service asks for no address of its own."""
    return spec.get("type") != "ExternalName" and "None" in (spec.get("clusterIP"), *(spec.get("clusterIPs") or ()))


def _default(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", 10800)
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    if kind in EXTERNALLY_REACHED:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _adopt(new_service: Json, before: Json) -> None:
    """Give a Service back what its update left out, and drop what its new type has no use for.

    Addresses and ports come back unless the client names others; they go where the client left them as they were.
    """
    new, old = new_service.get("spec") or {}, before["spec"]
    kind = new.get("type") or "ClusterIP"
    if kind == "ExternalName":
        _drop(new, old, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    elif old["type"] != "ExternalName":
        _keep_addresses(new, old)
    if kind in EXTERNALLY_REACHED:
        _keep_ports(new, old)
    else:
        _drop_ports(new, old)
    if kind not in EXTERNALLY_REACHED and not new.get("externalIPs"):
        _drop(new, old, "externalTrafficPolicy")
    if kind != "LoadBalancer":
        _drop(new, old, "allocateLoadBalancerNodePorts", "loadBalancerClass")
        new_service["status"] = {**(new_service.get("status") or {}), "loadBalancer": {}}
    if not (kind == "LoadBalancer" and new.get("externalTrafficPolicy") == "Local"):
        _drop(new, old, "healthCheckNodePort")
    elif not new.get("healthCheckNodePort") and old.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old["healthCheckNodePort"]


def _drop(new: Json, old: Json, *parts: str) -> None:
    for part in parts:
        if part in new and new[part] == old.get(part):
            del new[part]


def _keep_addresses(new: Json, old: Json) -> None:
    if not new.get("clusterIP") and old.get("clusterIP"):
        new["clusterIP"] = old["clusterIP"]
    if not new.get("clusterIPs") and old.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP"):
        new["clusterIPs"] = list(old["clusterIPs"])
    if not new.get("ipFamilies") and old.get("ipFamilies"):
        new["ipFamilies"] = list(old["ipFamilies"])
    new.setdefault("ipFamilyPolicy", old.get("ipFamilyPolicy") or "SingleStack")


def _ports_of(spec: Json) -> dict[tuple[str, Any], int]:
    return {
        (port.get("protocol") or "TCP", port.get("port")): port["nodePort"]
        for port in spec.get("ports") or ()
        if port.get("nodePort")
    }


def _keep_ports(new: Json, old: Json) -> None:
    named = {port["name"]: port.get("nodePort") for port in old.get("ports") or () if port.get("name")}
    numbered = _ports_of(old)
    for port in new.get("ports") or ():
        kept = named.get(port.get("name")) or numbered.get((port.get("protocol") or "TCP", port.get("port")))
        if kept and not port.get("nodePort"):
            port["nodePort"] = kept


def _drop_ports(new: Json, old: Json) -> None:
    before = set(_ports_of(old).values())
    for port in new.get("ports") or ():
        if port.get("nodePort") in before:
            del port["nodePort"]


def _validate(new: Json, old: Json | None) -> list[FieldError]:
    spec = new["spec"]
    kind = spec["type"]
    if kind not in TYPES:
        return [unsupported("spec.type", kind, TYPES)]
    errors = _ports_errors(spec) + _cluster_ip_errors(spec) + _type_errors(spec)
    errors += _affinity_errors(spec) + _policy_errors(spec) + _list_errors(spec)
    return errors + (_update_errors(spec, old["spec"]) if old is not None else [])


def _ports_errors(spec: Json) -> list[FieldError]:
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and not is_headless(spec):
        return [required("spec.ports")]
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        errors += _port_name_errors(port, path, len(ports) > 1, names) + _port_errors(port, path, spec)
        names.add(port.get("name") or "")
    return errors + _duplicate_ports(ports)


def _port_name_errors(port: Json, path: str, several: bool, names: set[str]) -> list[FieldError]:
    name = port.get("name") or ""
    if not name:
        return [required(f"{path}.name")] if several else []
    if not is_label(name):
        return [invalid(f"{path}.name", name, LABEL_TEXT)]
    return [duplicate(f"{path}.name", name)] if name in names else []


def _port_errors(port: Json, path: str, spec: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    number, target = port.get("port", 0), port.get("targetPort")
    if not 0 < number < 65536:
        errors.append(invalid(f"{path}.port", number, _RANGE_TEXT))
    elif isinstance(target, int) and not 0 < target < 65536:
        errors.append(invalid(f"{path}.targetPort", target, _RANGE_TEXT))
    if isinstance(target, str) and not _is_port_name(target):
        errors.append(invalid(f"{path}.targetPort", target, "must be a port name: at most 15 of a-z, 0-9 and '-'"))
    if port["protocol"] not in _PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", port["protocol"], _PROTOCOLS))
    if port.get("nodePort") and spec["type"] not in EXTERNALLY_REACHED:
        errors.append(forbidden(f"{path}.nodePort", f"may not be used when `type` is '{spec['type']}'"))
    return errors


def _is_port_name(text: str) -> bool:
    return is_label(text) and len(text) <= 15 and any(c.isalpha() for c in text) and "--" not in text


def _duplicate_ports(ports: list[Json]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port["protocol"], port.get("port", 0))
        if key in seen:
            errors.append(duplicate(f"spec.ports[{index}]", {"port": key[1], "protocol": key[0]}))
        seen.add(key)
        node = (port["protocol"], port.get("nodePort") or 0)
        if node[1] and node in node_ports:
            errors.append(duplicate(f"spec.ports[{index}].nodePort", node[1]))
        node_ports.add(node)
    return errors


def _cluster_ip_errors(spec: Json) -> list[FieldError]:
    first, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if spec["type"] == "ExternalName":
        return [forbidden("spec.clusterIPs", "may not be set for ExternalName services")] if first or addresses else []
    if addresses and not first:
        return [invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified")]
    if addresses and addresses[0] != first:
        return [invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")]
    if is_headless(spec) and spec["type"] in EXTERNALLY_REACHED:
        return [invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {spec['type']} services")]
    if "None" in addresses and len(addresses) > 1:
        return [invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")]
    if len(addresses) > 2:
        return [invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")]
    return _address_errors([a for a in addresses or [first] if a and a != "None"], addresses)


def _address_errors(addresses: list[str], shown: list[str]) -> list[FieldError]:
    errors = [invalid(f"spec.clusterIPs[{i}]", a, NOT_AN_ADDRESS) for i, a in enumerate(addresses) if not is_ip(a)]
    if not errors and len({ip_address(a).version for a in addresses}) < len(addresses):
        errors.append(invalid("spec.clusterIPs", shown, "may specify no more than one IP for each IP family"))
    return errors


def _type_errors(spec: Json) -> list[FieldError]:
    if spec["type"] != "ExternalName":
        return []
    name = spec.get("externalName") or ""
    if not name:
        return [required("spec.externalName")]
    plain = name.removesuffix(".")
    return [] if is_subdomain(plain) else [invalid("spec.externalName", name, SUBDOMAIN_TEXT)]


def _affinity_errors(spec: Json) -> list[FieldError]:
    affinity, config = spec["sessionAffinity"], spec.get("sessionAffinityConfig")
    if affinity not in ("None", "ClientIP"):
        return [unsupported("spec.sessionAffinity", affinity, ("None", "ClientIP"))]
    if affinity == "None":
        text = "must not be set when session affinity is None"
        return [forbidden("spec.sessionAffinityConfig", text)] if config is not None else []
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if not isinstance(seconds, int) or not 0 < seconds <= _DAY:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        return [invalid(path, seconds, f"must be greater than 0 and less than or equal to {_DAY}")]
    return []


def _policy_errors(spec: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    external = spec.get("externalTrafficPolicy") or ""
    reached = spec["type"] in EXTERNALLY_REACHED or bool(spec.get("externalIPs"))
    if external and not reached:
        text = "may only be set for externally-accessible services"
        errors.append(invalid("spec.externalTrafficPolicy", external, text))
    elif external and external not in _POLICIES:
        errors.append(unsupported("spec.externalTrafficPolicy", external, _POLICIES))
    internal = spec.get("internalTrafficPolicy") or "Cluster"
    if internal not in _POLICIES:
        errors.append(unsupported("spec.internalTrafficPolicy", internal, _POLICIES))
    health = spec.get("healthCheckNodePort") or 0
    if health and not needs_health_port(spec):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", health, text))
    return errors


def needs_health_port(spec: Json) -> bool:
    """Whether load balancers ask nodes for local endpoints of this Service."""
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _list_errors(spec: Json) -> list[FieldError]:
    errors = [
        error
        for index, address in enumerate(spec.get("externalIPs") or ())
        for error in ip_error(address, f"spec.externalIPs[{index}]")
    ]
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        try:
            decode.network(text)
        except ValueError:
            where = f"spec.loadBalancerSourceRanges[{index}]"
            errors.append(invalid(where, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
    if spec.get("loadBalancerClass") and spec["type"] != "LoadBalancer":
        errors.append(forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"))
    families = ("IPv4", "IPv6")
    strange = [family for family in spec.get("ipFamilies") or () if family not in families]
    return errors + [unsupported("spec.ipFamilies", family, families) for family in strange]


def _update_errors(new: Json, old: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    keeps = old.get("type") != "ExternalName" and new["type"] != "ExternalName"
    before, after = old.get("clusterIP") or "", new.get("clusterIP") or ""
    if keeps and before and after and before != after:
        errors.append(invalid("spec.clusterIPs[0]", [after], "may not change once set"))
    families = (old.get("ipFamilies") or [""])[0], (new.get("ipFamilies") or [""])[0]
    if keeps and all(families) and families[0] != families[1]:
        errors.append(invalid("spec.ipFamilies[0]", families[1], "may not change once set"))
    if new["type"] == old.get("type") == "LoadBalancer" and new.get("loadBalancerClass") != old.get(
        "loadBalancerClass"
    ):
        errors.append(invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set"))
    port = new.get("healthCheckNodePort")
    if port and needs_health_port(old) and old.get("healthCheckNodePort") not in (None, port):
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def _external(obj: Json, _: datetime) -> str:
    spec = obj["spec"]
    entries = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    listed = [entry.get("ip") or entry.get("hostname") or "" for entry in entries]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName") or "<none>")
    if spec["type"] == "LoadBalancer":
        return ",".join(listed + list(spec.get("externalIPs") or ())) or "<pending>"
    return ",".join(spec.get("externalIPs") or ()) or "<none>"


def _ports(obj: Json, _: datetime) -> str:
    shown = []
    for port in obj["spec"].get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port['protocol']}")
    return ",".join(shown) or "<none>"


SERVICE = Kind(
    SERVICES,
    Service,
    adopt=_adopt,
    default=_default,
    validate=_validate,
    validate_status=load_balancer_errors,
    columns=(
        NAME,
        Column("Type", at("spec.type")),
        Column("Cluster-IP", at("spec.clusterIP")),
        Column("External-IP", _external),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", lambda obj, _: pairs(obj["spec"].get("selector")), wide=True),
    ),
    selectable=EVERYWHERE | {"spec.clusterIP", "spec.type"},
    created_by_update=True,
    shown_when_deleted=True,
)
