"""Which resource, object and subresource a path names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from kapi.resources import Resource
from kapi.server import statuses


class Served(Protocol):
    """Something that is served: it has a resource."""

    @property
    def resource(self) -> Resource:
        """What it is and where it lives."""
        ...


S = TypeVar("S", bound=Served)


@dataclass(frozen=True, slots=True)
class Route(Generic[S]):
    """A path, understood: the kind, and the namespace, name and subresource ("" where there is none)."""

    kind: S
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Routes(Generic[S]):
    """Finds the kind that a path belongs to."""

    def __init__(self, kinds: tuple[S, ...]) -> None:
        self._kinds = {(k.resource.group, k.resource.version, k.resource.plural): k for k in kinds}

    def find(self, path: str) -> Route[S]:
        """Understand a path; 404 where it names nothing that is served."""
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            raise statuses.no_such_path()
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in self._kinds:
            namespace, rest = rest[1], rest[2:]
        kind = self._kinds.get((group, version, rest[0]))
        if kind is None or len(rest) > 3 or (namespace and not kind.resource.namespaced) or "" in rest:
            raise statuses.no_such_path()
        name, subresource = (*rest[1:], "", "")[:2]
        if subresource and subresource not in kind.resource.subresources:
            raise statuses.no_such_path()
        if kind.resource.namespaced and name and not namespace:
            raise statuses.no_such_path()
        return Route(kind, namespace, name, subresource)
