"""A live ingress on 127.0.0.1, fed by hand, and upstreams that keep every byte they are sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.ports import unused_port

from kapi.cache import Cache, Decode
from kapi.events import Recorder
from kapi.resources import ENDPOINT_SLICES, INGRESS_CLASSES, INGRESSES, SERVICES, Resource
from kingress.certificates import Certificate
from kingress.controller import Controller
from kingress.gateway import Gateway
from kingress.server import Server
from kingress.settings import Settings

Json = dict[str, Any]
HOST = "shop.example"


class Caches:
    """A source whose caches are filled by the test."""

    def __init__(self) -> None:
        self.caches: dict[Resource, Cache[Any]] = {}

    def cache(self, resource: Resource, decode: Decode[Any]) -> Cache[Any]:
        return self.caches.setdefault(resource, Cache(resource, decode))

    async def run(self) -> None:
        await asyncio.Event().wait()


@dataclass
class Seen:
    """A request as an upstream got it."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """By name in small letters; a name that comes twice fails the test."""
        found: dict[str, str] = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                assert name.lower() not in found, f"{name} was sent twice"
                found[name.lower()] = value.strip()
        return found


def reply(body: bytes = b"ok", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A response of known length."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body])


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[bytes | None]]


@dataclass
class Upstream:
    """An upstream that reads strictly, keeps all, and answers as told; an answer of None says that it was written."""

    port: int = 0
    name: bytes = b"ok"
    requests: list[Seen] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    connections: int = 0
    open: int = 0
    answer: Answer | None = None
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> Upstream:
        self.port = self.port or unused_port()  # the same again when it comes back after a stop
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in list(self.writers):
                writer.transport.abort()
            self.server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.writers.add(writer)
        try:
            while True:
                seen = await self._read(reader)
                self.requests.append(seen)
                data = await self.answer(seen, writer) if self.answer else reply(self.name)
                if data is not None:
                    writer.write(data)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self.writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Seen:
        head = await reader.readuntil(b"\r\n\r\n")
        self.raw += head
        headers = Seen(head, b"").headers
        assert not ("content-length" in headers and "transfer-encoding" in headers)
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
            self.raw += body
        return Seen(head, body)

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            data = await reader.readexactly(int(line, 16) + 2)
            assert data.endswith(b"\r\n")
            self.raw += line + data
            if line == b"0\r\n":
                return body
            body += data[:-2]


@dataclass
class Live:
    """A running ingress."""

    gateway: Gateway
    controller: Controller
    source: Caches
    server: Server
    port: int
    tls_port: int

    def put(self, resource: Resource, obj: Json) -> None:
        self.source.caches[resource].put(obj)

    def remove(self, resource: Resource, name: str, namespace: str = "shop") -> None:
        self.source.caches[resource].remove(f"{namespace}/{name}")

    def ingress(
        self,
        name: str,
        rules: list[tuple[str, str, str, str]],
        annotations: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """Apply an Ingress of (host, path type, path, Service); annotations are `kproxy.io/`'s."""
        written = [
            {
                **({"host": host} if host else {}),
                "http": {"paths": [{"path": path, "pathType": kind, "backend": backend(service)}]},
            }
            for host, kind, path, service in rules
        ]
        asked = {f"kproxy.io/{key}": value for key, value in (annotations or {}).items()}
        meta = {"namespace": "shop", "name": name, "annotations": asked}
        self.put(INGRESSES, {"metadata": meta, "spec": {"ingressClassName": "kproxy", "rules": written, **spec}})

    def secret(self, name: str, **data: bytes) -> None:
        """Apply a Secret; `tls_crt` is tls.crt."""
        encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
        self.controller.tls.secrets.put({"metadata": {"namespace": "shop", "name": name}, "data": encoded})

    def service(self, name: str, *upstreams: Upstream | int, **conditions: Any) -> None:
        """Apply a Service and its slices; a number is a port where nobody listens."""
        meta = {"namespace": "shop", "name": name}
        self.put(SERVICES, {"metadata": meta, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
        ports = [each if isinstance(each, int) else each.port for each in upstreams]
        wanted = {f"{name}-{port}": port for port in ports}
        for old in [key for key in self.source.caches[ENDPOINT_SLICES] if key.startswith(f"shop/{name}-")]:
            if old.removeprefix("shop/") not in wanted:
                self.source.caches[ENDPOINT_SLICES].remove(old)
        for slice_name, port in wanted.items():
            self.put(
                ENDPOINT_SLICES,
                {
                    "metadata": {
                        "namespace": "shop",
                        "name": slice_name,
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": ["127.0.0.1"], "conditions": conditions}],
                    "ports": [{"name": "http", "port": port}],
                },
            )

    async def until(self, condition: Callable[[], object], seconds: float = 3.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  # what is waited for has no event: it is seen from outside
                await asyncio.sleep(0.005)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, raw: bytes, *, end: bool = False) -> bytes:
        """Send bytes, perhaps as all there will be, and give all that comes until the ingress hangs up."""
        reader, writer = await self.connect()
        writer.write(raw)
        if end:
            writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def get(self, path: str = "/", host: str = HOST, *headers: str, method: str = "GET") -> tuple[int, bytes]:
        """Make one request; gives the status and the body."""
        status, _, body = await self.ask(path, host, *headers, method=method)
        return status, body

    async def ask(
        self, path: str = "/", host: str = HOST, *headers: str, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one request; gives the status, the headers by name in small letters, and the body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
        answer = await self.talk("\r\n".join(lines).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), Seen(head, b"").headers, body


def backend(service: str, port: int = 80) -> Json:
    return {"service": {"name": service, "port": {"number": port}}}


Start = Callable[..., Awaitable[Live]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Gives a function that starts an ingress with settings; all end with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(stand_in: Certificate | None = None, **settings: Any) -> Live:
            made = Settings(**{"tick": 0.05, "drain": 2.0, "linger": 0.3, **settings})
            source = Caches()
            controller = Controller(source, Recorder("kingress"), made, stand_in=stand_in)
            controller.start()
            gateway = Gateway(made, controller.routes.table, controller.upstreams, controller.metrics)
            server = await stack.enter_async_context(Server(gateway))
            sock = socket.create_server(("127.0.0.1", 0))
            await server.listen(sock, port=80)
            secure = socket.create_server(("127.0.0.1", 0))
            await server.listen(secure, tls=controller.tls.context, port=443)
            live = Live(gateway, controller, source, server, sock.getsockname()[1], secure.getsockname()[1])
            live.put(INGRESS_CLASSES, {"metadata": {"name": "kproxy"}, "spec": {"controller": "kproxy.io/ingress"}})
            return live

        yield begin


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Gives a function that starts an upstream; all end with the test."""
    started: list[Upstream] = []

    async def begin(name: bytes = b"ok", answer: Answer | None = None) -> Upstream:
        made = await Upstream(name=name, answer=answer).start()
        started.append(made)
        return made

    yield begin
    for each in started:
        await each.stop()


@pytest.fixture
async def shop(start: Start, upstream: Callable[..., Awaitable[Upstream]]) -> tuple[Live, Upstream]:
    """An ingress with one rule, and its only endpoint."""
    live, web = await start(), await upstream()
    live.service("web", web)
    live.ingress("web", [(HOST, "Prefix", "/", "web")])
    return live, web


Signed = Callable[..., tuple[bytes, bytes]]


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Gives a function that makes a self-signed certificate, and its key, for names; days may be negative."""
    folder = tmp_path_factory.mktemp("certificates")
    made: dict[tuple[str, ...], tuple[bytes, bytes]] = {}

    def make(*names: str, again: str = "") -> tuple[bytes, bytes]:
        if (*names, again) not in made:
            certificate, key = folder / "c.pem", folder / "k.pem"
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            command += ["-nodes", "-days", "2", "-subj", f"/CN={names[0]}", "-keyout", str(key), "-out"]
            command += [str(certificate), "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)]
            subprocess.run(command, check=True, capture_output=True)
            made[*names, again] = certificate.read_bytes(), key.read_bytes()
        return made[*names, again]

    return make


@pytest.fixture
def patient(shop: tuple[Live, Upstream]) -> asyncio.Event:
    """Lets the endpoint of the shop answer only once this event is set."""
    go_on = asyncio.Event()

    async def answer(*_: object) -> bytes:
        await go_on.wait()
        return reply()

    shop[1].answer = answer
    return go_on
