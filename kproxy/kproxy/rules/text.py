"""Writes rules the way nftables prints them. Pure.

`nft -f` takes the result, and `nft list ruleset` shows the same words for what the backend put into the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from kproxy.rules.fields import PORTS, fields, size
from kproxy.rules.model import (
    Answers,
    ArrivedOn,
    Called,
    CalledPort,
    Chain,
    Count,
    Destination,
    Dispatch,
    Drop,
    Expression,
    Fate,
    Goto,
    In,
    Key,
    Mark,
    Marked,
    Masquerade,
    NewConnection,
    OneIn,
    OwnAddress,
    Port,
    Random,
    Reject,
    Remember,
    Rule,
    Ruleset,
    Set,
    Source,
    SourcePort,
    Step,
    Table,
    Trace,
    TranslateBy,
    Translated,
    TranslateTo,
    Unmark,
    Value,
    Verdict,
)

_FAMILY = {4: "ip", 6: "ip6"}


def render(rules: Ruleset) -> str:
    """Write everything."""
    return "\n".join(line for table in rules.tables for line in _table(table)) + "\n"


def render_rule(rule: Rule, family: int) -> str:
    """Write one rule."""
    words = [_step(step, family) for step in rule.steps]
    return " ".join(words + ([f'comment "{rule.comment}"'] if rule.comment else []))


def render_key(key: Key, family: int) -> str:
    """Write an expression, or several joined."""
    return " . ".join(_expression(part, family) for part in key)


def render_data(key: Key, data: bytes, family: int) -> str:
    """Write the fields of an element's key or value."""
    return " . ".join(str(value) for value in fields(key, data, family))


def _table(table: Table) -> Iterator[str]:
    yield f"table {_FAMILY[table.family]} {table.name} {{"
    for declared in table.sets.values():
        yield from _set(declared, table)
    for chain in table.chains.values():
        yield from _chain(chain, table.family)
    yield "}"


def _set(declared: Set, table: Table) -> Iterator[str]:
    family = table.family
    kind = "set" if declared.data is None else "map"
    value = "verdict" if declared.is_verdict_map else render_key(declared.data or (), family)
    yield f"\t{kind} {declared.name} {{"
    yield f"\t\t{_declaration(declared.key, family)}" + (f" : {value}" if kind == "map" else "")
    if declared.interval:
        yield "\t\tflags interval"
    if declared.dynamic:
        yield "\t\tsize 65535"
        yield "\t\tflags dynamic,timeout"
    elements = [_element(declared, k, v, family) for k, v in table.elements.get(declared.name, {}).items()]
    if elements:
        yield "\t\telements = { " + ",\n\t\t\t     ".join(elements) + " }"
    yield "\t}\n"


def _declaration(key: Key, family: int) -> str:
    """Say what a key is made of: by expressions where nft knows these, else by their types."""
    if not any(isinstance(part, Called | CalledPort) for part in key):
        return f"typeof {render_key(key, family)}"
    address = {4: "ipv4_addr", 6: "ipv6_addr"}[family]
    return "type " + " . ".join("inet_service" if isinstance(part, PORTS) else address for part in key)


def _element(declared: Set, key: bytes, value: Value, family: int) -> str:
    if declared.interval:
        return _interval(declared.key, key, family)
    words = render_data(declared.key, key, family)
    if isinstance(value, Verdict):
        comment = f' comment "{value.origin}"' if value.origin else ""
        return f"{words}{comment} : {_verdict(value)}"
    return words if value is None else f"{words} : {render_data(declared.data or (), value, family)}"


def _interval(key: Key, bounds: bytes, family: int) -> str:
    half = len(bounds) // 2
    pairs = zip(fields(key, bounds[:half], family), fields(key, bounds[half:], family), strict=True)
    return " . ".join(_span(low, high) for low, high in pairs)


