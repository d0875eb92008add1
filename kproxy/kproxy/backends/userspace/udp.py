"""Carries UDP on: each client has a flow with a socket of its own, which ends when nothing is said for a while."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from kapi.network import Address
from kproxy.backends.userspace.amounts import Amounts
from kproxy.backends.userspace.tcp import Choose, Counted
from kproxy.host import Host
from kproxy.model import Pool, Target

IDLE_SECONDS = 30.0  # of a client that has had no answer, and with one
STREAM_SECONDS = 120.0
_MOST_FLOWS = 8192
_DATAGRAMS = 64  # taken before others have their turn
_LARGEST = 1 << 16


@dataclass(slots=True)
class Flow:
    """One client's way to one endpoint."""

    socket: socket.socket
    target: Target
    amounts: Amounts
    last: float
    answered: bool = False


class Listener:
    """Takes the datagrams of one place."""

    def __init__(self, host: Host, listening: socket.socket, choose: Choose, counted: Counted) -> None:
        self._host = host
        self._counted = counted
        self._socket = listening
        self._choose = choose
        self._loop = asyncio.get_running_loop()
        self._flows: dict[Any, Flow] = {}
        self._loop.add_reader(listening.fileno(), self._take)
        self._timer = self._loop.call_later(IDLE_SECONDS / 2, self._sweep)

    def stop(self) -> None:
        """End: a UDP flow has no life of its own."""
        self.close()

    def close(self) -> None:
        """End everything."""
        if self._socket.fileno() < 0:
            return
        self._timer.cancel()
        for client in tuple(self._flows):
            self._end(client)
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def keep(self, pools: Pool) -> None:
        """End the flows to endpoints that do not serve any more: the client's next datagram goes elsewhere."""
        for client, flow in tuple(self._flows.items()):
            if flow.target not in pools:
                self._end(client)

    def _take(self) -> None:
        for _ in range(_DATAGRAMS):
            try:
                data, client = self._socket.recvfrom(_LARGEST)
            except OSError:
                return
            flow = self._flows.get(client) or self._begin(client)
            if flow is None:
                continue
            flow.last = self._loop.time()
            try:
                flow.socket.send(data)
                flow.amounts.asked.add(len(data))
            except BlockingIOError:
                continue  # the network is full: datagrams may be lost
            except OSError:
                self._end(client)

    def _begin(self, client: Any) -> Flow | None:
        address: Address = ip_address(client[0].partition("%")[0])
        target = self._choose(address)
        if target is None or len(self._flows) >= _MOST_FLOWS:
            return None
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
        try:
            made = self._host.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return None  # none is left: datagrams may be lost
        made.setblocking(False)
        try:
            made.connect((str(target.address), target.port))
        except OSError:
            made.close()
            return None
        flow = self._flows[client] = Flow(made, target, self._counted(target), self._loop.time())
        self._loop.add_reader(made.fileno(), self._answer, client, flow)
        return flow

    def _answer(self, client: Any, flow: Flow) -> None:
        for _ in range(_DATAGRAMS):
            try:
                data = flow.socket.recv(_LARGEST)
                self._socket.sendto(data, client)
            except BlockingIOError:
                return
            except OSError:
                self._end(client)
                return
            flow.amounts.answered.add(len(data))
            flow.last, flow.answered = self._loop.time(), True

    def _end(self, client: Any) -> None:
        flow = self._flows.pop(client, None)
        if flow:
            self._loop.remove_reader(flow.socket.fileno())
            flow.socket.close()

    def _sweep(self) -> None:
        now = self._loop.time()
        for client, flow in tuple(self._flows.items()):
            if now - flow.last > (STREAM_SECONDS if flow.answered else IDLE_SECONDS):
                self._end(client)
        self._timer = self._loop.call_later(IDLE_SECONDS / 2, self._sweep)
