"""How much of a Service's traffic each endpoint gets: the annotation `kproxy.io/weights`, read and applied. Pure.

    kproxy.io/weights: "pod/web-canary-*=1, node/worker-3=0, zone/eu-a=20, *=10"

Each endpoint takes the weight of the first entry that fits it: by the name of its pod, its node or its zone, with the
wildcards `*` and `?`; an endpoint that none fits weighs 1. A weight of 0 means no new connections. Weights are shares
of new connections, not of work. Where all endpoints weigh 0, weights do not count: serving beats draining.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from math import gcd

from kapi.network import Endpoint, Problem
from kproxy.model import Pool, Target

ANNOTATION = "kproxy.io/weights"
FIELD = f"metadata.annotations[{ANNOTATION}]"
HEAVIEST = 100
MOST = 16384  # places in a pool: a quarter of what a Service port can have in nftables
_SORTS = ("pod", "node", "zone")


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule of the annotation: `sort` is pod, node, zone, or "" for everything."""

    sort: str
    pattern: str
    weight: int

    def fits(self, endpoint: Endpoint) -> bool:
        """Whether the rule is about an endpoint."""
        named = {"pod": endpoint.pod, "node": endpoint.node_name, "zone": endpoint.zone}
        return not self.sort or fnmatchcase(named[self.sort], self.pattern)


@dataclass(frozen=True, slots=True)
class Weights:
    """The whole annotation, and what of it could not be read."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()

    def of(self, endpoint: Endpoint) -> int:
        """Give an endpoint's weight."""
        return next((entry.weight for entry in self.entries if entry.fits(endpoint)), 1)


def parse(words: str) -> Weights:
    """Read the annotation; an entry that cannot be read is left out and named."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for word in (word.strip() for word in words.split(",")):
        entry = _entry(word)
        if entry is not None:
            entries.append(entry)
        elif word:
            expected = f"pod/NAME, node/NAME, zone/NAME or *, then = and a number from 0 to {HEAVIEST}"
            problems.append(Problem(FIELD, f"{word!r} is left out: an entry is {expected}"))
    return Weights(tuple(entries), tuple(problems))


def _entry(word: str) -> Entry | None:
    place, _, number = word.partition("=")
    sort, slash, pattern = place.strip().partition("/")
    if not number.strip().isascii() or not number.strip().isdigit() or int(number) > HEAVIEST:
        return None
    if place.strip() == "*":
        return Entry("", "*", int(number))
    return Entry(sort, pattern, int(number)) if slash and sort in _SORTS and pattern else None


def pool(targets: Sequence[Target], endpoints: Sequence[Endpoint], weights: Weights) -> Pool:
    """Repeat the target of each endpoint as its weight says.

    Repetitions are spread, so that taking turns is fair at any moment.
    """
    if not weights.entries:
        return tuple(targets)
    shares = [weights.of(endpoint) for endpoint in endpoints]
    smallest = reduce(gcd, shares, 0)
    if not smallest:
        return tuple(targets)
    shares = [share // smallest for share in shares]
    while sum(shares) > MOST:
        shares = [(share + 1) // 2 for share in shares]
        if max(shares) == 1:
            break
    return tuple(_spread(targets, shares))


def _spread(targets: Sequence[Target], shares: Sequence[int]) -> Iterator[Target]:
    """Take turns: in each round, those that have turns left."""
    for turn in range(max(shares)):
        yield from (target for target, share in zip(targets, shares, strict=True) if share > turn)
