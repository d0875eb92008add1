"""What the types of all API objects share: names as JSON has them, unknown fields kept, and how lists are merged.

A field is declared with `about`, whose text becomes the OpenAPI description and so the words of `kubectl explain`.
Every field may be absent; what must be there is a matter of validation, which names fields in Kubernetes' own way.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, Strict

Json = dict[str, Any]

# Words that JSON names write in capitals, unless they come first.
_CAPITALS = {
    "ip": "IP",
    "ips": "IPs",
    "id": "ID",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
    "uuid": "UUID",
    "fqdn": "FQDN",
    "ipc": "IPC",
    "pid": "PID",
    "io": "IO",
    "urls": "URLs",
    "api": "API",
}


def json_name(name: str) -> str:
    """Give the JSON name of a field: `cluster_ips` is `clusterIPs`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_CAPITALS.get(word) or word.capitalize() for word in rest)


@dataclass(frozen=True, slots=True)
class Format:
    """Marks a type that JSON Schema tells by a format: a date, an int-or-string."""

    name: str


Int = Annotated[int, Strict()]
Long = Annotated[int, Strict(), Format("int64")]
Bool = Annotated[bool, Strict()]
IntOrString = Annotated[Annotated[int, Strict()] | str, Format("int-or-string")]
Quantity = Annotated[str | Annotated[int, Strict()] | float, Format("quantity")]
Time = Annotated[str, Format("date-time")]
Bytes = Annotated[str, Format("byte")]
Labels = dict[str, str]


class Structure(BaseModel):
    """A part of an object. Fields that are not declared are kept. One that is `atomic` has one owner for all of it."""

    atomic: ClassVar[bool] = False
    model_config = ConfigDict(extra="allow", alias_generator=json_name, defer_build=True, populate_by_name=False)


