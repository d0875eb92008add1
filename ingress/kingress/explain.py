"""Says what would become of a request, without sending it: which rule applies, why it and not the others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kingress import steps
from kingress.backends import Resolution
from kingress.features import FEATURES
from kingress.listing import asked
from kingress.match import HostRoutes, Route, Table
from kingress.message import Request
from kingress.objects import BackendRef, PathType
from kingress.policy import PLAIN, Policy
from kingress.steps import Asked
from kingress.target import normal_target

_MANY = 8  # rules of a host that are listed


def explain(table: Table, resolve: Callable[[BackendRef], Resolution], what: Asked) -> Iterator[str]:
    """Give the explanation, line by line."""
    request = what.request
    yield f"{request.method} {what.scheme.decode()}://{request.authority.decode('latin-1')}{request.target.decode()}"
    yield f"  host {request.host or '(none)'}, path {request.path}"
    route = table.find(request.host, request.path)
    yield from _considered(table, request, route)
    if route is None:
        yield "404: no rule applies, and there is no default backend"
        return
    yield f"answered by {route}"
    yield from _judged(route, what)
    for each in (route, *route.canaries):
        resolution = resolve(each.backend)
        found = ", ".join(f"{host}:{port}" for host, port in resolution.addresses)
        yield f"  {'canary' if each is not route else 'backend'} {each.backend}: {found or resolution.reason}"
        if not found:
            yield "  503 until it has endpoints"


def request_of(method: str, host: str, target: str, headers: list[tuple[bytes, bytes]]) -> Request:
    """Make the request that is asked about; the path is put into its normal form. Raises BadTarget."""
    forwarded, path = normal_target(target.encode("ascii", "replace"))
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return Request(method, forwarded, path, host.encode("ascii", "replace"), bare.lower(), headers)


def _considered(table: Table, request: Request, chosen: Route | None) -> Iterator[str]:
    """Say which kinds of host were looked at, in order, and what their rules had to say."""
    _, dot, parent = request.host.partition(".")
    kinds = [("the host itself", request.host), (f"the wildcard *.{parent}", f"*.{parent}" if dot else "")]
    for kind, name in [*(each for each in kinds if each[1]), ("rules for every host", "")]:
        routes = table.hosts.get(name)
        if routes is None:
            yield f"  {kind}: no rules"
            continue
        yield f"  {kind}: {len(routes.exact) + len(routes.prefixes)} rules"
        yield from _rules(routes, request.path, chosen)
        if chosen is not None and routes.find(request.path) is chosen:
            return


def _rules(routes: HostRoutes, path: str, chosen: Route | None) -> Iterator[str]:
    everyone = sorted((*routes.exact.values(), *routes.prefixes.values()), key=lambda each: -len(each.path))
    matching = [each for each in everyone if _matches(each, path)]
    for each in [*matching, *(each for each in everyone if each not in matching)][:_MANY]:
        if each is chosen:
            why = "applies: Exact goes first" if each.type is PathType.EXACT else "applies: the longest that matches"
        elif each in matching:
            why = "matches, but another goes before it"
        else:
            why = "does not match"
        yield f"    {each.type} {each.path} ({each}): {why}"
    if len(everyone) > _MANY:
        yield f"    and {len(everyone) - _MANY} more"


def _matches(route: Route, path: str) -> bool:
    if route.type is PathType.EXACT:
        return path == route.path
    prefix = route.path.removesuffix("/")
    return path == prefix or path.startswith(prefix + "/")


def _judged(route: Route, what: Asked) -> Iterator[str]:
    """Say what the Ingress asks for, and what that does to this request."""
    policy = route.policy
    told = {feature.name: feature.means for feature in FEATURES}
    for name, value in asked(policy).items():
        yield f"  {name}: {value} ({told[name]})"
    for canary in route.canaries:
        by_chance = (canary.policy or PLAIN).canary_weight
        decided = [steps.is_canary(canary.policy or PLAIN, what.request, draw) for draw in (0.0, 0.999999)]
        how = "always" if all(decided) else "never" if not any(decided) else f"by chance ({by_chance})"
        yield f"  goes to canary {canary}: {how}"
    if policy is not None:
        yield from _changed(policy, route, what)


def _changed(policy: Policy, route: Route, what: Asked) -> Iterator[str]:
    reply = steps.judge(policy, what)
    if reply is not None:
        yield f"  answered at once with {reply.status}: {reply.why}"
        return
    changed = what.request.again()
    steps.change(policy, route, changed)
    if (changed.target, changed.authority) != (what.request.target, what.request.authority):
        yield f"  forwarded as {changed.target.decode()} with Host {changed.authority.decode()}"
