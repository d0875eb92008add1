"""Who has a place that several Services ask for. Pure bookkeeping: no effects, no clock.

Nothing stops two Services from naming the same externalIP and port, or one from naming another's clusterIP. What the
cluster has given a Service comes before what a Service's author has written: a clusterIP, then a load balancer's
address, then an externalIP, or else anybody could take another's traffic (CVE-2020-8554). A NodePort comes last: it is
looked up where no Service names the address. Among equals the elder has the place; the other is told, keeps all its
other places, and gets this one when the elder lets go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kapi.network import Problem
from kproxy.model import Duties, Frontend, Kind, Place

_Claim = tuple[int, str, str]  # precedence of the kind, rank, key: the lowest has the place
_Claims = dict[Place, _Claim]
_PRECEDENCE = {Kind.CLUSTER_IP: 0, Kind.LOAD_BALANCER: 1, Kind.EXTERNAL_IP: 2, Kind.NODE_PORT: 3}
_WHOSE = ("the clusterIP", "the load balancer", "an externalIP")


@dataclass(frozen=True, slots=True)
class Settlement:
    """A Service's duties without what belongs to others, and the Services whose share has changed thereby."""

    duties: Duties
    touched: frozenset[str]


class Claims:
    """Remembers which Service asks for which place."""

    def __init__(self) -> None:
        self._held: _Claims = {}
        self._contested: dict[Place, set[_Claim]] = {}
        self._asked: dict[str, _Claims] = {}  # by Service

    def settle(self, duties: Duties) -> Settlement:
        """Take note of what a Service asks for now, and of what it asked for before and does not any more."""
        asked = _asked(duties)
        touched = self._withdraw(duties.key, asked)
        lost: dict[Place, _Claim] = {}
        for place, claim in asked.items():
            holder, loser = self._claim(place, claim)
            if loser:
                touched.add(loser)
            if holder != claim:
                lost[place] = holder
        if asked:
            self._asked[duties.key] = asked
        return Settlement(_without(duties, lost) if lost else duties, frozenset(touched - {duties.key}))

    def _withdraw(self, key: str, asked: _Claims) -> set[str]:
        """Give up the places that are not asked for any more, or not as before; returns who gets them."""
        heirs = set[str]()
        for place, claim in self._asked.pop(key, {}).items():
            if asked.get(place) == claim:
                continue
            rivals = self._contested.get(place)
            if rivals is None:
                self._held.pop(place, None)
                continue
            rivals.discard(claim)
            if self._held[place] == claim:
                self._held[place] = min(rivals)
                heirs.add(self._held[place][2])
            if len(rivals) == 1:
                del self._contested[place]
        return heirs

    def _claim(self, place: Place, claim: _Claim) -> tuple[_Claim, str]:
        """Ask for one place; returns the claim that has it, and who has just lost it."""
        held = self._held.setdefault(place, claim)
        if held == claim:
            return held, ""
        self._contested.setdefault(place, {held}).add(claim)
        if claim < held:
            self._held[place] = claim
            return claim, held[2]
        return held, ""


def _asked(duties: Duties) -> _Claims:
    """Give the claims of one Service; where it asks for a place in two ways, the stronger."""
    claims = {kind: (precedence, duties.rank, duties.key) for kind, precedence in _PRECEDENCE.items()}
    asked: _Claims = {}
    for frontend in duties.frontends:
        claim = claims[frontend.kind]
        asked[frontend.place] = min(claim, asked.get(frontend.place, claim))
    return asked


def _without(duties: Duties, lost: _Claims) -> Duties:
    problems = tuple(
        _problem(frontend, lost[frontend.place]) for frontend in duties.frontends if frontend.place in lost
    )
    kept = tuple(f for f in duties.frontends if f.place not in lost)
    return replace(duties, frontends=kept, problems=(*duties.problems, *dict.fromkeys(problems)))


def _problem(frontend: Frontend, holder: _Claim) -> Problem:
    precedence, _, key = holder
    if precedence == _PRECEDENCE[frontend.kind]:
        return Problem(
            str(frontend.place),
            f"left out: Service {key} comes first (by age, then by name) and has this address and port",
        )
    return Problem(str(frontend.place), f"left out: it is {_WHOSE[precedence]} of Service {key}")
