"""The sockets that are served: opened from what the command line says, or inherited."""

from __future__ import annotations

import argparse
import socket

Listener = tuple[socket.socket, bool]  # and whether it speaks TLS

_BACKLOG = 1024
_EVERYWHERE = ("0.0.0.0", "::")


def sockets(options: argparse.Namespace) -> list[Listener]:
    """Open them. They listen at once, so that nobody is turned away before the routes are known. Raises OSError."""
    asked = options.listen or options.listen_fd or options.listen_tls or options.listen_tls_fd
    plain = options.listen if asked else [(host, 80) for host in _EVERYWHERE]
    secure = options.listen_tls if asked else [(host, 443) for host in _EVERYWHERE]
    found = [(_open(*at), False) for at in plain] + [(_open(*at), True) for at in secure]
    found += [(socket.socket(fileno=number), False) for number in options.listen_fd]
    return found + [(socket.socket(fileno=number), True) for number in options.listen_tls_fd]


def _open(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return sock
