"""The chain of plug-ins that a question passes, in one fixed order.

A plug-in is a module of `kdns.plugins` with a function `setup(setup) -> Plugin | None`; None where the settings do not
ask for it. It answers in one of two ways: at once from memory (`lookup`), or after waiting (`resolve`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar, Protocol

from kapi.events import Recorder
from kapi.network import Address, Network
from kapi.source import Source
from kdns.query import Query
from kdns.wire import CLASS_IN, REFUSED, SERVFAIL, Answer

# Each plug-in sees what those above it let pass, and need not care about those below.
ORDER = (
    "static",  # what the operator wrote by hand beats everything
    "cluster",  # the names of the cluster, from live state
    "cache",  # below the cluster's names on purpose: only what is forwarded may be remembered
    "forward",  # everything else is asked upstream
)

_MOST_HOPS = 8  # aliases of aliases; more is a loop or might as well be


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a question may be forwarded to."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served and how. `ttl` is that of the cluster's records in seconds."""

    zone: str = "cluster.local"
    ttl: int = 5
    pods: str = "insecure"  # or "disabled"
    empty_names: bool = True  # names that only have names below them exist (RFC 8020); CoreDNS denies them
    reverse: tuple[Network, ...] = ()
    records: tuple[tuple[str, Address], ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    stubs: tuple[tuple[str, Upstream], ...] = ()  # zones that are asked for elsewhere
    cache_entries: int = 10_000
    addresses: tuple[Address, ...] = ()  # this server's own: they name the Services it belongs to in NS records
    timeout: float = 2.0  # seconds that one upstream may take

    @property
    def forwards(self) -> bool:
        """Whether anything is asked upstream at all."""
        return bool(self.upstreams or self.stubs)


@dataclass(frozen=True, slots=True)
class Setup:
    """What plug-ins are made from. Without a `source` there is no cluster. `clock` gives Unix time in seconds."""

    settings: Settings
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    source: Source | None = None
    recorder: Recorder = field(default_factory=lambda: Recorder("kdns"))


class Plugin(Protocol):
    """One link of the chain: two methods."""

    name: ClassVar[str]

    @property
    def ready(self) -> bool:
        """Whether it knows all that it needs to answer truly."""
        ...

    def lookup(self, question: bytes) -> Answer | None:
        """Answer a question (name, type and class in wire form, lower-case) at once from memory, or give None."""
        ...

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """Answer a query, however long it takes, or hand it on with `rest.next(query)`."""
        ...


@dataclass(frozen=True, slots=True)
class Rest:
    """What comes after a plug-in."""

    chain: Chain
    index: int

    async def next(self, query: Query) -> Answer:
        """Let the plug-ins below answer."""
        return await self.chain.from_plugin(self.index, query)

    async def again(self, query: Query) -> Answer:
        """Let the whole chain answer another question that came up, such as an alias's target."""
        return await self.chain.resolve(query)


class Chain:
    """The plug-ins in order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of plug-ins that are not ready yet."""
        return tuple(plugin.name for plugin in self.plugins if not plugin.ready)

    def lookup(self, question: bytes) -> Answer | None:
        """Answer at once, or give None where that is not possible; see `Plugin.lookup`."""
        for plugin in self.plugins:
            answer = plugin.lookup(question)
            if answer is not None:
                return answer
        return None

    async def resolve(self, query: Query) -> Answer:
        """Answer a query. What no plug-in takes is refused; a chain of aliases without end fails."""
        if int.from_bytes(query.question[-2:], "big") != CLASS_IN:
            return REFUSED
        if query.hops > _MOST_HOPS:
            return SERVFAIL
        return await self.from_plugin(0, query)

    async def from_plugin(self, index: int, query: Query) -> Answer:
        """Let the plug-ins from `index` on answer."""
        if index == len(self.plugins):
            return REFUSED
        return await self.plugins[index].resolve(query, Rest(self, index + 1))


def load(setup: Setup) -> Chain:
    """Make the chain that the settings ask for."""
    made = (import_module(f"kdns.plugins.{name}").setup(setup) for name in ORDER)
    return Chain([plugin for plugin in made if plugin is not None])
