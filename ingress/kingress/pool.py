"""A backend: its endpoints as they are now, who of them is fit, and who is next."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kingress.backends import Address, Resolution
from kingress.balance import Balancer, Peer
from kingress.objects import Target

if TYPE_CHECKING:
    import ssl


class Backend:
    """What stands behind a target.

    An endpoint that fails again and again is left alone for a while, longer each time: passive ejection. Where all are
    unfit, all are used: better a chance than none.
    """

    __slots__ = ("_balancer", "_fit", "conduct", "name", "peers", "reason", "ref", "target", "tls")

    def __init__(self, target: Target, balancer: Balancer) -> None:
        self.target = target
        self.ref, self.conduct = target
        self.name = str(target.ref)
        self.peers: tuple[Peer, ...] = ()
        self.reason = ""  # why there are no peers
        self.tls: ssl.SSLContext | None = None  # where the endpoints speak TLS
        self._fit: tuple[Peer, ...] = ()
        self._balancer = balancer

    @property
    def server_name(self) -> str:
        """The name that endpoints' certificates are for."""
        return self.conduct.server_name or f"{self.ref.service}.{self.ref.namespace}.svc"

    def choose(self, tried: Collection[Peer], key: bytes = b"") -> Peer | None:
        """Give the endpoint for a request that was sent to none, or in vain to those `tried`."""
        found = self._balancer.choose(self._fit, tried, key)
        return found if found is not None or len(self._fit) == len(self.peers) else self._any(tried, key)

    def _any(self, tried: Collection[Peer], key: bytes) -> Peer | None:
        return self._balancer.choose(self.peers, tried, key)

    def peer(self, token: bytes) -> Peer | None:
        """Give the endpoint that a sticky cookie names, if it is there and fit."""
        return next((peer for peer in self._fit if peer.token == token), None)

    def update(self, resolution: Resolution) -> None:
        """Take in the endpoints of now. Those that stay keep their connections; those that go end what they do."""
        known: dict[Address, Peer] = {(peer.host, peer.port): peer for peer in self.peers}
        self.peers = tuple(known.pop(at) if at in known else Peer(*at) for at in resolution.addresses)
        self.reason = resolution.reason
        self.sort_out()
        for peer in known.values():
            peer.gone = True
            for connection in list(peer.idle):
                connection.close()

    def sort_out(self) -> None:
        """See anew which endpoints are fit."""
        fit = tuple(peer for peer in self.peers if not (peer.ejected or peer.unhealthy))
        self._fit = fit or self.peers

    def tick(self) -> bool:
        """Let time pass; gives whether an endpoint is still ejected."""
        ejected = [peer for peer in self.peers if peer.ejected]
        for peer in ejected:
            peer.ejected -= 1
        self.sort_out()
        return any(peer.ejected for peer in ejected)
