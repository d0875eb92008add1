"""Namespaces, nodes, configuration, and events: the small kinds of the core group."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Bytes,
    Condition,
    Int,
    Json,
    LocalObjectReference,
    Object,
    ObjectReference,
    Quantity,
    Structure,
    Time,
    about,
)


class NamespaceSpec(Structure):
    """What a namespace is asked to be."""

    finalizers: list[str] | None = about("Who must agree before the namespace is removed.")


class NamespaceStatus(Structure):
    """What a namespace is."""

    phase: str | None = about("Active or Terminating.")
    conditions: list[Condition] | None = about("Why a namespace does not end.", key="type")


class Namespace(Object):
    """A scope for names. Deleting it deletes everything in it."""

    spec: NamespaceSpec | None = about("What the namespace is asked to be.")
    status: NamespaceStatus | None = about("What the namespace is.")


class Taint(Structure):
    """Keeps pods that do not tolerate it away from a node."""

    key: str | None = about("Name of the taint.")
    value: str | None = about("Value of the taint.")
    effect: str | None = about("NoSchedule, PreferNoSchedule or NoExecute.")
    time_added: Time | None = about("When a NoExecute taint was added.")


class NodeSpec(Structure):
    """What is known of a node beforehand."""

    pod_cidr: str | None = about("The range its pods get addresses from: the first of podCIDRs.")
    pod_cidrs: list[str] | None = about("The ranges its pods get addresses from, one per family.", unique=True)
    provider_id: str | None = about("What the machine's provider calls it.")
    unschedulable: Bool | None = about("Whether new pods stay away.")
    taints: list[Taint] | None = about("What pods must tolerate to run here.")
    config_source: Json | None = about("No longer used.")
    external_id: str | None = about("No longer used.")


class NodeAddress(Structure):
    """One address of a node."""

    type: str | None = about("Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS.")
    address: str | None = about("The address.")


class NodeSystemInfo(Structure):
    """What runs on a node."""

    machine_id: str | None = about("Identity of the installation, as in /etc/machine-id.")
    system_uuid: str | None = about("Identity of the machine.")
    boot_id: str | None = about("Identity of this boot.")
    kernel_version: str | None = about("Version of the kernel.")
    os_image: str | None = about("Name of the distribution.")
    container_runtime_version: str | None = about("What runs the containers, and its version.")
    kubelet_version: str | None = about("Version of the kubelet.")
    kube_proxy_version: str | None = about("No longer meaningful.")
    operating_system: str | None = about("The operating system, such as linux.")
    architecture: str | None = about("The processor, such as amd64.")
    swap: Json | None = about("Swap space.")


class NodeStatus(Structure):
    """What a node reports."""

    capacity: dict[str, Quantity] | None = about("Everything the node has.")
    allocatable: dict[str, Quantity] | None = about("What of it pods may use.")
    phase: str | None = about("No longer used.")
    conditions: list[Condition] | None = about("Whether the node is ready, and what it lacks.", key="type")
    addresses: list[NodeAddress] | None = about("Where the node is reached.", key="type")
    daemon_endpoints: Json | None = about("Ports of the node's own services.")
    node_info: NodeSystemInfo | None = about("What runs on the node.")
    images: list[Json] | None = about("Images on the node.")
    volumes_in_use: list[str] | None = about("Volumes in use.")
    volumes_attached: list[Json] | None = about("Volumes attached.")
    config: Json | None = about("No longer used.")
    runtime_handlers: list[Json] | None = about("Runtimes that are available.")
    features: Json | None = about("What the runtime can do.")
    declared_features: list[str] | None = about("What the kubelet can do.")


class Node(Object):
    """A machine that runs pods."""

    spec: NodeSpec | None = about("What is known of the node beforehand.")
    status: NodeStatus | None = about("What the node reports.")


class Secret(Object):
    """Confidential data, such as certificates and tokens."""

    data: dict[str, Bytes] | None = about("The data, base64.")
    string_data: dict[str, str] | None = about("Data as plain text; written into data, and never read back.")
    type: str | None = about("What the data is, such as Opaque or kubernetes.io/tls.")
    immutable: Bool | None = about("Whether the data can no longer be changed.")


class ConfigMap(Object):
    """Configuration that is not confidential."""

    data: dict[str, str] | None = about("The configuration, as text.")
    binary_data: dict[str, Bytes] | None = about("Configuration that is no text, base64.")
    immutable: Bool | None = about("Whether the data can no longer be changed.")


class ServiceAccount(Object):
    """An identity for the processes of pods."""

    secrets: list[ObjectReference] | None = about("Secrets that pods of this account may use.", key="name")
    image_pull_secrets: list[LocalObjectReference] | None = about("Secrets to fetch images with.", key="name")
    automount_service_account_token: Bool | None = about("Whether pods get the account's token.")


class EventSource(Structure):
    """Who reports an event."""

    component: str | None = about("The component.")
    host: str | None = about("The node it runs on.")


class Event(Object):
    """Something that happened to an object; kept for an hour."""

    involved_object: ObjectReference | None = about("The object it happened to.")
    reason: str | None = about("What happened, in one CamelCase word.")
    message: str | None = about("What happened, in a sentence.")
    source: EventSource | None = about("Who reports it.")
    first_timestamp: Time | None = about("When it first happened.")
    last_timestamp: Time | None = about("When it last happened.")
    count: Int | None = about("How often it happened.")
    type: str | None = about("Normal or Warning.")
    event_time: Time | None = about("When it was first seen, to the microsecond.")
    series: Json | None = about("How often it happened since.")
    action: str | None = about("What was done about it.")
    related: ObjectReference | None = about("Another object that is concerned.")
    reporting_component: str | None = about("Who reports it.")
    reporting_instance: str | None = about("Which instance of the reporter.")


class EventV1(Object):
    """Something that happened to an object; kept for an hour. The same Events are in the core group, as v1."""

    event_time: Time | None = about("When it was first seen, to the microsecond.")
    series: Json | None = about("How often it happened since.")
    reporting_controller: str | None = about("Who reports it.")
    reporting_instance: str | None = about("Which instance of the reporter.")
    action: str | None = about("What was done about it.")
    reason: str | None = about("What happened, in one CamelCase word.")
    regarding: ObjectReference | None = about("The object it happened to.")
    related: ObjectReference | None = about("Another object that is concerned.")
    note: str | None = about("What happened, in a sentence.")
    type: str | None = about("Normal or Warning.")
    deprecated_source: EventSource | None = about("Who reports it, in old Events.")
    deprecated_first_timestamp: Time | None = about("When it first happened, in old Events.")
    deprecated_last_timestamp: Time | None = about("When it last happened, in old Events.")
    deprecated_count: Int | None = about("How often it happened, in old Events.")
