"""The headers that tell an upstream who asked, and how. Pure.

What a client says of itself is not believed: these headers are written anew. Only from a peer in a trusted network,
such as a load balancer in front, are they kept, and the peer is appended to X-Forwarded-For.
"""

from __future__ import annotations

from ipaddress import ip_address

from kapi.network import Network
from kingress import headers as names
from kingress.message import Header, Request


class Forwarding:
    """What is said of the requests of one client."""

    __slots__ = ("_peer", "_trusted", "constant", "latest", "lines", "secure", "wire")

    def __init__(self, peer: str, scheme: str, port: int, trusted: tuple[Network, ...] = ()) -> None:
        self._peer = peer.encode()
        self._trusted = trusted if _is_in(peer, trusted) else ()
        self.secure = scheme == "https"  # it speaks TLS with us, whatever it says of others
        self.constant: list[Header] = [  # what is said of every request
            (b"X-Forwarded-For", self._peer),
            (b"X-Real-IP", self._peer),
            (b"X-Forwarded-Proto", scheme.encode()),
            (b"X-Forwarded-Port", b"%d" % port),
        ]
        self.lines = b"".join(b"%b: %b\r\n" % header for header in self.constant)  # as HTTP/1 writes it
        self.latest: Request | None = None  # the request that was written last,
        self.wire = b""  # as HTTP/1 writes it, up to its id, once it was written twice

    def headers(self, request: Request, request_id: bytes) -> list[Header]:
        """Give the headers to add, and take out of the request what must not be believed."""
        if request.told:
            told = [header for header in request.headers if header[0] in names.TOLD]
            request.headers = [header for header in request.headers if header[0] not in names.TOLD]
            request_id = next((value for name, value in told if _is_id(name, value)), request_id)
            if self._trusted:
                return self._believed(told, request, request_id)
        return [*self.constant, (b"X-Forwarded-Host", request.authority), (b"X-Request-ID", request_id)]

    def _believed(self, told: list[Header], request: Request, request_id: bytes) -> list[Header]:
        """Keep what a trusted peer says, and fill in what it does not say."""
        chain = b", ".join([value for name, value in told if name == b"x-forwarded-for"] + [self._peer])
        ours = {name.lower(): value for name, value in self.constant} | {b"x-forwarded-host": request.authority}
        kept = {name: value for name, value in told if name in names.FORWARDED}
        client = {b"x-forwarded-for": chain, b"x-real-ip": self._client(chain)}
        return [*(ours | kept | client).items(), (b"X-Request-ID", request_id)]

    def _client(self, chain: bytes) -> bytes:
        """Give the last address of a chain that is not one of the trusted: who came before could have said anything."""
        hops = [hop.strip() for hop in chain.split(b",")]
        return next((hop for hop in reversed(hops) if not _is_in(hop.decode("latin-1"), self._trusted)), hops[0])


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        return bool(networks) and any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


def _is_id(name: bytes, value: bytes) -> bool:
    """Whether a header is a request id that can be kept: so a request can be followed from where it began."""
    return name == b"x-request-id" and names.is_request_id(value)
