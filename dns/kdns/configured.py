"""What flags or a Corefile ask for, as a `Configuration`: the thin shell around `flags` and `kdns.corefile`."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from kapi.network import Address
from kdns import names
from kdns.corefile.configuration import configuration
from kdns.errors import SettingInvalid
from kdns.likeness import BY_NAME
from kdns.settings import EVERYWHERE, Access, Block, Caching, Configuration, Forwarding, Listen, Settings

_RESOLV_CONF = "/etc/resolv.conf"
_PORT = 53


def configured(options: argparse.Namespace) -> Configuration:
    """Give what the command line asks for. Raises `SettingInvalid`."""
    found = _by_corefile(options.corefile) if options.corefile else _by_flags(options)
    return replace(
        found,
        workers=options.workers or found.workers or len(os.sched_getaffinity(0)),
        blocks=tuple(_completed(block, options) for block in found.blocks),
        limit=options.limit_responses,
        node_local=tuple(options.node_local),
    )


def _completed(block: Block, options: argparse.Namespace) -> Block:
    """Add what flags alone say, and what only this host knows: its addresses, and where no resolv.conf may lead to."""
    own = tuple((place.address, place.port) for place in block.listen)
    settings = replace(
        block.settings,
        forwards=tuple(replace(each, never=own) for each in block.settings.forwards),
        addresses=_own_addresses(place.address for place in block.listen),
        answers=BY_NAME[options.answers],
        own=tuple(options.plugin),
    )
    return replace(block, settings=settings)


def _by_corefile(file: Path) -> Configuration:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(f"the Corefile {file} cannot be read: {error}") from error
    return configuration(text, str(file), _read, os.environ)


def _read(pattern: str, importing: str) -> Mapping[str, str]:
    """Read the files that an `import` in a Corefile means; patterns start at the importing file's folder."""
    start = Path(importing).parent
    base, relative = (Path("/"), pattern[1:]) if pattern.startswith("/") else (start, pattern)
    try:
        return {str(path): path.read_text() for path in sorted(base.glob(relative)) if path.is_file()}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingInvalid(f"{importing}: import {pattern} cannot be read: {error}") from error


def _by_flags(options: argparse.Namespace) -> Configuration:
    places = [*(options.listen or ()), *((address, _PORT) for address in options.node_local)]
    places = places or [(address, _PORT) for address in EVERYWHERE if _has(address)]
    cluster = bool(options.server or options.kubeconfig) or not (options.record or options.node_local)
    if options.node_local and not (cluster or options.upstream):
        raise SettingInvalid(
            "--node-local needs to know the cluster: from --upstream, the address of its DNS server, or from its API"
        )
    settings = Settings(
        cluster=cluster,
        zone=options.zone,
        ttl=options.ttl,
        pods=options.pods,
        reverse=tuple(options.reverse),
        transfer_to=tuple(options.transfer_to),
        records=tuple(options.record),
        forwards=_forwards(options),
        cache=_caching(options, cluster=cluster) if options.cache else None,
        log=options.log,
    )
    kubeconfig = str(options.kubeconfig) if options.kubeconfig else ""
    return Configuration(
        blocks=(Block(settings, tuple(Listen(address, port) for address, port in places)),),
        access=Access(options.server or "", kubeconfig) if cluster else None,
        health=(options.health,) if options.health else (),
        metrics=(options.metrics,) if options.metrics else (),
        lameduck=options.lameduck,
    )


def _caching(options: argparse.Namespace, *, cluster: bool) -> Caching:
    """Remember what is forwarded; but the cluster's names, which another server knows now, are asked for each time."""
    zones = [options.zone, *(zone for network in options.reverse for zone in names.reverse_zones(network))]
    live = () if cluster else tuple((kind, zone) for kind in ("success", "denial") for zone in zones)
    return Caching(entries=options.cache, denied_entries=options.cache, disabled=live)


def _forwards(options: argparse.Namespace) -> tuple[Forwarding, ...]:
    stubs = [Forwarding(zone, (server,)) for zone, server in options.stub]
    if options.no_forward:
        return tuple(stubs)
    upstreams = tuple(options.upstream or ())
    rest = Forwarding(upstreams=upstreams, files=() if upstreams else (_RESOLV_CONF,), tcp=bool(options.node_local))
    return (*stubs, rest)


def _has(address: Address) -> bool:
    return address.version == 4 or socket.has_ipv6


def _own_addresses(listening: Iterable[Address]) -> tuple[Address, ...]:
    """Give the addresses that clients may know this server by: what it listens on, or what its host name stands for."""
    chosen = {address for address in listening if not address.is_unspecified}
    if not chosen:
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM)
            chosen = {ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return tuple(sorted((a for a in chosen if not a.is_loopback), key=lambda a: (a.version, a)))
