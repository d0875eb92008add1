"""Services, and who is behind them: Endpoints and EndpointSlices."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    IntOrString,
    Json,
    LoadBalancerStatus,
    Object,
    ObjectReference,
    Structure,
    about,
)


class ServicePort(Structure):
    """One port of a Service, and where its traffic goes."""

    name: str | None = about("Name of the port; required where there are several.")
    protocol: str | None = about("TCP (the default), UDP or SCTP.")
    app_protocol: str | None = about("The protocol spoken on it, such as http.")
    port: Int | None = about("The port that clients connect to.")
    target_port: IntOrString | None = about("The pods' port by number or name; the same as port by default.")
    node_port: Int | None = about(
        "The port on every node, for NodePort and LoadBalancer; chosen where it is not given."
    )


class ClientIPConfig(Structure):
    """Affinity by the client's address."""

    timeout_seconds: Int | None = about("How long it lasts after the last connection; 10800, three hours.")


class SessionAffinityConfig(Structure):
    """How affinity works."""

    client_ip: ClientIPConfig | None = about("By the client's address.")


class ServiceSpec(Structure):
    """What a Service is asked to be."""

    ports: list[ServicePort] | None = about("The ports.", key="port", keys=("port", "protocol"))
    selector: dict[str, str] | None = about(
        "Labels of the pods behind it. Without, the endpoints are made by hand.", atomic=True
    )
    cluster_ip: str | None = about("The address in the cluster: the first of clusterIPs. None makes it headless.")
    cluster_ips: list[str] | None = about("The addresses in the cluster, one per family.")
    type: str | None = about("ClusterIP (the default), NodePort, LoadBalancer or ExternalName.")
    external_ips: list[str] | None = about("Addresses of nodes that take traffic for this Service as well.")
    session_affinity: str | None = about("None, or ClientIP: a client's connections go to one endpoint.")
    load_balancer_ip: str | None = about("The load balancer's address, where it can be asked for.")
    load_balancer_source_ranges: list[str] | None = about("Ranges that may use the load balancer.")
    external_name: str | None = about("The DNS name that an ExternalName Service stands for.")
    external_traffic_policy: str | None = about("Cluster, or Local: only endpoints of the node get outside traffic.")
    health_check_node_port: Int | None = about("Where a load balancer asks a node for local endpoints.")
    publish_not_ready_addresses: Bool | None = about("Whether endpoints count that are not ready.")
    session_affinity_config: SessionAffinityConfig | None = about("How long affinity lasts.")
    ip_families: list[str] | None = about("The families of the addresses: IPv4, IPv6.")
    ip_family_policy: str | None = about("SingleStack, PreferDualStack or RequireDualStack.")
    allocate_load_balancer_node_ports: Bool | None = about("Whether a LoadBalancer gets node ports as well.")
    load_balancer_class: str | None = about("Who provides the load balancer.")
    internal_traffic_policy: str | None = about("Cluster, or Local: only endpoints of the same node get traffic.")
    traffic_distribution: str | None = about("Which endpoints to prefer, such as PreferClose.")


class ServiceStatus(Structure):
    """What became of a Service."""

    load_balancer: LoadBalancerStatus | None = about("Where the load balancer is reached.")
    conditions: list[Condition] | None = about("Further state.", key="type")


class Service(Object):
    """A name and an address for a set of pods."""

    spec: ServiceSpec | None = about("What the Service is asked to be.")
    status: ServiceStatus | None = about("What became of it.")


class EndpointAddress(Structure):
    """One address behind a Service."""

    atomic = True

    ip: str | None = about("The address.")
    hostname: str | None = about("Its name under the Service's.")
    node_name: str | None = about("The node it is on.")
    target_ref: ObjectReference | None = about("The pod it belongs to.")


class CoreEndpointPort(Structure):
    """One port of a subset."""

    atomic = True

    name: str | None = about("Name of the Service's port.")
    port: Int | None = about("Number of the port.")
    protocol: str | None = about("TCP, UDP or SCTP.")
    app_protocol: str | None = about("The protocol spoken on it.")


class EndpointSubset(Structure):
    """Addresses that have the same ports."""

    addresses: list[EndpointAddress] | None = about("Addresses that are ready.")
    not_ready_addresses: list[EndpointAddress] | None = about("Addresses that are not.")
    ports: list[CoreEndpointPort] | None = about("Their ports.")


class Endpoints(Object):
    """The addresses behind a Service of the same name, in the old form; EndpointSlice is the new one."""

    subsets: list[EndpointSubset] | None = about("The addresses.")


class EndpointConditions(Structure):
    """Whether an endpoint can be used."""

    ready: Bool | None = about("Whether it takes traffic.")
    serving: Bool | None = about("Whether it would take traffic, terminating or not.")
    terminating: Bool | None = about("Whether it is going away.")


class Endpoint(Structure):
    """One endpoint of a slice."""

    addresses: list[str] | None = about("Its addresses: all reach the same endpoint.")
    conditions: EndpointConditions | None = about("Whether it can be used.")
    hostname: str | None = about("Its name under the Service's.")
    target_ref: ObjectReference | None = about("The pod it belongs to.")
    deprecated_topology: dict[str, str] | None = about("No longer used.")
    node_name: str | None = about("The node it is on.")
    zone: str | None = about("The zone it is in.")
    hints: Json | None = about("The zones and nodes that should use it.")


class EndpointPort(Structure):
    """One port of a slice."""

    atomic = True

    name: str | None = about("Name of the Service's port.")
    port: Int | None = about("Number of the port.")
    protocol: str | None = about("TCP, UDP or SCTP.")
    app_protocol: str | None = about("The protocol spoken on it.")


class EndpointSlice(Object):
    """Some of the endpoints of a Service, of one address family."""

    address_type: str | None = about("IPv4, IPv6 or FQDN.")
    endpoints: list[Endpoint] | None = about("The endpoints.")
    ports: list[EndpointPort] | None = about("The ports, the same for all of them.")
