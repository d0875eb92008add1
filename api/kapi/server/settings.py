"""What can be set about the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kapi.events import now

PodLogs = Callable[[str, str, str], Awaitable[bytes] | None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves.

    `service_cidrs` holds one or two ranges, of different families; the first one's family is the default of
    Services. `advertise` and `port` say where the API is reached, for the `kubernetes` Service. `pod_logs` is asked
    with namespace, pod and container ("" for the only one) and gives the log, or None where there is no such pod.
    """

    service_cidrs: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("10.96.0.0/16"), IPv6Network("fd96::/112"))
    node_port_range: tuple[int, int] = (30000, 32767)
    advertise: tuple[IPv4Address | IPv6Address, ...] = ()
    port: int = 6443
    pod_logs: PodLogs | None = None
    clock: Callable[[], datetime] = now
