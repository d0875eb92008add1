"""What everything a kubelet runs has in common: its node, the API, the zygote, and the objects that pods refer to."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from kapi.cache import Cache
from kapi.client import Client
from kapi.events import Recorder, now
from kapi.network import Service
from netnslab.kernel import Namespace
from netnslab.kubelet.environment import Placement, Sources
from netnslab.kubelet.logtimes import LogTimes
from netnslab.kubelet.sandbox import Sandbox
from netnslab.processes import Processes
from netnslab.topology import NodeSpec

Json = dict[str, Any]

_WRITES = 8  # of one node under way at once
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One kubelet's surroundings.

    `network` is the node's namespace; `folder` has the pods' folders, `claims` those that outlive pods; `kubeconfig` is
    what a program in a pod finds the API by, `authority` is the certificate by which that is known (PEM); `handed` are
    host sockets that a built-in pod may ask for; `writes` is held while a pod is written to the API: hundreds of pods
    at once must not hold up everybody else's requests.
    """

    node: NodeSpec
    network: Namespace
    client: Client
    recorder: Recorder
    processes: Processes
    services: Cache[Service]
    config_maps: Cache[Json]
    secrets: Cache[Json]
    accounts: Cache[Json]
    volume_claims: Cache[Json]
    folder: Path
    claims: Path
    kubeconfig: Path
    dns_address: str
    zone: str
    host_resolv_conf: str
    authority: str
    handed: Mapping[str, socket.socket]
    log_times: LogTimes = field(default_factory=LogTimes)
    writes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_WRITES))

    def sources(self) -> Sources:
        """What variables may refer to."""
        return Sources(self.config_maps, self.secrets, tuple(self.services.values()))

    def placement(self, sandbox: Sandbox) -> Placement:
        """Where a pod runs."""
        hosts = tuple(str(address) for address in self.node.addresses.both)
        return Placement(self.node.name, hosts, sandbox.addresses)


@lru_cache(maxsize=4096)
def executable(command: str) -> bool:
    """Whether the host has a command."""
    return shutil.which(command, path=PATH) is not None


def stamp() -> str:
    """The present moment as the API writes it."""
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")
