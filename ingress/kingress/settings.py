"""What can be set about the data path, with the defaults. Seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass

from kapi.network import Network


@dataclass(frozen=True, slots=True)
class Settings:
    """The limits and time-outs of the data path. Time-outs are kept to the nearest `tick`."""

    head_timeout: float = 10.0  # for the whole head of a request, from its first byte
    keep_alive: float = 75.0  # an idle client connection
    body_timeout: float = 60.0  # between two pieces of a request's body
    body_rate: float = 100.0  # bytes a second of a body that is still waited for after `body_timeout`; 0 is any
    connect_timeout: float = 5.0
    response_timeout: float = 60.0  # between two pieces of a response
    send_timeout: float = 60.0  # a client that takes nothing of what is sent to it
    upstream_idle: float = 30.0  # shorter than the keep-alive of most servers, or a reused connection may be stale
    upstream_idle_most: int = 64  # idle connections kept per endpoint
    linger: float = 2.0  # how long a body that nobody wants is read, so that the client sees the answer
    eject_after: int = 5  # attempts in a row that an endpoint did not answer
    eject_for: float = 10.0  # longer each time it fails again
    eject_longest: float = 300.0
    check_interval: float = 5.0  # of active health checks
    attempts: int = 3  # endpoints tried for one request
    replay_limit: int = 65536  # a request's body up to this size can be sent again
    head_limit: int = 32768
    headers_limit: int = 100
    target_limit: int = 8192
    connections: int = 10000
    client_connections: int = 0  # of one client; 0 is as many as there may be
    drain: float = 30.0  # after this, what is still open is cut
    tick: float = 1.0
    proxy_protocol: bool = False  # every connection begins with a PROXY header, from a trusted peer
    trusted: tuple[Network, ...] = ()  # peers whose X-Forwarded-* headers are believed
