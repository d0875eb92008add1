"""Tells in words what the rules do with a packet, and why: each step names the rule and the Service port. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kproxy.rules import text, words, xtables
from kproxy.rules.evaluate import ANYWHERE, Ending, Hop, Outcome, Packet, Possibility, rule_at
from kproxy.rules.model import Dialect, Ruleset

Json = dict[str, Any]

_FAMILY = {4: "ip", 6: "ip6"}


def explain(rules: Ruleset, packet: Packet, outcome: Outcome) -> str:
    """Explain all that may happen; steps that all possibilities share are told once."""
    possibilities = sorted(outcome.possibilities, key=lambda p: p.chance, reverse=True)
    shared = _shared([p.hops for p in possibilities])
    lines = [_question(packet), *(_hop(rules, hop) for hop in possibilities[0].hops[:shared])]
    merged: dict[str, tuple[float, Possibility]] = {}
    for possibility in possibilities:
        ending = _ending(possibility)
        chance, first = merged.get(ending, (0.0, possibility))
        merged[ending] = (chance + float(possibility.chance), first)
    for ending, (chance, first) in merged.items():
        lines.append(f"{chance:.1%}: {ending}" if len(merged) > 1 else ending)
        lines += [f"  {_hop(rules, hop)}" for hop in first.hops[shared:]]
    return "\n".join(lines)


def written(rules: Ruleset, packet: Packet, outcome: Outcome) -> Json:
    """Write all that may happen as JSON: one item a possibility, each with the rules that did something."""
    return {
        "packet": {
            "source": str(packet.source),
            "destination": str(packet.destination),
            "protocol": packet.protocol,
            "port": packet.port,
            "fromNode": not packet.interface,
        },
        "possibilities": [
            {
                "chance": float(possibility.chance),
                "ending": str(possibility.ending),
                "destination": str(possibility.destination),
                "port": possibility.port,
                "masqueraded": possibility.masqueraded,
                "words": _ending(possibility),
                "steps": [_step(rules, hop) for hop in possibility.hops],
            }
            for possibility in outcome.possibilities
        ],
    }


def _step(rules: Ruleset, hop: Hop) -> Json:
    rule = rule_at(rules, hop)
    return {
        "chain": hop.chain,
        "rule": hop.rule + 1,
        "text": _text(rules, hop),
        "words": words.sentence(rule, hop.family),
        "did": hop.did,
        "servicePort": hop.origin,
    }


def _text(rules: Ruleset, hop: Hop) -> str:
    render_rule = xtables.render_rule if rules.dialect is Dialect.XTABLES else text.render_rule
    return render_rule(rule_at(rules, hop), hop.family)


def _question(packet: Packet) -> str:
    came = f"in through {packet.interface}" if packet.interface else "from the node itself"
    if packet.interface == ANYWHERE:
        came = "from a pod or another host"
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
    cause = f" for Service port {hop.origin}" if hop.origin else ""
    asked = words.reasons(rule_at(rules, hop))
    why = f", since {asked}" if asked else ""
    table = "" if rules.dialect is Dialect.XTABLES else f"{_FAMILY[hop.family]} kproxy "
    return f"- {hop.did}{cause}{why}   [{table}{hop.chain}, rule {hop.rule + 1}: {_text(rules, hop)}]"


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
