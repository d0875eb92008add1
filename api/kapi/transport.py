"""How requests reach an API server: over HTTP, or by a call into one that runs in this process.

A transport is two methods, `send` and `stream`; both kinds raise the errors of `kapi.errors` and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING, Any, Protocol

from kapi.credentials import Credentials
from kapi.errors import ConnectionLost, from_status

if TYPE_CHECKING:
    import aiohttp

Json = dict[str, Any]

JSON = "application/json"
_UNAUTHORIZED = 401
_LARGE = 1 << 20  # bytes of a body that would keep others waiting if it were sent at once
_LIMIT = 64 * 1024 * 1024  # one watch event may hold a whole object: well above any object the API stores


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API. `body` is JSON already parsed, or raw bytes in `content_type`.

    `user` and `groups` are who calls, where a server has found out; clients show credentials instead. `agent` is what
    the client says of itself, as a User-Agent; its name, before the slash, is told as the manager of fields it writes.
    Without `owners` the answer may lack `managedFields`, which are half of a long list and its memory.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    user: str = ""
    groups: tuple[str, ...] = ()
    agent: str = ""
    owners: bool = True


class Transport(Protocol):
    """A way to an API server."""

    async def send(self, request: Request) -> Json:
        """Send one request and return the object it answers with; a refusal raises its `StatusError`."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """Open a watch: an iterator of `{"type": ..., "object": ...}` that ends when the server ends it."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


class HttpTransport:
    """The API over HTTP or HTTPS.

    `url` is the server's root; `read_timeout` bounds the silence on a watch, in seconds, so that a half-open
    connection is noticed. `credentials` are asked for a token with every request. Requests take only connections that
    were opened with the present `tls`: where that is another one, what was opened before is closed when it falls idle.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        tls: ssl.SSLContext | None = None,
        read_timeout: float = 660.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.credentials = credentials
        self.tls = tls
        self._read_timeout = read_timeout
        self._session: aiohttp.ClientSession | None = None
        self.observe: Callable[[str, int, float], None] = _nobody  # method, status (0: none came), seconds

    async def send(self, request: Request) -> Json:
        """Send one request; see `Transport.send`."""
        import aiohttp  # noqa: PLC0415  # imported when first used: command lines that only ask for help stay quick

        timeout = aiohttp.ClientTimeout(60)
        try:
            async with self._ask(request, timeout) as response:
                return self._answer(response.status, await response.read(), owners=request.owners)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(f"{request.method} {self.url}{request.path}: {_reason(error)}") from error

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a watch; see `Transport.stream`."""
        import aiohttp  # noqa: PLC0415  # as above

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._read_timeout)
        try:
            async with self._ask(request, timeout) as response:
                if response.status != 200:
                    self._answer(response.status, await response.read())
                yield _frames(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(f"watch {self.url}{request.path}: {_reason(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _ask(self, request: Request, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; where its token is no longer taken and there may be another, once more with that."""
        who = self.credentials
        for last in (who is None, True):
            token = await who.token() if who is not None else ""
            async with self._observed(request, token, timeout) as response:
                if last or response.status != _UNAUTHORIZED or who is None or not who.refused(token):
                    yield response
                    return
                response.close()  # a certificate is shown once for a connection

    @asynccontextmanager
    async def _observed(
        self, request: Request, token: str, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        started, status = time.monotonic(), 0
        asked = self._open().request(**self._arguments(request, token), timeout=timeout)
        try:
            response = await asked
            status = response.status
        finally:
            self.observe(request.method, status, time.monotonic() - started)
        async with response:
            yield response

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415  # as above

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            agent = {"User-Agent": f"{program()}/kapi"}
            self._session = aiohttp.ClientSession(
                connector=connector, headers=agent, read_bufsize=1 << 20, auto_decompress=True
            )
        return self._session

    def _arguments(self, request: Request, token: str) -> dict[str, Any]:
        body = request.body
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, separators=(",", ":")).encode()
        headers = {"Accept": request.accept}
        if body is not None:
            headers["Content-Type"] = request.content_type
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return {
            "method": request.method,
            "url": self.url + request.path,
            "params": dict(request.query),
            "data": sendable(body),
            "headers": headers,
            "ssl": self.tls if self.tls is not None else True,
        }

    def _answer(self, code: int, payload: bytes, *, owners: bool = True) -> Json:
        try:
            body = json.loads(payload, object_hook=None if owners else _without_owners) if payload else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {"kind": "Status", "status": "Failure", "code": code, "message": payload[:200].decode("latin-1")}
            if code < 400:
                raise ConnectionLost(f"{self.url} answered {code} with something that is not a JSON object")
        if code >= 400:
            raise from_status({"code": code, **body})
        return body


def _without_owners(found: Json) -> Json:
    """Let go of the record of a metadata as soon as it is read: nothing else is a list of that name."""
    if type(found.get("managedFields")) is list:
        del found["managedFields"]
    return found


def _nobody(method: str, status: int, seconds: float) -> None:
    """Nobody counts calls, unless somebody says so."""


def program() -> str:
    """Give the name of this program: who writes, as servers tell it of the fields that it sets."""
    path = Path(sys.argv[0])
    return (path.parent.name if path.stem == "__main__" else path.stem) or "python"


def sendable(body: bytes | None) -> bytes | io.BytesIO | None:
    """Give a body as aiohttp wants it: large ones as files, of which it sends a piece at a time."""
    return io.BytesIO(body) if body is not None and len(body) > _LARGE else body


def _reason(error: Exception) -> str:
    """Say why there is no connection, in the system's words where it has some."""
    cause = getattr(error, "os_error", error)  # of aiohttp, whose own words speak of TLS where there is none
    if isinstance(cause, gaierror):
        return f"its name has no address ({cause.strerror})"
    if isinstance(cause, OSError) and type(cause).__module__ == "builtins" and cause.errno:
        return os.strerror(cause.errno)
    return str(error) or type(error).__name__


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[Json]:
    """Split a watch's bytes into events, one JSON object a line, whatever the chunks look like."""
    pending = bytearray()
    async for chunk in content.iter_any():
        pending += chunk
        if b"\n" not in chunk:
            if len(pending) > _LIMIT:
                raise ConnectionLost(f"a watch event is longer than {_LIMIT} bytes")
            continue
        *lines, rest = bytes(pending).split(b"\n")
        pending = bytearray(rest)
        for line in lines:
            if line.strip():
                yield _event(line)
    if pending.strip():
        raise ConnectionLost("the watch ended in the middle of an event")


def _event(line: bytes) -> Json:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise ConnectionLost(f"a watch event is not JSON: {line[:120]!r}") from error
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict) or "type" not in event:
        raise ConnectionLost(f"a watch event has no type or no object: {line[:120]!r}")
    return event
