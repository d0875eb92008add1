"""Finds the route of a request: host first, then path. Pure, and as quick with 10,000 rules as with one.

Every lookup is in dictionaries: one for the exact paths of a host, one for the prefixes, asked for the request's path
and then for each shorter path that ends at an element boundary. So the time grows with the elements of a path, never
with the number of rules.

What the Ingress documentation leaves open is decided like this: an exact host is tried before a wildcard host, and
that before rules without a host; where none of a host's paths match, the next kind of host is tried, because a rule
without a host applies to every host. An Exact path beats a Prefix path that is equal but for its final slash.

Certificates are of hosts, not of rules: where one is missing, the route found says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from kapi.network import Reference
from kingress.objects import BackendRef, PathType, Target
from kingress.policy import DEFAULT_CONDUCT, PLAIN, Conduct, Policy


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Where requests of one rule go, and which rule of which Ingress says so.

    Each is equal to itself only: routes are keys of what is counted for every request.
    """

    backend: BackendRef
    host: str  # as in the rule; "" is every host
    path: str  # "" for a default backend
    type: PathType
    ingress: Reference
    where: str  # in the Ingress, such as `spec.rules[0].http.paths[1]`
    policy: Policy | None = None  # None where the Ingress asks for nothing special
    conduct: Conduct = DEFAULT_CONDUCT
    canaries: tuple[Route, ...] = ()  # that take a part of the requests
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target(self.backend, self.conduct))

    def __str__(self) -> str:
        return f"{self.ingress} {self.where}"


@dataclass(frozen=True, slots=True)
class HostRoutes:
    """The compiled rules of one host. Prefixes are kept without their final slash: `/` is ""."""

    exact: Mapping[str, Route] = field(default_factory=dict)
    prefixes: Mapping[str, Route] = field(default_factory=dict)
    longest: int = 0  # characters of the longest prefix
    fallback: Route | None = None  # for this host, where no rule matches

    def find(self, path: str) -> Route | None:
        """Give the route of a path in normal form."""
        found = self.exact.get(path)
        if found is not None or not self.prefixes:
            return found
        if len(path) > self.longest:
            path = path[: path.rfind("/", 0, self.longest + 1)]
        prefixes = self.prefixes
        while path:
            found = prefixes.get(path)
            if found is not None:
                return found
            path = path[: path.rfind("/")]
        return prefixes.get("")


@dataclass(slots=True)
class Table:
    """The compiled rules of all hosts. `kingress.routes` changes one host at a time."""

    hosts: dict[str, HostRoutes] = field(default_factory=dict)  # keys are names, or `*.` and a name; "" is every host
    default: Route | None = None  # for every host, where nothing else matches
    version: int = 0  # another after each change
    lacks: Callable[[str], str] = lambda _: ""  # why a host has no certificate of its own; "" is well
    _sound: dict[str, HostRoutes] = field(default_factory=dict)  # hosts that lack nothing, as far as was asked

    def changed(self) -> None:
        """Rules or certificates are other than before."""
        self.version += 1
        self._sound.clear()

    def find(self, host: str, path: str) -> Route | None:
        """Give the route of a request; None is a 404. `host` is in small letters, without a port."""
        sound = self._sound.get(host)
        found = sound.find(path) if sound is not None else None
        return found if found is not None else self._find(host, path)

    def _find(self, host: str, path: str) -> Route | None:
        routes = self.hosts.get(host)
        found = routes.find(path) if routes is not None else None
        if found is None:
            found = self._find_wider(host, path)
        why = self.lacks(host)
        if why:
            return _uncertified(found, why) if found is not None else None
        if routes is not None:
            self._sound[host] = routes
        return found

    def _find_wider(self, host: str, path: str) -> Route | None:
        candidates = self._candidates(host)
        for routes in candidates:
            found = routes.find(path)
            if found is not None:
                return found
        for routes in candidates:
            if routes.fallback is not None:
                return routes.fallback
        return self.default

    def _candidates(self, host: str) -> list[HostRoutes]:
        hosts = self.hosts
        _, dot, parent = host.partition(".")
        names = (host, f"*.{parent}", "") if dot else (host, "")
        return [hosts[name] for name in names if name in hosts]


@lru_cache(maxsize=1024)
def _uncertified(route: Route, why: str) -> Route:
    """Give a route of a host that has no certificate of its own. The same each time: routes are keys."""
    return replace(route, policy=replace(route.policy or PLAIN, uncertified=why))
