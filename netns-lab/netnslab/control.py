"""The lab's control socket: tells how the lab is, and runs commands in its pods and nodes.

Each connection carries one request, a datagram of JSON with descriptors beside it, and then its answers:

    {"do": "status"}                                                     -> {"status": {...}}
    {"do": "log", "pod": "default/web", "container": ""}                 -> {"path": "..."}
    {"do": "exec", "target": "web", "argv": [...], ...} and 0, 1, 2      -> {"pid": 7}, {"code": 0}
        {"do": "signal", "signal": 2}                                       while it runs
    anything that cannot be done                                         -> {"error": "...", "exit_code": 6}
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import Any

from netnslab import facts, targets
from netnslab.cluster import Cluster
from netnslab.descriptors import readable
from netnslab.errors import LabError
from netnslab.processes import Process
from netnslab.state import LabFolder

Json = dict[str, Any]

log = logging.getLogger(__name__)

_DATAGRAM = 1 << 20
_DESCRIPTORS = 3


def listen(folder: LabFolder) -> socket.socket:
    """The control socket of a lab. Who connects learns from it which process to end, from the first moment on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder.control))
    listener.listen(64)
    listener.setblocking(False)
    return listener


async def serve(cluster: Cluster, listener: socket.socket) -> None:
    """Answer until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            tasks.create_task(_answer(cluster, connection), name="control connection")


async def _answer(cluster: Cluster, connection: socket.socket) -> None:
    with connection:
        connection.setblocking(False)
        descriptors: list[int] = []
        try:
            data, descriptors = await _receive(connection)
            if data:  # who only wants to know which process this is asks nothing
                await _carry_out(cluster, connection, json.loads(data), descriptors)
        except LabError as error:
            _tell(connection, {"error": str(error), "exit_code": error.exit_code})
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("a request on the control socket failed: %r", error)
        except Exception as error:  # the outermost edge of one request: it must not end the lab
            log.exception("a request on the control socket failed")
            with suppress(OSError):
                _tell(connection, {"error": f"the lab failed: {error!r}; `netns-lab logs` tells more", "exit_code": 1})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


async def _carry_out(cluster: Cluster, connection: socket.socket, request: Json, descriptors: list[int]) -> None:
    match request["do"]:
        case "status":
            _tell(connection, {"status": facts.status(cluster)})
        case "log":
            _tell(connection, {"path": str(targets.log_path(cluster, request["pod"], request["container"]))})
        case "exec":
            await _execute(cluster, connection, request, descriptors)
        case other:
            raise LabError(f"the lab knows no request {other!r}: is it of another version?")


async def _execute(cluster: Cluster, connection: socket.socket, request: Json, descriptors: list[int]) -> None:
    """Run a command with the caller's own descriptors, and pass its signals on."""
    place = targets.find(cluster, request["target"])
    program = place.program(request["argv"], request["env"], request["cwd"], terminal=request["terminal"])
    process = await cluster.ground.processes.start(program, [place.namespace.fd, *descriptors])
    _tell(connection, {"pid": process.pid})
    ending = asyncio.create_task(process.wait())
    listening = asyncio.create_task(_pass_signals(connection, process))
    try:
        await asyncio.wait((ending, listening), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            code = ending.result()
            _tell(connection, {"code": 128 - code if code < 0 else code})
    finally:
        listening.cancel()
        process.signal(signal.SIGKILL)  # the caller has gone; a process that has ended gets nothing
        await asyncio.gather(ending, listening, return_exceptions=True)


async def _pass_signals(connection: socket.socket, process: Process) -> None:
    """Pass the caller's signals on until it goes."""
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(connection, _DATAGRAM):
        request = json.loads(data)
        process.signal(int(request["signal"]))


async def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    await readable(connection.fileno())
    data, descriptors, _, _ = socket.recv_fds(connection, _DATAGRAM, _DESCRIPTORS)
    return data, descriptors


def _tell(connection: socket.socket, message: Json) -> None:
    connection.send(json.dumps(message).encode())
