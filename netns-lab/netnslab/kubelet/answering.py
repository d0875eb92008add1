"""What the kubelets of a lab answer the API server: logs as they grow, commands in containers, ports of pods."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence

from kapi.server.kubelets import Pipe, Streams
from kapi.server.statuses import bad_request, internal
from netnslab.errors import LabError
from netnslab.growing import GrowingLog
from netnslab.kernel import Namespace
from netnslab.kubelet.execution import execute
from netnslab.kubelet.kubelet import Kubelet
from netnslab.kubelet.pod import PodWorker

_LOOK_AGAIN = 0.2  # seconds between two looks at a log that is followed
_PIECE = 1 << 16
_CONNECT_SECONDS = 5.0


class Answering:
    """Answers for all kubelets of a lab: a `kapi.server.kubelets.Kubelets`."""

    def __init__(self, kubelets: Mapping[str, Kubelet]) -> None:
        self._kubelets = kubelets

    async def follow(self, namespace: str, pod: str, container: str) -> AsyncIterator[bytes]:
        """See `Kubelets.follow`: the first piece is all that is there."""
        worker = self._worker(namespace, pod)
        path = worker.log_path(container)
        if path is None:
            raise bad_request(f'container "{container}" in pod "{pod}" has no log here')
        with GrowingLog(path) as log:
            yield await asyncio.to_thread(log.more)
            while True:
                living = self._living(worker, container)
                data = await asyncio.to_thread(log.more)
                if data:
                    yield data
                elif not living:
                    return
                else:
                    await asyncio.sleep(_LOOK_AGAIN)

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> int:
        """See `Kubelets.execute`."""
        worker = self._worker(namespace, pod)
        place = worker.place(container)
        if place is None:
            raise bad_request(f"container {container} is not valid for pod {pod}")
        if not place.variables or not self._living(worker, container):
            raise bad_request(f'cannot exec into container "{container}" of pod "{pod}": it does not run')
        try:
            return await execute(place, command, streams)
        except LabError as error:
            raise internal(str(error)) from error

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> int:
        """See `Kubelets.attach`: from the beginning, however late somebody comes. Nobody can type into a container."""
        async for printed in self.follow(namespace, pod, container):
            if streams.stdout is not None:
                await streams.stdout(printed.replace(b"\n", b"\r\n") if streams.terminal else printed)
        return 0

    async def connect(self, namespace: str, pod: str, port: int) -> Pipe:
        """See `Kubelets.connect`."""
        worker = self._worker(namespace, pod)
        assert worker.sandbox is not None
        failure: OSError | None = None
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                return await _Connection.to(worker.sandbox.namespace, family, (host, port))
            except OSError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        found = (kubelet.pod(f"{namespace}/{pod}") for kubelet in self._kubelets.values())
        worker = next((worker for worker in found if worker is not None), None)
        if worker is None:
            raise bad_request(f"pod {pod} does not run on any node")
        return worker

    def _living(self, worker: PodWorker, container: str) -> bool:
        """Whether a container runs, or will again."""
        states = {state.name: state for state in worker.states()}
        return worker.sandbox is not None and container in states and not states[container].final


class _Connection:
    """A TCP connection: a `kapi.server.kubelets.Pipe`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, namespace: Namespace, family: int, address: tuple[str, int]) -> _Connection:
        """Connect in a network namespace. Raises OSError."""
        sock = namespace.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, address)
            return cls(*await asyncio.open_connection(sock=sock))
        except BaseException:
            sock.close()
            raise

    async def read(self) -> bytes:
        """See `Pipe.read`."""
        return await self._reader.read(_PIECE)

    async def write(self, data: bytes) -> None:
        """See `Pipe.write`."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """See `Pipe.end`."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        """See `Pipe.close`."""
        self._writer.close()
