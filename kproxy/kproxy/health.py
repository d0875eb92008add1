"""Whether the proxy works, and whether a load balancer should send this node traffic of a Service.

/healthz and /livez are kube-proxy's (KEP-3836: the first is about the node, too); the ports of healthCheckNodePort
follow `pkg/proxy/healthcheck/service_health.go`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kapi.network import Address, Node
from kproxy.host import Host
from kproxy.model import HealthCheck
from kproxy.ports import Close, Ports, listening
from kproxy.sync import Done

Json = dict[str, Any]

DELETION_TAINT = "ToBeDeletedByClusterAutoscaler"
_SAFE = {"X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Health:
    """How the proxy is at one moment."""

    alive: bool  # no change has waited for too long
    eligible: bool  # the node is to stay
    synced: float  # seconds since the epoch of the last sync; 0 is never
    now: float

    def body(self) -> Json:
        """Write what /healthz and /livez answer."""
        return {"lastUpdated": _stamp(self.synced), "currentTime": _stamp(self.now), "nodeEligible": self.eligible}


def eligible(node: Node | None) -> bool:
    """Whether load balancers may still choose a node; one that is not known may be chosen."""
    return node is None or not (node.terminating or DELETION_TAINT in node.taints)


class HealthChecks:
    """The servers of healthCheckNodePorts. They answer any path with 200 where this node has a ready endpoint."""

    def __init__(
        self,
        host: Host,
        addresses: Callable[[], Iterable[Address]],
        healthy: Callable[[], bool],
        refused: Callable[[str, str], None],
    ) -> None:
        self._host = host
        self._addresses = addresses
        self._healthy = healthy
        self._refused = refused
        self._checks: dict[str, HealthCheck] = {}
        self._ports = Ports(self._serve, self._tell)
        self.run = self._ports.run

    def take(self, done: Done) -> None:
        """Follow a finished sync."""
        if done.full:
            self._checks.clear()
        for key, owed in done.wanted.items():
            if owed.health:
                self._checks[key] = owed.health
            else:
                self._checks.pop(key, None)
        self._ports.want(check.port for check in self._checks.values())

    async def _serve(self, port: int) -> Close:
        server = web.Server(lambda _: self._answer(port), access_log=None)
        runner = web.ServerRunner(server)
        await runner.setup()
        try:
            for address in self._addresses():
                await web.SockSite(runner, listening(self._host, address, port)).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner.cleanup

    async def _answer(self, port: int) -> web.Response:
        key, count = self._of(port)
        namespace, _, name = key.partition("/")
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": self._healthy(),
        }
        status = 200 if count and self._healthy() else 503
        headers = {**_SAFE, "X-Load-Balancing-Endpoint-Weight": str(count)}
        return web.Response(
            status=status,
            text=json.dumps(body, separators=(",", ":")),
            headers=headers,
            content_type="application/json",
        )

    def _tell(self, port: int, error: OSError) -> None:
        self._refused(self._of(port)[0], f"healthCheckNodePort {port} cannot be opened: {error.strerror or error}")

    def _of(self, port: int) -> tuple[str, int]:
        found = ((key, check.endpoints) for key, check in sorted(self._checks.items()) if check.port == port)
        return next(found, ("", 0))


def answer(health: Health, healthy: bool) -> web.Response:
    """Write the answer of /healthz or /livez."""
    return web.json_response(health.body(), status=200 if healthy else 503, headers=_SAFE)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
