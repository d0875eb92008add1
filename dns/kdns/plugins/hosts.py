"""Names in the manner of hosts(5): from a file that is followed as it changes, and from the Corefile itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

from kapi.network import Address
from kdns import names, wire
from kdns.chain import Rest, Setup
from kdns.changes import Changes
from kdns.compiled import compiled, pointing, unpacked
from kdns.errors import NameInvalid
from kdns.query import Query
from kdns.records import Pointer, Records
from kdns.settings import Hosts
from kdns.wire import Answer, Rcode

log = logging.getLogger(__name__)

_NO_DATA = Answer(wire.flags_of(Rcode.NOERROR), wire.counts_of(), b"")

Entry = tuple[Address, tuple[str, ...]]


def setup(setup: Setup) -> HostsFiles | None:
    """Serve the entries of the settings, if there are any."""
    tables = [_Table(each, setup.changes) for each in setup.settings.hosts]
    return HostsFiles(tables) if tables else None


def entries(text: str) -> Iterator[Entry]:
    """Read the lines of hosts(5) that make sense; the others are skipped, as libc does."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            address = ip_address(words[0].partition("%")[0]) if words else None
        except ValueError:
            address = None
        if address is not None:
            yield address, tuple(name.lower().removesuffix(".") for name in words[1:])


class _Table:
    """One `hosts` directive: its answers by question."""

    def __init__(self, hosts: Hosts, changes: Changes) -> None:
        self.hosts = hosts
        self._changes = changes
        self.answers: dict[bytes, bytes] = {}  # packed; see `Compiled`
        self.names: frozenset[bytes] = frozenset()
        self.entries = 0  # names with an address
        self._zones = tuple(names.to_wire(zone) for zone in hosts.zones)
        self._text: str | None = None
        self.look()

    def look(self) -> None:
        """Read the file if it has changed; one that cannot be read changes nothing."""
        text = ""
        if self.hosts.file:
            try:
                text = Path(self.hosts.file).read_text()
            except (OSError, UnicodeDecodeError) as error:
                log.warning("%s cannot be read, its names stay as they were: %s", self.hosts.file, error)
                text = self._text or ""
        if text != self._text:
            self._text = text
            self._compile([*self.hosts.entries, *entries(text)])

    def lookup(self, question: bytes) -> Answer | None:
        """Answer for a name that is here; other types have no data."""
        packed = self.answers.get(question)
        return unpacked(question, packed) if packed else _NO_DATA if question[:-4] in self.names else None

    def denies(self, name: bytes) -> bool:
        """Whether a name that is not here is nowhere else either."""
        return not self.hosts.fallthrough and name.endswith(self._zones)

    def _compile(self, known: Iterable[Entry]) -> None:
        records = Records()
        self.entries = 0
        for address, hostnames in known:
            for name in hostnames:
                try:
                    wired = names.to_wire(name)
                except NameInvalid as error:
                    log.warning("%s: %s", self.hosts.file or "hosts", error)
                    continue
                if wired.endswith(self._zones):
                    self.entries += 1
                    records.add_addresses(wired, address.packed)
                    if self.hosts.reverse:
                        records.add_pointer(address.packed, Pointer(wired))
        made = compiled(records, self.hosts.ttl)
        pointers = {
            question: pointing(question, targets, self.hosts.ttl) for question, targets in made.pointers.items()
        }
        self.answers = made.answers | pointers
        self.names = frozenset(question[:-4] for question in self.answers)
        self._changes.tell()


class HostsFiles:
    """Answers from tables, the first that knows a name."""

    name: ClassVar[str] = "hosts"
    steady = True
    ready = True

    def __init__(self, tables: list[_Table]) -> None:
        self.tables = tables

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`."""
        for table in self.tables:
            answer = table.lookup(question)
            if answer is not None:
                return answer
        return None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        answer = self.lookup(query.question)
        if answer is not None:
            return answer
        if any(table.denies(query.name) for table in self.tables):
            return wire.refusal(Rcode.NXDOMAIN)
        return await rest.next(query)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for table in self.tables:
                if table.hosts.file and table.hosts.reload:
                    tasks.create_task(_follow(table))


async def _follow(table: _Table) -> None:
    while True:
        await asyncio.sleep(table.hosts.reload)
        table.look()
