"""The command line: from flags and a configuration file to the parts, put together and run."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from kapi import component
from kapi.events import Recorder
from kapi.network import Address
from kapi.source import Source
from kproxy import configuration, flags, live, modes, question, sysctls
from kproxy.backends import Backend, Scheduled, names
from kproxy.backends.nftables import seen
from kproxy.configuration import AUTO, Configuration
from kproxy.errors import Misconfigured, ProxyError, Unavailable
from kproxy.host import Host, ThisHost
from kproxy.longlived import LongLived
from kproxy.model import Absence
from kproxy.proxy import Proxy
from kproxy.rules import explain
from kproxy.settings import Settings, Traffic

Json = dict[str, Any]

_EXPLAINED = ("", AUTO, "nftables", "memory")  # memory has the rules of nftables
_CODES: dict[type[Exception], int] = {Misconfigured: component.MISUSED, Unavailable: 3, ProxyError: component.FAILED}
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # nothing is sent there


@dataclass(frozen=True, slots=True)
class Options:
    """What a command line asks for, all of it checked."""

    configuration: Configuration
    settings: Settings  # but for what follows from the mode and the host
    source: str  # "api", "manifests" or "events"
    server: str | None
    kubeconfig: Path | None
    manifests: Path | None
    cleanup: bool
    verbose: bool

    @property
    def node_name(self) -> str:
        """The name of this node's object."""
        return self.configuration.hostname_override.strip().lower() or socket.gethostname().lower()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proxy until SIGTERM or SIGINT, or explain; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return component.exit_code("kproxy", lambda: _command(words), _CODES)


def _command(words: Sequence[str]) -> None:
    if words[:1] == ["explain"]:
        print(explained(flags.explaining().parse_args(words[1:]), ThisHost()))
        return
    options = read(flags.parser().parse_args(words))
    component.log_to_stderr(verbose=options.verbose)
    run(options, ThisHost())


def read(options: argparse.Namespace) -> Options:
    """Check flags and the configuration file. Raises Misconfigured."""
    used = list(flags.given(options))
    file = _file(options.config) if options.config else {}
    try:
        made = configuration.load(
            flags.laid_over(file, used), {field: flag.name for flag, _ in used for field in flag.fields}, names()
        )
    except Misconfigured as error:
        of_a_flag = str(error).startswith("--") or not options.config
        raise Misconfigured(str(error) if of_a_flag else f"{options.config}: {error}") from error
    kubeconfig = made.client_connection.kubeconfig
    return Options(
        configuration=made,
        settings=Settings(
            service_cidrs=_networks("--service-cidr", options.service_cidr),
            without_endpoints=Absence(options.without_endpoints) if options.without_endpoints else None,
            traffic=Traffic(options.count_traffic),
        ),
        source=_source(options),
        server=options.server,
        kubeconfig=options.kubeconfig or (Path(kubeconfig) if kubeconfig else None),
        manifests=options.manifests,
        cleanup=options.cleanup,
        verbose=options.verbose or options.v > 0,
    )


def settings(options: Options, mode: str, host: Host) -> Settings:
    """Give what follows from the options, the mode and the host."""
    made = options.configuration.settings(mode, _addresses(options.configuration, host))
    return replace(
        made,
        service_cidrs=options.settings.service_cidrs,
        without_endpoints=options.settings.without_endpoints,
        traffic=options.settings.traffic,
    )


def run(options: Options, host: Host) -> None:
    """Do what the options ask for. Raises what the parts raise."""
    if options.cleanup:
        asyncio.run(modes.clear_others(host, ""))
        return
    backend, why = modes.choose(options.configuration.mode, host)
    with contextlib.closing(backend):
        print(f"kproxy: {why}", file=sys.stderr)
        set_up(backend, options.configuration.ipvs)
        sysctls.write(host, options.configuration.conntrack)
        asyncio.run(_run(options, backend, host))


def set_up(backend: Backend, chosen: configuration.Ipvs) -> None:
    """Tell a backend that can choose endpoints how; "" leaves its own scheduler."""
    if isinstance(backend, Scheduled):
        backend.scheduler = chosen.scheduler or backend.scheduler
        backend.excluded = tuple(ip_network(word, strict=False) for word in chosen.exclude_cidrs)


