"""Many datagrams with one system call: recvmmsg(2) and sendmmsg(2), which Python's `socket` does not offer.

A `Batch` belongs to one UDP socket and reuses its buffers. The address a query came from stays where the kernel wrote
it, and the reply is sent from there. So does the control message that says at which of this host's addresses the
query arrived: given back, it makes the reply leave from that address, also on a wildcard socket (ip(7), IP_PKTINFO).
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

SIZE = 16  # datagrams in one call: enough to hide the call's cost; of a burst, the first wait for as few others
_ROOM = 4096  # octets of one datagram: far more than a question with options, or a reply within EDNS' limit
_HEADER = 64  # octets of struct mmsghdr; its length field is the fifteenth of its sixteen 32-bit words
_IP_PKTINFO = 8
_NAMES = {socket.AF_INET: 16, socket.AF_INET6: 28}  # octets of struct sockaddr_in and sockaddr_in6
_CONTROLS = {socket.AF_INET: 32, socket.AF_INET6: 40}  # of the control message, struct cmsghdr (16) included
_CONTROL_DATA = {socket.AF_INET: 12, socket.AF_INET6: 20}  # of struct in_pktinfo and in6_pktinfo

Answer = Callable[[bytes, int], bytes | None]


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr; the struct msghdr in it is padded to 56 octets."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int64),
        ("length", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asked, and at which of our addresses."""

    address: tuple[Any, ...]
    control: tuple[tuple[int, int, bytes], ...]


class Batch:
    """The buffers of one socket, and what is done with them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._libc = ctypes.CDLL(None)
        family = sock.family
        self._name, self._control = _NAMES[family], _CONTROLS[family] if _tells_destination(sock) else 0
        self._data, self._names, self._controls = _buffer(_ROOM), _buffer(self._name), _buffer(self._control)
        self._replies = _buffer(_ROOM)
        self._in, self._room = self._messages(self._data)
        self._out, self._reply_lengths = self._messages(self._replies)
        for slot in range(SIZE):
            self._room[slot * 2 + 1] = _ROOM
        self._lengths = memoryview(self._in).cast("B").cast("I")

    @property
    def family(self) -> str:
        """The addresses' family as metrics name it: 1 for IPv4, 2 for IPv6."""
        return "1" if self._name == _NAMES[socket.AF_INET] else "2"

    def exchange(self, answer: Answer) -> int:
        """Read what has arrived and send what `answer(query, slot)` gives; returns how many queries there were."""
        count = int(self._libc.recvmmsg(self._fd, self._in, SIZE, socket.MSG_DONTWAIT, None))
        data, lengths, replies, reply_lengths = self._data, self._lengths, self._replies, self._reply_lengths
        first = 0  # of the replies that are not sent yet
        for slot in range(count):
            at = slot * _ROOM
            reply = answer(bytes(data[at : at + lengths[slot * 16 + 14]]), slot)
            if reply is None:
                self._send(first, slot)
                first = slot + 1
            elif (size := len(reply)) > _ROOM:  # only where a setting lets replies be fragmented
                self._send(first, slot)
                first = slot + 1
                self.send(reply, self.peer(slot))
            else:
                reply_lengths[slot * 2 + 1] = size
                replies[at : at + size] = reply
        self._send(first, count)
        return max(count, 0)

    def source(self, slot: int) -> bytes:
        """Give the network that the query of a slot came from, /24 or /56: one that a sender can spread over."""
        at = slot * self._name
        return bytes(
            self._names[at + 4 : at + 7] if self._name == _NAMES[socket.AF_INET] else self._names[at + 8 : at + 15]
        )

    def peer(self, slot: int) -> Peer:
        """Tell who sent the query of a slot, while `exchange` runs."""
        name = bytes(self._names[slot * self._name : (slot + 1) * self._name])
        port = int.from_bytes(name[2:4], "big")
        if self._sock.family == socket.AF_INET:
            address: tuple[Any, ...] = (str(ip_address(name[4:8])), port)
            kind = (socket.IPPROTO_IP, _IP_PKTINFO)
        else:
            scope = int.from_bytes(name[24:28], "little")
            address = (str(ip_address(name[8:24])), port, 0, scope)
            kind = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        start = slot * self._control + 16
        data = bytes(self._controls[start : start + _CONTROL_DATA[self._sock.family]])
        return Peer(address, ((*kind, data),) if self._control else ())

    def send(self, reply: bytes, peer: Peer) -> None:
        """Send one reply later on."""
        try:
            self._sock.sendmsg([reply], peer.control, 0, peer.address)
        except OSError:
            return  # a full buffer or an unreachable client: UDP promises nothing, and the client asks again

    def _send(self, first: int, end: int) -> None:
        while first < end:
            at = ctypes.byref(self._out, first * _HEADER)
            sent = int(self._libc.sendmmsg(self._fd, at, end - first, socket.MSG_DONTWAIT))
            first += sent if sent > 0 else 1  # a reply that cannot be sent is lost, as in `send`

    def _messages(self, data: memoryview) -> tuple[Any, memoryview]:
        """Give the message headers for one direction, and the vectors they point to, as a view of 64-bit words.

        The kernel follows the pointers: what they lead to must live as long as the headers.
        """
        vectors = (_Vector * SIZE)()
        messages = (_Message * SIZE)()
        for slot in range(SIZE):
            vectors[slot].base = _address(data) + slot * _ROOM
            messages[slot].vector = ctypes.addressof(vectors) + slot * ctypes.sizeof(_Vector)
            messages[slot].vectors = 1
            messages[slot].name = _address(self._names) + slot * self._name
            messages[slot].name_length = self._name
            if self._control:
                messages[slot].control = _address(self._controls) + slot * self._control
                messages[slot].control_length = self._control
        return messages, memoryview(vectors).cast("B").cast("Q")


def _buffer(each: int) -> memoryview:
    return memoryview(bytearray(max(each, 1) * SIZE))


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _tells_destination(sock: socket.socket) -> bool:
    """Ask the kernel for the destination of datagrams, where the socket is bound to every address."""
    if not ip_address(sock.getsockname()[0]).is_unspecified:
        return False
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return True
