"""A resource that is another one in other words: Events of events.k8s.io are those of the core group. Pure.

A request is translated, answered as one for the stored resource, and its answer translated back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kapi.resources import Resource
from kapi.server.answers import Answer, Following, Plain, Streamed
from kapi.server.history import Event
from kapi.server.kinds import Kind
from kapi.transport import JSON, Request

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alias:
    """How a kind is stored as another resource."""

    kind: Kind
    stored: Resource

    @property
    def resource(self) -> Resource:
        """The resource that is asked for."""
        return self.kind.resource

    @property
    def names(self) -> Mapping[str, str]:
        """Its top-level fields, and what they are called where it is stored."""
        return self.kind.renamed

    def request(self, request: Request, body: Any) -> Request:
        """Give the request for the stored resource; `body` is the parsed body."""
        ours, theirs = self.resource.path(), self.stored.path()
        prefix = ours.removesuffix(self.resource.plural)
        path = theirs.removesuffix(self.stored.plural) + request.path.removeprefix(prefix)
        query = dict(request.query)
        if "fieldSelector" in query:
            query["fieldSelector"] = ",".join(map(self._selector, query["fieldSelector"].split(",")))
        kind = request.content_type if request.method == "PATCH" else JSON
        return replace(request, path=path, query=query, body=self._body(body), content_type=kind)

    def reply(self, reply: Answer | Following | Streamed) -> Answer | Following | Streamed:
        """Give the answer as one of this resource."""
        if isinstance(reply, Streamed):
            return reply
        if isinstance(reply, Following):
            return replace(reply, show=self._shown(reply))
        return replace(reply, body=Plain(self._object(json.loads(reply.body.encoded()))))

    def _shown(self, following: Following) -> Callable[[Event], Json]:
        inner = following.show
        return lambda event: self._object(inner(event) if inner else event.shown)

    def _selector(self, term: str) -> str:
        first, dot, rest = term.partition(".")
        return f"{self.names.get(first, first)}{dot}{rest}"

    def _body(self, body: Any) -> Any:
        if isinstance(body, list):  # a JSON patch
            return [self._operation(item) if isinstance(item, dict) else item for item in body]
        if not isinstance(body, dict):
            return body
        renamed = {self.names.get(name, name): value for name, value in body.items()}
        if renamed.get("apiVersion") == self.resource.api_version:
            renamed["apiVersion"] = self.stored.api_version
        return self.kind.inward(renamed)

    def _operation(self, operation: Json) -> Json:
        moved = {name: self._pointer(operation[name]) for name in ("path", "from") if name in operation}
        return operation | moved

    def _pointer(self, pointer: Any) -> Any:
        if not isinstance(pointer, str):
            return pointer
        empty, slash, rest = pointer.partition("/")
        first, more, tail = rest.partition("/")
        return f"{empty}{slash}{self.names.get(first, first)}{more}{tail}"

    def _object(self, obj: Json) -> Json:
        """Give an object or a list in the names of this resource; what is neither is left alone."""
        kind = obj.get("kind")
        if obj.get("apiVersion") != self.stored.api_version:
            return obj
        if kind == f"{self.stored.kind}List":
            items = [self._object(item) for item in obj["items"]]
            return {**obj, "apiVersion": self.resource.api_version, "items": items}
        if kind != self.stored.kind:
            return obj
        back = {theirs: ours for ours, theirs in self.names.items()}
        renamed = {back.get(name, name): value for name, value in obj.items()}
        return self.kind.outward(renamed) | {"apiVersion": self.resource.api_version}
