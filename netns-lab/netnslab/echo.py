"""The echo server: stands in for images that cannot run here, and tells who asked whom for what.

On a TCP port it speaks HTTP when the client does, and otherwise sends back what it gets; on a UDP port it answers
with the pod's name and what it got. One thread and one selector, so that a hundred of them start in a moment.

Ports come from the command line (`--tcp 8080 --udp 53`) and, while it runs, as lines on the control descriptor
(`tcp 9090`), each answered by `listening tcp 9090` or `failed tcp 9090: <why>`: whoever started it knows when it
may say that the container is ready.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netnslab import echohttp
from netnslab.echohttp import Identity

_CHUNK = 1 << 16
_MOST_PENDING = 1 << 20  # bytes kept for a client that does not read; beyond it nothing more is read from it
_DRAIN_SECONDS = 0.3  # how long it goes on serving after SIGTERM: endpoints learn of a pod's end after the pod does
_LOGGED_A_SECOND = 20
_PKTINFO_SPACE = socket.CMSG_SPACE(20)

Handler = Callable[[int], None]


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM. Returns the exit status."""
    options = _parser().parse_args(argv)
    identity = Identity(options.pod, options.namespace, options.node)
    with selectors.DefaultSelector() as selector:
        server = Server(selector, identity)
        for kind in ("tcp", "udp"):
            for number in getattr(options, kind):
                _say(server.listen(kind, number))
        if options.control_fd is not None:
            server.control(socket.socket(fileno=options.control_fd))
        server.serve()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="echo", description="Answer with who was asked by whom for what.")
    parser.add_argument("--tcp", type=int, action="append", default=[], metavar="PORT", help="listen on a TCP port")
    parser.add_argument("--udp", type=int, action="append", default=[], metavar="PORT", help="listen on a UDP port")
    parser.add_argument("--pod", default=socket.gethostname(), help="the name to tell (default: the host's name)")
    parser.add_argument("--namespace", default="default", help="the namespace to tell")
    parser.add_argument("--node", default="", help="the node to tell")
    parser.add_argument("--control-fd", type=int, help="a socket that more ports are named on")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the container's log


@dataclass(slots=True)
class Journal:
    """The log of requests. A flood of them is not worth its memory: only some of each second are written."""

    second: int = 0
    written: int = 0
    left_out: int = 0

    def note(self, client: str, request: str) -> None:
        """Write a line: the time, the client, and what it asked for."""
        now = time.time()
        if int(now) != self.second:
            if self.left_out:
                _say(f"and {self.left_out} requests more in that second")
            self.second, self.written, self.left_out = int(now), 0, 0
        if self.written == _LOGGED_A_SECOND:
            self.left_out += 1
            return
        self.written += 1
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        _say(f"{moment}.{int(now % 1 * 1000):03}Z {client} {request}")


@dataclass(slots=True)
class Connection:
    """One TCP client. `speaks_http` is None until its first bytes tell."""

    sock: socket.socket
    client: str
    local: str
    speaks_http: bool | None = None
    received: bytes = b""
    pending: bytes = b""
    closing: bool = False


