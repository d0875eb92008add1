"""From an empty set of namespaces to a lab that is up, and then on for as long as it is wanted."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
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

_ENDING = (signal.SIGTERM, signal.SIGINT)


async def run(config: Config, folder: LabFolder, inherited: Inherited, line: socket.socket, caller: Caller) -> None:
    """Run the lab until SIGTERM from outside of it, or until something fails.

    The caller is told each step that is done, and the error that ended the start, if one did. This never returns.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    _listen_to_signals(lambda: loop.call_soon_threadsafe(stop.set))
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


def _listen_to_signals(end: Callable[[], object]) -> None:
    """Call `end`, in a thread, when somebody outside of the lab's PID namespace sends a signal to end it.

    A process 1 that handled these signals would take them from its pods as well, and so would one `kill 1` in a pod end
    the whole lab. So they are blocked, and taken with what the kernel tells of their sender (pid_namespaces(7)).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # before there are other threads, which have the same mask

    def wait() -> None:
        while signal.sigwaitinfo(_ENDING).si_pid:  # 0 where the sender has no number here
            pass
        end()

    threading.Thread(target=wait, name="signals", daemon=True).start()


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
