"""Who has a place that several Services ask for. Pure bookkeeping: no effects, no clock.

Nothing stops two Services from naming the same externalIP and port. The elder has it; the other is told, keeps all its
other places, and gets this one when the elder lets go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kapi.network import Problem
from kproxy.model import Duties, Place

_Claim = tuple[str, str]  # rank, key


@dataclass(frozen=True, slots=True)
class Settlement:
    """A Service's duties without what belongs to others, and the Services whose share has changed thereby."""

    duties: Duties
    touched: frozenset[str]


class Claims:
    """Remembers which Service asks for which place."""

    def __init__(self) -> None:
        self._held: dict[Place, _Claim] = {}
        self._contested: dict[Place, set[_Claim]] = {}
        self._places: dict[str, tuple[str, tuple[Place, ...]]] = {}

    def settle(self, duties: Duties) -> Settlement:
        """Take note of what a Service asks for now, and of what it asked for before and does not any more."""
        places = tuple(frontend.place for frontend in duties.frontends)
        touched = self._withdraw(duties.key, duties.rank, places)
        lost: dict[Place, str] = {}
        for place in places:
            holder, loser = self._claim(place, (duties.rank, duties.key))
            if loser and loser != duties.key:
                touched.add(loser)
            if holder != duties.key:
                lost[place] = holder
        if places:
            self._places[duties.key] = (duties.rank, places)
        return Settlement(_without(duties, lost) if lost else duties, frozenset(touched - {duties.key}))

    def _withdraw(self, key: str, rank: str, kept: Iterable[Place]) -> set[str]:
        """Give up the places that are not asked for any more; returns who gets them."""
        old_rank, old = self._places.pop(key, (rank, ()))
        if not old:
            return set()
        gone = set(old) if old_rank != rank else set(old) - set(kept)
        heirs = set[str]()
        for place in gone:
            claim = (old_rank, key)
            rivals = self._contested.get(place)
            if rivals is None:
                self._held.pop(place, None)
                continue
            rivals.discard(claim)
            if self._held[place] == claim:
                self._held[place] = min(rivals)
                heirs.add(self._held[place][1])
            if len(rivals) == 1:
                del self._contested[place]
        return heirs

    def _claim(self, place: Place, claim: _Claim) -> tuple[str, str]:
        """Ask for one place; returns who has it, and who has just lost it."""
        held = self._held.setdefault(place, claim)
        if held == claim:
            return claim[1], ""
        self._contested.setdefault(place, {held}).add(claim)
        if claim < held:
            self._held[place] = claim
            return claim[1], held[1]
        return held[1], ""


def _without(duties: Duties, lost: dict[Place, str]) -> Duties:
    problems = tuple(
        Problem(str(place), f"left out: Service {holder} is older and has this address and port")
        for place, holder in lost.items()
    )
    kept = tuple(f for f in duties.frontends if f.place not in lost)
    return replace(duties, frontends=kept, problems=(*duties.problems, *problems))
