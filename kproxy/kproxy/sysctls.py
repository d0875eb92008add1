"""The kernel settings that kube-proxy's conntrack options stand for. What is not asked for stays as it is."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

from kproxy.configuration import Conntrack
from kproxy.host import Host

log = logging.getLogger(__name__)

_BASE = "net/netfilter/nf_conntrack"


def wanted(options: Conntrack, cores: int) -> Iterator[tuple[str, int]]:
    """Give settings below /proc/sys, each with its value."""
    if options.max_per_core or options.min:
        yield f"{_BASE}_max", max((options.max_per_core or 0) * cores, options.min or 0)
    for name, seconds in (
        ("tcp_timeout_established", options.tcp_established_timeout),
        ("tcp_timeout_close_wait", options.tcp_close_wait_timeout),
        ("udp_timeout", options.udp_timeout),
        ("udp_timeout_stream", options.udp_stream_timeout),
    ):
        if seconds:
            yield f"{_BASE}_{name}", int(seconds)
    if options.tcp_be_liberal:
        yield f"{_BASE}_tcp_be_liberal", 1


def write(host: Host, options: Conntrack) -> None:
    """Write them. The size of the table only grows: others may need what it has."""
    for name, value in wanted(options, os.cpu_count() or 1):
        try:
            if not name.endswith("_max") or int(host.sysctl(name)) < value:
                host.set_sysctl(name, str(value))
        except OSError as error:
            log.warning("the kernel setting %s could not be set to %d: %s", name, value, error.strerror or error)
