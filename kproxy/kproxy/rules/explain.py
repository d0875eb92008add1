"""Tells in words what the rules do with a packet, and why: each step names the rule and the Service port. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kproxy.rules import text, xtables
from kproxy.rules.evaluate import Ending, Hop, Outcome, Packet, Possibility, rule_at
from kproxy.rules.model import Dialect, Ruleset

_FAMILY = {4: "ip", 6: "ip6"}


def explain(rules: Ruleset, packet: Packet, outcome: Outcome) -> str:
    """Explain all that may happen; steps that all possibilities share are told once."""
    possibilities = sorted(outcome.possibilities, key=lambda p: p.chance, reverse=True)
    shared = _shared([p.hops for p in possibilities])
    lines = [_question(packet), *(_hop(rules, hop) for hop in possibilities[0].hops[:shared])]
    merged: dict[str, tuple[float, Possibility]] = {}
    for possibility in possibilities:
        words = _ending(possibility)
        chance, first = merged.get(words, (0.0, possibility))
        merged[words] = (chance + float(possibility.chance), first)
    for words, (chance, first) in merged.items():
        lines.append(f"{chance:.1%}: {words}" if len(merged) > 1 else words)
        lines += [f"  {_hop(rules, hop)}" for hop in first.hops[shared:]]
    return "\n".join(lines)


def _question(packet: Packet) -> str:
    came = f"in through {packet.interface}" if packet.interface else "from the node itself"
    return f"A new {packet.protocol} connection {came}, {packet.source} to {packet.destination} port {packet.port}:"


def _shared(paths: list[tuple[Hop, ...]]) -> int:
    """Count the hops that all paths begin with."""
    count = 0
    for hops in zip(*paths, strict=False):
        if len(set(hops)) > 1:
            break
        count += 1
    return count


def _hop(rules: Ruleset, hop: Hop) -> str:
    rule = rule_at(rules, hop)
    cause = f" for Service port {hop.origin}" if hop.origin else ""
    if rules.dialect is Dialect.XTABLES:
        return f"- {hop.did}{cause}   [{hop.chain}, rule {hop.rule + 1}: {xtables.render_rule(rule, hop.family)}]"
    where = f"{_FAMILY[hop.family]} kproxy {hop.chain}, rule {hop.rule + 1}"
    return f"- {hop.did}{cause}   [{where}: {text.render_rule(rule, hop.family)}]"


def _ending(possibility: Possibility) -> str:
    return "; ".join(_endings(possibility))


def _endings(possibility: Possibility) -> Iterator[str]:
    host = f"[{possibility.destination}]" if possibility.destination.version == 6 else str(possibility.destination)
    match possibility.ending:
        case Ending.ENDPOINT:
            yield f"it goes to the endpoint {host}:{possibility.port}"
        case Ending.UNTOUCHED:
            yield "no rule is about it: it goes where it was going"
        case Ending.REJECT:
            yield "it is refused at once (ICMP port unreachable)"
        case Ending.DROP:
            yield "it is dropped in silence"
    if possibility.masqueraded:
        yield "the endpoint sees the node's address (masqueraded)"
    elif possibility.ending is Ending.ENDPOINT:
        yield "the endpoint sees the client's own address"
