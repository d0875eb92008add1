"""What is outside the cluster: a client beyond the router, with a name server and an echo server of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial
from pathlib import Path

from netnslab import system
from netnslab.child import Program
from netnslab.kept import kept
from netnslab.kernel import Namespace
from netnslab.kubelet.images import BUILT_IN, ECHO
from netnslab.kubelet.surroundings import PATH
from netnslab.processes import Process, Processes
from netnslab.state import LabFolder
from netnslab.topology import CLIENT, Topology

log = logging.getLogger(__name__)

_ECHO_PORTS = ("--tcp=80", "--tcp=8080", "--udp=8080")


def resolv_conf(topology: Topology) -> str:
    """The resolver's configuration of a host outside the cluster; the nodes are such hosts too."""
    return f"nameserver {topology.client.v4}\n"


def files(folder: LabFolder) -> dict[str, str]:
    """The client's own files, by the path they have for its programs."""
    return {"/etc/resolv.conf": str(_file(folder, "resolv.conf"))}


async def run(topology: Topology, client: Namespace, processes: Processes, folder: LabFolder) -> None:
    """Run the servers outside until cancelled, each again when it ends."""
    for name, text in (("resolv.conf", resolv_conf(topology)), ("Corefile", system.outside_corefile(topology))):
        path = _file(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    resolver = ["kdns", f"--corefile={_file(folder, 'Corefile')}"]
    echo = ["echo", "--pod=outside", "--namespace=", f"--node={CLIENT}", *_ECHO_PORTS]
    async with asyncio.TaskGroup() as tasks:
        for argv, entry in ((resolver, BUILT_IN["kdns"]), (echo, ECHO)):
            program = Program(
                argv,
                entry=entry,
                env={"PATH": PATH},
                hostname=CLIENT,
                files=files(folder),
                log=str(folder.path / f"outside-{argv[0]}.log"),
            )
            name = f"outside {argv[0]}"
            tasks.create_task(kept(name, partial(_serve, program, client, processes)), name=name)


async def _serve(program: Program, client: Namespace, processes: Processes) -> None:
    process: Process = await processes.start(program, [client.fd])
    try:
        code = await process.wait()
        log.warning("%s, which serves the world outside, ended with %d and is started again", program.argv[0], code)
    finally:
        process.signal(signal.SIGKILL)  # where this was cancelled; a process that has ended gets nothing


def _file(folder: LabFolder, name: str) -> Path:
    return folder.pods / CLIENT / name
