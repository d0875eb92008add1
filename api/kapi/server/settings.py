"""What can be set about the server."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kapi.events import now
from kapi.server.identity import Identity
from kapi.server.kubelets import Kubelets
from kapi.server.logs import Times

PodLogs = Callable[[str, str, str], Awaitable[bytes] | None]
LogTimes = Callable[[str, str, str, bool], Times]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves.

    `service_cidrs` holds one or two ranges, of different families; the first one's family is the default of
    Services. `advertise` and `port` say where the API is reached, for the `kubernetes` Service. `pod_logs` is asked
    with namespace, pod and container and gives the log, or None where there is no such pod; `previous_logs` likewise
    gives that of the container's run before the present one, or None where it has not been started again.
    `log_times` gives, with whether that run is meant, when the log had grown how far (see `kapi.server.logs.Times`).
    `kubelets` follow logs, run commands in containers and connect to ports of pods.
    `signing_key` signs the tokens of ServiceAccounts (at least 32 bytes; servers that share a store share it), `tokens`
    are further bearer tokens, and `anonymous` lets callers over HTTPS stay unknown. HTTP asks nobody who they are.
    """

    service_cidrs: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("10.96.0.0/16"), IPv6Network("fd96::/112"))
    node_port_range: tuple[int, int] = (30000, 32767)
    advertise: tuple[IPv4Address | IPv6Address, ...] = ()
    port: int = 6443
    pod_logs: PodLogs | None = None
    previous_logs: PodLogs | None = None
    log_times: LogTimes | None = None
    kubelets: Kubelets | None = None
    clock: Callable[[], datetime] = now
    signing_key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    tokens: Mapping[str, Identity] = field(default_factory=dict, repr=False)
    anonymous: bool = False
