"""The search path of a pod's resolver: which names it tries for a short one. Pure.

A pod's resolv.conf has `search NAMESPACE.svc.ZONE svc.ZONE ZONE ...` and `options ndots:5`: a name with fewer dots is
tried with every suffix before it is tried as it is (resolv.conf(5)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdns import names

NDOTS = 5


def suffixes(namespace: str, zone: str, further: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the suffixes that pods of a namespace have."""
    return (f"{namespace}.svc.{zone}", f"svc.{zone}", zone, *further)


def tried(name: str, search: Sequence[str], ndots: int = NDOTS) -> Iterator[str]:
    """Give what a resolver tries for a name, in order; a final dot says that it is whole."""
    if name.endswith("."):
        yield name[:-1]
        return
    absolute_first = name.count(".") >= ndots
    if absolute_first:
        yield name
    yield from (f"{name}.{suffix}" for suffix in search)
    if not absolute_first:
        yield name


def further_names(asked: bytes, search: Sequence[str]) -> tuple[bytes, ...]:
    """Give what else a resolver would try that has begun with `asked`, on the wire; nothing where it has not."""
    first = names.to_wire(search[0])
    base = asked[: -len(first)]
    if not base or not asked.endswith(first) or base.count(b".") >= NDOTS or not _is_labels(base):
        return ()
    rest = [names.to_wire(suffix) for suffix in search[1:]] + [names.ROOT]
    return tuple(base + suffix for suffix in rest if len(base + suffix) <= names.MOST_OCTETS)


def _is_labels(data: bytes) -> bool:
    at = 0
    while at < len(data):
        at += data[at] + 1
    return at == len(data)
