"""The way to a server in this process: a call, with no bytes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kapi.errors import StatusError
from kapi.server.answers import Answer, Following
from kapi.server.dispatch import Dispatcher
from kapi.transport import Request

Json = dict[str, Any]


class InProcess:
    """A `kapi.transport.Transport` for the component `agent`.

    Objects it hands out are the server's own and must not be changed.
    """

    def __init__(self, dispatcher: Dispatcher, agent: str) -> None:
        self._dispatcher = dispatcher
        self._agent = agent

    async def send(self, request: Request) -> Json:
        """See `Transport.send`."""
        answer = await self._dispatcher.answer(replace(request, agent=self._agent))
        if isinstance(answer, Answer):
            return answer.body.json()
        if isinstance(answer, Following):
            answer.watch.close()
        raise StatusError({"code": 400, "reason": "BadRequest", "message": "a watch is to be opened with stream()"})

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
        """See `Transport.stream`."""
        following = await self._dispatcher.answer(request)
        if not isinstance(following, Following):
            raise StatusError({"code": 400, "reason": "BadRequest", "message": f"{request.path} is not a watch"})
        try:
            yield _each(following)
        finally:
            following.watch.close()

    async def close(self) -> None:
        """See `Transport.close`."""


async def _each(following: Following) -> AsyncIterator[Json]:
    async for batch in following.watch.events():
        for event in batch.events:
            yield following.json(event)
