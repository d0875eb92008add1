"""A resource that is another one in other words: Events of events.k8s.io are those of the core group. Pure.

A request is answered as one for the stored resource. What it sends is translated before it is stored; what it patches
is what it would be shown, and is translated afterwards; and so is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kapi.server.answers import Answer, Body, Following, Streamed
from kapi.server.kinds import Kind
from kapi.server.records import encode
from kapi.server.routes import Route
from kapi.transport import Request

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alias:
    """A kind as it is asked for, and as it is stored: for most it is the same one."""

    kind: Kind
    stored: Kind

    @property
    def is_other(self) -> bool:
        """Whether there is anything to translate."""
        return self.kind is not self.stored

    @property
    def names(self) -> Mapping[str, str]:
        """Its top-level fields, and what they are called where it is stored."""
        return self.kind.renamed

    def asked(self, route: Route[Kind]) -> Route[Kind]:
        """Give the route that was asked for, from the one to what is stored."""
        return replace(route, kind=self.kind)

    def request(self, request: Request) -> Request:
        """Give the request with the stored names of what it selects by."""
        query = dict(request.query)
        if "fieldSelector" in query:
            query["fieldSelector"] = ",".join(map(self._selector, query["fieldSelector"].split(",")))
        return replace(request, query=query)

    def _selector(self, term: str) -> str:
        first, dot, rest = term.partition(".")
        return f"{self.names.get(first, first)}{dot}{rest}"

    def inward(self, obj: Json, live: Json) -> Json:
        """Give an object that was sent as it is to be stored in the place of `live` ({}: nothing). Refuses with 400."""
        if not self.is_other:
            return obj
        renamed = {self.names.get(name, name): value for name, value in obj.items()}
        found = self.kind.inward(renamed, live) | {"apiVersion": self.stored.resource.api_version}
        self.stored.check(found, "Ignore")  # that what was translated has the right types
        return found

    def applied(self, config: Json, live: Json) -> Json:
        """Give a configuration that is applied to `live` ({}: nothing) in the words of what is stored."""
        if not self.is_other:
            return config
        return self.inward(self.kind.completed(config, self.outward(live) if live else {}), {})

    def outward(self, obj: Json) -> Json:
        """Give an object as it is shown."""
        if not self.is_other:
            return obj
        back = {theirs: ours for ours, theirs in self.names.items()}
        renamed = {back.get(name, name): value for name, value in obj.items()}
        return self.kind.outward(renamed) | {"apiVersion": self.kind.resource.api_version}

    def reply(self, reply: Answer | Following | Streamed) -> Answer | Following | Streamed:
        """Give the answer as one of this resource."""
        if isinstance(reply, Streamed) or not self.is_other:
            return reply
        if isinstance(reply, Following):
            return replace(reply, translate=self._told)
        return replace(reply, body=Translated(reply.body, self._told))

    def _told(self, obj: Json) -> Json:
        """Give an object or a list in the words of this resource; what is neither is left alone."""
        kind, stored = obj.get("kind"), self.stored.resource
        if obj.get("apiVersion") != stored.api_version:
            return obj
        if kind == f"{stored.kind}List":
            items = [self._told(item) for item in obj["items"]]
            return {**obj, "apiVersion": self.kind.resource.api_version, "items": items}
        return self.outward(obj) if kind == stored.kind else obj


@dataclass(frozen=True, slots=True)
class Translated:
    """An answer in the words of another resource."""

    body: Body
    translate: Callable[[Json], Json]

    def json(self) -> Json:
        """See `Body`."""
        return self.translate(self.body.json())

    def encoded(self) -> bytes:
        """See `Body`."""
        return encode(self.translate(json.loads(self.body.encoded())))
