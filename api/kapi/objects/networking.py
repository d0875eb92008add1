"""Ingresses: which host and path lead to which Service; policies; and the ranges that Services get addresses from."""

from __future__ import annotations

from kapi.objects.base import (
    Condition,
    Int,
    IntOrString,
    Json,
    LabelSelector,
    LoadBalancerStatus,
    Object,
    Structure,
    about,
)


class ServiceBackendPort(Structure):
    """A port of a Service, by name or by number."""

    atomic = True

    name: str | None = about("Name of the Service's port.")
    number: Int | None = about("Number of the Service's port.")


class IngressServiceBackend(Structure):
    """A Service to send requests to."""

    name: str | None = about("Name of the Service, in the Ingress' namespace.")
    port: ServiceBackendPort | None = about("Its port.")


class IngressBackend(Structure):
    """Where requests go: exactly one of service and resource."""

    service: IngressServiceBackend | None = about("A Service.")
    resource: Json | None = about("Another object in the Ingress' namespace.")


class HTTPIngressPath(Structure):
    """A path, and where its requests go."""

    path: str | None = about("The path; it begins with a slash.")
    path_type: str | None = about("Exact, Prefix (by path element) or ImplementationSpecific.")
    backend: IngressBackend | None = about("Where the requests go.")


class HTTPIngressRule(Structure):
    """The paths of a host."""

    paths: list[HTTPIngressPath] | None = about("The paths.")


class IngressRule(Structure):
    """What to do for a host."""

    host: str | None = about("A host name, or *.domain for one label in its place; all hosts where it is empty.")
    http: HTTPIngressRule | None = about("The paths of this host.")


class IngressTLS(Structure):
    """A certificate, and the hosts it is for."""

    hosts: list[str] | None = about("Hosts the certificate is for.")
    secret_name: str | None = about("The Secret with tls.crt and tls.key.")


class IngressSpec(Structure):
    """What an Ingress is asked to be."""

    ingress_class_name: str | None = about("The IngressClass that serves it.")
    default_backend: IngressBackend | None = about("Where requests go that no rule fits.")
    tls: list[IngressTLS] | None = about("Certificates.")
    rules: list[IngressRule] | None = about("Hosts and paths.")


class IngressStatus(Structure):
    """What became of an Ingress."""

    load_balancer: LoadBalancerStatus | None = about("Where it is reached.")


class Ingress(Object):
    """Routes HTTP requests from outside to Services, by host and path."""

    spec: IngressSpec | None = about("What the Ingress is asked to be.")
    status: IngressStatus | None = about("What became of it.")


class IngressClassSpec(Structure):
    """Who serves a class of Ingresses."""

    controller: str | None = about("Name of the controller, with a domain: example.com/ingress. It cannot be changed.")
    parameters: Json | None = about("An object with further settings.")


class IngressClass(Object):
    """A class of Ingresses that one controller serves."""

    spec: IngressClassSpec | None = about("Who serves the class.")


class IPBlock(Structure):
    """A range of addresses."""

    cidr: str | None = about("The range.")
    except_: list[str] | None = about("Ranges in it that are not meant.")


class NetworkPolicyPeer(Structure):
    """Who is on the other side."""

    pod_selector: LabelSelector | None = about("Pods.")
    namespace_selector: LabelSelector | None = about("Namespaces of the pods.")
    ip_block: IPBlock | None = about("Addresses.")


class NetworkPolicyPort(Structure):
    """Ports that are allowed."""

    protocol: str | None = about("TCP (the default), UDP or SCTP.")
    port: IntOrString | None = about("The port, by number or name.")
    end_port: Int | None = about("The last port of a range.")


class NetworkPolicyIngressRule(Structure):
    """Who may connect to the pods."""

    ports: list[NetworkPolicyPort] | None = about("To which ports; all where there are none.")
    from_: list[NetworkPolicyPeer] | None = about("From where; anywhere where there are none.")


class NetworkPolicyEgressRule(Structure):
    """Where the pods may connect to."""

    ports: list[NetworkPolicyPort] | None = about("To which ports; all where there are none.")
    to: list[NetworkPolicyPeer] | None = about("To where; anywhere where there are none.")


class NetworkPolicySpec(Structure):
    """Which pods, and what is allowed."""

    pod_selector: LabelSelector | None = about("The pods it is for.")
    ingress: list[NetworkPolicyIngressRule] | None = about("Who may connect to them.")
    egress: list[NetworkPolicyEgressRule] | None = about("Where they may connect to.")
    policy_types: list[str] | None = about("Ingress, Egress or both.")


class NetworkPolicy(Object):
    """What connections pods may have. It is stored and not enforced."""

    spec: NetworkPolicySpec | None = about("Which pods, and what is allowed.")


class ServiceCIDRSpec(Structure):
    """Ranges of addresses."""

    cidrs: list[str] | None = about("The ranges, one of each family at most. They cannot be changed.")


class ServiceCIDRStatus(Structure):
    """Whether the ranges are in use."""

    conditions: list[Condition] | None = about("Whether addresses are given.", key="type")


class ServiceCIDR(Object):
    """Ranges that Services get addresses from."""

    spec: ServiceCIDRSpec | None = about("The ranges.")
    status: ServiceCIDRStatus | None = about("Whether they are in use.")


class ParentReference(Structure):
    """The object that holds an address."""

    group: str | None = about("API group of the object.")
    resource: str | None = about("Resource of the object.")
    namespace: str | None = about("Namespace of the object.")
    name: str | None = about("Name of the object.")


class IPAddressSpec(Structure):
    """Who holds an address."""

    parent_ref: ParentReference | None = about("The holder.")


class IPAddress(Object):
    """An address that is in use; its name is the address."""

    spec: IPAddressSpec | None = about("Who holds it.")
