"""Tables, chains, sets, maps, rules: what packet filters can say, as far as a service proxy needs it. Pure values.

nftables and xtables (iptables) are two dialects of it: some steps are of one only, most are of both.

Each interpreter reads the same values: `text` writes them, `evaluate` runs a packet through them, `explain` tells what
happened, and a backend encodes them for the kernel. An element of a set is the bytes the kernel compares, and the set's
`key` says how to read them; so what was sent, what is evaluated and what is read back are the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from kapi.network import Address, Network

# -- expressions: what a packet is asked ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """The packet's source address."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The packet's destination address."""


@dataclass(frozen=True, slots=True)
class Port:
    """The destination port of one protocol ("tcp", "udp", "sctp"); other protocols do not match at all."""

    protocol: str


@dataclass(frozen=True, slots=True)
class SourcePort:
    """The source port of one protocol; other protocols do not match at all. nftables only."""

    protocol: str


@dataclass(frozen=True, slots=True)
class Called:
    """The address that the connection was sent to, before it was led anywhere. nftables only."""


@dataclass(frozen=True, slots=True)
class CalledPort:
    """The port that the connection was sent to, before it was led anywhere. nftables only."""


@dataclass(frozen=True, slots=True)
class Random:
    """A number from 0 to `modulo` - 1, drawn anew each time."""

    modulo: int


@dataclass(frozen=True, slots=True)
class Service:
    """The protocol's number and the destination port, whatever the protocol. xtables only."""


Expression = Source | Destination | Port | SourcePort | Called | CalledPort | Random | Service
Key = tuple[Expression, ...]

# -- elements ---------------------------------------------------------------------------------------------------------


class Fate(StrEnum):
    """What a verdict does with a packet."""

    GOTO = "goto"
    DROP = "drop"


class Verdict(NamedTuple):
    """The value of a verdict map's element; `origin` names the Service port it is there for."""

    fate: Fate
    chain: str = ""
    origin: str = ""


Value = bytes | Verdict | None
Elements = Mapping[bytes, Value]


@dataclass(frozen=True, slots=True)
class Set:
    """A set (`data` None), a map (`data` is a key) or a verdict map (`data` empty).

    The key of an element of an `interval` set is its first address or tuple followed by its last.
    """

    name: str
    key: Key
    data: Key | None = None
    interval: bool = False
    dynamic: bool = False  # the kernel adds elements itself, and they time out
    comment: str = ""

    @property
    def is_verdict_map(self) -> bool:
        """Whether elements say where to go next."""
        return self.data == ()


# -- steps of a rule: matches, then statements ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class In:
    """Go on only if the key is in the set (or, negated, is not)."""

    key: Key
    set: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Go on only if the address belongs to this host."""

    of: Source | Destination


@dataclass(frozen=True, slots=True)
class ArrivedOn:
    """Go on only if the packet came in through this interface; a `*` at the end makes it a prefix."""

    interface: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class NewConnection:
    """Go on only for the first packet of a connection."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Go on only if the connection's destination was rewritten (or, negated, was not)."""

    negated: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """Go on only for packets that answer (or, negated, for those of whoever began the connection). nftables only."""

    negated: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """Go on only if the packet carries this mark bit (or, negated, does not)."""

    bit: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """Go on only if the address lies in the network (or, negated, does not). xtables only."""

    of: Source | Destination
    network: Network
    negated: bool = False


@dataclass(frozen=True, slots=True)
class MarkIs:
    """Go on only if the whole mark of the packet is this. xtables only."""

    mark: int


@dataclass(frozen=True, slots=True)
class ConnectionMarked:
    """Go on only if the packet's connection carries this mark bit. xtables only."""

    bit: int


@dataclass(frozen=True, slots=True)
class To:
    """Go on only if the packet goes to this port of this protocol. xtables only."""

    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Recently:
    """Go on only if the source address was remembered in the set within so many seconds. xtables only."""

    set: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Follows:
    """Go on only for packets that belong to a connection already made: never the first. xtables only."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Go on only for packets that fit no connection; the first packet of one is not meant. xtables only."""


