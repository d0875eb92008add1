"""Runs a packet through the rules, as the kernel would: which hooks, which chains, and what may come of it. Pure.

Where the kernel draws lots, every possibility is followed, with its probability; so the answer to one packet is the
list of all that can happen. Only first packets of connections are of interest: the others are translated likewise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address

from kapi.network import Address
from kproxy.rules.fields import index_bytes, port_bytes, service_bytes, width
from kproxy.rules.model import (
    Accept,
    Answers,
    ArrivedOn,
    Balance,
    Chain,
    ConnectionMarked,
    Count,
    Destination,
    Dispatch,
    Drop,
    Fate,
    Follows,
    Goto,
    In,
    Invalid,
    Jump,
    Key,
    Mark,
    MarkBy,
    MarkConnection,
    Marked,
    MarkIs,
    Masquerade,
    NewConnection,
    OneIn,
    OwnAddress,
    Port,
    Random,
    Recently,
    Reject,
    Remember,
    Return,
    Rule,
    Ruleset,
    Service,
    Source,
    Step,
    Table,
    To,
    Trace,
    TranslateBy,
    Translated,
    TranslateTo,
    Unmark,
    Verdict,
    Within,
)

ANYWHERE = "*"  # some interface that no rule names


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, at a node.

    `interface` is where it came in; "" is a packet of the node's own processes. `own` are the addresses of the node.
    """

    source: Address
    destination: Address
    protocol: str
    port: int
    interface: str = ""
    own: frozenset[Address] = frozenset()


class Ending(StrEnum):
    """What becomes of a packet."""

    ENDPOINT = "endpoint"  # its destination was rewritten
    UNTOUCHED = "untouched"
    REJECT = "reject"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Hop:
    """One rule that did something: where it stands, and what it found. `origin` is the Service port it was for."""

    family: int
    chain: str
    rule: int
    did: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Possibility:
    """One thing that may happen."""

    ending: Ending
    chance: Fraction
    destination: Address
    port: int
    masqueraded: bool
    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that may happen to a packet; the chances add up to one."""

    possibilities: tuple[Possibility, ...]

    def endings(self) -> frozenset[Ending]:
        """Give the endings that may occur."""
        return frozenset(p.ending for p in self.possibilities)

    def endpoints(self) -> Mapping[tuple[Address, int], Fraction]:
        """Give the endpoints it may reach, each with its chance."""
        chances: dict[tuple[Address, int], Fraction] = {}
        for p in self.possibilities:
            if p.ending is Ending.ENDPOINT:
                place = (p.destination, p.port)
                chances[place] = chances.get(place, Fraction(0)) + p.chance
        return chances


@dataclass(frozen=True, slots=True)
class _State:
    packet: Packet
    source: Address
    destination: Address
    port: int
    mark: int = 0
    connection_mark: int = 0
    translated: bool = False
    masqueraded: bool = False
    accepted: bool = False  # this base chain has decided
    ending: Ending | None = None
    chance: Fraction = field(default_factory=lambda: Fraction(1))
    hops: tuple[Hop, ...] = ()


def evaluate(rules: Ruleset, packet: Packet) -> Outcome:
    """Run a packet through the tables of its family."""
    table = next((t for t in rules.tables if t.family == packet.destination.version), None)
    start = _State(packet, packet.source, packet.destination, packet.port)
    ends = _journey(table, start) if table else iter([start])
    return Outcome(tuple(_possibility(state) for state in ends))


def _possibility(state: _State) -> Possibility:
    ending = state.ending or (Ending.ENDPOINT if state.translated else Ending.UNTOUCHED)
    return Possibility(ending, state.chance, state.destination, state.port, state.masqueraded, state.hops)


def _journey(table: Table, start: _State) -> Iterator[_State]:
    """Pass the hooks in the kernel's order: where a packet leaves decides which come after the first."""
    own = start.packet.own
    for state in _hook(table, "prerouting" if start.packet.interface else "output", start):
        stays = state.destination in own or state.destination in table.bound
        points = ("input",) if stays else ("forward", "postrouting")
        if not start.packet.interface:
            points = ("postrouting", "input") if stays else ("postrouting",)
        for following in _hooks(table, points, state):
            if (
                stays and following.destination != state.destination
            ):  # IPVS takes packets at the input and sends them on
                yield from _hooks(table, ("postrouting",), following)
            else:
                yield following


def _hooks(table: Table, points: tuple[str, ...], state: _State) -> Iterator[_State]:
    if not points or state.ending:
        yield state
        return
    for following in _hook(table, points[0], state):
        yield from _hooks(table, points[1:], following)


def _hook(table: Table, point: str, state: _State) -> Iterator[_State]:
    chains = sorted(
        (c for c in table.chains.values() if c.hook and c.hook.point == point),
        key=lambda c: c.hook.priority if c.hook else 0,
    )
    return _base_chains(table, chains, state)


