"""Carries out what was decided: the only part of the workload controllers that writes to the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import groupby
from typing import Any, assert_never

from kapi.client import Client
from kapi.errors import ApiError, Conflict, Forbidden, NotFound
from kapi.events import Recorder
from kapi.resources import PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from netnslab.workloads.actions import Action, Bind, Create, Delete, Patch, Tell
from netnslab.workloads.world import World

Json = dict[str, Any]

_AT_ONCE = 64  # writes on their way to the server at the same time


class Effects:
    """Writes, and tells `world` at once what came of it."""

    def __init__(self, client: Client, recorder: Recorder, world: World) -> None:
        self._client = client
        self._recorder = recorder
        self._world = world

    async def perform(self, actions: Iterable[Action]) -> None:
        """Carry out actions in their order; neighbours of one kind at the same time. Raises the first error met."""
        for _, alike in groupby(actions, key=_kind):
            waiting = list(alike)
            while waiting:
                await _all_of([self._one(action) for action in waiting[:_AT_ONCE]])
                del waiting[:_AT_ONCE]

    async def _one(self, action: Action) -> None:
        match action:
            case Create():
                await self._create(action)
            case Delete():
                await self._delete(action)
            case Patch():
                await self._patch(action)
            case Bind():
                await self._bind(action)
            case Tell():
                self._recorder.event(action.about, action.level, action.reason, action.message)
            case _:
                assert_never(action)

    async def _create(self, action: Create) -> None:
        """Create in growing batches, so that a template which the server refuses costs one request and not hundreds.

        In a namespace that is being deleted nothing is created, and nothing is to be tried again: its objects go.
        """
        left, batch = action.count, 1
        try:
            while left:
                now = min(batch, left, _AT_ONCE)
                await _all_of([self._create_one(action) for _ in range(now)])
                left -= now
                batch *= 2
        except Forbidden as error:
            if not _is_terminating(error):
                raise

    async def _create_one(self, action: Create) -> None:
        kind = action.resource.kind
        try:
            reply = await self._client.create(action.resource, action.obj)
        except ApiError as error:
            if isinstance(error, Forbidden) and _is_terminating(error):
                raise
            if action.resource in (PODS, PERSISTENT_VOLUME_CLAIMS):
                self._recorder.event(action.owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._took(action.resource, reply)
        if action.resource == PODS:
            name = reply["metadata"]["name"]
            self._recorder.event(action.owner, "Normal", "SuccessfulCreate", f"Created {kind.lower()}: {name}")

    async def _delete(self, action: Delete) -> None:
        namespace, _, name = action.key.rpartition("/")
        try:
            reply = await self._client.delete(
                action.resource, name, namespace, uid=action.uid, grace_seconds=action.grace
            )
        except (NotFound, Conflict):
            self._world.views[action.resource].deleted(action.key, action.uid)
            return
        if _is_gone(reply):
            self._world.views[action.resource].deleted(action.key, action.uid)
        else:
            self._took(action.resource, reply)
        if action.resource == PODS:
            self._recorder.event(action.owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _patch(self, action: Patch) -> None:
        namespace, _, name = action.key.rpartition("/")
        try:
            reply = await self._client.patch(
                action.resource, name, action.patch, namespace, subresource=action.subresource, kind=action.kind
            )
        except NotFound:
            return  # it has gone: the cache will say so
        self._took(action.resource, reply)

    async def _bind(self, action: Bind) -> None:
        pod = action.pod
        try:
            reply = await self._client.bind(pod.name, pod.namespace, action.node)
            if reply.get("kind") != "Pod":  # Kubernetes answers with a Status
                reply = await self._client.get(PODS, pod.name, pod.namespace)
        except (NotFound, Conflict):
            return  # it has gone, or somebody else was quicker: the cache will say so
        self._took(PODS, reply)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {action.node}"
        self._recorder.event(pod, "Normal", "Scheduled", message)

    def _took(self, resource: Resource, reply: Json) -> None:
        view = self._world.views.get(resource)
        if view is not None:
            view.wrote(reply)


def _kind(action: Action) -> tuple[type, Resource | None]:
    """What is done, and to which resource: a pod is made when its claims are."""
    return type(action), getattr(action, "resource", None)


async def _all_of(calls: list[Any]) -> None:
    """Finish every call, then raise the first error: one refusal does not stop the others halfway."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _is_terminating(error: Forbidden) -> bool:
    """Whether a refusal is because the namespace is being deleted."""
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _is_gone(reply: Json) -> bool:
    """Whether a deletion's reply says that nothing is left to wait for."""
    meta = reply.get("metadata") or {}
    if reply.get("kind") == "Status" or "deletionTimestamp" not in meta:
        return True
    return not meta.get("deletionGracePeriodSeconds") and not meta.get("finalizers")
