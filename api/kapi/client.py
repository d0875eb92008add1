"""A small asynchronous client: get, list, watch, create, update, patch, delete, on any transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

from kapi.resources import PODS, SERVICE_ACCOUNTS, Resource
from kapi.transport import JSON, HttpTransport, Request, Transport

Json = dict[str, Any]
PatchKind = Literal["merge", "json", "strategic", "apply"]

_PATCH_TYPES: dict[PatchKind, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a list, and the resource version at which they are true."""

    items: list[Json]
    resource_version: str
    next_page: str = ""


class Outage:
    """One outage of a server is one for all who ask it: told of once, and whoever finds it over tells the others."""

    def __init__(self) -> None:
        self._until = 0.0
        self._over = asyncio.Event()

    def ended(self) -> None:
        """The server has given all that was asked for: let those who wait for it ask at once."""
        self._until = 0.0
        self._over.set()
        self._over = asyncio.Event()

    async def wait(self, patience: Awaitable[None]) -> None:
        """Wait until the outage has ended, or until there is no more patience."""
        waiting = {asyncio.ensure_future(patience), asyncio.ensure_future(self._over.wait())}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                await each
        finally:
            for each in waiting:
                each.cancel()

    def is_news(self, now: float, delay: float) -> bool:
        """Whether to tell of a failure; if so, others within the next `delay` seconds are no news."""
        if now < self._until:
            return False
        self._until = now + delay
        return True


class Client:
    """Calls an API server. Objects are plain JSON dictionaries and are never changed by the client.

    Every method raises the errors of `kapi.errors`. A namespace of None means all namespaces (for lists) or a
    resource that has none.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.outage = Outage()

    @classmethod
    def connect(cls, url: str) -> Client:
        """Use the server at `url`, without credentials."""
        return cls(HttpTransport(url))

    async def close(self) -> None:
        """Give back connections."""
        await self.transport.close()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return await self._send("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        limit: int = 0,
        page: str = "",
        owners: bool = True,
    ) -> Listing:
        """Read a collection, or with `limit` a page of it; `page` is the `next_page` of the page before.

        Who needs no `managedFields` asks without `owners`: it saves half of the memory.
        """
        query = _query(labelSelector=labels, fieldSelector=fields, resourceVersion=resource_version)
        query |= _query(limit=str(limit or ""), **{"continue": page})
        answer = await self.transport.send(Request("GET", resource.path(namespace), query, owners=owners))
        meta = answer.get("metadata") or {}
        kind = {"kind": resource.kind, "apiVersion": resource.api_version}
        items = [item if "kind" in item else {**kind, **item} for item in answer.get("items") or ()]
        return Listing(items, meta.get("resourceVersion") or "", meta.get("continue") or "")

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        timeout_seconds: int = 0,
        initial_events: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """Follow a collection from `resource_version` on: an iterator of watch events, bookmarks included.

        With `initial_events` it begins with the present objects, and a bookmark that says that these were all.
        """
        query = _query(labelSelector=labels, fieldSelector=fields, resourceVersion=resource_version)
        query |= {"watch": "true", "allowWatchBookmarks": "true"} | _query(timeoutSeconds=str(timeout_seconds or ""))
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return self.transport.stream(Request("GET", resource.path(namespace), query))

    async def create(self, resource: Resource, obj: Json, namespace: str | None = None) -> Json:
        """Create an object; it comes back as stored."""
        return await self._send("POST", resource.path(namespace or _namespace(resource, obj)), body=obj)

    async def bind(self, pod: str, namespace: str, node: str) -> Json:
        """Give a pod to a node, through the `binding` subresource."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod, "namespace": namespace}}
        return await self._send("POST", PODS.path(namespace, pod, "binding"), body={**body, "target": target})

    async def token(self, account: str, namespace: str, *, audiences: Sequence[str] = (), seconds: int = 3600) -> str:
        """Ask for a token of a ServiceAccount, for the API itself unless `audiences` are named."""
        path = SERVICE_ACCOUNTS.path(namespace, account, "token")
        spec = {"audiences": list(audiences), "expirationSeconds": seconds}
        head = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = await self._send("POST", path, body={**head, "spec": spec})
        return str(answer["status"]["token"])

    async def update(self, resource: Resource, obj: Json, *, subresource: str | None = None) -> Json:
        """Replace an object; with a resource version in it, only if it has not changed since."""
        name = obj["metadata"]["name"]
        return await self._send("PUT", resource.path(_namespace(resource, obj), name, subresource), body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        kind: PatchKind = "merge",
        subresource: str | None = None,
        manager: str = "",
    ) -> Json:
        """Change parts of an object. `manager` is the field manager, required for kind "apply"."""
        path = resource.path(namespace, name, subresource)
        query = _query(fieldManager=manager)
        return await self._send("PATCH", path, query, body=patch, content_type=_PATCH_TYPES[kind])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
    ) -> Json:
        """Delete an object; with `uid`, only that very one."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self._send("DELETE", resource.path(namespace, name), body=options)

    async def _send(
        self, method: str, path: str, query: dict[str, str] | None = None, *, body: Any = None, content_type: str = JSON
    ) -> Json:
        return await self.transport.send(Request(method, path, query or {}, body, content_type))


def _query(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _namespace(resource: Resource, obj: Json) -> str | None:
    return (obj["metadata"].get("namespace") or "default") if resource.namespaced else None
