"""The route table as plain values, for people and scripts that ask what is served. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kingress.backends import Resolution
from kingress.match import Route, Table
from kingress.objects import BackendRef

Row = dict[str, object]


def rows(table: Table, resolve: Callable[[BackendRef], Resolution]) -> list[Row]:
    """Give every route with the rule it comes from and the endpoints behind it, by host and path."""
    found = [_row(route, resolve(route.backend)) for route in _routes(table)]
    return sorted(found, key=lambda row: (row["host"], row["path"], row["pathType"]))


def _routes(table: Table) -> Iterator[Route]:
    for routes in table.hosts.values():
        yield from routes.exact.values()
        yield from routes.prefixes.values()
    if table.default is not None:
        yield table.default


def _row(route: Route, resolution: Resolution) -> Row:
    return {
        "host": route.host,
        "path": route.path,
        "pathType": str(route.type),
        "ingress": f"{route.ingress.namespace}/{route.ingress.name}",
        "rule": route.where,
        "backend": str(route.backend),
        "endpoints": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in resolution.addresses],
        "missing": resolution.reason,
    }
