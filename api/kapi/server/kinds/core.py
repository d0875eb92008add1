"""Namespaces, nodes, configuration and events. Pure."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from kapi.objects import ConfigMap, Event, EventV1, Lease, Namespace, Node, Secret, ServiceAccount
from kapi.resources import CONFIG_MAPS, EVENTS, EVENTS_V1, LEASES, NAMESPACES, NODES, SECRETS, SERVICE_ACCOUNTS
from kapi.server.columns import AGE, NAME, Column, age, at, since
from kapi.server.fields import FieldError, forbidden, invalid, required
from kapi.server.kinds.affinity import taint_errors
from kapi.server.kinds.kind import EVERYWHERE, Kind

Json = dict[str, Any]


def _default_namespace(obj: Json) -> None:
    meta = obj["metadata"]
    if meta.get("name"):
        meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
    if "deletionTimestamp" not in meta:
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        obj.setdefault("status", {}).setdefault("phase", "Active")


NAMESPACE = Kind(
    NAMESPACES,
    Namespace,
    default=_default_namespace,
    columns=(NAME, Column("Status", at("status.phase", "Active"), "Active or Terminating."), AGE),
    selectable=EVERYWHERE | {"status.phase"},
    status_at_creation=True,
)


def _node_state(obj: Json, _: datetime) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    ready = next((c.get("status") for c in conditions if c.get("type") == "Ready"), None)
    words = [{"True": "Ready", None: "Unknown"}.get(ready, "NotReady")]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Json, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = obj["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or "<none>"


def _node_address(kind: str) -> Any:
    def cell(obj: Json, _: datetime) -> str:
        addresses = (obj.get("status") or {}).get("addresses") or ()
        return next((a["address"] for a in addresses if a.get("type") == kind), "<none>")

    return cell


NODE = Kind(
    NODES,
    Node,
    validate=taint_errors,
    columns=(
        NAME,
        Column("Status", _node_state),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", _node_address("InternalIP"), wide=True),
        Column("External-IP", _node_address("ExternalIP"), wide=True),
        Column("OS-Image", at("status.nodeInfo.osImage", "<unknown>"), wide=True),
        Column("Kernel-Version", at("status.nodeInfo.kernelVersion", "<unknown>"), wide=True),
        Column("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), wide=True),
    ),
    selectable=EVERYWHERE | {"spec.unschedulable"},
    status_at_creation=True,
)


def _default_secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        obj["data"] = {**obj.get("data", {}), **{k: base64.b64encode(v.encode()).decode() for k, v in plain.items()}}


def _check_secret(new: Json, old: Json | None) -> list[FieldError]:
    errors = [
        invalid(f"data[{name}]", value, "must be base64")
        for name, value in (new.get("data") or {}).items()
        if not _is_base64(value)
    ]
    if new.get("type") == "kubernetes.io/tls":
        errors += [required(f"data[{k}]") for k in ("tls.crt", "tls.key") if k not in (new.get("data") or {})]
    if old is not None and old.get("type") != new.get("type"):
        errors.append(invalid("type", new.get("type"), "field is immutable"))
    return errors + _check_immutable(new, old)


def _check_immutable(new: Json, old: Json | None) -> list[FieldError]:
    if old is None or not old.get("immutable"):
        return []
    parts = [part for part in ("data", "binaryData") if old.get(part) != new.get(part)]
    errors = [forbidden(part, "field is immutable when `immutable` is set") for part in parts]
    if not new.get("immutable"):
        errors.append(forbidden("immutable", "field is immutable when `immutable` is set"))
    return errors


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _count(*parts: str) -> Any:
    def cell(obj: Json, _: datetime) -> int:
        return sum(len(obj.get(part) or ()) for part in parts)

    return cell


SECRET = Kind(
    SECRETS,
    Secret,
    default=_default_secret,
    validate=_check_secret,
    columns=(NAME, Column("Type", at("type")), Column("Data", _count("data"), type="integer"), AGE),
    selectable=EVERYWHERE | {"type"},
)
CONFIG_MAP = Kind(
    CONFIG_MAPS,
    ConfigMap,
    validate=_check_immutable,
    columns=(NAME, Column("Data", _count("data", "binaryData"), type="integer"), AGE),
)
SERVICE_ACCOUNT = Kind(
    SERVICE_ACCOUNTS,
    ServiceAccount,
    columns=(NAME, Column("Secrets", _count("secrets"), type="integer"), AGE),
    shown_when_deleted=True,
)


def _about(obj: Json, _: datetime) -> str:
    involved = obj.get("involvedObject") or {}
    return f"{(involved.get('kind') or '').lower()}/{involved.get('name', '')}"


def _last_seen(obj: Json, now: datetime) -> str:
    last = obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp", "")
    return age(last, now)


def _reporter(obj: Json, _: datetime) -> str:
    source = obj.get("source") or {}
    return ", ".join(part for part in (source.get("component"), source.get("host")) if part)


def _default_event(obj: Json) -> None:
    obj.setdefault("type", "Normal")


def _check_event(new: Json, _: Json | None) -> list[FieldError]:
    about = (new.get("involvedObject") or {}).get("namespace") or "default"
    if about == new["metadata"].get("namespace") or not (new.get("involvedObject") or {}).get("namespace"):
        return []
    return [invalid("involvedObject.namespace", about, "does not match event.namespace")]


EVENT = Kind(
    EVENTS,
    Event,
    default=_default_event,
    validate=_check_event,
    columns=(
        Column("Last Seen", _last_seen),
        Column("Type", at("type", "")),
        Column("Reason", at("reason", "")),
        Column("Object", _about),
        Column("Subobject", at("involvedObject.fieldPath", ""), wide=True),
        Column("Source", _reporter, wide=True),
        Column("Message", at("message", "")),
        Column("First Seen", since("firstTimestamp"), wide=True),
        Column("Count", at("count", 1), type="integer", wide=True),
        Column("Name", at("metadata.name"), format="name", wide=True),
    ),
    selectable=EVERYWHERE
    | {f"involvedObject.{part}" for part in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")}
    | {"involvedObject.resourceVersion", "reason", "type", "source", "reportingComponent"},
    created_by_update=True,
)
EVENT_V1 = Kind(
    EVENTS_V1,
    EventV1,
    selectable=EVENT.selectable,
    stored_as=EVENTS,
    renamed={
        "regarding": "involvedObject",
        "note": "message",
        "reportingController": "reportingComponent",
        "deprecatedSource": "source",
        "deprecatedFirstTimestamp": "firstTimestamp",
        "deprecatedLastTimestamp": "lastTimestamp",
        "deprecatedCount": "count",
    },
)
LEASE = Kind(
    LEASES,
    Lease,
    columns=(NAME, Column("Holder", at("spec.holderIdentity", "")), AGE),
    created_by_update=True,
    update_names_version=True,
)
