"""Other ways to see objects: as rows of a table, or as their metadata alone.

A client asks in its Accept header: `application/json;as=Table;v=v1;g=meta.k8s.io`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kapi.server import statuses
from kapi.server.history import Event
from kapi.server.kinds.kind import Kind
from kapi.server.reading import Page
from kapi.server.records import Record

Json = dict[str, Any]
META = "meta.k8s.io"


class View(Protocol):
    """A way to see objects."""

    def one(self, record: Record) -> Json:
        """Show one object."""
        ...

    def many(self, page: Page) -> Json:
        """Show a list."""
        ...

    def events(self) -> Callable[[Event], Json]:
        """Give what shows the objects of one watch's events, in order."""
        ...


def view_of(accept: str, kind: Kind, include: str, clock: Callable[[], datetime]) -> View | None:
    """Choose the view that an Accept header asks for first; None for objects as they are. Refuses with 406."""
    for choice in accept.split(","):
        media, *rest = (part.strip() for part in choice.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest if "=" in part)
        if media not in ("application/json", "application/*", "*/*", ""):
            continue
        if "as" not in parameters:
            return None
        version = f"{parameters.get('g', META)}/{parameters.get('v', 'v1')}"
        if version not in (f"{META}/v1", f"{META}/v1beta1"):
            continue
        match parameters["as"]:
            case "Table":
                return Table(kind, version, include, clock)
            case "PartialObjectMetadata" | "PartialObjectMetadataList":
                return Metadata(version)
    raise statuses.not_acceptable(("application/json",))


def partial(record: Record, version: str) -> Json:
    """Give an object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": record.metadata}


@dataclass(frozen=True, slots=True)
class Metadata:
    """Objects as their metadata alone."""

    version: str

    def one(self, record: Record) -> Json:
        """See `View`."""
        return partial(record, self.version)

    def many(self, page: Page) -> Json:
        """See `View`."""
        items = [partial(record, self.version) for record in page.records]
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": self.version,
            "metadata": page.meta,
            "items": items,
        }

    def events(self) -> Callable[[Event], Json]:
        """See `View`."""
        return lambda event: partial(event.record, self.version) if event.record else event.object


@dataclass(frozen=True, slots=True)
class Table:
    """Objects as the rows of a table, in the columns of their kind."""

    kind: Kind
    version: str
    include: str
    clock: Callable[[], datetime]

    def one(self, record: Record) -> Json:
        """See `View`."""
        return self._table([record], {"resourceVersion": str(record.version)})

    def many(self, page: Page) -> Json:
        """See `View`."""
        return self._table(page.records, page.meta)

    def events(self) -> Callable[[Event], Json]:
        """See `View`; only the first event tells the columns."""
        first = True

        def show(event: Event) -> Json:
            nonlocal first
            table = self._event(event)
            if not first:
                table["columnDefinitions"] = None
            first = False
            return table

        return show

    def _event(self, event: Event) -> Json:
        meta = {"resourceVersion": event.object["metadata"]["resourceVersion"]}
        if event.record is not None:
            return self._table([event.record], meta)
        table = self._table([], meta)
        table["rows"] = [{"cells": [], "object": event.object}]
        return table

    def _table(self, records: list[Record], meta: Json) -> Json:
        now = self.clock()
        definitions = [column.definition() for column in self.kind.columns]
        return {
            "kind": "Table",
            "apiVersion": self.version,
            "metadata": meta,
            "columnDefinitions": definitions,
            "rows": [self._row(record, now) for record in records],
        }

    def _row(self, record: Record, now: datetime) -> Json:
        row: Json = {"cells": [column.cell(record.object, now) for column in self.kind.columns]}
        if self.include == "Object":
            row["object"] = record.shown
        elif self.include != "None":
            row["object"] = partial(record, self.version)
        return row