class Server:
    """All listeners and connections, on one selector; the value registered with each socket is its handler."""

    def __init__(self, selector: selectors.BaseSelector, identity: Identity) -> None:
        self._selector = selector
        self._identity = identity
        self._listening: dict[tuple[str, int], socket.socket] = {}
        self._stop_at: float | None = None
        self._journal = Journal()

    def listen(self, kind: str, port: int) -> str:
        """Listen on a port, on all addresses of both families; the answer says whether it worked."""
        if (kind, port) in self._listening:
            return f"listening {kind} {port}"
        try:
            sock = _bound(kind, port)
        except (OSError, OverflowError) as error:
            return f"failed {kind} {port}: {error}"
        self._listening[kind, port] = sock
        handler: Handler = (lambda _: self._accept(sock)) if kind == "tcp" else (lambda _: self._datagram(sock))
        self._selector.register(sock, selectors.EVENT_READ, handler)
        return f"listening {kind} {port}"

    def control(self, line: socket.socket) -> None:
        """Take ports to listen on from a socket, one `tcp 8080` or `udp 53` a line."""
        buffered = b""

        def read(_mask: int) -> None:
            nonlocal buffered
            data = line.recv(4096)
            if not data:
                self._selector.unregister(line)
                return
            *requests, buffered = (buffered + data).split(b"\n")
            for wanted in requests:
                kind, _, port = wanted.decode().partition(" ")
                outcome = self.listen(kind, int(port))
                _say(outcome)
                line.sendall(outcome.encode() + b"\n")

        self._selector.register(line, selectors.EVENT_READ, read)

    def serve(self) -> None:
        """Answer until SIGTERM, and a little longer for those who have not heard of it yet."""
        signal.signal(signal.SIGTERM, lambda *_: self._drain())
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        self._selector.register(woken, selectors.EVENT_READ, lambda _: woken.recv(64))
        while self._stop_at is None or (left := self._stop_at - time.monotonic()) > 0:
            for key, mask in self._selector.select(None if self._stop_at is None else left):
                # A client may vanish at any moment, and only it shall notice.
                with contextlib.suppress(ConnectionError):
                    key.data(mask)
        signal.set_wakeup_fd(-1)

    def _drain(self) -> None:
        self._stop_at = time.monotonic() + _DRAIN_SECONDS

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, OSError):
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, echohttp.written(address), echohttp.written(sock.getsockname()))
        self._selector.register(sock, selectors.EVENT_READ, lambda mask: self._ready(connection, mask))

    def _ready(self, connection: Connection, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ:
                self._receive(connection)
            self._send(connection)
        except OSError:
            self._close(connection)

    def _receive(self, connection: Connection) -> None:
        data = connection.sock.recv(_CHUNK)
        if not data:
            connection.closing = True
            return
        if connection.speaks_http is None:
            connection.received += data
            connection.speaks_http = echohttp.looks_like_http(connection.received)
            if connection.speaks_http is None:
                return
            if not connection.speaks_http:
                self._journal.note(connection.client, "TCP")
            data = connection.received
            connection.received = b""
        if not connection.speaks_http:
            connection.pending += data
            return
        connection.received += data
        self._answer(connection)

    def _answer(self, connection: Connection) -> None:
        while not connection.closing and (parsed := echohttp.parse(connection.received)) is not None:
            request, used = parsed
            connection.received = connection.received[used:]
            self._journal.note(connection.client, request.line or "a malformed request")
            draining = self._stop_at is not None
            connection.pending += echohttp.answer(
                request, self._identity, connection.client, connection.local, last=draining
            )
            connection.closing = draining or request.last
        if echohttp.waits_for_permission(connection.received):
            connection.received = echohttp.permitted(connection.received)
            connection.pending += b"HTTP/1.1 100 Continue\r\n\r\n"

    def _send(self, connection: Connection) -> None:
        if connection.pending:
            with contextlib.suppress(BlockingIOError):
                connection.pending = connection.pending[connection.sock.send(connection.pending) :]
        if connection.closing and not connection.pending:
            self._close(connection)
            return
        reading = not connection.closing and len(connection.pending) < _MOST_PENDING
        events = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if connection.pending else 0)
        key = self._selector.get_key(connection.sock)
        if key.events != events:
            self._selector.modify(connection.sock, events, key.data)

    def _close(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _datagram(self, sock: socket.socket) -> None:
        try:
            data, where, _, address = sock.recvmsg(_CHUNK, _PKTINFO_SPACE)
        except (BlockingIOError, OSError):
            return
        self._journal.note(echohttp.written(address), f"UDP, {len(data)} bytes")
        text = f"pod: {self._identity.pod}\nclient: {echohttp.written(address)}\n\n".encode() + data
        # The answer leaves from the very address that was asked, of the several that a node has.
        back = [item for item in where if item[:2] in _PKTINFO]
        with contextlib.suppress(OSError):
            sock.sendmsg([text], back, 0, address)


_PKTINFO = ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO), (socket.IPPROTO_IP, 8))  # 8: IP_PKTINFO, which 3.11 lacks


def _bound(kind: str, port: int) -> socket.socket:
    """A socket bound to a port of every address: of both families where the host has IPv6."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, 8, 1)
        sock.bind(("", port))
        if kind == "tcp":
            sock.listen(1024)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
