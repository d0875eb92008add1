"""What `kproxy explain` is asked, and finding the answer: the cluster is read, and its rules worked out in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address

from kapi import decode
from kapi.network import Address
from kapi.resources import NODES
from kapi.source import Source
from kproxy.backends.memory import Memory
from kproxy.errors import Misconfigured, ProxyError
from kproxy.model import Duties
from kproxy.proxy import Proxy
from kproxy.rules.evaluate import ANYWHERE, Ending, Outcome, Packet
from kproxy.rules.fields import PROTOCOLS
from kproxy.rules.model import Ruleset
from kproxy.settings import Settings, addresses
from kproxy.terms import terms

SECONDS = 10.0  # for the cluster to become known


@dataclass(frozen=True, slots=True)
class Question:
    """A new connection; `interface` "" is one that no rule names."""

    source: Address
    destination: Address
    protocol: str
    port: int
    interface: str = ""

    def __str__(self) -> str:
        return f"{self.protocol} from {self.source} to {self.destination} port {self.port}"

    def packet(self, own: frozenset[Address]) -> Packet:
        """The connection's first packet, at a node with these addresses."""
        inside = self.source in own or self.source.is_loopback
        interface = "" if inside else self.interface or ANYWHERE
        return Packet(self.source, self.destination, self.protocol, self.port, interface, own)


@dataclass(frozen=True, slots=True)
class Answer:
    """The rules, the packet as they meet it, all that may happen, and what of the Service decides it."""

    rules: Ruleset
    packet: Packet
    outcome: Outcome
    terms: tuple[str, ...]


def read(source: str, destination: str, port: str, interface: str = "") -> Question:
    """Check what was asked. Raises Misconfigured."""
    number, _, protocol = port.partition("/")
    protocol = protocol.lower() or "tcp"
    if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
        raise Misconfigured(f"PORT: {port!r} is not accepted: a port is a number from 1 to 65535")
    if protocol not in PROTOCOLS:
        raise Misconfigured(f"PORT: {port!r} is not accepted: the protocol is one of {', '.join(PROTOCOLS)}")
    asked = Question(_address("SOURCE", source), _address("DESTINATION", destination), protocol, int(number), interface)
    if asked.source.version != asked.destination.version:
        raise Misconfigured(f"SOURCE and DESTINATION are of two IP families: {source} and {destination}")
    return asked


async def answer(question: Question, source: Source, node_name: str, settings: Settings) -> Answer:
    """Read the cluster and answer for one node.

    Raises ProxyError where the cluster is not known in time, Misconfigured where it has Nodes and this is none of them.
    """
    backend = Memory()
    nodes = source.cache(NODES, decode.node)
    owed: dict[str, Duties] = {}
    proxy = Proxy(source, node_name, backend, settings=settings, done=lambda done: owed.update(done.wanted))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(source.run()), tasks.create_task(proxy.run())]
        known = await _in_time(proxy)
        for task in running:
            task.cancel()
    if not known:
        raise ProxyError(f"the cluster was not known within {SECONDS:.0f} s: is its API server there?")
    if len(nodes) and node_name not in nodes:
        raise Misconfigured(f"--node-name: there is no Node {node_name}; there are {', '.join(sorted(nodes))}")
    packet = question.packet(frozenset(addresses(settings, nodes.get(node_name))))
    return Answer(backend.ruleset(), packet, backend.evaluate(packet), tuple(terms(owed.values(), packet)))


def not_known(answer: Answer, settings: Settings) -> str:
    """Say what the answer hangs on and nobody has told; "" is nothing."""
    family = answer.packet.destination.version
    untouched = all(p.ending is Ending.UNTOUCHED for p in answer.outcome.possibilities)
    if not untouched or any(network.version == family for network in settings.service_cidrs):
        return ""
    return (
        f"Not known: whether {answer.packet.destination} is within the network of Services. Where --service-cidr tells "
        "kproxy of that, here and on the node, an address in it that no Service has is dropped."
    )


async def _in_time(proxy: Proxy) -> bool:
    try:
        await asyncio.wait_for(proxy.wait_synced(), SECONDS)
    except TimeoutError:
        return False
    return True


def _address(name: str, text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise Misconfigured(f"{name}: {text!r} is not accepted: it is no IP address") from error
