"""Names written by hand: `--record NAME=ADDRESS`. They need no cluster.

Each name is a zone of its own: other types at it are NODATA, and names below it are denied.
"""

from __future__ import annotations

from typing import ClassVar

from kdns import names
from kdns.answer import Answers
from kdns.chain import Rest, Setup
from kdns.query import Query
from kdns.records import Pointer, Records
from kdns.wire import Answer


def setup(setup: Setup) -> Static | None:
    """Serve the records of the settings, if there are any."""
    given = setup.settings.records
    if not given:
        return None
    answers = Answers(dict.fromkeys(name for name, _ in given), setup.settings.ttl, serial=int(setup.clock()))
    records = Records()
    for name, address in given:
        records.add_addresses(names.to_wire(name), address.packed)
        records.add_pointer(address.packed, Pointer(names.to_wire(name)))
    answers.update("records", records)
    return Static(answers)


class Static:
    """Answers from a table that never changes."""

    name: ClassVar[str] = "static"
    steady = True
    ready = True

    def __init__(self, answers: Answers) -> None:
        self.lookup = answers.lookup

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        return self.lookup(query.question) or await rest.next(query)