def about(
    description: str,
    *,
    key: str = "",
    keys: tuple[str, ...] = (),
    unique: bool = False,
    retain: bool = False,
    atomic: bool = False,
) -> Any:
    """Declare a field that may be absent, and say what it is for.

    For lists: `key` joins items in a strategic merge patch, `keys` (by default that same one) in a server-side apply;
    `unique` makes it a set of plain values; `retain` lets a patch drop an item's other fields. A list with none of
    these is replaced as a whole; so is a map that is `atomic`.
    """
    extra: Json = {}
    if key:
        extra["x-kubernetes-patch-merge-key"] = key
        extra["x-kubernetes-patch-strategy"] = "merge,retainKeys" if retain else "merge"
        extra["x-kubernetes-list-type"] = "map"
        extra["x-kubernetes-list-map-keys"] = list(keys or (key,))
    elif unique:
        extra = {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-list-type": "set"}
    elif retain:
        extra = {"x-kubernetes-patch-strategy": "retainKeys"}
    if atomic:
        extra["x-kubernetes-map-type"] = "atomic"
    return Field(default=None, description=description, json_schema_extra=extra or None)


def inner(annotation: Any) -> tuple[Any, str]:
    """Take `| None` and `Annotated` off a type; gives what remains, and the format that was marked on it."""
    form = ""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *marks = get_args(annotation)
            form = next((mark.name for mark in marks if isinstance(mark, Format)), form)
        elif origin in (Union, types.UnionType):
            arms = [arm for arm in get_args(annotation) if arm is not type(None)]
            if len(arms) > 1:
                return annotation, form
            annotation = arms[0]
        else:
            return annotation, form


class OwnerReference(Structure):
    """Names an object that owns this one: when the last owner goes, this one goes."""

    atomic = True

    api_version: str | None = about("API version of the owner.")
    kind: str | None = about("Kind of the owner.")
    name: str | None = about("Name of the owner.")
    uid: str | None = about("UID of the owner.")
    controller: Bool | None = about("Whether the owner is the controller that manages this object.")
    block_owner_deletion: Bool | None = about("Whether a foreground deletion of the owner waits for this object.")


class ManagedFields(Structure):
    """Which fields one manager has set."""

    manager: str | None = about("Who sets the fields.")
    operation: str | None = about("How they were set: Apply or Update.")
    api_version: str | None = about("The API version in which the fields are named.")
    time: Time | None = about("When the set of fields last changed.")
    fields_type: str | None = about("The format of fieldsV1; always FieldsV1.")
    fields_v1: Json | None = about("The fields, as a tree of names.")
    subresource: str | None = about("The subresource through which the fields were set.")


class ObjectMeta(Structure):
    """What every object has: its name, its identity, and who is concerned with it."""

    name: str | None = about("Name, unique among the objects of this kind in the namespace. It cannot be changed.")
    generate_name: str | None = about("A prefix from which the server makes a unique name, where no name is given.")
    namespace: str | None = about("The namespace the name is unique in; empty for kinds that have none.")
    uid: str | None = about("The object's identity, set by the server: an object of the same name made later differs.")
    resource_version: str | None = about("The version of this content. Send it with an update to not lose another's.")
    generation: Long | None = about("Counts the changes of what is desired. Set by the server.")
    creation_timestamp: Time | None = about("When the object was created. Set by the server.")
    deletion_timestamp: Time | None = about(
        "When the object goes, where its deletion was asked for. Set by the server."
    )
    deletion_grace_period_seconds: Long | None = about("Seconds the object has to end. Set by the server.")
    labels: Labels | None = about("Words to select objects by.")
    annotations: dict[str, str] | None = about("Notes of tools and people; nothing is selected by them.")
    owner_references: list[OwnerReference] | None = about("The objects this one depends on.", key="uid")
    finalizers: list[str] | None = about("Who must agree before the object is removed.", unique=True)
    managed_fields: list[ManagedFields] | None = about("Who has set which field, for server-side apply.")
    self_link: str | None = about("No longer set.")


class Object(Structure):
    """A whole object: kind, version, metadata, and what its kind adds."""

    api_version: str | None = about("Version of the schema that this object follows, such as v1 or apps/v1.")
    kind: str | None = about("What this object is, in CamelCase.")
    metadata: ObjectMeta | None = about("Name, identity, labels and other data that every object has.")


class Condition(Structure):
    """One aspect of an object's state: true, false or unknown."""

    type: str | None = about("Which aspect.")
    status: str | None = about("True, False or Unknown.")
    reason: str | None = about("Why, in one CamelCase word.")
    message: str | None = about("Why, in a sentence.")
    last_transition_time: Time | None = about("When the status last changed.")
    last_update_time: Time | None = about("When the condition was last written.")
    last_heartbeat_time: Time | None = about("When the condition was last confirmed.")
    last_probe_time: Time | None = about("When the condition was last probed.")
    observed_generation: Long | None = about("The generation that the condition is about.")


class LabelSelectorRequirement(Structure):
    """One term of a selector."""

    key: str | None = about("The label's name.")
    operator: str | None = about("In, NotIn, Exists or DoesNotExist.")
    values: list[str] | None = about("The values for In and NotIn; none otherwise.")


class LabelSelector(Structure):
    """Selects objects by their labels: all terms must hold. An empty selector selects everything."""

    atomic = True

    match_labels: Labels | None = about("Labels that must be there with these values.")
    match_expressions: list[LabelSelectorRequirement] | None = about("Further terms.")


class ObjectReference(Structure):
    """Points at another object."""

    atomic = True

    kind: str | None = about("Kind of the object.")
    namespace: str | None = about("Namespace of the object.")
    name: str | None = about("Name of the object.")
    uid: str | None = about("UID of the object.")
    api_version: str | None = about("API version of the object.")
    resource_version: str | None = about("The version of the object that is meant.")
    field_path: str | None = about("The part of the object that is meant, such as spec.containers{web}.")


class LocalObjectReference(Structure):
    """Points at an object in the same namespace."""

    atomic = True

    name: str | None = about("Name of the object.")


class LoadBalancerPort(Structure):
    """The state of one port of a load balancer."""

    port: Int | None = about("The port's number.")
    protocol: str | None = about("TCP, UDP or SCTP.")
    error: str | None = about("What is wrong with it, if anything.")


class LoadBalancerIngress(Structure):
    """One address of a load balancer."""

    ip: str | None = about("The address, where it is one.")
    hostname: str | None = about("The name, where there is no address.")
    ip_mode: str | None = about("VIP: traffic arrives with this destination. Proxy: it arrives at a node or pod.")
    ports: list[LoadBalancerPort] | None = about("State of the ports.")


class LoadBalancerStatus(Structure):
    """Where a load balancer is reached."""

    ingress: list[LoadBalancerIngress] | None = about("The addresses.")
