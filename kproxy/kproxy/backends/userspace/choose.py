"""Which endpoint a client gets: policies, source ranges, round robin and affinity. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from kapi.network import Address
from kproxy.model import Frontend, NodeDuties, Pool, Target

_MOST_POOLS = 64
_MOST_CLIENTS = 65536  # remembered for one Service port


def allowed(frontend: Frontend, client: Address) -> bool:
    """Tell whether the source ranges let a client in."""
    return frontend.sources is None or any(client in network for network in frontend.sources)


def pool_for(frontend: Frontend, client: Address, node: NodeDuties, own: frozenset[Address]) -> Pool:
    """Give the endpoints a client may use: pods and this node are not bound by an external policy of Local."""
    if frontend.outside is None or client in own or client.is_loopback:
        return frontend.pool
    pods = any(client in network for network in node.local_traffic.networks)
    return frontend.pool if pods else frontend.outside


@dataclass(slots=True)
class Turns:
    """Whose turn it is at each place of one Service port, and who was where. `now` is a clock's seconds."""

    _next: dict[tuple[object, Pool], int] = field(default_factory=dict)
    _clients: dict[Address, tuple[Target, float]] = field(default_factory=dict)

    def choose(self, place: object, pool: Pool, client: Address, affinity_seconds: int, now: float) -> Target:
        """Choose from a pool that is not empty."""
        if affinity_seconds:
            known = self._clients.get(client)
            if known and known[1] > now - affinity_seconds and known[0] in pool:
                self._clients[client] = (known[0], now)
                return known[0]
        position = self._next.get((place, pool), 0) % len(pool)
        if len(self._next) > _MOST_POOLS:  # most of them are no more
            self._next.clear()
        self._next[place, pool] = position + 1
        target = pool[position]
        if affinity_seconds:
            self._clients.pop(client, None)
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.pop(next(iter(self._clients)))
            self._clients[client] = (target, now)
        return target

    def forget(self, target: Target) -> None:
        """An endpoint did not answer: nobody is bound to it."""
        self._clients = {c: known for c, known in self._clients.items() if known[0] != target}
