"""The route table as plain values, for people and scripts that ask what is served. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kingress.backends import Resolution
from kingress.features import FEATURES
from kingress.match import Route, Table
from kingress.objects import BackendRef
from kingress.policy import PLAIN, Edit, Policy

if TYPE_CHECKING:
    from kingress.certificates import Certificate
    from kingress.tls import Tls

Row = dict[str, object]


def rows(table: Table, resolve: Callable[[BackendRef], Resolution]) -> list[Row]:
    """Give every route with the rule it comes from and the endpoints behind it, by host and path."""
    found = [_row(route, resolve(route.backend)) for route in _routes(table)]
    return sorted(found, key=lambda row: (row["host"], row["path"], row["pathType"]))


def certificates(tls: Tls) -> list[Row]:
    """Give every Secret that is named for a host, the host, and until when its certificate is good or what is wrong."""
    found: list[Row] = []
    for host, key in sorted(tls.table.hosts.items()):
        certificate = tls.certificates.get(key)
        found.append(
            {
                "host": host,
                "secret": key,
                "names": list(certificate.names) if certificate else [],
                "expires": certificate.expires if certificate else 0,
                "wrong": _wrong(certificate, host) if certificate else tls.why_not(key),
            }
        )
    return found


def _wrong(certificate: Certificate, host: str) -> str:
    return certificate.warning or ("" if certificate.covers(host) else f"it is not for {host}")


def asked(policy: Policy | None) -> dict[str, str]:
    """Give what an Ingress asks for beyond its rules: features and their values."""
    return {
        feature.name: _shown(getattr(policy, feature.field))
        for feature in (FEATURES if policy is not None else ())
        if getattr(policy, feature.field) != getattr(PLAIN, feature.field)
    }


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Edit):
        kept = {name.lower() for name, _ in value.set}
        lines = [f"{name.decode()}: {text.decode()}" for name, text in value.set]
        return "; ".join([*lines, *(f"-{name.decode()}" for name in sorted(value.remove - kept))])
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
        "canaries": [str(canary.backend) for canary in route.canaries],
        "asks": asked(route.policy),
        "endpoints": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in resolution.addresses],
        "missing": route.policy.broken if route.policy and route.policy.broken else resolution.reason,
    }
