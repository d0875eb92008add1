"""As much SCTP (RFC 9260) as a case needs: an INIT and its answer, for kernels that have no SCTP sockets.

The answer's cookie holds what the server says. Addresses are the raw sockets' affair.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from struct import pack, unpack

PROTOCOL = 132
INIT, INIT_ACK = 1, 2
_TAG = 0x4B50524F
_COOKIE = 7
_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


def _row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_ROWS = tuple(_row(value) for value in range(256))


@dataclass(frozen=True)
class Packet:
    """A packet with one chunk; `said` is in the cookie of an answer."""

    source: int
    destination: int
    chunk: int
    tag: int  # of whoever sent it
    said: str = ""


def write(packet: Packet, verification: int = 0) -> bytes:
    """Write a packet; `verification` is the tag of whoever gets it, 0 for the first."""
    cookie = packet.said.encode()
    parameter = pack(">HH", _COOKIE, 4 + len(cookie)) + cookie + b"\0" * (-len(cookie) % 4) if cookie else b""
    body = pack(">IIHHI", packet.tag, 65536, 1, 1, packet.tag) + parameter
    chunk = pack(">BBH", packet.chunk, 0, 4 + len(body)) + body
    head = pack(">HHI", packet.source, packet.destination, verification)
    return head + pack("<I", _checksum(head + bytes(4) + chunk)) + chunk


def read(data: bytes, family: int) -> Packet | None:
    """Read what a raw socket received; None is another packet."""
    if family == socket.AF_INET:
        data = data[(data[0] & 15) * 4 :]
    if len(data) < 32:
        return None
    source, destination = unpack(">HH", data[:4])
    cookie = data[32:]
    said = cookie[4 : unpack(">HH", cookie[:4])[1]].decode() if cookie else ""
    return Packet(source, destination, data[12], unpack(">I", data[16:20])[0], said)


def answer(server: socket.socket, name: str, ports: tuple[int, ...]) -> None:
    """Take one packet, and answer an INIT to one of these ports with who and where this is, and whom it sees."""
    data, client = server.recvfrom(1000)
    asked = read(data, server.family)
    if asked and asked.chunk == INIT and asked.destination in ports:
        said = f"{name} {asked.destination} {client[0]}"
        reply = Packet(asked.destination, asked.source, INIT_ACK, _TAG, said)
        server.sendto(write(reply, asked.tag), client)


def ask(asking: socket.socket, port: int, own: int) -> str:
    """Send an INIT over a connected raw socket; what the answer says. Raises what a socket does."""
    asking.send(write(Packet(own, port, INIT, _TAG)))
    while True:
        found = read(asking.recv(1000), asking.family)
        if found and (found.source, found.destination, found.chunk) == (port, own, INIT_ACK):
            return found.said


def _checksum(data: bytes) -> int:
    total = 0xFFFFFFFF
    for byte in data:
        total = _ROWS[(total ^ byte) & 0xFF] ^ total >> 8
    return total ^ 0xFFFFFFFF
