"""Ingress and IngressClass as frozen values: what the router and the controller work on.

Built by `kingress.decode` from API JSON. Sources: networking.k8s.io/v1 and its field documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kapi.network import Problem, Reference
from kingress.policy import DEFAULT_CONDUCT, PLAIN, Conduct, Policy


class PathType(StrEnum):
    """The values of `pathType`. ImplementationSpecific means Prefix here."""

    EXACT = "Exact"
    PREFIX = "Prefix"
    IMPLEMENTATION_SPECIFIC = "ImplementationSpecific"


class BackendRef(NamedTuple):
    """A Service and one of its ports, by name or by number: where a rule sends requests.

    A tuple, because one is looked up for every request and tuples are hashed in C.
    """

    namespace: str
    service: str
    port: int | str

    @property
    def service_key(self) -> str:
        """`namespace/name` of the Service."""
        return f"{self.namespace}/{self.service}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}" if self.service else "nothing"


class Target(NamedTuple):
    """A Service port and how it is used: each has its own endpoints and connections."""

    ref: BackendRef
    conduct: Conduct = DEFAULT_CONDUCT


@dataclass(frozen=True, slots=True)
class PathRule:
    """One entry of `rules[].http.paths`; `field` is where in the object it stands."""

    path: str  # in the normal form of `kingress.target`
    type: PathType
    backend: BackendRef
    field: str
    broken: str = ""  # why nothing can be behind it: its requests are answered with this, and go nowhere else


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry of `rules`: `host` is "" for every host, or may start with `*.` for exactly one more label."""

    host: str
    paths: tuple[PathRule, ...]
    field: str


@dataclass(frozen=True, slots=True)
class Tls:
    """One entry of `tls`: the hosts that the certificate in a Secret of the same namespace serves."""

    hosts: tuple[str, ...]
    secret: str


@dataclass(frozen=True, slots=True)
class Ingress:
    """An Ingress. What could not be read is left out and named in `problems`."""

    namespace: str
    name: str
    uid: str = ""
    class_name: str | None = None  # spec.ingressClassName
    class_annotation: str | None = None  # the older kubernetes.io/ingress.class
    rules: tuple[HostRule, ...] = ()
    default_backend: BackendRef | None = None
    tls: tuple[Tls, ...] = ()
    policy: Policy = PLAIN  # what its annotations ask for
    addresses: tuple[str, ...] = ()  # of status.loadBalancer.ingress: IPs and host names
    created: str = ""
    terminating: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def conduct(self) -> Conduct:
        """How its backends are used."""
        return DEFAULT_CONDUCT if self.policy is PLAIN else self.policy.conduct(self.namespace)

    @property
    def targets(self) -> frozenset[Target]:
        """Every backend that it names."""
        named = {path.backend for rule in self.rules for path in rule.paths if not path.broken}
        if self.default_backend is not None:
            named.add(self.default_backend)
        return frozenset(Target(ref, self.conduct) for ref in named)

    @property
    def seniority(self) -> tuple[str, str]:
        """Sorts the oldest first, then by `namespace/name`: who wins a conflict."""
        return self.created or "9999", self.key

    @property
    def reference(self) -> Reference:
        """What an Event about this Ingress points at."""
        return Reference("Ingress", self.namespace, self.name, self.uid, "networking.k8s.io/v1")


@dataclass(frozen=True, slots=True)
class IngressClass:
    """An IngressClass: which controller serves the Ingresses that name it."""

    name: str
    controller: str
    is_default: bool = False

    @property
    def key(self) -> str:
        """The name: classes have no namespace."""
        return self.name
