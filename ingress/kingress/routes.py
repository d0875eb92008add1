"""Compiles Ingresses into the route table, one host at a time. Pure: no clock, no sockets.

`claims` is what one Ingress asks for; `compile_host` settles the claims of all Ingresses on one host. `Routes` keeps
both, so that a changed Ingress costs the recompilation of the hosts it names, before and after, and of nothing else.

Where two Ingresses claim the same host, path and path type, the older one wins (then the first by `namespace/name`,
then the first rule), and the loser is told by a problem. Different paths of one host are merged. A canary competes
with nobody: it stands beside the rule that it takes a part of the requests of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kapi.network import Problem
from kingress.match import HostRoutes, Route, Table
from kingress.objects import Ingress, PathRule, PathType
from kingress.policy import PLAIN

Conflicts = dict[str, list[Problem]]  # by the key of the Ingress that lost


@dataclass(frozen=True, slots=True)
class Claim:
    """What one Ingress asks for on one host: its routes in order, and what answers where none matches."""

    ingress: Ingress
    routes: tuple[Route, ...]
    fallback: Route | None


def claims(ingress: Ingress) -> dict[str, Claim]:
    """Give what an Ingress asks for, by host."""
    default = _default(ingress)
    found: dict[str, list[Route]] = {}
    for rule in ingress.rules:
        paths = (path for path in rule.paths if not (path.broken and ingress.policy.canary))
        found.setdefault(rule.host, []).extend(_made(ingress, rule.host, path) for path in paths)
    return {host: Claim(ingress, tuple(routes), default) for host, routes in found.items()}


def compile_host(claimed: Iterable[Claim]) -> tuple[HostRoutes, Conflicts]:
    """Settle all claims on one host."""
    exact: dict[str, Route] = {}
    prefixes: dict[str, Route] = {}
    fallback: Route | None = None
    conflicts: Conflicts = {}
    by_age = sorted(claimed, key=lambda claim: claim.ingress.seniority)
    for claim in by_age:
        if claim.ingress.policy.canary:
            continue
        fallback = fallback or claim.fallback
        for route in claim.routes:
            loser, winner = _settle(exact if route.type is PathType.EXACT else prefixes, route)
            if loser is not None:
                key = f"{loser.ingress.namespace}/{loser.ingress.name}"
                conflicts.setdefault(key, []).append(_conflict(loser, winner))
    for claim in by_age:
        for route in claim.routes if claim.ingress.policy.canary else ():
            if not _accompany(exact if route.type is PathType.EXACT else prefixes, route):
                lone = Problem(route.where, f"no other Ingress has {route.host}{route.path}: a canary needs one")
                conflicts.setdefault(claim.ingress.key, []).append(lone)
    longest = max(map(len, prefixes), default=0)
    return HostRoutes(exact, prefixes, longest, fallback), conflicts


class Routes:
    """The route table of a set of Ingresses, kept current as they come, change and go."""

    def __init__(self) -> None:
        self.table = Table()
        self._ingresses: dict[str, Ingress] = {}
        self._claims: dict[str, dict[str, Claim]] = {}  # host -> key of the Ingress -> claim
        self._conflicts: dict[str, Conflicts] = {}  # by host
        self._defaults: dict[str, Ingress] = {}

    @property
    def ingresses(self) -> Mapping[str, Ingress]:
        """The Ingresses in the table, by key."""
        return self._ingresses

    def put(self, ingress: Ingress) -> set[str]:
        """Take in a new or changed Ingress; gives the keys of those whose problems may have changed."""
        touched = self._withdraw(ingress.key)
        self._ingresses[ingress.key] = ingress
        for host, claim in claims(ingress).items():
            self._claims.setdefault(host, {})[ingress.key] = claim
            touched.add(host)
        if ingress.default_backend is not None:
            self._defaults[ingress.key] = ingress
        return self._compile(touched) | {ingress.key}

    def remove(self, key: str) -> set[str]:
        """Forget an Ingress; gives the keys of those whose problems may have changed."""
        return self._compile(self._withdraw(key)) - {key}

    def problems(self, key: str) -> tuple[Problem, ...]:
        """Give what is wrong with an Ingress: in itself, and where it lost to another."""
        ingress = self._ingresses.get(key)
        if ingress is None:
            return ()
        lost = [problem for host in claims(ingress) for problem in self._conflicts.get(host, {}).get(key, ())]
        oldest = self._oldest_default()
        if ingress.default_backend is not None and oldest is not None and oldest.key != key:
            lost.append(Problem("spec.defaultBackend", f"{oldest.reference} is older, and its default backend is used"))
        return (*ingress.problems, *lost)

    def _withdraw(self, key: str) -> set[str]:
        """Take an Ingress' claims out; gives the hosts they were on."""
        old = self._ingresses.pop(key, None)
        self._defaults.pop(key, None)
        hosts = set(claims(old)) if old else set()
        for host in hosts:
            self._claims[host].pop(key)
        return hosts

    def _compile(self, hosts: set[str]) -> set[str]:
        """Compile hosts anew; gives the keys of the Ingresses that are on them."""
        there: set[str] = set(self._defaults)
        for host in hosts:
            claimed = self._claims.get(host)
            if claimed:
                self.table.hosts[host], self._conflicts[host] = compile_host(claimed.values())
                there.update(claimed)
            else:
                for gone in (self._claims, self.table.hosts, self._conflicts):
                    gone.pop(host, None)
        self.table.changed()
        oldest = self._oldest_default()
        self.table.default = _default(oldest) if oldest else None
        return there

    def _oldest_default(self) -> Ingress | None:
        return min(self._defaults.values(), key=lambda ingress: ingress.seniority, default=None)


def _default(ingress: Ingress) -> Route | None:
    if ingress.default_backend is None:
        return None
    rule = PathRule("", PathType.PREFIX, ingress.default_backend, "spec.defaultBackend")
    return _made(ingress, "", rule)


def _made(ingress: Ingress, host: str, path: PathRule) -> Route:
    policy = None if ingress.policy is PLAIN else ingress.policy
    if path.broken:
        policy = replace(ingress.policy, broken=f"This path has no backend that can be used: {path.broken}")
    return Route(path.backend, host, path.path, path.type, ingress.reference, path.field, policy, ingress.conduct)


def _key(route: Route) -> str:
    return route.path if route.type is PathType.EXACT else route.path.removesuffix("/")


def _accompany(routes: dict[str, Route], canary: Route) -> bool:
    """Put a canary beside the route that it takes a part of; gives whether there is one."""
    main = routes.get(_key(canary))
    if main is not None:
        routes[_key(canary)] = replace(main, canaries=(*main.canaries, canary))
    return main is not None


def _settle(routes: dict[str, Route], new: Route) -> tuple[Route | None, Route]:
    """Enter a route where an older one may be; gives the one left out, if any, and the one that stays."""
    key = _key(new)
    old = routes.setdefault(key, new)
    if old is new:
        return None, new
    if new.path.endswith("/") and not old.path.endswith("/"):
        routes[key] = new  # of the prefixes /foo and /foo/, which match the same, the longer wins
        return old, new
    return new, old


def _conflict(loser: Route, winner: Route) -> Problem:
    where = f"{loser.host or 'every host'}{loser.path}"
    if loser.path == winner.path:
        return Problem(loser.where, f"{where} is taken by {winner}, which comes first")
    return Problem(loser.where, f"{where} is never used: {winner} has {winner.path}, which matches the same requests")