@dataclass(frozen=True, slots=True)
class OneIn:
    """Go on in one of `count` cases, at random."""

    count: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Set a bit of the packet's mark."""

    bit: int


@dataclass(frozen=True, slots=True)
class Unmark:
    """Clear a bit of the packet's mark."""

    bit: int


@dataclass(frozen=True, slots=True)
class MarkConnection:
    """Set a bit of the connection's mark. xtables only."""

    bit: int


@dataclass(frozen=True, slots=True)
class MarkBy:
    """Make the packet's mark what the map gives for the key (four bytes). xtables only."""

    key: Key
    map: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Rewrite the destination to one of these, each with its weight. IPVS only."""

    scheduler: str
    shares: tuple[tuple[Address, int, int], ...]  # address, port, weight


@dataclass(frozen=True, slots=True)
class Remember:
    """Put the source address into a set for so many seconds, or prolong its stay. xtables sets keep no time."""

    set: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Count:
    """Count the packet and its bytes with the key's element, which stays for so many seconds after. nftables only."""

    key: Key
    set: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Have the kernel tell of the packet's way from here on, rule by rule. nftables only."""


@dataclass(frozen=True, slots=True)
class Goto:
    """Continue in another chain and do not come back."""

    chain: str


@dataclass(frozen=True, slots=True)
class Jump:
    """Go through another chain and come back, if nothing there decides. xtables only."""

    chain: str


@dataclass(frozen=True, slots=True)
class Return:
    """Go back to the chain that jumped here. xtables only."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the packet pass this hook. xtables only."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Do what the verdict map says for the key; go on where it says nothing."""

    key: Key
    map: str


@dataclass(frozen=True, slots=True)
class TranslateBy:
    """Rewrite the destination to what the map gives for the key; go on where it gives nothing."""

    key: Key
    map: str


@dataclass(frozen=True, slots=True)
class TranslateTo:
    """Rewrite the destination to one address and port, for one protocol. `data` is both, as the kernel keeps them."""

    protocol: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Rewrite the source to the address of the outgoing interface, with a port drawn at random."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse with an ICMP port-unreachable."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget the packet."""


Match = (
    In
    | OwnAddress
    | ArrivedOn
    | NewConnection
    | Translated
    | Answers
    | Marked
    | MarkIs
    | ConnectionMarked
    | OneIn
    | Within
    | To
    | Recently
    | Follows
    | Invalid
)
Verdicts = Goto | Jump | Return | Accept | Reject | Drop
Marking = Mark | Unmark | MarkConnection | MarkBy
Noting = Marking | Remember | Count | Trace
Statement = Verdicts | Noting | Dispatch | TranslateBy | TranslateTo | Balance | Masquerade
Step = Match | Statement


# -- rules, chains, tables --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """Steps taken in order until one does not match. `comment` says why the rule is there."""

    steps: tuple[Step, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is attached."""

    type: str  # "nat" or "filter"
    point: str  # "prerouting", "input", "forward", "output" or "postrouting"
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; one with a hook is where packets come in."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None
    origin: str = ""  # the Service port it is there for; "" for a chain that many share


@dataclass(frozen=True, slots=True)
class Table:
    """All chains and sets of one IP family (4 or 6)."""

    family: int
    name: str
    sets: Mapping[str, Set]
    chains: Mapping[str, Chain]
    elements: Mapping[str, Elements] = field(default_factory=dict)
    bound: frozenset[Address] = frozenset()  # addresses of Services that the host has been given


class Dialect(StrEnum):
    """Which packet filter the rules are written for; it decides how they are shown."""

    NFTABLES = "nftables"
    XTABLES = "xtables"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A whole set of rules: one table a family. In xtables, a chain's name is `table/chain`."""

    tables: tuple[Table, ...]
    dialect: Dialect = Dialect.NFTABLES
