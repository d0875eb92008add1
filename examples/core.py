"""The smallest orchestrator core that kproxy can be plugged into: it serves list and watch, and takes objects by PUT.

python examples/core.py 8001 &
kproxy --server http://127.0.0.1:8001
curl -X PUT -d @web.json http://127.0.0.1:8001/api/v1/namespaces/default/services/web
"""

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

Json = dict[str, Any]

PATHS = {"services": "/api/v1", "endpointslices": "/apis/discovery.k8s.io/v1"}
objects: dict[str, dict[str, Json]] = {plural: {} for plural in PATHS}  # by plural, then by path
events: list[tuple[int, str, str, Json]] = []  # every change; a core of use forgets the oldest
changed = asyncio.Condition()


async def note(plural: str, kind: str, obj: Json) -> None:
    """Give the change the next version, and tell whoever watches."""
    obj["metadata"]["resourceVersion"] = str(len(events) + 1)
    events.append((len(events) + 1, plural, kind, obj))
    async with changed:
        changed.notify_all()


async def put(request: web.Request) -> web.Response:
    """Create or change an object."""
    plural = request.match_info["plural"]
    obj = json.loads(await request.read())
    known = request.path in objects[plural]
    objects[plural][request.path] = obj
    await note(plural, "MODIFIED" if known else "ADDED", obj)
    return web.json_response(obj)


async def delete(request: web.Request) -> web.Response:
    """Forget an object."""
    plural = request.match_info["plural"]
    await note(plural, "DELETED", objects[plural].pop(request.path))
    return web.json_response({"kind": "Status", "status": "Success"})


async def list_or_watch(request: web.Request) -> web.StreamResponse:
    """Give all objects and the version of that state, or every change after a version."""
    plural = request.match_info["plural"]
    if request.query.get("watch") not in ("1", "true"):
        listing = {"metadata": {"resourceVersion": str(len(events))}, "items": list(objects[plural].values())}
        return web.json_response(listing)
    seen = int(request.query["resourceVersion"])
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        for version, about, kind, obj in events[seen:]:
            if about == plural:
                await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
            seen = version
        async with changed:
            while len(events) == seen:
                await changed.wait()


app = web.Application()
for plural, base in PATHS.items():
    app.router.add_get(f"{base}/{{plural:{plural}}}", list_or_watch)
    app.router.add_put(f"{base}/namespaces/{{namespace}}/{{plural:{plural}}}/{{name}}", put)
    app.router.add_delete(f"{base}/namespaces/{{namespace}}/{{plural:{plural}}}/{{name}}", delete)
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), shutdown_timeout=0)
