"""The IPVS backend put together: compile, compare, carry out, and look after what is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import ClassVar

from kapi.network import Network
from kproxy.backends import addresses
from kproxy.backends.apart import Apart
from kproxy.backends.iptables import changes as xtables
from kproxy.backends.iptables.tool import Flavour, Tool
from kproxy.backends.ipvs import changes, layout, sets, wire
from kproxy.backends.ipvs.changes import FAMILIES, InPlace
from kproxy.backends.ipvs.compile import FIRST_MARK, Compiled, Server, Virtual, compile_service, marks_needed
from kproxy.backends.ipvs.division import Division
from kproxy.backends.ipvs.kernel import Ipvs as Kernel
from kproxy.backends.ipvs.traffic import Traffic
from kproxy.errors import CommitFailed, ProxyError, Refused, Unavailable
from kproxy.host import Host, ThisHost
from kproxy.model import Counted, Duties, NodeDuties
from kproxy.rules.evaluate import Outcome, Packet, evaluate
from kproxy.rules.model import Ruleset

_SYSCTLS = {
    "net/ipv4/vs/conntrack": "1",  # so that iptables can masquerade what IPVS sends on
    "net/ipv4/vs/conn_reuse_mode": "0",  # a client's port that comes again must not wait a second
    "net/ipv4/vs/expire_nodest_conn": "1",  # flows to an endpoint that is gone end
    "net/ipv4/vs/expire_quiescent_template": "1",  # affinity to an endpoint of weight 0 ends
}
_NAT_PROBE = "*nat\n:KUBE-IPVS-PROBE - [0:0]\n-X KUBE-IPVS-PROBE\nCOMMIT\n"


class Ipvs:
    """See `kproxy.backends.Backend`. A change is several steps, each of which leaves Services working."""

    name: ClassVar[str] = "ipvs"
    tracked: ClassVar[bool] = True

    def __init__(self, host: Host | None, scheduler: str = "rr") -> None:
        self._host: Host = host or ThisHost()
        self.host: Host | None = self._host
        self.scheduler = scheduler
        self.excluded: tuple[Network, ...] = ()
        self._kernel = Kernel(self._host)
        self._traffic = Traffic(self._host)
        self._tool: Tool | None = None
        self._place = InPlace(NodeDuties())
        self._division = Division()
        self._apart = Apart()
        self._marks: dict[str, tuple[int, int]] = {}  # by Service: its first mark, and how many it has
        self._next_mark = FIRST_MARK
        self._retiring: set[Server] = set()
        self._digest = ""

    def missing(self) -> str | None:
        """Look for IPVS, for the ipset tool, and for an iptables whose NAT works here."""
        try:
            self._kernel.services()
            self._checked(["ipset", "list", "-name"])
            self._usable_tool()
        except (ProxyError, OSError) as error:
            return str(error)
        return None

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`. Connections notice nothing."""
        return await asyncio.to_thread(self._resync, node, services)

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        return await asyncio.to_thread(self._commit, services)

    async def drifted(self) -> bool:
        """See `Backend.drifted`. Endpoints whose last connection has ended are taken away, too."""
        return await asyncio.to_thread(self._drifted)

    def ruleset(self) -> Ruleset:
        """Give the rules in place, virtual servers as well."""
        return self._place.ruleset()

    def evaluate(self, packet: Packet) -> Outcome:
        """See `Backend.evaluate`."""
        return evaluate(self.ruleset(), replace(packet, own=packet.own | frozenset(self._place.own)))

    def traffic(self) -> Iterator[Counted]:
        """See `kproxy.backends.Telling`."""
        return self._traffic.read(dict(self._place.virtuals))

    async def clear(self) -> None:
        """See `Backend.clear`. Where our device is not, nothing is ours; other virtual servers are somebody else's."""
        if not addresses.exists(self._host, layout.DEVICE):
            return
        tool = self._usable_tool()
        for family in FAMILIES:
            there = xtables.read(tool.save(family), layout.is_ours)
            tool.restore(family, xtables.nothing(there, layout.TABLES))
        mine = self._mine(self._kernel.services())
        names = self._checked(["ipset", "list", "-name"]).split()
        self._ipset(line for f in FAMILIES for line in sets.destroy(f) if line.partition(" ")[2] in names)
        self._kernel.carry_out([wire.delete_service(server) for server in mine])
        addresses.remove_device(self._host, layout.DEVICE)
        self._place, self._retiring = InPlace(self._place.node), set()

    def close(self) -> None:
        """See `Backend.close`."""
        self._kernel.close()

    # -- everything anew -----------------------------------------------------------------------------------------------

    def _resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> dict[str, str]:
        for name, value in _SYSCTLS.items():
            with contextlib.suppress(FileNotFoundError):  # newer kernels do without some
                self._host.set_sysctl(name, value)
        addresses.ensure_dummy(self._host, layout.DEVICE)
        tool = self._usable_tool()
        place = InPlace(node, addresses.answering(self._host, layout.DEVICE, node.node_port_networks))
        mine = self._mine(self._kernel.services())
        division = Division(place.own)
        owed = {key: duties for key, duties in division.settle(services).items() if duties.frontends}
        made = {key: self._apart.work_out(self._compile, duties) for key, duties in owed.items()}
        place.take({key: compiled for key, compiled in made.items() if compiled})
        for family in FAMILIES:
            self._ipset(sets.replace(family, place.elements(family)))
            there = xtables.read(tool.save(family), layout.is_ours)
            table = next(t for t in place.ruleset().tables if t.family == family)
            tool.restore(family, xtables.everything(table, there, layout.TABLES))
        bound, wanted = addresses.addresses(self._host, layout.DEVICE)[True], set(place.bound)
        addresses.change(self._host, layout.DEVICE, wanted - bound, ())
        refused = self._balance(self._present(mine | place.virtuals.keys()), place)
        addresses.change(self._host, layout.DEVICE, (), bound - wanted)
        self._place, self._division, self._digest = place, division, ""
        return {**self._apart.faults(services), **refused}

    def _mine(self, present: Iterable[Server]) -> set[Server]:
        """Give the virtual servers that are ours, or a proxy's before us: by our sets, our marks, our device."""
        known = self._place.virtuals.keys() | self._retiring
        known |= set(sets.served(self._checked(["ipset", "save"])))
        bound = {address.packed for address in addresses.addresses(self._host, layout.DEVICE)[True]}
        ours = {s for s in present if s in known or s.mark >= FIRST_MARK or s.address in bound}
        return {s for s in ours if s.mark or not any(ip_address(s.address) in n for n in self.excluded)}

    def _present(self, mine: Container[Server]) -> dict[Server, Virtual]:
        """Read back the virtual servers that are there, of those that are ours."""
        found: dict[Server, Virtual] = {}
        for server, kept in self._kernel.services().items():
            if server not in mine:
                continue
            real = self._kernel.destinations(server)
            found[server] = Virtual(server, kept.scheduler, {r.target: r.weight for r in real}, kept.affinity)
        return found

    def _balance(self, present: Mapping[Server, Virtual], place: InPlace) -> dict[str, str]:
        todo = [
            request
            for compiled in place.services.values()
            for request in changes.requests(compiled.key, present, compiled.virtuals)
        ]
        stale = {server: virtual for server, virtual in present.items() if server not in place.virtuals}
        todo += changes.endings("", stale)
        self._retiring = {s for s, v in present.items() if s in stale or v.weights.keys() - place.weights(s).keys()}
        return self._carry_out(todo)

    # -- one change ----------------------------------------------------------------------------------------------------

    def _commit(self, services: Mapping[str, Duties | None]) -> dict[str, str]:
        new: dict[str, Compiled | None] = {}
        for key, duties in self._division.settle(services).items():
            new[key] = self._apart.work_out(self._compile, duties) if duties.frontends else None
            if not duties.frontends:
                self._marks.pop(key, None)
        old = self._place.take(new)
        coming = {key: compiled for key, compiled in new.items() if compiled}
        todo = list(changes.between(self._place, old, coming))
        refused = self._carry_out(todo)
        had, have = (frozenset(a for c in part.values() for a in c.addresses) for part in (old, coming))
        addresses.change(self._host, layout.DEVICE, have - had, ())
        for family in FAMILIES:
            gone = changes.gone(self._place, old.values(), family)
            self._ipset(sets.update(family, gone, changes.merged((c.elements for c in coming.values()), family)))
        addresses.change(self._host, layout.DEVICE, (), {a for a in had if a not in self._place.bound})
        retired = {server for c in old.values() for server in c.virtuals}
        self._retiring |= retired
        self._sweep(retired)
        return {**self._apart.faults(services), **refused}

    def _compile(self, duties: Duties) -> Compiled:
        needed = marks_needed(duties)
        first, count = self._marks.get(duties.key, (0, 0))
        if needed > count:
            first, self._next_mark = self._next_mark, self._next_mark + needed
            self._marks[duties.key] = (first, needed)
        return compile_service(duties, first, self.scheduler)

    def _carry_out(self, todo: list[wire.Request]) -> dict[str, str]:
        try:
            self._kernel.carry_out(todo)
        except Refused as refusal:
            return dict(refusal.causes)
        return {}

    def _ipset(self, lines: Iterable[str]) -> None:
        if text := "\n".join(lines):
            self._checked(["ipset", "-exist", "restore"], f"{text}\n")

    # -- looking after it ----------------------------------------------------------------------------------------------

    def _sweep(self, servers: Iterable[Server]) -> None:
        """Take away endpoints out of service that have no connection left, and virtual servers without endpoints."""
        for server in servers:
            wanted = self._place.weights(server)
            left = [r for r in self._kernel.destinations(server) if r.target not in wanted]
            ended = [r.target for r in left if not r.connections]
            self._carry_out([wire.delete_destination(server, target) for target in ended])
            if len(ended) == len(left):
                self._retiring.discard(server)
                if server not in self._place.virtuals:
                    self._carry_out([wire.delete_service(server)])

    def _drifted(self) -> bool:
        self._sweep(tuple(self._retiring))
        tool = self._usable_tool()
        listings = [tool.save(family) for family in FAMILIES]
        before, self._digest = self._digest, self._summary(listings)
        if before:
            return before != self._digest
        tables = {table.family: table for table in self._place.ruleset().tables}
        return any(
            xtables.counts(listing, layout.is_ours)
            != {n: c for n, c in xtables.written(tables[f]).items() if not n.startswith("ipvs/")}
            for f, listing in zip(FAMILIES, listings, strict=True)
        )

    def _summary(self, listings: Iterable[str]) -> str:
        """Sum up the chains, the addresses of the device and of the node, and the virtual servers."""
        own = addresses.answering(self._host, layout.DEVICE, self._place.node.node_port_networks)
        bound = sorted(map(str, addresses.addresses(self._host, layout.DEVICE)[True]))
        virtual = sorted(self._place.virtuals.keys() & self._kernel.services().keys())
        return f"{xtables.digest(listings, layout.is_ours)} {own} {bound} {virtual}"

    def _usable_tool(self) -> Tool:
        """Give the first flavour of iptables that can translate addresses here."""
        if self._tool:
            return self._tool
        why = ""
        for flavour in Flavour:
            tool = Tool(self._host, flavour)
            try:
                for family in FAMILIES:
                    tool.restore(family, _NAT_PROBE)
            except CommitFailed as error:
                why = str(error)
                continue
            self._tool = tool
            return tool
        raise Unavailable(f"no iptables here can translate addresses: {why}")

    def _checked(self, command: list[str], given: str = "") -> str:
        try:
            ran = self._host.run(command, given.encode())
        except FileNotFoundError as error:
            raise Unavailable(f"the command {command[0]} is not installed") from error
        if ran.returncode:
            raise CommitFailed(f"{command[0]}: {' '.join(ran.stderr.decode().split())}")
        return ran.stdout.decode()
