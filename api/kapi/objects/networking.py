"""Ingresses: which host and path lead to which Service."""

from __future__ import annotations

from kapi.objects.base import Int, Json, LoadBalancerStatus, Object, Structure, about


class ServiceBackendPort(Structure):
    """A port of a Service, by name or by number."""

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
