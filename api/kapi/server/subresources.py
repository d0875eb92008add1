"""What an object has beside itself: scale, binding, eviction, log, finalize."""

from __future__ import annotations

from typing import Any

from kapi.server import requests, statuses
from kapi.server.answers import Answer, One
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.routes import Route
from kapi.server.state import Record, State
from kapi.server.writing import Writer
from kapi.transport import Request

Json = dict[str, Any]


class Subresources:
    """Answers requests for subresources other than status."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    async def answer(self, request: Request, route: Route[Kind], options: Options) -> Answer:
        """Answer one request. Refuses with the Status that fits."""
        match route.subresource, request.method:
            case "binding", "POST":
                return await self._bind(request, route, options)
        raise statuses.method_not_allowed(route.kind.resource, request.method.lower())

    async def _bind(self, request: Request, route: Route[Kind], options: Options) -> Answer:
        body = requests.parsed(request)
        node = (body.get("target") or {}).get("name") if isinstance(body, dict) else None
        if not isinstance(node, str) or not node:
            raise statuses.bad_request("target.name: Required value")

        def change(record: Record) -> Json:
            spec = record.object.get("spec") or {}
            if spec.get("nodeName"):
                why = f'pod {route.name} is already assigned to node "{spec["nodeName"]}"'
                raise statuses.conflict(route.kind.resource, route.name, why)
            return {**record.object, "spec": {**spec, "nodeName": node}, "metadata": {**record.object["metadata"]}}

        record = await self._writer.change(route, change, options)
        return Answer(One(record), 201)
