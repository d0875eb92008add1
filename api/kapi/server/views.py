"""Other ways to see objects: as rows of a table, or as their metadata alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.reading import Page
from kapi.server.state import Record
from kapi.server.watching import Event

Json = dict[str, Any]


class View(Protocol):
    """A way to see objects."""

    def one(self, record: Record) -> Json:
        """Show one object."""
        ...

    def many(self, page: Page) -> Json:
        """Show a list."""
        ...

    def events(self) -> Callable[[Event], Json]:
        """Give what shows the events of one watch."""
        ...


def view_of(accept: str, kind: Kind, options: Options) -> View | None:
    """Choose the view that an Accept header asks for first; None for plain objects."""
    del accept, kind, options
    return None
