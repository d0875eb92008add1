"""What a request is answered with: made once, told as JSON values to callers in this process and as bytes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.resources import Resource
from kapi.server.history import Batch, Event
from kapi.server.reading import Page
from kapi.server.records import Record, encode
from kapi.server.watching import Watch

Json = dict[str, Any]
JSON_TYPE = "application/json"


class Body(Protocol):
    """Something to answer with."""

    def json(self) -> Json:
        """As JSON values, which must not be changed, and without `managedFields`: callers in this process need none."""
        ...

    def encoded(self) -> bytes:
        """As bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A value made for this answer: a Status, a Table, discovery."""

    value: Json

    def json(self) -> Json:
        """See `Body`."""
        return self.value

    def encoded(self) -> bytes:
        """See `Body`."""
        return encode(self.value)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes in some other format; callers in this process see them under `data`, as Latin-1 text."""

    data: bytes

    def json(self) -> Json:
        """See `Body`."""
        return {"data": self.data.decode("latin-1")}

    def encoded(self) -> bytes:
        """See `Body`."""
        return self.data


@dataclass(frozen=True, slots=True)
class One:
    """One object."""

    record: Record

    def json(self) -> Json:
        """See `Body`."""
        return self.record.object

    def encoded(self) -> bytes:
        """See `Body`."""
        return self.record.encoded


@dataclass(frozen=True, slots=True)
class Many:
    """A list. Its bytes are joined from those of its objects, which are made once each."""

    resource: Resource
    page: Page

    def json(self) -> Json:
        """See `Body`."""
        return self._head() | {"items": [record.object for record in self.page.records]}

    def encoded(self) -> bytes:
        """See `Body`."""
        items = b",".join([record.encoded for record in self.page.records])
        return b'%s,"items":[%s]}' % (encode(self._head())[:-1], items)

    def _head(self) -> Json:
        kind = {"kind": f"{self.resource.kind}List", "apiVersion": self.resource.api_version}
        return kind | {"metadata": self.page.meta}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer: code, body, its media type, and warnings for people."""

    body: Body
    code: int = 200
    media_type: str = JSON_TYPE
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """Text that comes piece by piece, for as long as there is more."""

    pieces: AsyncIterator[bytes]
    warnings: tuple[str, ...] = ()


Show = Callable[[Event], Json]  # how an event's object is shown: None for as it is


@dataclass(frozen=True, slots=True)
class Following:
    """An open watch: to be iterated with `watch.events()`, and closed; and warnings for people.

    `translate` gives what is shown in the words of another resource.
    """

    watch: Watch
    show: Show | None = None
    warnings: tuple[str, ...] = ()
    translate: Callable[[Json], Json] | None = None

    def json(self, event: Event) -> Json:
        """Give an event as JSON values."""
        return self._event(event, event.object if self.show is None else self.show(event))

    def encoded(self, batch: Batch) -> bytes:
        """Give events as they go over the wire, one a line."""
        if self.show is None and self.translate is None:
            return batch.encoded
        shown = [(event, event.shown if self.show is None else self.show(event)) for event in batch.events]
        return b"".join([encode(self._event(event, obj)) + b"\n" for event, obj in shown])

    def _event(self, event: Event, obj: Json) -> Json:
        return {"type": event.kind, "object": obj if self.translate is None else self.translate(obj)}
