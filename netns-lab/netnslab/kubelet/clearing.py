"""Takes away what pods leave behind in the network of their node, many at once and beside the event loop.

Removing a link makes the kernel wait for all processors, and finding a namespace's processes means to look at every
process there is. Both cost as much for a hundred pods as for one, so pods that end while others are being cleared wait
and then go together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from netnslab.errors import KernelError
from netnslab.kernel import Namespace
from netnslab.steps import RemoveLink, RemoveLinks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """One pod's namespace, the node's link to it, and who waits for both to be cleared."""

    namespace: Namespace
    link: str
    cleared: asyncio.Future[None]


class Clearing:
    """What clears the pods of one node away."""

    def __init__(self, node: Namespace) -> None:
        self._node = node
        self._waiting: list[Leaving] = []
        self._rounds: asyncio.Task[None] | None = None

    async def clear(self, namespace: Namespace, link: str) -> None:
        """Kill what is still in a pod's namespace, and remove the node's link to it."""
        leaving = Leaving(namespace, link, asyncio.get_running_loop().create_future())
        self._waiting.append(leaving)
        if self._rounds is None or self._rounds.done():
            # A task of its own: that one of the pods is given up must not leave the others waiting.
            self._rounds = asyncio.create_task(self._clear_all(), name="clearing")
        await leaving.cleared

    async def _clear_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(_clear, self._node, batch)
            except OSError as error:
                log.warning("the links %s are left: %s", ", ".join(one.link for one in batch), error)
            finally:
                for leaving in batch:
                    if not leaving.cleared.done():
                        leaving.cleared.set_result(None)


def _clear(node: Namespace, batch: Sequence[Leaving]) -> None:
    end_all(leaving.namespace for leaving in batch)
    with Namespace(os.dup(node.fd)) as here:  # a netlink socket of this thread's own
        try:
            here.apply([RemoveLinks(tuple(leaving.link for leaving in batch))])
        except KernelError as error:
            log.warning("links are removed one by one: %s", error)
            for leaving in batch:
                with suppress(KernelError):
                    here.apply([RemoveLink(leaving.link)])


def end_all(namespaces: Iterable[Namespace]) -> None:
    """Kill what is still in some namespaces: processes that left their container's group, and those of `exec`."""
    if os.readlink("/proc/self") != str(os.getpid()):  # noqa: PTH115  # as text
        return  # this /proc shows another PID namespace, whose numbers mean nothing here
    inodes = {os.fstat(namespace.fd).st_ino for namespace in namespaces if namespace.fd >= 0}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (path / "ns/net").stat().st_ino in inodes:
                os.kill(int(path.name), signal.SIGKILL)
