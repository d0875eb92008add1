"""The class chains: one for each way of serving and each power of two of endpoints, shared by all Services. Pure.

A frontend's element sends a packet to the class that fits; the class draws an index, and a map gives the endpoint for
(frontend, index). So Services and endpoints are elements only, and the number of chains does not grow with them.

A class draws below its capacity, the next power of two, and draws again where no endpoint has that index. One endpoint
more or less is then an element of a plain map; only crossing a power of two changes a verdict, after which the kernel
validates the whole verdict map (2.5 ms at 20,000 Services). More than half of the indexes are always taken, so the
first draw mostly hits, and after `_DRAWS` misses (one packet in 65,536 at worst) the lower half is drawn from, which
never misses.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from kproxy.model import NodeDuties
from kproxy.rules.model import (
    ArrivedOn,
    Chain,
    Destination,
    Dispatch,
    Goto,
    In,
    Key,
    Mark,
    OwnAddress,
    Port,
    Random,
    Rule,
    Source,
    Step,
    TranslateBy,
)

POD_NETWORKS = "pod-networks"
_DRAWS = 16


class Way(StrEnum):
    """How clients of a class are served."""

    CLUSTER = "cluster"  # a clusterIP: masquerade whoever is not a pod
    EXTERNAL = "external"  # from outside: masquerade everyone
    PLAIN = "plain"  # nobody is masqueraded
    DIVIDED = "divided"  # externalTrafficPolicy Local: pods as PLAIN, the node as EXTERNAL, others as LOCAL
    LOCAL = "local"  # the endpoints of this node only, nobody is masqueraded


class Class(NamedTuple):
    """One class: its protocol ("tcp"), if it is for ports of the node, how it serves, and up to how many endpoints."""

    protocol: str
    node_port: bool
    way: Way
    capacity: int

    @property
    def name(self) -> str:
        """The name of its chain."""
        place = "-nodeport" if self.node_port else ""
        return f"{self.protocol}{place}-{self.way}-{self.capacity}"

    def needs(self, node: NodeDuties) -> tuple[Class, ...]:
        """List the classes that its chain refers to."""
        if self.way is not Way.DIVIDED:
            return ()
        outside = self._replace(way=Way.EXTERNAL)
        return (self._replace(way=Way.PLAIN), outside) if from_pod(node) else (outside,)


def capacity(endpoints: int) -> int:
    """Give the capacity of the class for so many endpoints: the next power of two."""
    return 1 << (endpoints - 1).bit_length()


def place_key(protocol: str, node_port: bool) -> Key:
    """Give what identifies a frontend: destination address and port, or the port alone on the node's own addresses."""
    return (Port(protocol),) if node_port else (Destination(), Port(protocol))


def map_name(protocol: str, node_port: bool, *, local: bool = False) -> str:
    """Name the map that holds the endpoints of frontends, or of their local share."""
    return f"{protocol}-{'local-' if local else ''}{'nodeport-' if node_port else ''}endpoints"


def dispatch_name(protocol: str, node_port: bool, *, local: bool = False) -> str:
    """Name the verdict map that sends frontends to classes."""
    return f"{protocol}-{'local-' if local else ''}{'nodeports' if node_port else 'frontends'}"


def from_pod(node: NodeDuties) -> Step | None:
    """Match packets of this node's pods, where there is a way to know them."""
    if node.local_traffic.interface:
        return ArrivedOn(node.local_traffic.interface)
    return In((Source(),), POD_NETWORKS) if node.local_traffic.networks else None


def masquerade_rules(way: Way, node: NodeDuties) -> tuple[Rule, ...]:
    """Mark whom this way of serving masquerades."""
    mark = Mark(node.masquerade_mark)
    if way is Way.EXTERNAL or (way is Way.CLUSTER and node.masquerade_all):
        return (Rule((mark,)),)
    match from_pod(node) if way is Way.CLUSTER else None:
        case In(key, name):
            return (Rule((In(key, name, negated=True), mark)),)
        case ArrivedOn(interface):
            return (Rule((ArrivedOn(interface, negated=True), mark)),)
        case _:
            return ()


def divide(node: NodeDuties, pods: str, outside: str) -> tuple[Rule, ...]:
    """Send pods and this node's own clients past an external policy of Local: they may use every endpoint."""
    pod = from_pod(node)
    short_cut = (Rule((pod, Goto(pods)), "pods may use any endpoint"),) if pod else ()
    return (*short_cut, Rule((OwnAddress(Source()), Goto(outside)), "so may this node"))


def chain(cls: Class, node: NodeDuties) -> Chain:
    """Write the chain of one class."""
    place = place_key(cls.protocol, cls.node_port)
    if cls.way is Way.DIVIDED:
        rules = divide(node, cls._replace(way=Way.PLAIN).name, cls._replace(way=Way.EXTERNAL).name)
        rest = Rule((Dispatch(place, dispatch_name(cls.protocol, cls.node_port, local=True)),), "others: local only")
        return Chain(cls.name, (*rules, rest))
    share = map_name(cls.protocol, cls.node_port, local=cls.way is Way.LOCAL)
    draw = Rule((TranslateBy((*place, Random(cls.capacity)), share),))
    draws = (draw,) if cls.capacity <= 2 else (*(draw,) * _DRAWS, _last_draw(cls, share))
    return Chain(cls.name, (*masquerade_rules(cls.way, node), *draws))


def _last_draw(cls: Class, share: str) -> Rule:
    key = (*place_key(cls.protocol, cls.node_port), Random(cls.capacity // 2))
    return Rule((TranslateBy(key, share),), "the lower half is always taken")
