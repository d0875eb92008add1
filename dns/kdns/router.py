"""Which chain answers: the one whose zone is the longest that holds the name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdns import names
from kdns.chain import Chain
from kdns.changes import Changes
from kdns.query import Query
from kdns.wire import REFUSED, Answer


class Router:
    """The chains of one place, by zone."""

    def __init__(self, chains: Sequence[tuple[Sequence[str], Chain]]) -> None:
        self.changes = chains[0][1].changes if chains else Changes()  # which all chains of one server share
        every = [(names.to_wire(zone), chain) for zones, chain in chains for zone in zones]
        self._chains = sorted(every, key=lambda pair: len(pair[0]), reverse=True)
        self.only_root = len(every) == 1 and every[0][0] == names.ROOT
        if self.only_root:  # nothing to choose: one call less
            self.steady = every[0][1].steady  # type: ignore[method-assign,assignment]
            self.others = every[0][1].others  # type: ignore[method-assign,assignment]

    def steady(self, question: bytes) -> Answer | None:
        """See `Chain`."""
        found = self._of(question[:-4])
        return found[1].steady(question) if found else REFUSED

    def others(self, question: bytes) -> Answer | None:
        """See `Chain`."""
        found = self._of(question[:-4])
        return found[1].others(question) if found else REFUSED

    async def resolve(self, query: Query) -> Answer:
        """See `Chain.resolve`."""
        found = self._of(query.name)
        return await found[1].resolve(query) if found else REFUSED

    async def transfer(self, query: Query) -> Iterator[Answer] | None:
        """See `Chain.transfer`."""
        found = self._of(query.name)
        return await found[1].transfer(query) if found else None

    def chain(self, name: bytes) -> Chain | None:
        """Give the chain that answers for a name (lower-case)."""
        found = self._of(name)
        return found[1] if found else None

    def zone(self, name: bytes) -> str:
        """Give the zone that a name (lower-case) is served for, as text with its final dot."""
        found = self._of(name)
        return f"{names.to_text(found[0]).removesuffix('.')}." if found else ""

    def _of(self, name: bytes) -> tuple[bytes, Chain] | None:
        for zone, chain in self._chains:
            if name.endswith(zone) and _whole_labels(name, len(name) - len(zone)):
                return zone, chain
        return None


def _whole_labels(name: bytes, before: int) -> bool:
    at = 0
    while at < before:
        at += name[at] + 1
    return at == before
