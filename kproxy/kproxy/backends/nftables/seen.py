"""What a packet really met, beside what the rules foretell: joined on table, chain and handle. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kapi.network import Address
from kproxy.backends.nftables.expressions import rule_attributes
from kproxy.backends.nftables.trace import TABLE, Known, Place, Sighting
from kproxy.netlink import attributes
from kproxy.rules import text, words
from kproxy.rules.evaluate import Ending, Outcome
from kproxy.rules.model import Mark, Masquerade, Reject, Rule, Ruleset, TranslateBy, TranslateTo

Json = dict[str, Any]

_VERSIONS = {"ip": 4, "ip6": 6}
_DONE: dict[type, str] = {
    Mark: "marks it for masquerading",
    Masquerade: "masquerades it",
    Reject: "rejects it",
    TranslateBy: "leads it to an endpoint",
    TranslateTo: "leads it to an endpoint",
}


@dataclass(frozen=True, slots=True)
class Met:
    """A rule, or a chain's policy, that took the packet. `rule` is None where it is none that the cluster asks for."""

    sighting: Sighting
    position: int
    rule: Rule | None = None
    origin: str = ""  # the Service port it is there for

    @property
    def did(self) -> str:
        """What it did with the packet."""
        last = self.rule.steps[-1] if self.rule else None
        return _DONE.get(type(last), self.sighting.did)


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way of one packet, and what became of it. `foretold`: the rules say that this may happen."""

    met: tuple[Met, ...]
    ending: Ending
    destination: Address | None
    port: int
    masqueraded: bool
    foretold: bool


def way(sightings: Sequence[Sighting], known: Mapping[Place, Known], rules: Ruleset, outcome: Outcome) -> Way:
    """Join what the kernel told of one packet with the rules, and with what they foretell."""
    origins = {(hop.chain, hop.rule + 1): hop.origin for p in outcome.possibilities for hop in p.hops}
    met = tuple(_met(sighting, known, rules, origins) for sighting in _telling(sightings))
    places = [(s.destination, s.port) for s in sightings if s.destination]
    destination, port = places[-1] if places else (None, 0)
    translated = bool(places) and places[0] != places[-1]
    ending = _ending(met, Ending.ENDPOINT if translated else Ending.UNTOUCHED)
    masqueraded = any(_is(one, Masquerade) for one in met)
    foretold = any(
        (p.ending, p.masqueraded) == (ending, masqueraded)
        and (ending is not Ending.ENDPOINT or (p.destination, p.port) == (destination, port))
        for p in outcome.possibilities
    )
    return Way(met, ending, destination, port, masqueraded, foretold)


def told(found: Way) -> str:
    """Tell it in words, a line for each rule."""
    lines = ["What the kernel did:", *map(_line, found.met), _result(found)]
    lines.append(
        "The rules foretell that." if found.foretold else "That is not what the rules of this cluster foretell."
    )
    return "\n".join(lines)


def written(found: Way) -> Json:
    """Write it as JSON."""
    return {
        "ending": str(found.ending),
        "destination": str(found.destination) if found.destination else None,
        "port": found.port,
        "masqueraded": found.masqueraded,
        "foretold": found.foretold,
        "steps": [
            {
                "family": met.sighting.family,
                "table": met.sighting.table,
                "chain": met.sighting.chain,
                "handle": met.sighting.handle or None,
                "rule": met.position or None,
                "text": text.render_rule(met.rule, _VERSIONS[met.sighting.family]) if met.rule else None,
                "did": met.did,
                "servicePort": met.origin,
            }
            for met in found.met
        ],
    }


def _telling(sightings: Sequence[Sighting]) -> Iterator[Sighting]:
    """Leave out what decided nothing: ends of chains, policies that let it pass, visits to chains with no say."""
    for sighting, following in zip(sightings, (*sightings[1:], None), strict=True):
        drops = sighting.did.startswith("drops")
        in_vain = following is not None and sighting.did == f"goes to {following.chain}" and not following.handle
        if sighting.table != TABLE and (drops or sighting.handle) and not in_vain:
            yield sighting


def _met(
    sighting: Sighting, known: Mapping[Place, Known], rules: Ruleset, origins: Mapping[tuple[str, int], str]
) -> Met:
    place = sighting.family, sighting.table, sighting.chain, sighting.handle
    if place not in known:
        return Met(sighting, 0)
    position, userdata = known[place]
    found = next((rule for rule in _rules(sighting, rules) if _userdata(rule, sighting) == userdata), None)
    return Met(sighting, position, found, origins.get((sighting.chain, position), "") if found else "")


def _rules(sighting: Sighting, rules: Ruleset) -> Iterator[Rule]:
    for table in rules.tables:
        if (table.family, table.name) == (_VERSIONS.get(sighting.family), sighting.table):
            yield from table.chains[sighting.chain].rules if sighting.chain in table.chains else ()


def _userdata(rule: Rule, sighting: Sighting) -> bytes:
    """Give what is kept beside a rule: its comment, and a digest of what it does."""
    return attributes(rule_attributes(rule, _VERSIONS[sighting.family]))[7]


def _is(met: Met, step: type) -> bool:
    return met.rule is not None and isinstance(met.rule.steps[-1], step)


def _ending(met: Sequence[Met], otherwise: Ending) -> Ending:
    last = met[-1] if met else None
    if last is not None and _is(last, Reject):
        return Ending.REJECT
    return Ending.DROP if last is not None and last.did.startswith("drops") else otherwise


def _line(met: Met) -> str:
    seen = met.sighting
    cause = f" for Service port {met.origin}" if met.origin else ""
    asked = words.reasons(met.rule) if met.rule else ""
    why = f", since {asked}" if asked else ""
    where = f"{seen.family} {seen.table} {seen.chain}"
    if not seen.handle:
        return f"- {met.did}   [{where}]"
    rule = text.render_rule(met.rule, _VERSIONS[seen.family]) if met.rule else "none of kproxy's for this cluster"
    return f"- {met.did}{cause}{why}   [{where}, rule {met.position}, handle {seen.handle}: {rule}]"


def _result(found: Way) -> str:
    host = f"[{found.destination}]" if found.destination and found.destination.version == 6 else str(found.destination)
    match found.ending:
        case Ending.ENDPOINT:
            seen = "the node's address (masqueraded)" if found.masqueraded else "the client's own address"
            return f"it went to the endpoint {host}:{found.port}; the endpoint sees {seen}"
        case Ending.UNTOUCHED:
            return "no rule led it anywhere: it went where it was going"
        case Ending.REJECT:
            return "it was refused at once (ICMP port unreachable)"
        case Ending.DROP:
            return "it was dropped in silence"