def _base_chains(table: Table, chains: list[Chain], state: _State) -> Iterator[_State]:
    if not chains or state.ending:
        yield state
        return
    for following in _chain(table, chains[0], 0, replace(state, accepted=False)):
        yield from _base_chains(table, chains[1:], following)


def _chain(table: Table, chain: Chain, position: int, state: _State) -> Iterator[_State]:
    """Take the rules of a chain from `position` on; yields the states in which it was left."""
    for number in range(position, len(chain.rules)):
        results = list(_rule(table, chain, number, chain.rules[number].steps, state))
        if len(results) == 1 and results[0][1]:
            state = results[0][0]
            continue
        for following, goes_on in results:
            if goes_on:
                yield from _chain(table, chain, number + 1, following)
            else:
                yield following
        return
    yield state


_Result = Iterator[tuple[_State, bool]]  # a state, and whether the chain's next rule follows


def _rule(table: Table, chain: Chain, position: int, steps: tuple[Step, ...], state: _State) -> _Result:
    """Take the steps of a rule, until one does not match or decides."""
    if not steps:
        yield state, True
        return
    step, rest = steps[0], steps[1:]
    at = Hop(table.family, chain.name, position, "", chain.origin)
    match step:
        case Goto() | Dispatch() | Reject() | Drop() | Masquerade() | TranslateBy() | TranslateTo():
            yield from _decide(table, step, at, state)
        case Balance():
            yield from _balance(step, at, state)
        case Jump() | Return() | Accept():
            yield from _pass(table, step, at, state)
        case OneIn(count):
            chance = Fraction(1, count)
            yield from _rule(table, chain, position, rest, replace(state, chance=state.chance * chance))
            if count > 1:
                yield replace(state, chance=state.chance * (1 - chance)), True
        case Mark(bit):
            marked = replace(_hop(state, at, "marks it for masquerading"), mark=state.mark | bit)
            yield from _rule(table, chain, position, rest, marked)
        case Unmark() | MarkConnection() | MarkBy():
            yield from _rule(table, chain, position, rest, _marking(table, step, at, state))
        case _:
            if _matches(table, step, state):
                yield from _rule(table, chain, position, rest, state)
            else:
                yield state, True


def _decide(table: Table, step: Step, at: Hop, state: _State) -> _Result:
    """Take a statement that may end the chain."""
    match step:
        case Goto(name):
            there = _hop(state, at, f"goes to {name}")
            for following, goes_on in _jump(table, name, there):
                idle = following.hops == there.hops  # nothing there was about this packet: not worth telling
                yield (replace(following, hops=state.hops) if idle else following), goes_on
        case Dispatch(key, name):
            yield from _dispatch(table, key, name, at, state)
        case TranslateBy(key, name):
            yield from _translate_by(table, key, name, at, state)
        case TranslateTo(protocol, data) if state.packet.protocol == protocol:
            yield replace(_translate(_hop(state, at, "this chain's endpoint"), data), accepted=True), False
        case Reject() | Drop():
            ending = Ending.REJECT if isinstance(step, Reject) else Ending.DROP
            yield replace(_hop(state, at, f"{ending}s it"), ending=ending), False
        case Masquerade():
            yield replace(_hop(state, at, "masquerades it"), masqueraded=True, accepted=True), False
        case _:
            yield state, True


def _marking(table: Table, step: Unmark | MarkConnection | MarkBy, at: Hop, state: _State) -> _State:
    match step:
        case Unmark(bit):
            return replace(state, mark=state.mark & ~bit)
        case MarkConnection(bit):
            marked = _hop(state, at, "marks its connection for masquerading")
            return replace(marked, connection_mark=state.connection_mark | bit)
        case MarkBy(key, name):
            value, _ = next(_look_up(table, key, name, state))
            return replace(state, mark=int.from_bytes(value, "big")) if isinstance(value, bytes) else state


def _balance(step: Balance, at: Hop, state: _State) -> _Result:
    """Follow every endpoint that may be chosen."""
    whole = sum(weight for _, _, weight in step.shares)
    for address, port, weight in step.shares:
        chance = state.chance * Fraction(weight, whole)
        chosen = _hop(state, at, f"the scheduler {step.scheduler} chooses an endpoint")
        yield replace(chosen, destination=address, port=port, translated=True, accepted=True, chance=chance), False


def _pass(table: Table, step: Jump | Return | Accept, at: Hop, state: _State) -> _Result:
    """Take a statement that may come back to the chain it is in."""
    match step:
        case Jump(name):
            there = _hop(state, at, f"goes to {name}")
            for following in _chain(table, table.chains[name], 0, there):
                idle = following.hops == there.hops and not following.accepted
                decided = following.accepted or following.ending is not None
                yield (replace(following, hops=state.hops) if idle else following), not decided
        case Accept():
            yield replace(state, accepted=True), False
        case Return():
            yield state, False


def _translate_by(table: Table, key: Key, name: str, at: Hop, state: _State) -> _Result:
    """Follow every number that may be drawn; those without an endpoint are one possibility together."""
    missed = Fraction(0)
    for value, chance in _look_up(table, key, name, state):
        if isinstance(value, bytes):
            drawn = replace(_hop(state, at, f"{name} gives the endpoint"), chance=chance)
            yield _translate(drawn, value), False
        else:
            missed += chance
    if missed:
        yield replace(state, chance=missed), True