def _span(low: IPv4Address | IPv6Address | int, high: IPv4Address | IPv6Address | int) -> str:
    if low == high:
        return str(low)
    if isinstance(low, int) or isinstance(high, int):
        return f"{low}-{high}"
    networks = list(summarize_address_range(low, high))
    return str(networks[0]) if len(networks) == 1 else f"{low}-{high}"


def _chain(chain: Chain, family: int) -> Iterator[str]:
    yield f"\tchain {chain.name} {{"
    if chain.hook:
        hook = chain.hook
        yield f"\t\ttype {hook.type} hook {hook.point} priority {hook.priority}; policy accept;"
    for rule in chain.rules:
        yield f"\t\t{render_rule(rule, family)}"
    yield "\t}\n"


def _expression(part: Expression, family: int) -> str:
    match part:
        case Source():
            return f"{_FAMILY[family]} saddr"
        case Destination():
            return f"{_FAMILY[family]} daddr"
        case Port(protocol):
            return f"{protocol} dport"
        case SourcePort(protocol):
            return f"{protocol} sport"
        case Called():
            return f"ct original {_FAMILY[family]} daddr"
        case CalledPort():
            return "ct original proto-dst"
        case Random(modulo):
            return f"numgen random mod {modulo}"
        case _:
            raise TypeError(f"nftables has no {part}")


def _verdict(value: Verdict) -> str:
    return f"goto {value.chain}" if value.fate is Fate.GOTO else "drop"


def _step(step: Step, family: int) -> str:
    match step:
        case Mark() | Unmark() | Remember() | Count() | Trace():
            return _noting(step, family)
        case Goto(chain):
            return f"goto {chain}"
        case Dispatch(key, name):
            return f"{render_key(key, family)} vmap @{name}"
        case TranslateBy(key, name):
            return f"dnat {_FAMILY[family]} to {render_key(key, family)} map @{name}"
        case TranslateTo(protocol, data):
            return f"meta l4proto {protocol} dnat to {_target(protocol, data, family)}"
        case Masquerade():
            return "masquerade fully-random"
        case Reject():
            return "reject"
        case Drop():
            return "drop"
        case _:
            return _match(step, family)


def _noting(step: Mark | Unmark | Remember | Count | Trace, family: int) -> str:
    match step:
        case Mark(bit):
            return f"meta mark set meta mark | 0x{bit:08x}"
        case Unmark(bit):
            return f"meta mark set meta mark & 0x{~bit & 0xFFFFFFFF:08x}"
        case Remember(name, seconds):
            return f"update @{name} {{ {_FAMILY[family]} saddr timeout {seconds}s }}"
        case Count(key, name, seconds):
            return f"update @{name} {{ {render_key(key, family)} timeout {seconds}s counter }}"
        case Trace():
            return "meta nftrace set 1"


def _match(step: Step, family: int) -> str:
    match step:
        case In(key, name, negated):
            return f"{render_key(key, family)} {'!= ' if negated else ''}@{name}"
        case OwnAddress(of):
            return f"fib {'saddr' if isinstance(of, Source) else 'daddr'} type local"
        case ArrivedOn(interface, negated):
            return f'iifname {"!= " if negated else ""}"{interface}"'
        case NewConnection():
            return "ct state new"
        case Translated(negated):
            return f"ct status {'! ' if negated else ''}dnat"
        case Answers(negated):
            return f"ct direction {'original' if negated else 'reply'}"
        case Marked(bit, negated):
            return f"meta mark & 0x{bit:08x} {'==' if negated else '!='} 0x00000000"
        case OneIn(count):
            return f"numgen random mod {count} 0"
        case _:
            raise TypeError(f"{step} is not a match")


def _target(protocol: str, data: bytes, family: int) -> str:
    address, port = fields((Destination(), Port(protocol)), data, family)
    assert len(data) == size((Destination(), Port(protocol)), family)
    return f"[{address}]:{port}" if family == 6 else f"{address}:{port}"
