"""From an empty set of namespaces to a lab that is up, and then on for as long as it is wanted."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netnslab import cluster, control, manifests, readiness, system, topology
from netnslab.cluster import Cluster, Ground, HostSockets
from netnslab.config import Config
from netnslab.errors import LabError
from netnslab.network import network
from netnslab.processes import Processes
from netnslab.state import LabFolder

if TYPE_CHECKING:
    from netnslab.supervisor import Inherited

Json = dict[str, Any]
Tell = Callable[[str], None]


async def run(config: Config, folder: LabFolder, inherited: Inherited, line: socket.socket, tell: Tell) -> None:
    """Run the lab until SIGTERM. `tell` is called with the name of each step that is done."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(inherited.progress, stop.set)  # its other end closes when nobody waits for this lab any more
    wanted = topology.default(config.nodes)
    sockets = HostSockets(inherited.api, inherited.ingress)
    folder.pods.mkdir(exist_ok=True)
    listener = control.listen(folder)
    with listener, Processes(line).listening() as processes, network(wanted) as namespaces:
        tell("network")
        async with cluster.api(Ground(config, wanted, namespaces, folder, sockets, processes)) as lab:
            tell("API server")
            ending = asyncio.create_task(_ended(stop, processes))
            living = asyncio.create_task(_live(lab, tell, inherited, listener))
            await asyncio.wait((ending, living), return_when=asyncio.FIRST_COMPLETED)
            for task in (ending, living):
                if task.done():
                    task.result()
                task.cancel()


async def _live(lab: Cluster, tell: Tell, inherited: Inherited, listener: socket.socket) -> None:
    """Start the components, apply what is to run in them, and report when all answers."""
    async with asyncio.TaskGroup() as tasks:
        cluster.components(lab, tasks)
        for obj in system.objects(lab.ground.topology):
            await manifests.apply(lab.client, obj)
        tell("components")
        await readiness.wait_up(lab)
        tell("DNS and ingress")
        for obj in lab.ground.config.manifests:
            await manifests.apply(lab.client, obj)
        if lab.ground.config.manifests:
            tell(f"{len(lab.ground.config.manifests)} objects applied")
        tasks.create_task(control.serve(lab, listener), name="control")
        tell("up")
        asyncio.get_running_loop().remove_reader(inherited.progress)
        inherited.progress.close()


async def _ended(stop: asyncio.Event, processes: Processes) -> None:
    """Wait for a reason to end; raises LabError for one that nobody asked for."""
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((asked, processes.lost), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if processes.lost.done():
        raise LabError("the zygote has ended, and no container can be started any more")
