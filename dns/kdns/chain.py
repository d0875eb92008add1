"""The chain of plug-ins that a question passes, in one fixed order.

A plug-in is a module with a function `setup(setup) -> Plugin | None`; None where the settings do not ask for it. It
answers in one of two ways: at once from memory (`lookup`), or after waiting (`resolve`). One that has work of its own
besides (a file to follow, an upstream to watch) has a third method, `async def run(self)`, which is cancelled when the
chain is done with. One whose `lookup` gives the same until it says otherwise (`setup.changes.tell()`) has an attribute
`steady = True`: whole replies are then prepared from what it gave.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import takewhile
from typing import Any, ClassVar, Protocol, cast

from kapi.events import Recorder
from kapi.source import Source
from kdns.changes import Changes
from kdns.errors import SettingInvalid
from kdns.query import Query
from kdns.settings import Settings
from kdns.wire import CLASS_IN, LATER, REFUSED, SERVFAIL, Answer

# Each plug-in sees what those above it let pass, and need not care about those below.
ORDER = (
    "rewrite",  # what is asked is not what the others see
    "static",  # what the operator wrote by hand beats everything
    "hosts",  # so does a file of names
    "cluster",  # the names of the cluster, from live state
    "cache",  # below the cluster's names on purpose: only what is forwarded may be remembered
    "loop",  # below the cache: a question that comes back must be seen
    "forward",  # everything else is asked upstream
)

_NOBODYS = {SERVFAIL.flags, REFUSED.flags}  # LATER is like the first
_MOST_HOPS = 11  # aliases of aliases, as many as CoreDNS follows; more is a loop or might as well be


Lookup = Callable[[bytes], Answer | None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What plug-ins are made from. Without a `source` there is no cluster. `clock` gives Unix time in seconds.

    `secret` is known to all workers of one server and to nobody else.
    """

    settings: Settings
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    source: Source | None = None
    recorder: Recorder = field(default_factory=lambda: Recorder("kdns"))
    above: tuple[Plugin, ...] = ()  # the plug-ins made so far
    changes: Changes = field(default_factory=Changes)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))


class Plugin(Protocol):
    """One link of the chain: two methods."""

    name: ClassVar[str]

    @property
    def ready(self) -> bool:
        """Whether it knows all that it needs to answer truly."""
        ...

    def lookup(self, question: bytes) -> Answer | None:
        """Answer a question (name, type and class in wire form, lower-case) at once from memory, or give None.

        `wire.LATER` keeps those below from answering at once, too: `resolve` is asked.
        """
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
    """The plug-ins in order.

    `steady` asks those that come before the first that is not steady, `others` those from there on; see `lookup`.
    `unserved` is for what no plug-in takes.
    """

    def __init__(
        self, plugins: Sequence[Plugin], changes: Changes | None = None, *, unserved: Answer = REFUSED
    ) -> None:
        self.plugins = tuple(plugins)
        self._unserved = unserved
        self.changes = changes or Changes()
        first = tuple(takewhile(lambda plugin: getattr(plugin, "steady", False), self.plugins))
        self.steady = _asking(first)
        self.others = _asking(self.plugins[len(first) :])

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of plug-ins that are not ready yet."""
        return tuple(plugin.name for plugin in self.plugins if not plugin.ready)

    def lookup(self, question: bytes) -> Answer | None:
        """Answer at once, or give None where that is not possible; see `Plugin.lookup`."""
        answer = self.steady(question) or self.others(question)
        return None if answer is LATER else answer

    async def run(self) -> None:
        """Let plug-ins work in the background until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for plugin in self.plugins:
                if (run := getattr(plugin, "run", None)) is not None:
                    tasks.create_task(run(), name=f"plug-in {plugin.name}")
            await asyncio.Event().wait()

    async def transfer(self, query: Query) -> Iterator[Answer] | None:
        """Give the messages of a whole zone (AXFR, RFC 5936), or None where nobody has it for this client."""
        for plugin in self.plugins:
            give = getattr(plugin, "transfer", None)
            if give is not None and (found := await give(query)) is not None:
                return cast(Iterator[Answer], found)
        return None

    async def resolve(self, query: Query) -> Answer:
        """Answer a query; a chain of aliases without end fails."""
        if int.from_bytes(query.question[-2:], "big") != CLASS_IN:
            return REFUSED
        if query.hops > _MOST_HOPS:
            return SERVFAIL
        return await self.from_plugin(0, query)

    async def from_plugin(self, index: int, query: Query) -> Answer:
        """Let the plug-ins from `index` on answer."""
        if index == len(self.plugins):
            return self._unserved
        plugin = self.plugins[index]
        return _signed(await plugin.resolve(query, Rest(self, index + 1)), plugin.name)


def load(setup: Setup) -> Chain:
    """Make the chain that the settings ask for; plug-ins of one's own come first, in their order."""
    modules = [*setup.settings.own, *(f"kdns.plugins.{name}" for name in ORDER)]
    plugins: list[Plugin] = []
    for name in modules:
        made = _imported(name).setup(replace(setup, above=tuple(plugins)))
        if made is not None:
            plugins.append(made)
    unserved = SERVFAIL if setup.settings.answers.fails_unserved else REFUSED
    return Chain(plugins, setup.changes, unserved=unserved)


def _asking(plugins: Sequence[Plugin]) -> Lookup:
    """Give the function that asks plug-ins in turn; its answer may be `LATER`."""
    lookups = tuple((plugin.lookup, plugin.name) for plugin in plugins)

    def asked(question: bytes) -> Answer | None:
        for lookup, name in lookups:
            answer = lookup(question)
            if answer is not None:
                return answer if answer.author else _signed(answer, name)
        return None

    return asked


def _signed(answer: Answer, name: str) -> Answer:
    """Write down who gave an answer, unless it says so; what says only why there is no answer is nobody's."""
    flags, counts, tail, stride, author = answer
    return answer if author or flags in _NOBODYS else Answer(flags, counts, tail, stride, name)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingInvalid(f"the plug-in {name} cannot be imported: {error}; is its folder on PYTHONPATH?") from error
