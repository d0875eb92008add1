"""Says what would become of a request, without sending it: which rule applies, why it and not the others. Pure.

The request is read, judged and written by what reads, judges and writes requests on their way: nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kingress import steps
from kingress.backends import Resolution
from kingress.features import FEATURES
from kingress.forwarded import Forwarding
from kingress.h1.requests import RequestReader
from kingress.h1.writer import request_head
from kingress.listing import asked
from kingress.match import HostRoutes, Route, Table
from kingress.message import Refused, Request
from kingress.objects import BackendRef, Ingress, PathType
from kingress.policy import PLAIN
from kingress.routes import Routes
from kingress.steps import Asked

_MANY = 8  # rules of a host that are listed
_ID = b"(another for each request)"


@dataclass(frozen=True, slots=True)
class Question:
    """A request, as its bytes, and who would make it: from which address, and over `http` or `https`."""

    raw: bytes
    client: str = "127.0.0.1"
    scheme: str = "http"

    @property
    def port(self) -> int:
        """Where it would be asked."""
        return 443 if self.scheme == "https" else 80


def explain(
    table: Table,
    resolve: Callable[[BackendRef], Resolution],
    question: Question,
    strangers: Iterable[tuple[Ingress, str]] = (),
) -> Iterator[str]:
    """Give the explanation, line by line. `strangers` are Ingresses that are not served here, and why."""
    request = RequestReader().feed(question.raw)[0]
    if isinstance(request, Refused):
        yield f"{request.status}: the request is refused: {request.why}"
        return
    yield f"{request.method} {question.scheme}://{request.authority.decode('latin-1')}{request.target.decode()}"
    yield f"  host {request.host or '(none)'}, path {request.path}"
    route = table.find(request.host, request.path)
    yield from _considered(table, request, route)
    yield from _passed_over(strangers, request)
    if route is None:
        yield "404: no rule applies, and there is no default backend"
        return
    yield f"answered by {route}"
    yield from _judged(route, question, request)
    for each in (route, *route.canaries):
        resolution = resolve(each.backend)
        found = ", ".join(f"{host}:{port}" for host, port in resolution.addresses)
        yield f"  {'canary' if each is not route else 'backend'} {each.backend}: {found or resolution.reason}"
        if not found:
            yield "  503 until it has endpoints"


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


def _passed_over(strangers: Iterable[tuple[Ingress, str]], request: Request) -> Iterator[str]:
    """Name what would match if it were ours: a class that is wrong or missing is what is overlooked most."""
    for ingress, why in strangers:
        alone = Routes()
        alone.put(ingress)
        route = alone.table.find(request.host, request.path)
        if route is not None:
            yield f"  passed over: {route} would match, but {why}"


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


def _judged(route: Route, question: Question, request: Request) -> Iterator[str]:
    """Say what the Ingress asks for, and what that does to this request."""
    policy = route.policy
    forwarding = Forwarding(question.client, question.scheme, question.port)
    said = forwarding.headers(request, _ID)
    told = {feature.name: feature.means for feature in FEATURES}
    for name, value in asked(policy).items():
        yield f"  {name}: {value} ({told[name]})"
    for canary in route.canaries:
        by_chance = (canary.policy or PLAIN).canary_weight
        decided = [steps.is_canary(canary.policy or PLAIN, request, draw) for draw in (0.0, 0.999999)]
        how = "always" if all(decided) else "never" if not any(decided) else f"by chance ({by_chance})"
        yield f"  goes to canary {canary}: {how}"
    reply = steps.judge(policy, Asked(request, question.client, question.scheme.encode())) if policy else None
    if reply is not None:
        yield f"  answered at once with {reply.status}: {reply.why}"
        return
    changed = request.again()
    if policy is not None:
        steps.change(policy, route, changed)
    yield from _differences(question.raw, request_head(changed, forwarding, said, said[-1][1]))


def _differences(before: bytes, after: bytes) -> Iterator[str]:
    """Say what of the head is not forwarded, and what is forwarded that was not asked."""
    old, new = (head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n") for head in (before, after))
    yield "  what is forwarded differs in:"
    yield from (f"    - {line}" for line in old if line not in new)
    yield from (f"    + {line}" for line in new if line not in old)
