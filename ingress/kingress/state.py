"""What one process can tell of itself: counters, gauges, health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kingress.controller import Controller
from kingress.gateway import Gateway
from kingress.metrics import Gauges, Metrics, Values, label

Json = dict[str, Any]

_GAUGES = {
    "kingress_client_connections": "Connections of clients that are open.",
    "kingress_upstream_connections": "Connections to endpoints.",
    "kingress_upgraded_connections": "Tunnels, such as WebSockets.",
}


class State:
    """The state of this process, and with that of the others, of the whole ingress."""

    def __init__(self, gateway: Gateway, controller: Controller) -> None:
        self.gateway = gateway
        self.controller = controller

    @property
    def ready(self) -> bool:
        """Whether all that is in the cluster has become routes, and the end has not begun."""
        return self.controller.synced and not self.gateway.draining

    def dump(self) -> Json:
        """Give it as JSON values."""
        return {"ready": self.ready, "metrics": self.gateway.metrics.dump(), "gauges": self._gauges()}

    def text(self, others: Sequence[Json]) -> str:
        """Give the metrics of all processes together, in Prometheus' text format."""
        everyone = [self.dump(), *others]
        total, sums = Metrics(), Counter[str]()
        for each in everyone:
            total.add(each["metrics"])
            sums.update(each["gauges"])
        gauges: Gauges = {name: (told, {(): float(sums[name])}) for name, told in _GAUGES.items()}
        processes: Gauges = {"kingress_processes": ("Processes that answer.", {(): float(len(everyone))})}
        return total.text({**gauges, **processes, **self._cluster()})

    def _gauges(self) -> Mapping[str, int]:
        gateway = self.gateway
        counts = (len(gateway.clients), len(gateway.upstreams.connections), gateway.metrics.upgraded)
        return dict(zip(_GAUGES, counts, strict=True))

    def _cluster(self) -> Gauges:
        """What follows from the cluster, and is therefore the same in every process."""
        controller = self.controller
        wrong: Values = {
            (label("namespace", namespace), label("ingress", name), label("reason", reason)): float(count)
            for namespace, name, reason, count in controller.problem_counts()
        }
        expiry: Values = {
            (label("secret", key),): certificate.expires for key, certificate in controller.tls.certificates.items()
        }
        return {
            "kingress_hosts": ("Hosts that rules name.", {(): float(len(self.gateway.table.hosts))}),
            "kingress_problems": ("What is wrong with an Ingress, as its Events say.", wrong),
            "kingress_certificate_expiry_seconds": ("When a certificate ends, in seconds since 1970.", expiry),
        }
