"""A pod's surroundings: its network namespace with addresses on a node, and its folder with logs and files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from netnslab import plan
from netnslab.errors import LabError
from netnslab.kernel import Namespace
from netnslab.kubelet.clearing import Clearing
from netnslab.topology import Addresses, NodeSpec

_FIRST_HOST = 2  # .1 is the node itself
_LAST_HOST = 254


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where the containers of one pod run. `addresses` are texts, IPv4 first."""

    namespace: Namespace
    addresses: tuple[str, ...]
    folder: Path

    @property
    def volumes(self) -> Path:
        """The folder of the pod's volumes, a folder each."""
        return self.folder / "volumes"

    @property
    def parts(self) -> Path:
        """The folder of what containers have mounted of volumes as a part by itself."""
        return self.folder / "parts"

    @property
    def stage(self) -> Path:
        """A folder that a container may mount a root of its own on."""
        return self.folder / "root"

    def log(self, container: str) -> Path:
        """The file that a container's output goes to."""
        return self.folder / f"{container}.log"

    def previous_log(self, container: str) -> Path:
        """The file with the output of the container's run before the present one; no file where there was none."""
        return self.folder / f"{container}.previous.log"

    def turn_log(self, container: str) -> None:
        """Make what a container has said so far the log of its previous run."""
        with suppress(FileNotFoundError):
            self.log(container).replace(self.previous_log(container))


class PodNetwork:
    """The pod side of one node: hands out addresses, and connects a namespace for each."""

    def __init__(self, node: NodeSpec, namespace: Namespace) -> None:
        self._node = node
        self.namespace = namespace
        self._used: set[int] = set()
        self._next = _FIRST_HOST
        self._clearing = Clearing(namespace)
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def connected(self, folder: Path) -> AsyncIterator[Sandbox]:
        """A new namespace with a link to the node, for the length of a block.

        Raises LabError when all addresses are taken, KernelError when the kernel refuses.
        """
        host = self._take()
        addresses = Addresses.at(self._node.pod_networks, host)
        try:
            async with self._making:
                await asyncio.sleep(0)  # one pod after the other: everybody else gets a turn between any two of many
            with Namespace.create() as namespace, _folder(folder):
                try:
                    self._connect(namespace, addresses)
                    yield Sandbox(namespace, tuple(str(address) for address in addresses.both), folder)
                finally:
                    # The namespace lives on while a process or socket is in it; its link shall go now, so that the
                    # address can be given to another.
                    await self._clearing.clear(namespace, plan.port_name(self._node, addresses.v4))
        finally:
            self._used.discard(host)

    @asynccontextmanager
    async def shared(self, folder: Path) -> AsyncIterator[Sandbox]:
        """The node's own namespace, for a pod with `hostNetwork`."""
        with _folder(folder):
            yield Sandbox(self.namespace, tuple(str(address) for address in self._node.addresses.both), folder)

    def _connect(self, namespace: Namespace, addresses: Addresses) -> None:
        steps = plan.pod(self._node, addresses)
        namespace.apply(plan.before_pod())
        self.namespace.apply(steps.node, {plan.POD: namespace})
        namespace.apply(steps.pod)

    def _take(self) -> int:
        """The next free host number after the last one given: an address rests before it is used again."""
        size = _LAST_HOST - _FIRST_HOST + 1
        for offset in range(size):
            host = _FIRST_HOST + (self._next - _FIRST_HOST + offset) % size
            if host not in self._used:
                self._used.add(host)
                self._next = host + 1
                return host
        raise LabError(f"node {self._node.name} has no address left in {self._node.pod_networks[0]}")


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    for name in ("work", "volumes", "root"):
        (path / name).mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
