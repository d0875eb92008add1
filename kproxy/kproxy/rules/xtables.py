"""Writes rules the way iptables takes them: the lines of `iptables-restore`, and of `iptables -A`. Pure.

A chain's name is `table/chain` in the model; here the two are told apart again.
"""

from __future__ import annotations

from collections.abc import Iterator

from kproxy.rules.fields import fields
from kproxy.rules.model import (
    Accept,
    ArrivedOn,
    Balance,
    Chain,
    ConnectionMarked,
    Destination,
    Drop,
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
    Recently,
    Reject,
    Remember,
    Return,
    Rule,
    Ruleset,
    Source,
    Step,
    Table,
    To,
    Translated,
    TranslateTo,
    Unmark,
    Within,
)

TABLES = ("filter", "nat")  # in the order they are written: who is refused is known before who is served
_REFUSAL = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}


def plain(name: str) -> str:
    """Give a chain's name within its table."""
    return name.partition("/")[2]


def render(rules: Ruleset) -> str:
    """Write everything, as `iptables-save` and `ip6tables-save` would."""
    lines: list[str] = []
    for table in rules.tables:
        for name in TABLES:
            lines += [f"# IPv{table.family}", f"*{name}", *_table(table, name), "COMMIT"]
    return "\n".join(lines) + "\n"


def render_rule(rule: Rule, family: int) -> str:
    """Write one rule, without the chain it is in."""
    words = [_match(step) or _target(step, family) for step in rule.steps]
    if rule.comment:
        words.insert(-1, f'-m comment --comment "{rule.comment}"')
    return " ".join(words)


def _table(table: Table, name: str) -> Iterator[str]:
    chains = [chain for chain in table.chains.values() if chain.name.startswith(f"{name}/")]
    yield from (f":{plain(chain.name)} {'ACCEPT' if chain.hook else '-'} [0:0]" for chain in chains)
    for chain in chains:
        yield from appended(chain, table.family)


def appended(chain: Chain, family: int) -> Iterator[str]:
    """Write the rules of one chain."""
    name = plain(chain.name)
    for rule in chain.rules:
        yield f"-A {name} {render_rule(rule, family)}"


def _match(step: Step) -> str:
    match step:
        case Within(of, network, negated):
            return f"{'! ' if negated else ''}{'-s' if isinstance(of, Source) else '-d'} {network}"
        case To(port, protocol):
            return f"-p {protocol} -m {protocol} --dport {port}"
        case OwnAddress(of):
            return f"-m addrtype --{'src' if isinstance(of, Source) else 'dst'}-type LOCAL"
        case ArrivedOn(interface, negated):
            return f"{'! ' if negated else ''}-i {interface.replace('*', '+')}"
        case Marked(bit, negated):
            return f"-m mark {'! ' if negated else ''}--mark {bit:#x}/{bit:#x}"
        case OneIn(count):
            return f"-m statistic --mode random --probability {1 / count:.10f}"
        case Recently(name, seconds):
            return f"-m recent --name {name} --rcheck --seconds {seconds} --reap --rsource"
        case In(key, name, negated):
            return f"-m set {'! ' if negated else ''}--match-set {name} {_directions(key)}"
        case MarkIs():
            return f"-m mark --mark {step.mark:#x}"
        case ConnectionMarked(bit):
            return f"-m connmark --mark {bit:#x}/{bit:#x}"
        case NewConnection() | Follows() | Invalid() | Translated():
            return _state(step)
        case _:
            return ""


def _directions(key: Key) -> str:
    return ",".join("src" if isinstance(part, Source) else "dst" for part in key)


def _state(step: NewConnection | Follows | Invalid | Translated) -> str:
    match step:
        case NewConnection():
            return "-m conntrack --ctstate NEW"
        case Follows():
            return "-m conntrack --ctstate RELATED,ESTABLISHED"
        case Invalid():
            return "-m conntrack --ctstate INVALID"
        case Translated(negated):
            return f"-m conntrack {'! ' if negated else ''}--ctstate DNAT"


def _target(step: Step, family: int) -> str:
    match step:
        case Jump(chain):
            return f"-j {plain(chain)}"
        case Goto(chain):
            return f"-g {plain(chain)}"
        case Return():
            return "-j RETURN"
        case Accept():
            return "-j ACCEPT"
        case Drop():
            return "-j DROP"
        case Reject():
            return f"-j REJECT --reject-with {_REFUSAL[family]}"
        case _:
            return _rewriting(step, family)


def _rewriting(step: Step, family: int) -> str:
    match step:
        case Mark(bit):
            return f"-j MARK --set-xmark {bit:#x}/{bit:#x}"
        case Unmark(bit):
            return f"-j MARK --set-xmark 0x0/{bit:#x}"
        case MarkConnection(bit):
            return f"-j CONNMARK --set-xmark {bit:#x}/{bit:#x}"
        case MarkBy(key, name):
            return f"-j SET --map-set {name} {_directions(key)} --map-mark"
        case Balance(scheduler, shares):
            ends = ", ".join(f"{address} port {port} weight {weight}" for address, port, weight in shares)
            return f"IPVS {scheduler}: {ends}"
        case Remember(name, _):
            return f"-m recent --name {name} --set --rsource"
        case TranslateTo(protocol, data):
            address, port = fields((Destination(), Port(protocol)), data, family)
            host = f"[{address}]" if family == 6 else str(address)
            return f"-p {protocol} -m {protocol} -j DNAT --to-destination {host}:{port}"
        case Masquerade():
            return "-j MASQUERADE --random-fully"
        case _:
            raise TypeError(f"xtables cannot say {step}")