def explained(asked: argparse.Namespace, host: Host) -> str:
    """Answer `kproxy explain`, in words or as JSON. Raises what the parts raise."""
    connection = question.read(asked.source, asked.destination, asked.port, asked.interface)
    options = read(asked)
    if options.configuration.mode not in _EXPLAINED:
        raise Misconfigured(f"explain tells of mode nftables, not of {options.configuration.mode}")
    chosen = settings(options, "nftables", host)
    found = asyncio.run(_answer(connection, options, chosen))
    open_question = question.not_known(found, chosen)
    way = _seen(connection, found, asked.live, host) if asked.live else None
    if asked.json:
        written = explain.written(found.rules, found.packet, found.outcome)
        more = {"terms": found.terms} | ({"notKnown": open_question} if open_question else {})
        return json.dumps(written | more | ({"live": seen.written(way)} if way else {}), indent=2)
    foretold = explain.explain(found.rules, found.packet, found.outcome)
    foretold += "".join(f"\n\n{each}" for each in (*found.terms, open_question) if each)
    return f"{foretold}\n\n{seen.told(way)}" if way else foretold


def _seen(asked: question.Question, found: question.Answer, seconds: float, host: Host) -> seen.Way:
    """Watch the kernel lead such a connection. Raises what `live.watch` raises."""
    print(f"kproxy: waiting {seconds:g} s at most for a new connection by {asked}: make one now", file=sys.stderr)
    sightings, known = live.watch(asked, host, seconds)
    return seen.way(sightings, known, found.rules, found.outcome)


async def _answer(connection: question.Question, options: Options, chosen: Settings) -> question.Answer:
    async with _cluster(options) as (source, _):
        return await question.answer(connection, source, options.node_name, chosen)


async def _run(options: Options, backend: Backend, host: Host) -> None:
    """Work until a signal; the rules stay, so that connections outlive a restart."""
    end = component.signalled()
    async with _cluster(options) as (source, recorder):
        chosen = settings(options, backend.name, host)
        known = LongLived()
        proxy = Proxy(
            source,
            options.node_name,
            backend,
            recorder=recorder,
            settings=chosen,
            done=lambda done: known.note(done.services),
        )
        await component.until(end, (source.run(), recorder.run(), proxy.run(), _after_the_start(proxy, host, known)))


async def _after_the_start(proxy: Proxy, host: Host, known: LongLived) -> None:
    """Once the rules of this mode are in place, remove those of others: so there is no moment without any.

    Then look for garbage when that holds nobody up, for ever.
    """
    await proxy.wait_synced()
    if proxy.backend.host is not None:
        await modes.clear_others(host, proxy.backend.name)
    await known.keep()


def _cluster(options: Options) -> AbstractAsyncContextManager[tuple[Source, Recorder]]:
    """Give where the cluster is known from, and who is told of problems."""
    events = options.source == "events"
    return component.cluster("kproxy", options.server, options.kubeconfig, options.manifests, events=events)


def _source(options: argparse.Namespace) -> str:
    try:
        return component.source_of(options)
    except ValueError as error:
        raise Misconfigured(str(error)) from error


def _file(path: Path) -> Json:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"--config: {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise Misconfigured(f"--config: {path} holds no {configuration.KIND} of {configuration.API_VERSION}")
    return found


def _networks(flag: str, words: str) -> tuple[Any, ...]:
    try:
        return configuration.networks(words)
    except ValueError as error:
        raise Misconfigured(f"{flag}: {words!r} is not accepted: {error}") from error


def _addresses(made: Configuration, host: Host) -> tuple[Address, ...]:
    """Give this node's addresses: the one it was told, else those from which it would reach others."""
    told = ip_address(made.bind_address)
    if not told.is_unspecified:
        return (told,)
    found: list[Address] = []
    for family, elsewhere in _ELSEWHERE.items():
        with contextlib.suppress(OSError), host.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((elsewhere, 9))
            found.append(ip_address(asked.getsockname()[0]))
    return tuple(found)