def _hop(state: _State, at: Hop, did: str, origin: str = "") -> _State:
    return replace(state, hops=(*state.hops, replace(at, did=did, origin=origin or at.origin)))


def _dispatch(table: Table, key: Key, name: str, at: Hop, state: _State) -> _Result:
    value, _ = next(_look_up(table, key, name, state))
    if not isinstance(value, Verdict):
        yield state, True
    elif value.fate is Fate.DROP:
        yield replace(_hop(state, at, f"{name} drops it", value.origin), ending=Ending.DROP), False
    else:
        there = _hop(state, at, f"{name} sends it to {value.chain}", value.origin)
        yield from _jump(table, value.chain, there)


def _jump(table: Table, name: str, state: _State) -> _Result:
    for following in _chain(table, table.chains[name], 0, state):
        yield following, False


def _matches(table: Table, step: Step, state: _State) -> bool:
    match step:
        case In(key, name, negated):
            if any(isinstance(p, Port) and p.protocol != state.packet.protocol for p in key):
                return False
            return _contains(table, key, name, state) is not negated
        case OwnAddress(of):
            return _address(of, state) in state.packet.own or _address(of, state).is_loopback
        case ArrivedOn(interface, negated):
            return _same_interface(interface, state.packet.interface) is not negated
        case Translated(negated):
            return state.translated is not negated
        case Answers(negated):
            return negated  # first packets never answer
        case Marked() | MarkIs() | ConnectionMarked():
            return _marked(step, state)
        case Within(of, network, negated):
            return (_address(of, state) in network) is not negated
        case To(port, protocol):
            return (state.packet.protocol, state.port) == (protocol, port)
        case Recently() | Follows() | Invalid():
            return False  # first packets of clients that nobody remembers yet
        case NewConnection() | Remember() | Count() | Trace():
            return True
        case _:
            raise TypeError(f"{step} is not a match")


def _marked(step: Marked | MarkIs | ConnectionMarked, state: _State) -> bool:
    match step:
        case Marked(bit, negated):
            return bool(state.mark & bit) is not negated
        case MarkIs(mark):
            return state.mark == mark
        case ConnectionMarked(bit):
            return bool(state.connection_mark & bit)


def _same_interface(wanted: str, found: str) -> bool:
    return found.startswith(wanted[:-1]) if wanted.endswith("*") else found == wanted


def _address(of: Source | Destination, state: _State) -> Address:
    return state.source if isinstance(of, Source) else state.destination


def _keys(key: Key, state: _State) -> Iterator[tuple[bytes, Fraction]]:
    """Write the packet's fields as the bytes of a key, once for every number that may be drawn."""
    written = b""
    for part in key:
        if isinstance(part, Random):
            share = Fraction(state.chance, part.modulo)
            yield from ((written + index_bytes(index), share) for index in range(part.modulo))
            return
        if isinstance(part, Port):
            written += port_bytes(state.port)
        elif isinstance(part, Service):
            written += service_bytes(state.packet.protocol, state.port)
        elif isinstance(part, Source | Destination):
            written += _address(part, state).packed
        else:
            raise TypeError(f"{part} is for packets that follow the first")
    yield (written[:2] if len(key) == 1 and isinstance(key[0], Port) else written), state.chance


def _look_up(table: Table, key: Key, name: str, state: _State) -> Iterator[tuple[object, Fraction]]:
    if any(isinstance(p, Port) and p.protocol != state.packet.protocol for p in key):
        yield None, state.chance
        return
    elements = table.elements.get(name, {})
    for written, chance in _keys(key, state):
        yield elements.get(written), chance


def _contains(table: Table, key: Key, name: str, state: _State) -> bool:
    elements = table.elements.get(name, {})
    written, _ = next(_keys(key, state))
    if not table.sets[name].interval:
        return written in elements
    widths = [width(part, table.family) for part in key]
    return any(_within(written, bounds, widths) for bounds in elements)


def _within(written: bytes, bounds: bytes, widths: list[int]) -> bool:
    """Tell whether each field lies between its bounds."""
    offset, half = 0, len(bounds) // 2
    for size in widths:
        piece = slice(offset, offset + size)
        if not bounds[:half][piece] <= written[piece] <= bounds[half:][piece]:
            return False
        offset += size
    return True


def _translate(state: _State, data: bytes) -> _State:
    address = IPv4Address(data[:4]) if len(data) == 8 else IPv6Address(data[:16])
    port = int.from_bytes(data[-4:-2], "big")
    return replace(state, destination=address, port=port, translated=True)


def rule_at(rules: Ruleset, hop: Hop) -> Rule:
    """Find the rule a hop is about."""
    table = next(t for t in rules.tables if t.family == hop.family)
    return table.chains[hop.chain].rules[hop.rule]
