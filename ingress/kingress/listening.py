"""The sockets that are served: opened from what the command line says, or inherited."""

from __future__ import annotations

import argparse
import socket
from typing import NamedTuple

EVERYONE = -1

_BACKLOG = 1024
_EVERYWHERE = ("0.0.0.0", "::")


class Listener(NamedTuple):
    """A listening socket; `share` says which of several processes accepts from it, or EVERYONE."""

    sock: socket.socket
    secure: bool = False  # it speaks TLS
    share: int = EVERYONE


def sockets(options: argparse.Namespace) -> list[Listener]:
    """Open them. They listen at once, so that nobody is turned away before the routes are known. Raises OSError.

    Several processes get a socket each for every address, among which the kernel spreads the connections evenly.
    """
    asked = options.listen or options.listen_fd or options.listen_tls or options.listen_tls_fd
    plain = options.listen if asked else [(host, 80) for host in _EVERYWHERE]
    secure = options.listen_tls if asked else [(host, 443) for host in _EVERYWHERE]
    inherited = [(number, False) for number in options.listen_fd] + [(number, True) for number in options.listen_tls_fd]
    found = [Listener(socket.socket(fileno=number), tls) for number, tls in inherited]
    for at, tls in [(at, False) for at in plain] + [(at, True) for at in secure]:
        if options.workers == 1:
            found.append(Listener(_open(*at), tls))
        else:
            found += [Listener(_open(*at, shared=True), tls, share) for share in range(options.workers)]
    return found


def of_worker(listeners: list[Listener], index: int, count: int) -> list[Listener]:
    """Give those that one of several processes accepts from; those handed over may be of another number of them."""
    shares = max((each.share for each in listeners), default=EVERYONE) + 1
    return [each for each in listeners if each.share < 0 or shares < count or each.share % count == index]


def _open(host: str, port: int, *, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return sock
