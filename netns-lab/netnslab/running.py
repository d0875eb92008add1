"""From an empty set of namespaces to a lab that is up, and then on for as long as it is wanted."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

from netnslab import cluster, control, manifests, readiness, system, topology, trust
from netnslab.caller import Caller
from netnslab.cluster import Cluster, Ground, HostSockets
from netnslab.config import Config
from netnslab.errors import LabError
from netnslab.kubelet.logtimes import LogTimes
from netnslab.network import network
from netnslab.owners import Owners
from netnslab.processes import Processes
from netnslab.state import LabFolder

if TYPE_CHECKING:
    from netnslab.supervisor import Inherited

Json = dict[str, Any]


async def run(config: Config, folder: LabFolder, inherited: Inherited, line: socket.socket, caller: Caller) -> None:
    """Run the lab until SIGTERM, or until something fails.

    The caller is told each step that is done, and the error that ended the start, if one did. This never returns.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(caller.line, stop.set)  # nobody waits for this lab any more
    wanted = topology.default(config.nodes)
    trusted = asyncio.create_task(asyncio.to_thread(trust.make, folder, wanted))  # openssl is another process
    sockets = HostSockets(inherited.api, inherited.ingress, Owners(inherited.connections, inherited.user))
    folder.pods.mkdir(exist_ok=True)
    listener = control.listen(folder)
    times = LogTimes()
    with listener, Processes(line).listening() as processes, network(wanted) as namespaces, times.listening():
        caller.tell("network")
        ground = Ground(config, wanted, namespaces, folder, sockets, processes, await trusted, times)
        async with cluster.api(ground) as lab:
            caller.tell("API server")
            living = asyncio.create_task(_live(lab, listener), name="living")
            starting = asyncio.create_task(_start(lab, caller), name="starting")
            ending = asyncio.create_task(_ended(stop, processes), name="ending")
            await asyncio.wait((starting, living, ending), return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not starting.exception():
                await asyncio.wait((living, ending), return_when=asyncio.FIRST_COMPLETED)
            failed = [task.exception() for task in (starting, living, ending) if task.done()]
            error = next((error for error in failed if error is not None), None)
            if error is None:
                folder.remove(inherited.lock)  # it was told to end
            caller.leave(error)


async def _live(lab: Cluster, listener: socket.socket) -> None:
    """Run everything that runs beside the API server, for ever."""
    async with asyncio.TaskGroup() as tasks:
        cluster.components(lab, tasks)
        tasks.create_task(control.serve(lab, listener), name="control")


async def _start(lab: Cluster, caller: Caller) -> None:
    """Apply what is to run in the lab, and report when all answers."""
    for obj in system.objects(lab.ground.topology, str(lab.ground.folder.pod_kubeconfig)):
        await manifests.apply(lab.client, obj)
    caller.tell("components")
    await readiness.wait_up(lab)
    caller.tell("DNS and ingress")
    for obj in lab.ground.config.manifests:
        await manifests.apply(lab.client, obj)
    if lab.ground.config.manifests:
        caller.tell(f"{len(lab.ground.config.manifests)} objects applied")
    caller.tell("up")
    asyncio.get_running_loop().remove_reader(caller.line)
    caller.close()


async def _ended(stop: asyncio.Event, processes: Processes) -> None:
    """Wait for a reason to end; raises LabError for one that nobody asked for."""
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((asked, processes.lost), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if processes.lost.done():
        raise LabError("the zygote has ended, and no container can be started any more")
